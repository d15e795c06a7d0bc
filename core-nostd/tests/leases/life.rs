//! Random lives of pools and leases, driven as a scheduler drives them, against the naive model.

use std::collections::HashMap;

use orchestrator_core::scheduler::{
    LeaseState, Leases, NewLease, PoolRecord, PoolRecords, Reported, ReserveError, WatchdogRules, credit_after_snapshot,
};
use orchestrator_core::storage::{InsertError, Ticket};
use orchestrator_core::{
    DeviceSnapshot, HeldRoom, JobSpec, Policy, PolicySpec, PoolHandle, PoolRegistry, PoolSnapshot, SmallFleet,
};
use proptest::prelude::*;

use crate::Room;
use crate::model::{Model, Size};

type Fleet = SmallFleet<4, 4, 32>;

const POOLS: [&str; 5] = ["a", "b", "c", "d", "e"];
const STALE_AFTER_US: u64 = 100;

#[derive(Debug, Clone)]
enum Step {
    /// A snapshot that says what the engine knew `age_us` ago.
    Snapshot {
        pool: usize,
        age_us: u64,
    },
    /// The snapshot held, once more.
    Duplicate {
        pool: usize,
    },
    Remove {
        pool: usize,
        first: bool,
    },
    Drain {
        pool: usize,
        draining: bool,
    },
    Submit {
        job: u8,
        kv: i64,
        split: bool,
    },
    Started(u8),
    FirstToken(u8),
    Progress {
        pick: u8,
        tokens: u32,
    },
    End(u8),
    /// A report by the ticket of a lease that ended.
    Stale(u8),
    Tick,
    Rules(WatchdogRules),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let job = prop_oneof![0..8u8, 0..70u8];
    let limit = || prop_oneof![Just(0u64), 1..150u64];
    let step = prop_oneof![
        8 => (0..5usize, prop_oneof![0..20u64, 0..90u64]).prop_map(|(pool, age_us)| Step::Snapshot { pool, age_us }),
        1 => (0..5usize).prop_map(|pool| Step::Duplicate { pool }),
        1 => (0..5usize, any::<bool>()).prop_map(|(pool, first)| Step::Remove { pool, first }),
        1 => (0..5usize, any::<bool>()).prop_map(|(pool, draining)| Step::Drain { pool, draining }),
        20 => (job, prop_oneof![0..50i64, 0..300i64], any::<bool>()).prop_map(|(job, kv, split)| Step::Submit { job, kv, split }),
        4 => any::<u8>().prop_map(Step::Started),
        4 => any::<u8>().prop_map(Step::FirstToken),
        4 => (any::<u8>(), 0..9u32).prop_map(|(pick, tokens)| Step::Progress { pick, tokens }),
        4 => any::<u8>().prop_map(Step::End),
        1 => any::<u8>().prop_map(Step::Stale),
        2 => Just(Step::Tick),
        1 => (limit(), limit(), limit()).prop_map(|(start_timeout_us, wall_limit_us, idle_limit_us)| {
            Step::Rules(WatchdogRules { start_timeout_us, wall_limit_us, idle_limit_us })
        }),
    ];
    proptest::collection::vec((0..8u64, step), 0..200)
}

/// Pool `e` and every second one have devices; slots and bytes differ.
fn total(pool: usize) -> Size {
    let bytes = if pool.is_multiple_of(2) { vec![900, 700] } else { vec![1000] };
    Size { slots: [3, 1, 20, 2, 0][pool], bytes }
}

/// What a pool says when it has this much free.
fn snapshot(pool: usize, free: &Size, age_us: u64) -> PoolSnapshot<'static> {
    let total = total(pool);
    let slots = free.slots.max(0);
    let sum = |size: &Size| size.bytes.iter().sum();
    let mut snapshot = PoolSnapshot::new(POOLS[pool], "vllm", total.slots, slots, sum(&total), sum(free));
    if total.bytes.len() > 1 {
        let devices = total.bytes.iter().zip(&free.bytes).map(|(&vram_total_bytes, &vram_free_bytes)| DeviceSnapshot {
            vram_total_bytes,
            vram_free_bytes,
            compute_capability: None,
        });
        snapshot.devices = Vec::leak(devices.collect());
    }
    snapshot.queue_depth = slots - free.slots;
    (snapshot.first_token_ms, snapshot.perf_tokens_per_s) = (Some(1.0), Some(1000.0));
    snapshot.age_ms = age_us as f64 / 1000.0;
    snapshot
}

