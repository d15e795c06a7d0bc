//! The golden of placements: many small fleets, and what is decided, committed and released on each.

use orchestrator_core::commit::CommitError;
use orchestrator_core::hash::{ContentHasher, spread_pool_hash};
use orchestrator_core::limits::END_UNKNOWN_US;
use orchestrator_core::rows::{JobQuery, PoolTable, SessionEntry};
use orchestrator_core::{HeldLease, PlacementDecision, Policy, Reason, Rejection, SmallFleet};

use crate::random::Random;
use crate::worlds;

/// What [`placement_digest`] is everywhere.
pub const PLACEMENT_DIGEST: u64 = 0x8676_8914_6e81_2d34;

const POOLS: usize = 8;
const LISTS: usize = 2;
const NAMES: usize = 26;
const WORLDS: u32 = 96;
const JOBS: u32 = 16;
/// Jobs that hold room at the same time.
const HELD: usize = 4;
const REPLICAS: [&str; 2] = ["", "r1"];

type Fleet = SmallFleet<POOLS, LISTS, NAMES>;

/// One decision with everything that it depends on, for other backends to make too.
#[derive(Debug)]
pub struct Step<'a> {
    /// The pools.
    pub pools: PoolTable<'a>,
    /// The job, looked up among them.
    pub job: JobQuery<'a>,
    /// How pools are chosen.
    pub policy: &'a Policy,
    /// What the core decided.
    pub decision: PlacementDecision,
}

/// Sees what happens, in order.
pub trait Visitor {
    /// A pool came or changed; says whether the fleet took it.
    fn pool(&mut self, taken: bool) {
        let _ = taken;
    }

    /// A job broke a rule by itself.
    fn refused(&mut self, field: &'static str) {
        let _ = field;
    }

    /// A decision; what it chose is committed next.
    fn decided(&mut self, step: &Step<'_>);

    /// What a commit took.
    fn committed(&mut self, result: Result<&HeldLease<LISTS>, CommitError>) {
        let _ = result;
    }

    /// A lease was given back; says whether its pool was there.
    fn released(&mut self, found: bool) {
        let _ = found;
    }
}

/// The digest of all that [`visit`] shows.
#[must_use]
pub fn placement_digest() -> u64 {
    let mut digest = Digest(ContentHasher::new("golden placement"));
    visit(&mut digest);
    digest.0.finish()
}

/// Shows every decision of every world to `visitor`.
pub fn visit(visitor: &mut impl Visitor) {
    // One fleet for all worlds: its storage is reused as an agent's is, and stands on the stack once.
    let mut fleet = Fleet::new();
    for number in 0..WORLDS {
        let mut random = Random::new(number.into());
        if let Ok(policy) = worlds::placement_policy(&mut random).validate() {
            World { fleet: &mut fleet, policy, random, held: [const { None }; HELD] }.play(visitor);
        }
        empty(&mut fleet);
    }
}

fn empty(fleet: &mut Fleet) {
    for id in worlds::POOL_IDS {
        for replica_id in REPLICAS {
            fleet.remove(id, replica_id);
        }
    }
}

struct World<'f> {
    fleet: &'f mut Fleet,
    policy: Policy,
    random: Random,
    held: [Option<HeldLease<LISTS>>; HELD],
}

