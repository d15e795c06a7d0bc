//! Pending prefills. LEASE-8.

use orchestrator_core::scheduler::{Action, CancelCause, Input, Scheduler, SchedulerBuffers, SchedulerPolicySpec};
use orchestrator_core::{HeldRoom, JobSpec, PlacementHints, Policy, PolicySpec, PoolSnapshot, WeightsSpec};

use crate::table::{Fleet, Log};

type Buffers = SchedulerBuffers<HeldRoom<4>, 4, 4, 256, 8, 2>;

/// 100 ms to the first token and 1 ms a token of the prompt, 10 ms a token of output; 5 ms of admission.
fn pool(id: &str) -> PoolSnapshot<'_> {
    PoolSnapshot {
        perf_tokens_per_s: Some(100.0),
        first_token_ms: Some(100.0),
        prefill_tokens_per_s: Some(1_000.0),
        admission_latency_ms: 5.0,
        ..PoolSnapshot::new(id, "vllm", 4, 4, 1 << 30, 1 << 30)
    }
}

fn job(id: &str, prompt_tokens: i64) -> JobSpec<'_> {
    JobSpec { prompt_tokens, expected_tokens: Some(10), ..JobSpec::new(id, "vllm", "m") }
}

fn weighing(prefill_weight: i64) -> SchedulerPolicySpec {
    SchedulerPolicySpec { prefill_weight, ..SchedulerPolicySpec::default() }
}

/// A scheduler with pools `a`, `b`, …, at time 0.
struct Run<'s>(Scheduler<'s, Fleet>);

impl<'s> Run<'s> {
    fn new(buffers: &'s mut Buffers, pools: &[&str], rules: &SchedulerPolicySpec) -> Self {
        let rules = rules.validate().unwrap();
        let mut run = Self(Scheduler::new(Fleet::new(), buffers.storage(), Policy::default(), rules));
        for id in pools {
            run.tell(0, &Input::Snapshot(&pool(id)));
        }
        run
    }

    /// Pool, start and end of what is dispatched.
    fn tell(&mut self, now_us: u64, input: &Input<'_>) -> Option<(String, u64, Option<u64>)> {
        let mut log = Log::default();
        let _ = self.0.handle(input, now_us, &mut log);
        let mut dispatched = None;
        while let Some(action) = self.0.next_action(&mut log) {
            if let Action::Dispatch { pool_id, dispatch, .. } = action {
                dispatched = Some((pool_id.to_string(), dispatch.assignment.start_us, dispatch.assignment.end_us));
            }
        }
        dispatched
    }

    fn submit(&mut self, now_us: u64, id: &str, prompt_tokens: i64) -> (String, u64, Option<u64>) {
        self.tell(now_us, &Input::Submit(&job(id, prompt_tokens))).expect("a slot is free")
    }

    /// What decisions see of a pool.
    fn latency_us(&self, rank: usize) -> u64 {
        self.0.fleet().table().rows[rank].admission_latency_us
    }
}

fn at(pool: &str, start_us: u64, end_us: u64) -> (String, u64, Option<u64>) {
    (pool.to_owned(), start_us, Some(end_us))
}

/// By hand: the first prefill takes 100 + 400 ms. The second job waits that long behind it, and says so; the weight is in
/// no time that is told.
#[test]
fn a_job_waits_for_the_prefill_before_it() {
    for weight in [1u8, 3, 255] {
        let mut buffers = Buffers::new();
        let mut run = Run::new(&mut buffers, &["a"], &weighing(weight.into()));
        assert_eq!(run.submit(0, "first", 400), at("a", 5_000, 605_000));
        assert_eq!(run.latency_us(0), 505_000);
        assert_eq!(run.submit(0, "second", 100), at("a", 505_000, 805_000));
        assert_eq!(run.latency_us(0), 705_000);
    }
}

