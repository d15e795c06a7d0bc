//! A recorded run of a scheduler, repeated.

use orchestrator_core::scheduler::{
    CancelCause, Capacities, FailureCause, FlightRecorder, Frame, Input, OutcomeDifference, OutcomeLog, Recording,
    RecordingHeader, Scheduler, SchedulerBuffers, SchedulerPolicy, SchedulerPolicySpec,
};
use orchestrator_core::{JobSpec, Policy, PoolSnapshot, Priority, SmallFleet};
use proptest::prelude::*;
use proptest::sample::select;

use super::codec::{Bytes, with_scratch};

type Fleet = SmallFleet<2, 4, 16>;

fn header() -> RecordingHeader<'static> {
    RecordingHeader {
        capacities: Capacities::default(),
        placement: Policy::default(),
        scheduler: SchedulerPolicy::default(),
        setup: b"",
    }
}

/// Inputs about two pools, five jobs and two sessions, so that most of them matter.
fn input() -> impl Strategy<Value = Input<'static>> {
    let job_id = || select(&["j0", "j1", "j2", "j3", "j4"][..]);
    let pool_id = || select(&["p0", "p1"][..]);
    let submit = (job_id(), any::<bool>(), 0i64..40, proptest::option::of(select(&["s0", "s1"][..])));
    let shorter = SchedulerPolicySpec { queue_ttl_ms: 0.5, ..SchedulerPolicySpec::default() };
    let policies: [&'static SchedulerPolicy; 2] =
        [Box::leak(Box::default()), Box::leak(Box::new(shorter.validate().unwrap()))];
    let placement: &'static Policy = Box::leak(Box::default());
    prop_oneof![
        3 => (pool_id(), 0i64..3).prop_map(|(id, slots)| {
            let pool = PoolSnapshot::new(id, "vllm", slots, slots, 80 << 30, 60 << 30);
            Input::Snapshot(Box::leak(Box::new(pool)))
        }),
        8 => submit.prop_map(|(id, interactive, prompt_tokens, session_id)| {
            let priority = if interactive { Priority::Interactive } else { Priority::Batch };
            let job = JobSpec { priority, prompt_tokens, session_id, ..JobSpec::new(id, "vllm", "m") };
            Input::Submit(Box::leak(Box::new(job)))
        }),
        1 => pool_id().prop_map(|id| Input::RemovePool { id, replica_id: "" }),
        1 => (pool_id(), any::<bool>()).prop_map(|(id, draining)| Input::Drain { id, replica_id: "", draining }),
        2 => job_id().prop_map(|job_id| Input::Started { job_id }),
        2 => job_id().prop_map(|job_id| Input::FirstToken { job_id }),
        1 => job_id().prop_map(|job_id| Input::Progress { job_id, tokens_out: 1 }),
        3 => job_id().prop_map(|job_id| Input::Finished { job_id, tokens_out: 3 }),
        1 => job_id().prop_map(|job_id| {
            Input::Failed { job_id, cause: FailureCause::WorkerReset, tokens_out: 2 }
        }),
        1 => job_id().prop_map(|job_id| Input::Cancel { job_id, cause: CancelCause::Disconnect }),
        1 => Just(Input::EndSession { session_id: "s0" }),
        1 => select(policies.to_vec()).prop_map(move |scheduler| Input::SetPolicies { placement, scheduler }),
        1 => Just(Input::Tick),
    ]
}

fn record<const QUEUED: usize>(inputs: &[(u64, Input<'static>)], outcome_bytes: usize) -> Vec<u8> {
    let header = header();
    let mut buffers: SchedulerBuffers<_, 2, QUEUED, 256, 3, 2> = SchedulerBuffers::new();
    let (placement, rules) = (header.placement.clone(), header.scheduler);
    let mut scheduler = Scheduler::new(Fleet::new(), buffers.storage(), placement, rules);
    let mut outcome = vec![0; outcome_bytes];
    let mut recorder = FlightRecorder::new(Bytes::default(), &mut outcome, &header);
    let mut now_us = 0;
    for (step_us, input) in inputs {
        now_us += step_us;
        recorder.begin_input(now_us, input);
        let answer = scheduler.handle(input, now_us, &mut recorder);
        recorder.answer(&answer);
        while let Some(action) = scheduler.next_action(&mut recorder) {
            recorder.action(&action);
        }
        recorder.end_input();
    }
    assert!(!recorder.is_broken());
    recorder.into_sink().0
}

/// The number of outcomes that were compared, and whether the last of them differs.
fn replay<const QUEUED: usize>(bytes: &[u8]) -> (usize, Option<Option<u32>>) {
    let mut recording = Recording::open(bytes).unwrap();
    let (placement, rules) = (recording.header().placement.clone(), recording.header().scheduler);
    let mut buffers: SchedulerBuffers<_, 2, QUEUED, 256, 3, 2> = SchedulerBuffers::new();
    let mut scheduler = Scheduler::new(Fleet::new(), buffers.storage(), placement, rules);
    let mut room = vec![0; 1 << 16];
    let mut log = OutcomeLog::new(&mut room);
    let mut compared = 0;
    for frame in &mut recording {
        match frame {
            Frame::Input(input) => with_scratch(input.bytes().len(), |scratch| {
                log.clear();
                input
                    .read(scratch, |now_us, input| {
                        let answer = scheduler.handle(&input, now_us, &mut log);
                        log.answer(&answer);
                        while let Some(action) = scheduler.next_action(&mut log) {
                            log.action(&action);
                        }
                    })
                    .unwrap();
            }),
            Frame::Outcome(outcome) => {
                compared += 1;
                if let Some(OutcomeDifference { item, .. }) = outcome.difference(&log) {
                    return (compared, Some(item));
                }
            }
        }
    }
    assert_eq!(recording.damage(), None);
    (compared, None)
}

proptest! {
    /// RECORD-2, RECORD-3: a run repeated from its recording has the same outcomes, changed policies included.
    #[test]
    fn a_replay_agrees(
        inputs in proptest::collection::vec((0u64..400, input()), 0..60),
        outcome_bytes in select(vec![0usize, 1 << 16]),
    ) {
        prop_assert_eq!(replay::<3>(&record::<3>(&inputs, outcome_bytes)), (inputs.len(), None));
    }
}

/// RECORD-2: a scheduler that decides otherwise is found out, at the input where it does.
#[test]
fn another_scheduler_disagrees() {
    let pool = PoolSnapshot::new("p0", "vllm", 1, 1, 80 << 30, 60 << 30);
    let pool: &'static PoolSnapshot<'static> = Box::leak(Box::new(pool));
    let job = |id| -> &'static JobSpec<'static> { Box::leak(Box::new(JobSpec::new(id, "vllm", "m"))) };
    let submits = ["a", "b", "c", "d"].map(|id| (5, Input::Submit(job(id))));
    let inputs = [&[(1, Input::Snapshot(pool))][..], &submits].concat();
    // The first job runs, one or two wait: the fourth input is the first that finds the smaller queue full.
    for (outcome_bytes, item) in [(1 << 16, true), (0, false)] {
        let bytes = record::<2>(&inputs, outcome_bytes);
        assert_eq!(replay::<2>(&bytes), (5, None));
        let (compared, difference) = replay::<1>(&bytes);
        assert_eq!((compared, difference.unwrap().is_some()), (4, item));
    }
}
