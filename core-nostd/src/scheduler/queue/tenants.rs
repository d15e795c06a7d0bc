//! Deficit round robin over tenants, by round: O(log tenants) per service, however small the quantum.
//!
//! The textbook's ring is walked once per quantum, which for a job of many quanta is many times for nothing. Here the
//! **round** in which a tenant's next job is covered is computed, and the tenants stand in a tree by it: the same order,
//! found at once. A tenant's jobs of one class are a **lane**; each lane is in the tree of its class while it has jobs.
//!
//! ```text
//!  round of the lane's account ── + ceil((tokens - deficit) / quantum) ──▶ round of its next job
//! ```
//!
//! A pass walks the order without taking anything: it moves lanes in the tree as if their jobs were served, remembers
//! which, and puts them back in the end.
//!
//! Invariants: between walks, a lane is in its tree exactly if it has jobs, by the round of its first job; a tenant is in
//! the table exactly if one of its lanes has jobs; a deficit is below the quantum. QUEUE-10.

use super::class::ByClass;
use super::tree::{self, Node, Ordered, Tree};
use super::waiting::{InLane, Jobs, Waiting};
use crate::input::Priority;
use crate::scheduler::state::{AccountRecord, PlaceRecord};
use crate::storage::list::{List, NONE};
use crate::storage::{IdSlot, IdTable, Texts};

/// Storage for one tenant that has waiting jobs.
pub type TenantSlot = IdSlot<Tenant>;

/// One tenant, in a [`TenantSlot`].
#[derive(Debug, Clone, Default)]
pub struct Tenant {
    lanes: ByClass<Lane>,
}

/// What a lane gained and spent.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    /// The last round in which it had a turn.
    round: u64,
    /// Tokens left from it.
    deficit: u64,
}

impl Account {
    /// The round in which a job is covered.
    fn round_of(self, cost: u64, quantum: u64) -> u64 {
        self.round.saturating_add(self.turns_for(cost, quantum))
    }

    #[inline(never)] // On machines of 32 bits a division is large.
    fn turns_for(self, cost: u64, quantum: u64) -> u64 {
        cost.saturating_sub(self.deficit).div_ceil(quantum.max(1))
    }

    /// Pays for a job. Turns that others had in the meantime are gone: a lane that could not use them saves nothing.
    fn pay(&mut self, cost: u64, quantum: u64, current_round: &mut u64) {
        let gained = self.turns_for(cost, quantum).saturating_mul(quantum);
        *current_round = self.round_of(cost, quantum).max(*current_round);
        self.round = *current_round;
        self.deficit = self.deficit.saturating_add(gained).saturating_sub(cost);
    }
}

#[derive(Debug, Clone)]
struct Lane {
    jobs: List<InLane>,
    account: Account,
    /// The arrival that began it: lanes of one round take their turns in this order.
    since: u64,
    /// The round of its next job: its key in the tree.
    round: u64,
    node: Node,
    walk: Option<Walk>,
}

impl Default for Lane {
    fn default() -> Self {
        Self { jobs: List::EMPTY, account: Account::default(), since: 0, round: 0, node: Node::OUT, walk: None }
    }
}

/// A lane as if the jobs before `next` had been served.
#[derive(Debug, Clone, Copy)]
struct Walk {
    next: u32,
    account: Account,
    /// The lane that was moved before this one.
    moved_before: u32,
}

impl Lane {
    fn next_job(&self) -> u32 {
        self.walk.map_or(self.jobs.first, |walk| walk.next)
    }

    fn next_account(&self) -> Account {
        self.walk.map_or(self.account, |walk| walk.account)
    }
}

/// Lanes by number: two per tenant. The tenant before the table's first is shared by jobs without a tenant and by
/// tenants for which the table has no room.
#[derive(Debug)]
struct Lanes<'a> {
    table: IdTable<'a, Tenant>,
    shared: Tenant,
}

