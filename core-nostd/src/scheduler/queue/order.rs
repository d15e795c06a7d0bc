//! The order of service: which job is first, and what changes when one comes or leaves.
//!
//! Arrivals are always kept in order per class: eviction, the time limit and aging go by them. What else stands in order
//! depends on the discipline. Rules: QUEUE-7 to QUEUE-11.

use super::class::ByClass;
use super::tenants::{Tenant, Tenants};
use super::tree::Tree;
use super::turns::Turns;
use super::waiting::{ByDeadline, InClass, Jobs};
use crate::input::Priority;
use crate::scheduler::policy::{Discipline, QueueRules};
use crate::scheduler::state::PlaceRecord;
use crate::storage::list::{self, List, NONE};
use crate::storage::{IdTable, Texts};

/// All waiting jobs in order.
#[derive(Debug)]
pub(super) struct Order<'a> {
    discipline: Discipline,
    pub(super) arrivals: ByClass<List<InClass>>,
    pub(super) deadlines: ByClass<Tree<ByDeadline>>,
    pub(super) tenants: Tenants<'a>,
    pub(super) turns: Turns,
    quantum_tokens: u32,
}

impl<'a> Order<'a> {
    pub(super) fn new(tenants: IdTable<'a, Tenant>, owners: Texts<'a>, rules: &QueueRules) -> Self {
        Self {
            discipline: rules.discipline,
            arrivals: ByClass::default(),
            deadlines: ByClass::default(),
            tenants: Tenants::new(tenants, owners, rules.tenant_quantum_tokens),
            turns: Turns::new(rules.class_weights),
            quantum_tokens: rules.tenant_quantum_tokens,
        }
    }

    pub(super) const fn discipline(&self) -> Discipline {
        self.discipline
    }

    pub(super) const fn arrivals(&self, class: Priority) -> &List<InClass> {
        self.arrivals.get(class)
    }

    /// Notes whose job is in a slot, before it is taken in: another discipline may ask later.
    pub(super) fn note_tenant(&mut self, at: u32, tenant: &str) {
        self.tenants.note_owner(at, tenant);
    }

    /// Bytes that a tenant's name may have; 0 where tenants are not told apart.
    pub(super) const fn tenant_room(&self) -> usize {
        self.tenants.name_room()
    }

    /// Takes a job in, as the latest arrival. O(1); O(log n) with deadlines or tenants.
    pub(super) fn enter<T>(&mut self, jobs: &mut Jobs<'_, T>, at: u32) {
        let Some(class) = jobs.in_slot(at).map(|job| job.class) else { return };
        self.arrivals.get_mut(class).push_back(jobs, at);
        self.enter_discipline(jobs, at, class);
    }

    /// Takes a job in again, as the latest arrival, with its tenant's account as it was or anew; says whether it can have
    /// been so. STATE-5.
    pub(super) fn re_enter<T>(&mut self, jobs: &mut Jobs<'_, T>, at: u32, place: Option<&PlaceRecord>) -> bool {
        let Some(class) = jobs.in_slot(at).map(|job| job.class) else { return false };
        self.arrivals.get_mut(class).push_back(jobs, at);
        match place {
            Some(place) if self.discipline == Discipline::FairTenants => self.tenants.re_enter(jobs, at, place),
            _ => {
                self.enter_discipline(jobs, at, class);
                true
            }
        }
    }

    fn enter_discipline<T>(&mut self, jobs: &mut Jobs<'_, T>, at: u32, class: Priority) {
        match self.discipline {
            Discipline::Fifo => {}
            Discipline::EarliestDeadline => {
                if let Some(job) = jobs.in_slot_mut(at) {
                    job.enter_deadlines();
                }
                self.deadlines.get_mut(class).insert(jobs, at);
            }
            Discipline::FairTenants => self.tenants.enter(jobs, at),
        }
    }

    /// Takes a job out. One that is served in turn advances the turns of the classes and is paid for by its tenant; one
    /// that left otherwise, or was served for its age, changes neither. O(1); O(log n) with deadlines or tenants.
    pub(super) fn leave<T>(&mut self, jobs: &mut Jobs<'_, T>, at: u32, is_in_turn: bool) {
        let Some(class) = jobs.in_slot(at).map(|job| job.class) else { return };
        self.arrivals.get_mut(class).unlink(jobs, at);
        match self.discipline {
            Discipline::Fifo => {}
            Discipline::EarliestDeadline => self.deadlines.get_mut(class).remove(jobs, at),
            Discipline::FairTenants => self.tenants.leave(jobs, at, is_in_turn),
        }
        if is_in_turn {
            self.turns.take(class);
        }
    }

    /// The first in service order; `aged_us` is the latest arrival that goes first for its age. O(1).
    pub(super) fn first<T>(&self, jobs: &Jobs<'_, T>, aged_us: Option<u64>) -> Option<u32> {
        let oldest = self.oldest(jobs).filter(|&at| jobs.in_slot(at).is_some_and(|job| job.is_aged(aged_us)));
        oldest.or_else(|| {
            let [interactive, batch] = [Priority::Interactive, Priority::Batch].map(|class| self.first_of(class));
            match self.turns.next(interactive != NONE, batch != NONE)? {
                Priority::Interactive => Some(interactive),
                Priority::Batch => Some(batch),
            }
        })
    }

    fn first_of(&self, class: Priority) -> u32 {
        match self.discipline {
            Discipline::Fifo => self.arrivals(class).first,
            Discipline::EarliestDeadline => self.deadlines.get(class).first(),
            Discipline::FairTenants => self.tenants.next(class),
        }
    }

    /// The oldest arrival of both classes. O(1).
    pub(super) fn oldest<T>(&self, jobs: &Jobs<'_, T>) -> Option<u32> {
        older(jobs, self.arrivals.interactive.first, self.arrivals.batch.first)
    }

    /// Other rules from now on. What waits stays; if its order depends on what changed, it is put in order as if it came
    /// anew, in the order of its arrival. O(1), or O(n log n). QUEUE-10.
    pub(super) fn set_rules<T>(&mut self, jobs: &mut Jobs<'_, T>, rules: &QueueRules) {
        if self.turns.weights() != rules.class_weights {
            self.turns = Turns::new(rules.class_weights);
        }
        if (self.discipline, self.quantum_tokens) == (rules.discipline, rules.tenant_quantum_tokens) {
            return;
        }
        self.discipline = rules.discipline;
        self.quantum_tokens = rules.tenant_quantum_tokens;
        self.deadlines = ByClass::default();
        self.tenants.clear(rules.tenant_quantum_tokens);
        let mut ahead = ByClass { interactive: self.arrivals.interactive.first, batch: self.arrivals.batch.first };
        while let Some(at) = older(jobs, ahead.interactive, ahead.batch)
            && let Some(class) = jobs.in_slot(at).map(|job| job.class)
        {
            *ahead.get_mut(class) = list::next::<_, InClass>(jobs, at);
            self.enter_discipline(jobs, at, class);
        }
    }
}

/// Of two jobs, either of which may be [`NONE`], the one that arrived first.
pub(super) fn older<T>(jobs: &Jobs<'_, T>, one: u32, another: u32) -> Option<u32> {
    match (jobs.in_slot(one), jobs.in_slot(another)) {
        (Some(first), Some(second)) if first.arrival() < second.arrival() => Some(one),
        (Some(_), None) => Some(one),
        (_, Some(_)) => Some(another),
        (None, None) => None,
    }
}
