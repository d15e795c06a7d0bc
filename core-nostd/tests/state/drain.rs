//! REFRESH-3: an operator's drain holds until it is taken back, whatever the pool's snapshots say.

use orchestrator_core::scheduler::{
    Action, Answer, Input, Scheduler, SchedulerBuffers, SchedulerPolicy, SchedulerStorage,
};
use orchestrator_core::{HeldRoom, JobSpec, Policy, PoolSnapshot, SmallFleet};

type Fleet = SmallFleet<2, 4, 16>;

fn scheduler(storage: SchedulerStorage<'_, HeldRoom<4>>) -> Scheduler<'_, Fleet> {
    let mut scheduler = Scheduler::new(Fleet::new(), storage, Policy::default(), SchedulerPolicy::default());
    assert_eq!(tell(&mut scheduler, 0, Input::Snapshot(&snapshot())), (Answer::Done, 0));
    scheduler
}

fn snapshot() -> PoolSnapshot<'static> {
    PoolSnapshot::new("a", "vllm", 8, 8, 80 << 30, 80 << 30)
}

/// The answer, and how many jobs were dispatched.
fn tell(scheduler: &mut Scheduler<'_, Fleet>, now_us: u64, input: Input<'_>) -> (Answer, u32) {
    let mut dispatched = 0;
    let answer = scheduler.drive(&input, now_us, &mut (), |action| {
        dispatched += u32::from(matches!(action, Action::Dispatch { .. }));
    });
    (answer, dispatched)
}

fn drain(draining: bool) -> Input<'static> {
    Input::Drain { id: "a", replica_id: "", draining }
}

fn submitted(scheduler: &mut Scheduler<'_, Fleet>, now_us: u64, id: &str) -> u32 {
    let (answer, dispatched) = tell(scheduler, now_us, Input::Submit(&JobSpec::new(id, "vllm", "m")));
    assert!(matches!(answer, Answer::Accepted(_)), "{answer:?}");
    dispatched
}

/// REFRESH-3, LEASE-4: the pool's own snapshots, which know nothing of the operator, do not undo it.
#[test]
fn a_drain_on_request_outlives_snapshots() {
    let mut buffers: SchedulerBuffers<_, 2, 4, 256, 4, 2> = SchedulerBuffers::new();
    let mut scheduler = scheduler(buffers.storage());
    assert_eq!(tell(&mut scheduler, 1, drain(true)), (Answer::Done, 0));
    assert_eq!(submitted(&mut scheduler, 2, "j1"), 0);
    for now_us in 3..6 {
        assert_eq!(tell(&mut scheduler, now_us, Input::Snapshot(&snapshot())), (Answer::Done, 0));
    }
    assert_eq!(submitted(&mut scheduler, 7, "j2"), 0);
    assert_eq!(tell(&mut scheduler, 8, drain(false)), (Answer::Done, 2));
    assert_eq!(tell(&mut scheduler, 9, Input::Snapshot(&snapshot())), (Answer::Done, 0));
    assert_eq!(submitted(&mut scheduler, 10, "j3"), 1);
}

/// REFRESH-3: taking a drain back that nobody asked for, or twice, changes nothing; a pool's own drain is its own.
#[test]
fn a_drain_of_the_pool_itself_ends_with_its_snapshot() {
    let mut buffers: SchedulerBuffers<_, 2, 4, 256, 4, 2> = SchedulerBuffers::new();
    let mut scheduler = scheduler(buffers.storage());
    let draining = PoolSnapshot { draining: true, ..snapshot() };
    assert_eq!(tell(&mut scheduler, 1, Input::Snapshot(&draining)), (Answer::Done, 0));
    assert_eq!(submitted(&mut scheduler, 2, "j1"), 0);
    assert_eq!(tell(&mut scheduler, 3, Input::Snapshot(&snapshot())), (Answer::Done, 1));
}

/// REFRESH-3: a pool that was removed and comes back is another one: nobody asked to drain it.
#[test]
fn a_drain_goes_with_its_pool() {
    let mut buffers: SchedulerBuffers<_, 2, 4, 256, 4, 2> = SchedulerBuffers::new();
    let mut scheduler = scheduler(buffers.storage());
    assert_eq!(tell(&mut scheduler, 1, drain(true)), (Answer::Done, 0));
    assert_eq!(tell(&mut scheduler, 2, Input::RemovePool { id: "a", replica_id: "" }), (Answer::Done, 0));
    assert_eq!(tell(&mut scheduler, 3, drain(true)), (Answer::UnknownPool, 0));
    assert_eq!(tell(&mut scheduler, 4, Input::Snapshot(&snapshot())), (Answer::Done, 0));
    assert_eq!(submitted(&mut scheduler, 5, "j1"), 1);
}