impl Lanes<'_> {
    fn tenant(&self, lane: u32) -> Option<&Tenant> {
        match tenant_of(lane).checked_sub(1) {
            Some(slot) => self.table.in_slot(slot),
            None => Some(&self.shared),
        }
    }

    fn get(&self, lane: u32) -> Option<&Lane> {
        Some(self.tenant(lane)?.lanes.get(class_of(lane)))
    }

    fn get_mut(&mut self, lane: u32) -> Option<&mut Lane> {
        let tenant = match tenant_of(lane).checked_sub(1) {
            Some(slot) => self.table.in_slot_mut(slot)?,
            None => &mut self.shared,
        };
        Some(tenant.lanes.get_mut(class_of(lane)))
    }

    /// The lane of a tenant's jobs of a class, which may be new.
    fn find_or_add(&mut self, tenant: &str, class: Priority) -> u32 {
        self.own(tenant, class).unwrap_or_else(|| lane_number(0, class))
    }

    /// The same, if the tenant has or gets one of its own.
    fn own(&mut self, tenant: &str, class: Priority) -> Option<u32> {
        let known = self.table.find(tenant);
        // The empty name is none.
        let ticket = known.or_else(|| self.table.insert(tenant, Tenant::default()).ok())?;
        Some(lane_number(ticket.slot().saturating_add(1), class))
    }

    /// Forgets a tenant none of whose lanes has jobs, or has yet to be put back.
    fn forget_idle(&mut self, lane: u32) {
        let is_idle = |lane: &Lane| lane.jobs.is_empty() && lane.walk.is_none();
        let is_idle =
            self.tenant(lane).is_some_and(|tenant| is_idle(&tenant.lanes.interactive) && is_idle(&tenant.lanes.batch));
        if is_idle && let Some(ticket) = tenant_of(lane).checked_sub(1).and_then(|slot| self.table.at(slot)) {
            self.table.remove(ticket);
        }
    }
}

/// Exact below 2^31 tenants; a table of so many has no place in memory.
const fn lane_number(tenant: u32, class: Priority) -> u32 {
    match class {
        Priority::Interactive => tenant.saturating_mul(2),
        Priority::Batch => tenant.saturating_mul(2) | 1,
    }
}

const fn tenant_of(lane: u32) -> u32 {
    lane >> 1
}

const fn class_of(lane: u32) -> Priority {
    if lane & 1 == 0 { Priority::Interactive } else { Priority::Batch }
}

/// The tree of lanes by round, then by the arrival that began them.
#[derive(Debug, Clone, Copy)]
struct ByRound;

impl Ordered<Lanes<'_>> for ByRound {
    type Key = (u64, u64);

    fn node<'s>(lanes: &'s Lanes<'_>, at: u32) -> Option<&'s Node> {
        lanes.get(at).map(|lane| &lane.node)
    }

    fn node_mut<'s>(lanes: &'s mut Lanes<'_>, at: u32) -> Option<&'s mut Node> {
        lanes.get_mut(at).map(|lane| &mut lane.node)
    }

    fn key(lanes: &Lanes<'_>, at: u32) -> Option<(u64, u64)> {
        lanes.get(at).map(|lane| (lane.round, lane.since))
    }
}

/// All lanes, in service order per class.
#[derive(Debug)]
pub(super) struct Tenants<'a> {
    lanes: Lanes<'a>,
    /// Whose each waiting job is, by its slot.
    owners: Texts<'a>,
    trees: ByClass<Tree<ByRound>>,
    /// The latest round that was served. Lanes begin in it, with their first turn in the next.
    rounds: ByClass<u64>,
    walk_rounds: ByClass<u64>,
    /// The lane that a walk moved last.
    moved: u32,
    quantum: u64,
}

impl<'a> Tenants<'a> {
    pub(super) fn new(table: IdTable<'a, Tenant>, owners: Texts<'a>, quantum_tokens: u32) -> Self {
        Self {
            lanes: Lanes { table, shared: Tenant::default() },
            owners,
            trees: ByClass::default(),
            rounds: ByClass::default(),
            walk_rounds: ByClass::default(),
            moved: NONE,
            quantum: u64::from(quantum_tokens).max(1),
        }
    }

    /// Notes whose job is in a slot, before it is taken in.
    pub(super) fn note_owner(&mut self, at: u32, tenant: &str) {
        // Without room for names all are nobody's.
        self.owners.put(at, tenant);
    }

    /// Bytes that a tenant's name may have; 0 where tenants are not told apart.
    pub(super) const fn name_room(&self) -> usize {
        self.owners.room()
    }

