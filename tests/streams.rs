//! Byte-exact streams: whatever a scheduler does under load, all bytes of a job come from the replica that it was
//! dispatched to. LEASE-2, ORCH-3905.
//!
//! Each replica here is a token source of its own: its next bytes depend on everything that a byte-exact stream may
//! depend on, on the bytes so far, and on which replica it is. A stream that is continued elsewhere is another one.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::commit::{CommitError, Lease, Taken};
use orchestrator_core::hash::ContentHasher;
use orchestrator_core::rows::{PoolRow, SessionEntry};
use orchestrator_core::scheduler::{
    Action, Answer, CancelCause, Event, Input, LeaseState, Observer, Scheduler, SchedulerPolicy,
};
use orchestrator_core::{
    DeterminismSpec, Explanation, FleetError, JobSpec, PlacementDecision, Policy, PoolFacts, PoolHandle, PoolRegistry,
    PoolSnapshot, PoolSupports, Priority, ValidJob,
};
use orchestrator_host::fleet::LiveFleet;

#[path = "support/memory.rs"]
mod memory;
#[path = "support/random.rs"]
mod random;

use memory::{Memory, Room};
use random::Random;

const SEEDS: usize = 64;
/// Pieces of a stream; a piece is eight bytes.
const PIECES: usize = 24;
/// One pool id, with these replicas.
const REPLICAS: [&str; 4] = ["r0", "r1", "r2", "r3"];
const POOL: &str = "h100";
const SLOTS: usize = 4;
const ENGINE_VERSION: &str = "0.9.1";
const SAMPLER_PROFILE: &str = "sampler-2";
const MODEL_DIGEST: &str = "sha256:5f1d";
const GIB: i64 = 1 << 30;

/// What a stream may depend on, for one seed.
#[derive(Clone, PartialEq, Eq)]
struct Facts {
    seed: i64,
    prompt: String,
}

impl Facts {
    fn of(number: usize) -> Self {
        Self { seed: number as i64, prompt: format!("prompt {}", number % 5) }
    }

    /// The bytes that a replica says next.
    fn next_piece(&self, replica: &str, so_far: &[u8]) -> [u8; 8] {
        let mut hasher = ContentHasher::new("token source");
        hasher.int(self.seed as u64);
        for text in [SAMPLER_PROFILE, ENGINE_VERSION, MODEL_DIGEST, &self.prompt, replica] {
            hasher.text(text);
        }
        for &byte in so_far {
            hasher.byte(byte);
        }
        hasher.finish().to_le_bytes()
    }

    /// The whole stream, from one replica alone.
    fn whole(&self, replica: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..PIECES {
            let piece = self.next_piece(replica, &bytes);
            bytes.extend(piece);
        }
        bytes
    }
}

/// A job as its client sees it.
struct Client {
    facts: Facts,
    /// Where it was dispatched to first.
    first: Option<String>,
    bytes: Vec<u8>,
    is_done: bool,
}

/// What happened beside the streams, so that the test can say that it was under load.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Load {
    waited: usize,
    canceled: usize,
    drained_under_a_stream: usize,
    snapshots: usize,
    credited: u32,
    finished: usize,
    replicas: BTreeSet<String>,
}

impl Observer for Load {
    fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
        match event {
            Event::JobDispatched { dispatch, pool, .. } => {
                self.waited += usize::from(dispatch.waited_us > 0);
                self.replicas.insert(pool.replica_id.to_owned());
            }
            Event::JobCanceled { .. } => self.canceled += 1,
            Event::JobFinished { .. } => self.finished += 1,
            Event::PoolUpdated { credited, .. } => {
                self.snapshots += 1;
                self.credited += credited;
            }
            _ => (),
        }
    }
}

struct World<'a, F: PoolRegistry> {
    scheduler: Scheduler<'a, F>,
    clients: BTreeMap<String, Client>,
    /// Other jobs, with the replica each runs on once it does.
    others: BTreeMap<String, Option<String>>,
    draining: BTreeSet<usize>,
    load: Load,
    random: Random,
    now_us: u64,
    /// A fault of the driver: this job's bytes come from a neighbour after half of its stream.
    mixed_up: Option<&'static str>,
}