impl World<'_> {
    fn play(mut self, visitor: &mut impl Visitor) {
        for _ in 0..self.random.below(POOLS as u32 + 2) {
            self.publish(visitor);
        }
        for _ in 0..JOBS {
            self.job(visitor);
            match self.random.below(8) {
                0 => self.publish(visitor),
                1 => self.fleet.age(20_000_000),
                2 => {
                    let draining = self.random.one_in(2);
                    self.fleet.set_draining(self.random.pick(worlds::POOL_IDS), "", draining);
                }
                3 => {
                    self.fleet.remove(self.random.pick(worlds::POOL_IDS), "r1");
                }
                _ => {}
            }
        }
        for place in 0..HELD {
            self.release(place, visitor);
        }
    }

    fn publish(&mut self, visitor: &mut impl Visitor) {
        let (id, replica_id) = (self.random.pick(worlds::POOL_IDS), self.random.pick(REPLICAS));
        let pool = worlds::pool(&mut self.random, id, replica_id);
        visitor.pool(self.fleet.upsert(&pool).is_ok());
    }

    fn job(&mut self, visitor: &mut impl Visitor) {
        let id = self.random.pick(["j0", "j1", "j2", "j3"]);
        let spec = worlds::job(&mut self.random, id);
        let session = self.session_entry();
        let job = match spec.validate(&self.policy, None) {
            Ok(job) => job,
            Err(error) => return visitor.refused(error.field),
        };
        let decision = self.fleet.decide_with(&job, &self.policy, session);
        let spread_hashes = spread_hashes(self.fleet, &self.policy);
        let pools = PoolTable {
            spread_hashes: if self.policy.spread_seed().is_some() {
                spread_hashes.get(..self.fleet.len()).unwrap_or_default()
            } else {
                &[]
            },
            ..self.fleet.table()
        };
        let resolved = job.resolve(&*self.fleet);
        visitor.decided(&Step { pools, job: resolved.query(session), policy: &self.policy, decision });
        let Some(assignment) = decision.assignment() else { return };
        let place = self.random.below(HELD as u32) as usize;
        self.release(place, visitor);
        let lease = self.fleet.commit(&job, assignment.rank);
        visitor.committed(lease.as_ref().map_err(|error| *error));
        if let Some(held) = self.held.get_mut(place) {
            *held = lease.ok();
        }
    }

    /// What a session table could say: also of pools that are gone.
    fn session_entry(&mut self) -> Option<SessionEntry> {
        let entry = SessionEntry { pool: self.random.below(POOLS as u32), cached_tokens: self.random.pick([1, 600]) };
        self.random.one_in(3).then_some(entry)
    }

    fn release(&mut self, place: usize, visitor: &mut impl Visitor) {
        if let Some(lease) = self.held.get_mut(place).and_then(Option::take) {
            visitor.released(self.fleet.release(lease));
        }
    }
}

fn spread_hashes(fleet: &Fleet, policy: &Policy) -> [u64; POOLS] {
    let seed = policy.spread_seed().unwrap_or_default();
    let mut hashes = [0; POOLS];
    for (rank, hash) in (0..).zip(&mut hashes) {
        if let Some((id, replica_id)) = fleet.pool_id(rank) {
            *hash = spread_pool_hash(seed, id, replica_id);
        }
    }
    hashes
}

struct Digest(ContentHasher);

impl Visitor for Digest {
    fn pool(&mut self, taken: bool) {
        self.0.byte(taken.into());
    }

    fn refused(&mut self, field: &'static str) {
        self.0.text(field);
    }

    fn decided(&mut self, step: &Step<'_>) {
        match step.decision {
            PlacementDecision::Assigned(assignment) => {
                self.0.byte(0);
                self.0.int(assignment.rank.into());
                self.0.int(assignment.devices.bits());
                self.0.int(assignment.start_us);
                self.0.int(assignment.end_us.unwrap_or(END_UNKNOWN_US));
                self.0.byte(assignment.warm.into());
                self.0.byte(assignment.fallback.into());
                self.0.optional_int(assignment.on_time.map(u64::from));
            }
            PlacementDecision::NoCapacity { reason, headline, code } => {
                self.0.byte(1);
                self.0.text(reason.name());
                self.0.text(headline.map_or(Reason::NoPools.name(), Rejection::detail));
                self.0.text(code.name());
            }
        }
    }

    fn committed(&mut self, result: Result<&HeldLease<LISTS>, CommitError>) {
        let Ok(lease) = result else { return self.0.byte(0) };
        self.0.byte(1);
        self.0.int(lease.kv_bytes);
        self.0.int(lease.weight_bytes);
        for share in &lease.devices {
            self.0.byte(share.position);
            self.0.int(share.kv_bytes());
            self.0.int(share.weight_bytes());
        }
        self.0.byte(lease.waits.into());
        self.0.byte(lease.resident.into());
    }

    fn released(&mut self, found: bool) {
        self.0.byte(found.into());
    }
}
