//! UNIT-12: small tables keep times and amounts in 6 bytes. A time that they could not keep is refused, and nothing of
//! it stays; large tables keep everything.

use orchestrator_core::codec::Writer;
use orchestrator_core::limits::NOW_MAX_US;
use orchestrator_core::scheduler::{Answer, Input, Scheduler, SchedulerBuffers, SchedulerPolicy, StateError};
use orchestrator_core::{Budget, JobSpec, Policy};

use crate::table::{Fleet, chat, pool};

const IS_SMALL: bool = cfg!(feature = "small_tables");

fn with_scheduler(test: impl FnOnce(&mut Scheduler<'_, Fleet>)) {
    let mut buffers: SchedulerBuffers<_, 4, 4, 256, 4, 2> = SchedulerBuffers::new();
    let (placement, rules) = (Policy::default(), SchedulerPolicy::default());
    test(&mut Scheduler::new(Fleet::new(), buffers.storage(), placement, rules));
}

/// UNIT-12, EVENT-3: the last time is one like any other; what comes after it is refused, and changes nothing.
#[test]
fn a_time_that_cannot_be_kept_is_refused() {
    with_scheduler(|scheduler| {
        let mut tell = |input: &Input<'_>, now_us| scheduler.drive(input, now_us, &mut (), |_| ());
        assert_eq!(tell(&Input::Snapshot(&pool("p", 1)), NOW_MAX_US), Answer::Done);
        assert!(matches!(tell(&Input::Submit(&chat("runs")), NOW_MAX_US), Answer::Accepted(_)));
        if IS_SMALL {
            let too_late = Answer::TimeTooLate { max_us: (1 << 47) - 1 };
            assert_eq!(tell(&Input::Submit(&chat("late")), NOW_MAX_US + 1), too_late);
            assert_eq!(tell(&Input::Submit(&chat("late")), u64::MAX), too_late);
        }
        assert_eq!(tell(&Input::Started { job_id: "late" }, NOW_MAX_US), Answer::UnknownJob);
        assert_eq!(tell(&Input::Started { job_id: "runs" }, NOW_MAX_US), Answer::Done);
        assert_eq!(tell(&Input::FirstToken { job_id: "runs" }, NOW_MAX_US), Answer::Done);
        assert_eq!(scheduler.now_us(), NOW_MAX_US);
    });
}

/// UNIT-12, STATE-3: nor does a state go on at such a time.
#[test]
fn no_state_goes_on_at_such_a_time() {
    let mut bytes = [0; 4096];
    let mut sink = Writer::new(&mut bytes);
    with_scheduler(|scheduler| scheduler.export_state(&mut sink).unwrap());
    let state = sink.written();
    with_scheduler(|scheduler| {
        let late_us = NOW_MAX_US.saturating_add(1);
        let imported = scheduler.import_state(state, late_us, &mut (), |_| ()).map(|_| ());
        let too_late = Err(StateError::TimeTooLate { max_us: NOW_MAX_US });
        assert_eq!(imported, if IS_SMALL { too_late } else { Ok(()) });
        assert_eq!(scheduler.now_us(), if IS_SMALL { 0 } else { u64::MAX });
    });
}

/// UNIT-12, BUDGET-1: the largest limits that a job may name are kept to the last unit.
#[test]
fn the_largest_limits_are_exact() {
    const MOST: i64 = (1 << 48) - 1;
    with_scheduler(|scheduler| {
        let budget = Budget { tokens: Some(MOST), cost_micros: Some(MOST), ..Budget::default() };
        let job = JobSpec { session_id: Some("s"), budget, prompt_tokens: 7, max_tokens: Some(3), ..chat("j") };
        let answer = scheduler.drive(&Input::Submit(&job), 0, &mut (), |_| ());
        assert!(matches!(answer, Answer::Accepted(_)));
        let left = scheduler.budget_left("s").unwrap();
        assert_eq!((left.tokens, left.cost_micros), (Some((1 << 48) - 11), Some((1 << 48) - 1)));
    });
}