    /// Forgets all lanes and accounts. O(tenants).
    pub(super) fn clear(&mut self, quantum_tokens: u32) {
        for slot in 0..self.lanes.table.capacity() {
            if let Some(ticket) = self.lanes.table.at(slot) {
                self.lanes.table.remove(ticket);
            }
        }
        self.lanes.shared = Tenant::default();
        self.trees = ByClass::default();
        self.rounds = ByClass::default();
        self.moved = NONE;
        self.quantum = u64::from(quantum_tokens).max(1);
    }

    /// Takes a job in, last of its tenant. No walk may be under way.
    pub(super) fn enter<T>(&mut self, jobs: &mut Jobs<'_, T>, at: u32) {
        let Some(job) = jobs.in_slot_mut(at) else { return };
        let (class, arrival) = (job.class, job.arrival());
        let number = self.lanes.find_or_add(self.owners.get(at), class);
        job.enter_lane(number);
        let round = *self.rounds.get(class);
        let Some(lane) = self.lanes.get_mut(number) else { return };
        if lane.jobs.is_empty() {
            lane.account = Account { round, deficit: 0 };
            lane.since = arrival;
        }
        lane.jobs.push_back(jobs, at);
        self.settle(jobs, number);
    }

    /// Takes a job in again, last of its tenant, with the tenant's account as it was; says whether it can have been so.
    /// STATE-5.
    pub(super) fn re_enter<T>(&mut self, jobs: &mut Jobs<'_, T>, at: u32, place: &PlaceRecord) -> bool {
        let Some(job) = jobs.in_slot_mut(at) else { return false };
        let shared = Some(lane_number(0, job.class)).filter(|_| place.shares_turn);
        let Some(number) = shared.or_else(|| self.lanes.own(self.owners.get(at), job.class)) else { return false };
        job.enter_lane(number);
        let quantum = self.quantum;
        let Some(lane) = self.lanes.get_mut(number) else { return false };
        let is_first = lane.jobs.is_empty();
        lane.jobs.push_back(jobs, at);
        if let Some(AccountRecord { round, deficit, since }) = place.account {
            lane.account = Account { round, deficit };
            lane.since = since;
        }
        self.settle(jobs, number);
        is_first == place.account.is_some() && place.account.is_none_or(|account| account.deficit < quantum)
    }

    /// Whether a job shares its turn, and its lane's account where it is the first in it.
    pub(super) fn account_record<T>(&self, job: &Waiting<T>, at: u32) -> (bool, Option<AccountRecord>) {
        let lane = self.lanes.get(job.lane()).filter(|lane| lane.jobs.first == at);
        let record = |lane: &Lane| {
            let Account { round, deficit } = lane.account;
            AccountRecord { round, deficit, since: lane.since }
        };
        // Without tenants no job has a lane.
        (tenant_of(job.lane()) == 0, lane.map(record))
    }

    /// Tenants with lanes of their own, now and at most.
    pub(super) fn room(&self) -> (u32, u32) {
        (self.lanes.table.len(), self.lanes.table.capacity())
    }

    /// The rounds that were served last.
    pub(super) const fn rounds(&self) -> ByClass<u64> {
        self.rounds
    }

    pub(super) const fn set_rounds(&mut self, rounds: ByClass<u64>) {
        self.rounds = rounds;
    }

    /// Takes a job out; one that was served in its tenant's turn is paid for.
    pub(super) fn leave<T>(&mut self, jobs: &mut Jobs<'_, T>, at: u32, is_paid: bool) {
        let Some((number, class, cost)) = jobs.in_slot(at).map(|job| (job.lane(), job.class, cost(job))) else {
            return;
        };
        let Some(lane) = self.lanes.get_mut(number) else { return };
        lane.jobs.unlink(jobs, at);
        if is_paid {
            lane.account.pay(cost, self.quantum, self.rounds.get_mut(class));
        }
        // A walk moved the lane, and puts it right in the end.
        if lane.walk.is_none() {
            self.settle(jobs, number);
        }
    }

    /// The job that a walk comes to next, else [`NONE`]; before a walk, the first in service order.
    pub(super) fn next(&self, class: Priority) -> u32 {
        self.lanes.get(self.trees.get(class).first()).map_or(NONE, Lane::next_job)
    }

    pub(super) fn begin_walk(&mut self) {
        self.walk_rounds = self.rounds;
    }