impl<F: PoolRegistry> World<'_, F> {
    fn drive(&mut self, input: &Input<'_>) -> Answer {
        self.now_us += 1 + self.random.below(50);
        let Self { scheduler, clients, others, load, now_us, .. } = self;
        scheduler.drive(input, *now_us, load, |action| match action {
            Action::Dispatch { job_id, pool_id, replica_id, .. } => {
                assert_eq!(pool_id, POOL);
                if let Some(client) = clients.get_mut(job_id.as_str()) {
                    assert_eq!(client.first.replace(replica_id.to_string()), None, "{job_id} was dispatched twice");
                } else {
                    others.insert(job_id.to_string(), Some(replica_id.to_string()));
                }
            }
            Action::Abort { job_id, .. } => assert!(others.contains_key(job_id.as_str()), "{job_id} was aborted"),
            other => panic!("nothing else is called for: {other:?}"),
        })
    }

    fn submit(&mut self, id: &str, number: usize, is_stream: bool) {
        let facts = Facts::of(number);
        let session = format!("session-{}", number % 12);
        let spec = JobSpec {
            priority: if number.is_multiple_of(3) { Priority::Batch } else { Priority::Interactive },
            prompt_tokens: 64,
            max_tokens: Some(PIECES as i64),
            session_id: (number.is_multiple_of(2)).then_some(&*session),
            determinism: DeterminismSpec {
                seed: Some(facts.seed),
                sampler_profile_version: Some(SAMPLER_PROFILE),
                engine_version: Some(ENGINE_VERSION),
                model_digest: Some(MODEL_DIGEST),
            },
            ..JobSpec::new(id, "vllm", "some/model")
        };
        if is_stream {
            self.clients.insert(id.to_owned(), Client { facts, first: None, bytes: Vec::new(), is_done: false });
        } else {
            self.others.insert(id.to_owned(), None);
        }
        assert!(matches!(self.drive(&Input::Submit(&spec)), Answer::Accepted(_)));
    }

    /// The replica that has a job's lease now, as the scheduler says.
    fn replica_of(&self, id: &str) -> Option<(String, LeaseState)> {
        let (pool, state) = self.scheduler.lease_of(id)?;
        assert_eq!((pool.id, pool.engine_version), (POOL, Some(ENGINE_VERSION)));
        Some((pool.replica_id.to_owned(), state))
    }

    /// The next piece of a job's stream, if it runs; after the last one it ends.
    fn stream(&mut self, id: &str) {
        let Some((mut replica, state)) = self.replica_of(id) else { return };
        if state == LeaseState::Reserved {
            assert_eq!(self.drive(&Input::Started { job_id: id }), Answer::Done);
        }
        let client = self.clients.get_mut(id).expect("a client");
        let pieces = client.bytes.len() / 8;
        if self.mixed_up == Some(id) && pieces >= PIECES / 2 {
            let at = REPLICAS.iter().position(|name| *name == replica).expect("one of the replicas");
            replica = REPLICAS[(at + 1) % REPLICAS.len()].to_owned();
        }
        let piece = client.facts.next_piece(&replica, &client.bytes);
        client.bytes.extend(piece);
        client.is_done = pieces + 1 == PIECES;
        let (is_done, tokens_out) = (client.is_done, pieces as u32 + 1);
        let input = match pieces {
            0 => Input::FirstToken { job_id: id },
            _ if is_done => Input::Finished { job_id: id, tokens_out },
            _ => Input::Progress { job_id: id, tokens_out },
        };
        assert_eq!(self.drive(&input), Answer::Done);
    }

    /// One of everything that may disturb.
    fn disturb(&mut self, turn: usize) {
        match self.random.below(6) {
            0 => {
                let id = format!("other-{turn}");
                self.submit(&id, turn, false);
            }
            1 | 2 => {
                let at = self.random.below(self.others.len().max(1) as u64) as usize;
                if let Some(id) = self.others.keys().nth(at).cloned() {
                    assert_eq!(
                        self.drive(&Input::Cancel { job_id: &id, cause: CancelCause::Disconnect }),
                        Answer::Done
                    );
                    self.others.remove(&id);
                }
            }
            3 => self.drain(),
            4 => self.snapshot(),
            _ => assert_eq!(self.drive(&Input::Tick), Answer::Done),
        }
    }

    fn drain(&mut self) {
        let replica = self.random.below(REPLICAS.len() as u64) as usize;
        let draining = self.draining.insert(replica);
        if draining {
            let running = self.clients.iter().filter(|(_, client)| !client.is_done && !client.bytes.is_empty());
            let ids: Vec<_> = running.map(|(id, _)| id.clone()).collect();
            let is_here = |id: &String| self.replica_of(id).is_some_and(|(name, _)| name == REPLICAS[replica]);
            self.load.drained_under_a_stream += usize::from(ids.iter().any(is_here));
        } else {
            self.draining.remove(&replica);
        }
        let input = Input::Drain { id: POOL, replica_id: REPLICAS[replica], draining };
        assert_eq!(self.drive(&input), Answer::Done);
    }

    /// A replica tells what it really has, as of a moment ago.
    fn snapshot(&mut self) {
        let replica = self.random.below(REPLICAS.len() as u64) as usize;
        let jobs = self.clients.keys().chain(self.others.keys()).cloned().collect::<Vec<_>>();
        let is_here = |id: &&String| self.replica_of(id).is_some_and(|(name, _)| name == REPLICAS[replica]);
        let running = jobs.iter().filter(is_here).count();
        let is_draining = self.draining.contains(&replica);
        let snapshot = snapshot(REPLICAS[replica], SLOTS.saturating_sub(running), is_draining, 0.4);
        assert!(matches!(self.drive(&Input::Snapshot(&snapshot)), Answer::Done | Answer::Late));
    }
}