/// Without a weight nobody looks at it.
#[test]
fn weight_0_is_off() {
    let mut buffers = Buffers::new();
    let mut run = Run::new(&mut buffers, &["a"], &weighing(0));
    assert_eq!(run.submit(0, "first", 400), at("a", 5_000, 605_000));
    assert_eq!(run.submit(0, "second", 400), at("a", 5_000, 605_000));
    assert_eq!(run.latency_us(0), 5_000);
}

/// The other of two pools takes the next job, though the first one ends it earlier: with a weight of 1 it waits there.
#[test]
fn the_weight_decides_between_an_early_token_and_an_early_end() {
    for (weight, chosen) in [(1, "a"), (2, "b")] {
        let mut buffers = Buffers::new();
        let mut run = Run::new(&mut buffers, &["a"], &weighing(weight));
        let slower = PoolSnapshot { perf_tokens_per_s: Some(12.5), ..pool("b") };
        run.tell(0, &Input::Snapshot(&slower));
        assert_eq!(run.submit(0, "first", 400).0, "a");
        // On `a` 500 ms later; on `b` each of 10 tokens 70 ms later.
        assert_eq!(run.submit(0, "second", 400).0, chosen, "weight {weight}");
    }
}

/// The job's own prefill has the weight too: it would take 500 ms on `b`. On `a`, where its prompt of 400 tokens is cached
/// but for 90, it waits for one of 300 before it takes 190: 490 ms. One of 320 is too long.
#[test]
fn no_weight_drives_a_session_from_its_cache() {
    for weight in [1, 32, 255] {
        for (pending_tokens, chosen) in [(200, "a"), (220, "b")] {
            let mut buffers = Buffers::new();
            let mut run = Run::new(&mut buffers, &["a", "b"], &weighing(weight));
            let turn = |id, prompt_tokens| JobSpec { session_id: Some("s"), ..job(id, prompt_tokens) };
            let first = run.tell(0, &Input::Submit(&turn("first", 300)));
            assert_eq!(first.map(|(pool, ..)| pool).as_deref(), Some("a"));
            run.tell(1, &Input::Finished { job_id: "first", tokens_out: 10 });
            let pinned = PlacementHints { pin_pool_id: Some("a"), ..PlacementHints::default() };
            run.tell(2, &Input::Submit(&JobSpec { placement: pinned, ..job("other", pending_tokens) }));
            let second = run.tell(3, &Input::Submit(&turn("second", 400)));
            assert_eq!(second.map(|(pool, ..)| pool).as_deref(), Some(chosen), "weight {weight}, {pending_tokens}");
        }
    }
}

/// A first token, tokens without one, and every end finish a prefill, once; a start does not.
#[test]
fn what_ends_a_prefill() {
    let job_id = "first";
    let table = [
        (Input::Started { job_id }, 505_000),
        (Input::FirstToken { job_id }, 5_000),
        (Input::Progress { job_id, tokens_out: 0 }, 505_000),
        (Input::Progress { job_id, tokens_out: 1 }, 5_000),
        (Input::Finished { job_id, tokens_out: 3 }, 5_000),
        (Input::Cancel { job_id, cause: CancelCause::ClientRequest }, 5_000),
    ];
    for (input, expected_us) in table {
        let mut buffers = Buffers::new();
        let mut run = Run::new(&mut buffers, &["a"], &weighing(1));
        run.submit(0, job_id, 400);
        run.tell(1, &input);
        assert_eq!(run.latency_us(0), expected_us, "{input:?}");
        // Said again it changes nothing, and neither does the end after it.
        run.tell(2, &input);
        assert_eq!(run.latency_us(0), expected_us, "{input:?}");
        run.tell(3, &Input::Finished { job_id, tokens_out: 3 });
        assert_eq!(run.latency_us(0), 5_000, "{input:?}");
    }
}