    /// Walks past the next job of a lane, as if it had been served.
    pub(super) fn walk_past<T>(&mut self, jobs: &Jobs<'_, T>, at: u32, is_paid: bool) {
        let Some(job) = jobs.in_slot(at) else { return };
        let moved = self.moved;
        let Some(lane) = self.lanes.get_mut(job.lane()) else { return };
        let (account, first) = (lane.account, lane.jobs.first);
        let walk = lane.walk.get_or_insert_with(|| {
            self.moved = job.lane();
            Walk { next: first, account, moved_before: moved }
        });
        walk.next = job.next_in_lane();
        if is_paid {
            walk.account.pay(cost(job), self.quantum, self.walk_rounds.get_mut(job.class));
        }
        self.place(jobs, job.lane());
    }

    /// Puts back every lane that the walk moved. O(jobs walked past * log tenants).
    pub(super) fn end_walk<T>(&mut self, jobs: &Jobs<'_, T>) {
        while self.moved != NONE {
            let number = self.moved;
            let walk = self.lanes.get_mut(number).and_then(|lane| lane.walk.take());
            self.moved = walk.map_or(NONE, |walk| walk.moved_before);
            self.settle(jobs, number);
        }
    }

    /// How many jobs of its class are served before a job in its tenant's turns, if those that arrived until `aged_us`
    /// are gone. O(tenants + the answer).
    pub(super) fn ahead<T>(&self, jobs: &Jobs<'_, T>, at: u32, aged_us: Option<u64>) -> u32 {
        let Some(job) = jobs.in_slot(at) else { return 0 };
        let Some(own) = self.lanes.get(job.lane()) else { return 0 };
        let (limit, mut ahead) = self.count(jobs, own, aged_us, |_, walked| walked == at);
        let mut number = self.trees.get(job.class).first();
        while let Some(lane) = self.lanes.get(number) {
            if number != job.lane() {
                let (_, before) = self.count(jobs, lane, aged_us, |key, _| key > limit);
                ahead = ahead.saturating_add(before);
            }
            number = tree::next::<_, ByRound>(&self.lanes, number);
        }
        ahead
    }

    /// Counts a lane's jobs until `stop` says so of a job and its key; returns that key and the count.
    fn count<T>(
        &self,
        jobs: &Jobs<'_, T>,
        lane: &Lane,
        aged_us: Option<u64>,
        stop: impl Fn((u64, u64), u32) -> bool,
    ) -> ((u64, u64), u32) {
        // In order, no lane waits for another: a lane that is behind catches up with the round that was served last.
        let (mut account, mut count, mut at) = (lane.account, 0u32, lane.jobs.first);
        while let Some(job) = jobs.in_slot(at) {
            if !job.is_aged(aged_us) {
                let key = (account.round_of(cost(job), self.quantum), lane.since);
                if stop(key, at) {
                    return (key, count);
                }
                account.pay(cost(job), self.quantum, &mut self.current_round(job.class));
                count = count.saturating_add(1);
            }
            at = job.next_in_lane();
        }
        ((u64::MAX, u64::MAX), count)
    }

    fn current_round(&self, class: Priority) -> u64 {
        *self.rounds.get(class)
    }

    /// Puts a lane where it belongs after its jobs or its account changed; one without jobs is forgotten.
    fn settle<T>(&mut self, jobs: &Jobs<'_, T>, number: u32) {
        if !self.place(jobs, number) {
            self.lanes.forget_idle(number);
        }
    }

    /// Puts a lane into its tree by the round of its next job, or takes it out; says which.
    fn place<T>(&mut self, jobs: &Jobs<'_, T>, number: u32) -> bool {
        let Some(lane) = self.lanes.get(number) else { return false };
        let round = jobs.in_slot(lane.next_job()).map(|job| lane.next_account().round_of(cost(job), self.quantum));
        let was_in = lane.node.is_in_tree();
        if was_in && round == Some(lane.round) {
            return true;
        }
        let tree = self.trees.get_mut(class_of(number));
        if was_in {
            tree.remove(&mut self.lanes, number);
        }
        if let Some(round) = round
            && let Some(lane) = self.lanes.get_mut(number)
        {
            lane.round = round;
            tree.insert(&mut self.lanes, number);
        }
        round.is_some()
    }
}

/// What a tenant pays for a job: its tokens, at least one.
fn cost<T>(job: &Waiting<T>) -> u64 {
    u64::from(job.tokens()).max(1)
}
