//! Calls of what writes and reads bytes: recordings are read from anywhere, so that reading must not panic either.

use orchestrator_core::codec::{
    Reader, Scratch, Writer, decode_item, decode_snapshot, encode_job, job_bytes, with_job,
};
use orchestrator_core::scheduler::{
    Action, Answer, Capacities, Counters, Event, FlightRecorder, Frame, Input, JobFacts, Observer, OutcomeLog,
    Recording, RecordingHeader, SchedulerPolicy, WaitForecast,
};
use orchestrator_core::{DeviceSnapshot, Id, JobSpec, Policy, PoolSnapshot, Priority, WarmSession};

use crate::opaque::{float, int, keep, maybe, some, some_mut, text, word};

/// A job's bytes, and a recording of any number of any bytes.
pub fn recording() -> bool {
    let (mut id, mut storage, mut outcome) = ([0; 256], [0; 2048], [0; 512]);
    let mut job = JobSpec::new(text(&mut id, "job-1"), "vllm", "m");
    job.prompt_tokens = int(700);
    job.deadline_ms = maybe(float(1500.0));
    let header = RecordingHeader {
        capacities: Capacities::default(),
        placement: Policy::default(),
        scheduler: SchedulerPolicy::default(),
        setup: some(b"setup"),
    };
    let pool = PoolSnapshot::new("gpu-0", "vllm", int(8), int(8), int(80 << 30), int(60 << 30));
    let inputs = [
        Input::Submit(&job),
        Input::Snapshot(&pool),
        Input::SetPolicies { placement: &header.placement, scheduler: &header.scheduler },
        Input::Tick,
    ];
    let mut recorder = FlightRecorder::new(Writer::new(some_mut(&mut storage)), some_mut(&mut outcome), &header);
    let mut counters = Counters::new();
    for input in some(&inputs) {
        recorder.begin_input(word(1).into(), input);
        watch(&mut (&mut recorder, &mut counters), &job);
        recorder.answer(&Answer::Done);
        recorder.action(&Action::RefreshSnapshot {
            pool_id: Id::new(),
            replica_id: Id::new(),
            attempt: word(1),
            not_before_us: 0,
        });
        recorder.end_input();
    }
    keep(&counters.class(Priority::Batch).first_token.cumulative().last());
    keep(&counters.backpressure().last());
    let whole = !recorder.is_broken();
    let sink = recorder.into_sink();
    whole && kept_job(&job) && read_back(sink.written(), &job)
}

fn watch(observer: &mut impl Observer, job: &JobSpec<'_>) {
    let job = JobFacts { id: job.id, prompt_tokens: word(700), ..JobFacts::default() };
    observer.observe(1, &Event::JobEnqueued { job, forecast: WaitForecast::default() });
}

fn kept_job(job: &JobSpec<'_>) -> bool {
    let mut slot = [0; 256];
    let mut writer = Writer::new(some_mut(&mut slot));
    encode_job(job, &mut writer).is_ok()
        && writer.written().len() == job_bytes(job)
        && with_job(writer.written(), |read| read.prompt_tokens) == Ok(700)
}

fn read_back(bytes: &[u8], job: &JobSpec<'_>) -> bool {
    let Ok(mut recording) = Recording::open(some(bytes)) else { return false };
    let mut room = [0; 512];
    let mut replayed = OutcomeLog::new(&mut room);
    watch(&mut replayed, job);
    let (mut texts, mut labels) = ([""; 8], [("", ""); 8]);
    let mut devices = [DeviceSnapshot { vram_total_bytes: 0, vram_free_bytes: 0, compute_capability: None }; 4];
    let mut sessions = [WarmSession { session_id: "", cached_tokens: 0 }; 4];
    let (mut inputs, mut items) = (0u32, 0u32);
    for frame in &mut recording {
        let mut scratch =
            Scratch { texts: &mut texts, labels: &mut labels, devices: &mut devices, sessions: &mut sessions };
        match frame {
            Frame::Input(input) => {
                keep(&decode_snapshot(&mut Reader::new(input.bytes()), &mut scratch));
                let scratch = Scratch { texts: some_mut(scratch.texts), ..scratch };
                inputs += u32::from(input.read(scratch, |_, input| keep(&input)).is_ok());
            }
            Frame::Outcome(outcome) => {
                // The replay lacks the answer: item 1 is the first that differs.
                let difference = outcome.difference(&replayed);
                let item = difference.and_then(|difference| difference.recorded).unwrap_or_default();
                keep(&decode_item(item, |_| ""));
                items += u32::from(difference.is_some_and(|difference| difference.item == Some(1)));
            }
        }
    }
    keep(&recording.damage());
    (inputs, items) == (4, 4)
}