/// What is driven, beside its model.
struct World<'a> {
    fleet: Fleet,
    leases: Leases<'a, HeldRoom<4>, usize>,
    records: PoolRecords<'a>,
    policy: Policy,
    rules: WatchdogRules,
    model: Model,
    /// The handle of each pool of the model.
    handles: Vec<PoolHandle>,
    tickets: HashMap<String, Ticket>,
    ended: Vec<Ticket>,
    now_us: u64,
}

type Checked<T = ()> = Result<T, TestCaseError>;

impl World<'_> {
    fn step(&mut self, step: &Step) -> Checked {
        match *step {
            Step::Snapshot { pool, age_us } => self.snapshot(pool, self.now_us - age_us),
            Step::Duplicate { pool } => match self.model.pool_named(pool) {
                Some(known) => self.snapshot(pool, self.model.pools[known].observed_us),
                None => Ok(()),
            },
            Step::Remove { pool, first } => self.remove(pool, first),
            Step::Drain { pool, draining } => {
                let known = self.model.pool_named(pool).map(|known| self.handles[known]);
                let drained = known.is_some_and(|handle| PoolRegistry::set_draining(&mut self.fleet, handle, draining));
                prop_assert_eq!(drained, known.is_some());
                Ok(())
            }
            Step::Submit { job, kv, split } => self.submit(&name(job), kv, split),
            Step::Started(pick) => {
                let now_us = self.now_us;
                self.report(
                    pick,
                    |leases, ticket| leases.started(ticket, now_us),
                    |model, lease| {
                        if model.leases[lease].started.is_some() {
                            Reported::Repeated
                        } else {
                            model.report(lease, now_us)
                        }
                    },
                )
            }
            Step::FirstToken(pick) => {
                let now_us = self.now_us;
                self.report(
                    pick,
                    |leases, ticket| leases.first_token(ticket, now_us),
                    |model, lease| {
                        if model.leases[lease].has_token {
                            return Reported::Repeated;
                        }
                        model.leases[lease].has_token = true;
                        model.report(lease, now_us)
                    },
                )
            }
            Step::Progress { pick, tokens } => {
                let now_us = self.now_us;
                self.report(
                    pick,
                    |leases, ticket| leases.progress(ticket, now_us, tokens),
                    |model, lease| {
                        if tokens < model.leases[lease].tokens {
                            return Reported::Repeated;
                        }
                        model.leases[lease].tokens = tokens;
                        model.report(lease, now_us)
                    },
                )
            }
            Step::End(pick) => {
                let id = self.picked(pick);
                match self.model.lease_named(&id) {
                    Some(lease) => self.end(lease),
                    None => {
                        prop_assert_eq!(self.leases.find(&id), None);
                        Ok(())
                    }
                }
            }
            Step::Stale(pick) => {
                if let Some(&ticket) = self.ended.get(usize::from(pick) % self.ended.len().max(1)) {
                    prop_assert_eq!(self.leases.started(ticket, self.now_us), Reported::NoLease);
                    prop_assert_eq!(self.leases.first_token(ticket, self.now_us), Reported::NoLease);
                    prop_assert_eq!(self.leases.progress(ticket, self.now_us, 9), Reported::NoLease);
                    prop_assert!(self.leases.end(ticket).is_none());
                }
                Ok(())
            }
            Step::Tick => self.tick(),
            Step::Rules(rules) => {
                self.rules = rules;
                Ok(())
            }
        }
    }

    /// The id of a job that has a lease, mostly; else of one that may have none.
    fn picked(&self, pick: u8) -> String {
        let live: Vec<&str> = self.model.live().map(|lease| lease.id.as_str()).collect();
        let of_live = live.get(usize::from(pick) % live.len().max(1)).filter(|_| pick < 230);
        of_live.map_or_else(|| name(pick), |id| (*id).to_owned())
    }

    /// REFRESH-2, LEASE-3.
    fn snapshot(&mut self, pool: usize, observed_us: u64) -> Checked {
        let known = self.model.pool_named(pool);
        if known.is_none() && self.fleet.len() == 4 {
            return Ok(());
        }
        if let Some(known) = known {
            let is_late = observed_us < self.model.pools[known].observed_us;
            prop_assert_eq!(self.records.is_late(self.handles[known], observed_us), is_late);
            if is_late {
                return Ok(());
            }
        }
        let known = known.unwrap_or_else(|| self.model.add_pool(pool, total(pool)));
        let free = self.model.observed(known, observed_us);
        // More was promised than there is (`room_promised_twice`): an engine says that nothing is free, which is not what
        // the model counts.
        if free.bytes.iter().any(|&bytes| bytes < 0) {
            return Ok(());
        }
        let snapshot = snapshot(pool, &free, self.now_us - observed_us);
        let handle = PoolRegistry::upsert(&mut self.fleet, &snapshot).unwrap();
        if known == self.handles.len() {
            self.handles.push(handle);
        }
        prop_assert_eq!(self.handles[known], handle);
        self.records.snapshot_taken(handle, observed_us);
        let retaken = credit_after_snapshot(&mut self.fleet, &mut self.leases, handle, observed_us);
        prop_assert_eq!(retaken, self.model.snapshot(known, observed_us));
        Ok(())
    }

    /// LEASE-4, with the pool gone before or after its leases.
    fn remove(&mut self, pool: usize, first: bool) -> Checked {
        let Some(known) = self.model.pool_named(pool) else { return Ok(()) };
        let handle = self.handles[known];
        self.records.removed(handle);
        if first {
            prop_assert!(PoolRegistry::remove(&mut self.fleet, handle));
        }
        let own: Vec<String> =
            self.model.live().filter(|lease| lease.pool == known).map(|lease| lease.id.clone()).collect();
        for id in own {
            let ticket = self.leases.first_of_pool(handle).unwrap();
            prop_assert_eq!(self.leases.id(ticket), Some(id.as_str()));
            let lease = self.model.lease_named(&id).unwrap();
            self.end(lease)?;
        }
        prop_assert_eq!(self.leases.first_of_pool(handle), None);
        if !first {
            prop_assert!(PoolRegistry::remove(&mut self.fleet, handle));
        }
        self.model.pools[known].is_there = false;
        Ok(())
    }

    /// LEASE-1: decides, commits, reserves; without a place for the lease its room is given back.
    fn submit(&mut self, id: &str, kv: i64, split: bool) -> Checked {
        let mut job = JobSpec::new(id, "vllm", "m");
        job.est_kv_bytes = Some(kv);
        job.requirements.split_degree = split.then_some(2);
        let valid = job.validate(&self.policy, None).unwrap();
        while let Some((pool, age_us)) = self.records.next_stale(self.now_us, self.policy.stale_after_us()) {
            self.fleet.set_age(pool, age_us);
        }
        let decision = self.fleet.decide(&valid, &self.policy);
        // FEAS-19: as if every row had its true age.
        let mut aged = self.fleet.clone();
        for pool in self.model.pools.iter().zip(&self.handles).filter(|(pool, _)| pool.is_there) {
            aged.set_age(*pool.1, self.now_us - pool.0.observed_us);
        }
        prop_assert_eq!(&aged.decide(&valid, &self.policy), &decision);
        let Some(rank) = decision.assignment().map(|assignment| assignment.rank) else { return Ok(()) };
        let pool = self.fleet.at_rank(rank).unwrap();
        let known =
            self.model.pools.iter().zip(&self.handles).position(|(known, handle)| known.is_there && *handle == pool);
        let known = known.unwrap();
        let held = PoolRegistry::commit(&mut self.fleet, &valid, rank).unwrap();
        let mut bytes = vec![0; self.model.pools[known].total.bytes.len()];
        let taken = held.taken();
        if taken.devices.is_empty() {
            bytes[0] = taken.kv_bytes as i64;
        }
        for share in taken.devices {
            bytes[usize::from(share.position)] = share.kv_bytes() as i64;
        }
        let waits = taken.waits;
        prop_assert_eq!(waits, self.model.free(known).slots <= 0);
        let expected = match self.tickets.get(id) {
            Some(&ticket) => Err(ReserveError::Insert(InsertError::Duplicate(ticket))),
            None if self.tickets.len() == self.leases.capacity() as usize => {
                Err(ReserveError::Insert(InsertError::Full))
            }
            None => Ok(()),
        };
        let pool_wait_us = if waits { kv as u64 % 60 } else { 0 };
        let lease = NewLease {
            pool,
            held,
            admitted_at_us: 0,
            predicted_end_us: None,
            pool_wait_us,
            prefill_us: kv as u64,
            prompt_tokens: 1,
            job: known,
        };
        match self.leases.reserve(id, lease, self.now_us) {
            Ok(ticket) => {
                prop_assert_eq!(expected, Ok(()));
                self.tickets.insert(id.to_owned(), ticket);
                self.model.reserve(id, known, bytes, waits.then_some(pool_wait_us), self.now_us);
                self.model.leases.last_mut().unwrap().prefill_us = kv as u64;
            }
            Err(refused) => {
                prop_assert_eq!(expected, Err(refused.why));
                prop_assert!(PoolRegistry::release(&mut self.fleet, pool, refused.lease.held));
            }
        }
        Ok(())
    }

    /// LEASE-7.
    fn report(
        &mut self,
        pick: u8,
        report: impl FnOnce(&mut Leases<'_, HeldRoom<4>, usize>, Ticket) -> Reported,
        expect: impl FnOnce(&mut Model, usize) -> Reported,
    ) -> Checked {
        let id = self.picked(pick);
        let lease = self.model.lease_named(&id);
        let ticket = self.leases.find(&id);
        prop_assert_eq!(ticket, self.tickets.get(&id).copied());
        prop_assert_eq!(ticket.is_some(), lease.is_some());
        if let (Some(ticket), Some(lease)) = (ticket, lease) {
            prop_assert_eq!(report(&mut self.leases, ticket), expect(&mut self.model, lease));
        }
        Ok(())
    }

    /// LEASE-1: once, on the pool of its beginning.
    fn end(&mut self, lease: usize) -> Checked {
        let known = &mut self.model.leases[lease];
        let ticket = self.tickets.remove(&known.id).unwrap();
        let ended = self.leases.end(ticket).unwrap();
        known.ended_us = Some(self.now_us);
        prop_assert_eq!(
            (ended.job, ended.pool(), ended.is_counted()),
            (known.pool, self.handles[known.pool], known.counted)
        );
        prop_assert_eq!(ended.give_back_to(&mut self.fleet), known.pool);
        prop_assert!(self.leases.end(ticket).is_none());
        prop_assert!(!self.ended.contains(&ticket));
        self.ended.push(ticket);
        Ok(())
    }

    /// LEASE-5: one by one, in the order of their expiry.
    fn tick(&mut self) -> Checked {
        loop {
            let first = self.model.first_expiry(&self.rules);
            prop_assert_eq!(self.leases.next_expiry_us(&self.rules), first.map(|(at_us, ..)| at_us));
            let due = first.filter(|(at_us, ..)| *at_us <= self.now_us);
            let found = self.leases.next_expired(self.now_us, &self.rules);
            let named = found.map(|(ticket, cause)| (cause, self.leases.id(ticket).unwrap()));
            prop_assert_eq!(named, due.map(|(_, cause, id)| (cause, id)));
            let Some((_, _, id)) = due else { return Ok(()) };
            let lease = self.model.lease_named(id).unwrap();
            self.end(lease)?;
        }
    }

    /// LEASE-1, LEASE-2, LEASE-3, LEASE-8: what leases hold and what is free is the total, of every pool; and nothing else moved.
    fn check(&self) -> Checked {
        for (known, &handle) in self.handles.iter().enumerate() {
            let pool = &self.model.pools[known];
            prop_assert_eq!(self.fleet.row(handle).is_some(), pool.is_there);
            let own: Vec<&str> = self.leases.of_pool(handle).map(|ticket| self.leases.id(ticket).unwrap()).collect();
            let expected = self.model.live().filter(|lease| lease.pool == known).map(|lease| lease.id.as_str());
            prop_assert_eq!(own, expected.collect::<Vec<_>>());
            let Some(row) = self.fleet.row(handle) else { continue };
            prop_assert_eq!(self.leases.pending_prefill_us(handle), self.model.pending_prefill_us(known));
            let free = self.model.free(known);
            let table = self.fleet.table();
            let rank = PoolRegistry::rank_of(&self.fleet, handle).unwrap() as usize;
            let devices = table.lists[rank].devices.of(table.devices);
            prop_assert_eq!(i64::from(row.slots_free) - i64::from(row.waiting), free.slots);
            prop_assert!(row.slots_free <= row.slots_total);
            prop_assert_eq!(row.vram_free_bytes as i64, free.bytes.iter().sum::<i64>());
            if pool.total.bytes.len() > 1 {
                let by_device: Vec<i64> = devices.iter().map(|device| device.vram_free_bytes as i64).collect();
                prop_assert_eq!(by_device, free.bytes);
            }
        }
        prop_assert_eq!(self.leases.len() as usize, self.tickets.len());
        prop_assert_eq!(self.leases.tickets().count(), self.tickets.len());
        for lease in self.model.live() {
            let held = self.leases.get(self.tickets[&lease.id]).unwrap();
            prop_assert_eq!((held.pool(), held.job), (self.handles[lease.pool], lease.pool));
            prop_assert_eq!((held.is_counted(), held.tokens_out()), (lease.counted, lease.tokens));
            let state = match (lease.started, lease.has_token) {
                (None, _) => LeaseState::Reserved,
                (Some(_), false) => LeaseState::Running,
                (Some(_), true) => LeaseState::Streaming,
            };
            prop_assert_eq!(held.state(), state);
        }
        Ok(())
    }
}