fn snapshot(replica: &str, slots_free: usize, draining: bool, age_ms: f64) -> PoolSnapshot<'_> {
    PoolSnapshot {
        replica_id: replica,
        engine_version: Some(ENGINE_VERSION),
        sampler_profile_version: Some(SAMPLER_PROFILE),
        perf_tokens_per_s: Some(50.0),
        first_token_ms: Some(40.0),
        age_ms,
        draining,
        supports: PoolSupports { model_digests: &[MODEL_DIGEST], ..PoolSupports::default() },
        ..PoolSnapshot::new(POOL, "vllm", SLOTS as i64, slots_free as i64, 80 * GIB, 60 * GIB)
    }
}

/// A client's stream: where it was dispatched to, and its bytes.
type Stream = (String, Vec<u8>);

/// All streams under load.
fn run<F: PoolRegistry>(
    fleet: F,
    load_seed: u64,
    mixed_up: Option<&'static str>,
    meanwhile: impl Fn(&F, usize),
) -> (BTreeMap<String, Stream>, Load) {
    let mut memory = Memory::new(Room { pools: 8, waiting: 512, leases: 64, sessions: 32, tenants: 1 });
    let mut world = World {
        scheduler: Scheduler::new(fleet, memory.storage(), Policy::default(), SchedulerPolicy::default()),
        clients: BTreeMap::new(),
        others: BTreeMap::new(),
        draining: BTreeSet::new(),
        load: Load::default(),
        random: Random(load_seed),
        now_us: 0,
        mixed_up,
    };
    for replica in REPLICAS {
        assert_eq!(world.drive(&Input::Snapshot(&snapshot(replica, SLOTS, false, 0.0))), Answer::Done);
    }
    for turn in 0..100_000usize {
        if turn.is_multiple_of(4) && turn / 4 < SEEDS {
            world.submit(&format!("stream-{:02}", turn / 4), turn / 4, true);
        }
        world.disturb(turn);
        let ids: Vec<_> =
            world.clients.iter().filter(|(_, client)| !client.is_done).map(|(id, _)| id.clone()).collect();
        if ids.is_empty() && turn / 4 >= SEEDS {
            break;
        }
        for id in ids {
            if world.random.below(3) == 0 {
                world.stream(&id);
            }
        }
        meanwhile(world.scheduler.fleet(), turn);
    }
    let streams = world.clients.into_iter().map(|(id, client)| (id, (client.first.unwrap_or_default(), client.bytes)));
    (streams.collect(), world.load)
}

/// The jobs whose bytes are not those of the replica that they were dispatched to.
fn differing(streams: &BTreeMap<String, Stream>) -> Vec<String> {
    assert_eq!(streams.len(), SEEDS);
    let numbered = streams.iter().enumerate();
    let differing = numbered.filter(|(number, (_, (first, bytes)))| *bytes != Facts::of(*number).whole(first));
    differing.map(|(_, (id, _))| id.clone()).collect()
}

fn fleet() -> LiveFleet {
    LiveFleet::with_capacity(8)
}

#[test]
fn every_stream_comes_from_one_replica() {
    for load_seed in 0..8 {
        let (streams, load) = run(fleet(), load_seed, None, |_, _| ());
        assert_eq!(differing(&streams), Vec::<String>::new(), "load {load_seed}");
        assert_eq!((streams, load.clone()), run(fleet(), load_seed, None, |_, _| ()), "the same bytes again");

        assert!(load.waited > SEEDS / 4 && load.canceled > 0 && load.drained_under_a_stream > 0, "{load:?}");
        assert!(load.snapshots > REPLICAS.len() && load.credited > 0 && load.finished == SEEDS, "{load:?}");
        assert_eq!(load.replicas.len(), REPLICAS.len(), "{load:?}");
    }
}

