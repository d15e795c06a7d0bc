//! Ids longer than the storage has room for are refused, by the field that is too long, and nothing of the job stays.

use orchestrator_core::scheduler::{Answer, Input, RefusalCode, Scheduler, SchedulerBuffers, SchedulerPolicy};
use orchestrator_core::{FieldError, JobSpec, Policy, Problem};

use crate::table::{Fleet, chat, pool};

/// Bytes for ids of up to 3 bytes, and their length.
const ID_BYTES: usize = 4;

#[test]
fn ids_without_room_are_refused() {
    let mut buffers: SchedulerBuffers<_, 4, 4, 256, 4, 2, ID_BYTES> = SchedulerBuffers::new();
    let (placement, rules) = (Policy::default(), SchedulerPolicy::default());
    let mut scheduler = Scheduler::new(Fleet::new(), buffers.storage(), placement, rules);
    let mut submit = |job: &JobSpec<'_>| match scheduler.drive(&Input::Submit(job), 0, &mut (), |_| ()) {
        Answer::Refused(refusal) => Err((refusal.code, refusal.field, refusal.retry_after_ms)),
        answer => Ok(answer.name()),
    };
    let too_long = |field| {
        let problem = Problem::TooLong { max_bytes: 3 };
        Err((RefusalCode::InvalidParams, Some(FieldError::new(field, problem)), None))
    };
    let job = JobSpec { session_id: Some("s-1"), tenant_id: Some("t-1"), ..chat("j-1") };
    assert_eq!(submit(&JobSpec { id: "j-10", ..job }), too_long("id"));
    assert_eq!(submit(&JobSpec { session_id: Some("s-10"), ..job }), too_long("session_id"));
    assert_eq!(submit(&JobSpec { tenant_id: Some("t-10"), ..job }), too_long("tenant_id"));
    assert_eq!(submit(&job), Ok("accepted"));
    assert_eq!(submit(&job), Ok("duplicate_job"));
    assert_eq!((scheduler.waiting_jobs(), scheduler.leased_jobs()), (1, 0));

    let dispatched = scheduler.drive(&Input::Snapshot(&pool("a pool with a long id", 1)), 1, &mut (), |_| ());
    assert_eq!((dispatched, scheduler.leased_jobs()), (Answer::Done, 1));
    assert!(scheduler.lease_of("j-1").is_some() && scheduler.lease_of("j-10").is_none());
    assert!(scheduler.budget_left("s-1").is_some() && scheduler.budget_left("s-10").is_none());
}