fn name(job: u8) -> String {
    format!("job-{job}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// LEASE-1 to LEASE-5, LEASE-7, REFRESH-2: every lease of every life.
    #[test]
    fn every_number_adds_up(
        capacity in prop_oneof![Just(0usize), Just(1), Just(2), Just(64)],
        pool_backlog in prop_oneof![Just(0i64), Just(2)],
        pools in 0usize..=4,
        steps in steps(),
    ) {
        let mut room = Room::new(capacity, 4);
        let mut storage = [PoolRecord::EMPTY; 4];
        let spec = PolicySpec { pool_backlog, stale_after_ms: STALE_AFTER_US as f64 / 1000.0, ..PolicySpec::default() };
        let mut world = World {
            fleet: Fleet::new(),
            leases: room.leases(),
            records: PoolRecords::new(&mut storage),
            policy: spec.validate().unwrap(),
            rules: WatchdogRules { start_timeout_us: 80, wall_limit_us: 150, idle_limit_us: 60 },
            model: Model::default(),
            handles: Vec::new(),
            tickets: HashMap::new(),
            ended: Vec::new(),
            now_us: 100,
        };
        for pool in 0..pools {
            world.step(&Step::Snapshot { pool, age_us: 0 })?;
        }
        for (wait_us, step) in &steps {
            world.now_us += wait_us;
            world.step(step)?;
            world.check()?;
        }
        // All end, and every pool has what its last snapshot leaves it.
        while let Some(lease) = world.model.leases.iter().position(|lease| lease.ended_us.is_none()) {
            world.end(lease)?;
            world.check()?;
        }
        prop_assert!(world.leases.is_empty());
    }
}