/// A snapshot says what the pool publishes; what is pending is added to that.
#[test]
fn a_snapshot_replaces_the_published_part() {
    let mut buffers = Buffers::new();
    let mut run = Run::new(&mut buffers, &["a"], &weighing(1));
    run.submit(0, "first", 400);
    run.tell(1_000, &Input::Snapshot(&PoolSnapshot { admission_latency_ms: 9.0, slots_free: 3, ..pool("a") }));
    assert_eq!(run.latency_us(0), 509_000);
    run.tell(2_000, &Input::FirstToken { job_id: "first" });
    assert_eq!(run.latency_us(0), 9_000);
}

/// A pool that comes back owes nothing to the leases of the one before.
#[test]
fn a_pool_that_comes_back_starts_anew() {
    let mut buffers = Buffers::new();
    let mut run = Run::new(&mut buffers, &["a"], &weighing(1));
    run.submit(0, "first", 400);
    run.tell(1, &Input::RemovePool { id: "a", replica_id: "" });
    run.tell(2, &Input::Snapshot(&pool("a")));
    assert_eq!(run.latency_us(0), 5_000);
}

/// Whether it counts at all changes at once; times that are not known count for nothing; a sum stays in its range.
#[test]
fn weights_change_and_unknown_and_long_prefills_are_safe() {
    let mut buffers = Buffers::new();
    let mut run = Run::new(&mut buffers, &["a"], &weighing(1));
    run.submit(0, "first", 400);
    for (weight, expected_us) in [(0, 5_000), (2, 505_000)] {
        let rules = weighing(weight).validate().unwrap();
        run.tell(1, &Input::SetPolicies { placement: &Policy::default(), scheduler: &rules });
        assert_eq!(run.latency_us(0), expected_us);
    }

    let mut buffers = Buffers::new();
    let mut run = Run::new(&mut buffers, &[], &weighing(255));
    run.tell(0, &Input::Snapshot(&PoolSnapshot { first_token_ms: None, ..pool("a") }));
    assert_eq!(run.submit(0, "first", 400), ("a".to_owned(), 5_000, None));
    assert_eq!(run.latency_us(0), 5_000);

    let mut buffers = Buffers::new();
    let mut run = Run::new(&mut buffers, &[], &weighing(255));
    let slowest = PoolSnapshot { first_token_ms: Some(70_368_744_177.663), ..pool("a") };
    run.tell(0, &Input::Snapshot(&slowest));
    for id in ["first", "second", "third"] {
        run.submit(0, id, 400);
        assert!(run.latency_us(0) < 1 << 46);
    }
    for job_id in ["second", "first", "third"] {
        run.tell(1, &Input::FirstToken { job_id });
    }
    assert_eq!(run.latency_us(0), 5_000);
}

/// The weight of decode times over that of a prefill, rounded to 1/256, and never nothing where it was something.
#[test]
fn decode_times_weigh_less_in_decisions() {
    let table = [(1.0, 0, 256), (1.0, 1, 256), (1.0, 2, 128), (1.0, 3, 85), (1.0, 32, 8), (1.0, 255, 1)];
    let table = table.into_iter().chain([(16.0, 32, 128), (0.5, 255, 1), (0.0, 32, 0), (0.01, 2, 2), (0.01, 3, 1)]);
    for (decode, weight, expected) in table {
        let weights = WeightsSpec { decode, ..WeightsSpec::default() };
        let placement = PolicySpec { weights, ..PolicySpec::default() }.validate().unwrap();
        let mut buffers = Buffers::new();
        let rules = weighing(weight).validate().unwrap();
        let scheduler = Scheduler::new(Fleet::new(), buffers.storage(), placement.clone(), rules);
        let deciding = scheduler.deciding_policy();
        assert_eq!(deciding.weights().decode, expected, "{decode} over {weight}");
        // Nothing else is another.
        assert_eq!(deciding.weights().prefill, 256);
        assert_eq!(scheduler.policies().0, &placement);
    }
}