/// The check can fail: replicas differ, and one job's bytes from elsewhere are found out, and nobody else's.
#[test]
fn a_driver_that_mixes_up_replicas_is_found_out() {
    let facts = Facts::of(0);
    let whole: BTreeSet<_> = REPLICAS.iter().map(|replica| facts.whole(replica)).collect();
    assert_eq!(whole.len(), REPLICAS.len());
    let (streams, _) = run(fleet(), 1, Some("stream-17"), |_, _| ());
    assert_eq!(differing(&streams), ["stream-17"]);
}

/// A registry that moves jobs: once it is told to, a handle names the pool behind its own.
struct Moves {
    fleet: LiveFleet,
    moved: Cell<bool>,
}

impl Moves {
    fn named_by(&self, pool: PoolHandle) -> PoolHandle {
        let next = self.fleet.rank_of(pool).map(|rank| (rank + 1) % self.fleet.len().max(1));
        next.filter(|_| self.moved.get()).and_then(|rank| self.fleet.at_rank(rank)).unwrap_or(pool)
    }
}

#[test]
fn a_registry_that_moves_jobs_is_found_out() {
    for when in [40, 80, 120] {
        let moves = Moves { fleet: fleet(), moved: Cell::new(false) };
        // Every stream that has begun and not ended by then goes on elsewhere.
        let (streams, _) = run(moves, 1, None, |moves, turn| moves.moved.set(turn >= when));
        assert!(!differing(&streams).is_empty(), "moved in turn {when}");
    }
}

impl PoolRegistry for Moves {
    type Lease = Lease;

    fn facts(&self, pool: PoolHandle) -> Option<PoolFacts<'_>> {
        self.fleet.facts(self.named_by(pool))
    }

    fn capacity(&self) -> u32 {
        self.fleet.capacity()
    }

    fn len(&self) -> u32 {
        self.fleet.len()
    }

    fn upsert(&mut self, snapshot: &PoolSnapshot<'_>) -> Result<PoolHandle, FleetError> {
        self.fleet.upsert(snapshot)
    }

    fn remove(&mut self, pool: PoolHandle) -> bool {
        self.fleet.remove(pool)
    }

    fn find(&self, id: &str, replica_id: &str) -> Option<PoolHandle> {
        PoolRegistry::find(&self.fleet, id, replica_id)
    }

    fn at_rank(&self, rank: u32) -> Option<PoolHandle> {
        self.fleet.at_rank(rank)
    }

    fn rank_of(&self, pool: PoolHandle) -> Option<u32> {
        self.fleet.rank_of(pool)
    }

    fn row(&self, pool: PoolHandle) -> Option<&PoolRow> {
        self.fleet.row(pool)
    }

    fn vram_used_bytes(&self, pool: PoolHandle) -> Option<u64> {
        self.fleet.vram_used_bytes(pool)
    }

    fn set_draining(&mut self, pool: PoolHandle, draining: bool) -> bool {
        self.fleet.set_draining(pool, draining)
    }

    fn set_age(&mut self, pool: PoolHandle, age_us: u64) {
        self.fleet.set_age(pool, age_us);
    }

    fn set_admission_latency(&mut self, pool: PoolHandle, admission_latency_us: u64) {
        self.fleet.set_admission_latency(pool, admission_latency_us);
    }

    fn takes_jobs(&self, policy: &Policy) -> bool {
        self.fleet.takes_jobs(policy)
    }

    fn decide(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> PlacementDecision {
        self.fleet.decide(job, policy, session)
    }

    fn explain(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> Explanation {
        self.fleet.explain(job, policy, session)
    }

    fn commit(&mut self, job: &ValidJob<'_>, rank: u32) -> Result<Lease, CommitError> {
        self.fleet.commit(job, rank)
    }

    fn retake(&mut self, pool: PoolHandle, lease: &Lease) -> bool {
        self.fleet.retake(pool, lease)
    }

    fn export_lease<'l>(&self, lease: &'l Lease) -> Taken<'l> {
        self.fleet.export_lease(lease)
    }

    fn import_lease(&self, pool: PoolHandle, taken: Taken<'_>) -> Option<Lease> {
        self.fleet.import_lease(pool, taken)
    }

    fn release(&mut self, pool: PoolHandle, lease: Lease) -> bool {
        self.fleet.release(pool, lease)
    }
}
