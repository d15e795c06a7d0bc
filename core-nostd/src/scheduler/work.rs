//! What a job brings along from its admission to its end, and what is kept of that while it waits and while it runs.
//!
//! There are as many rows of these as jobs fit, so what the queue and the leases keep anyway is not kept again, nor what
//! follows from the rest: what a job's session holds for it is that of its admission, but for the time.

use super::budget::BudgetAmounts;
use super::leases::Leased;
use super::queue::{Departed, WaitingFacts};
use super::refusals::Wants;
use crate::input::Priority;
use crate::storage::{MaybeTicket, Ticket};
use crate::values::kept::{Kept32, Kept48, Kept64};

/// What a job brings along from its admission to its end, whether it waits or has a lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) priority: Priority,
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
    pub(super) micros_per_1000_tokens: u32,
    pub(super) admitted_at_us: u64,
    pub(super) deadline_at_us: Option<u64>,
    pub(super) session: Option<Ticket>,
    /// The time that its session's ledger holds for it. BUDGET-2.
    pub(super) held_time_us: u64,
}

impl Work {
    /// What its session's ledger holds for it. BUDGET-2.
    pub(super) fn held(&self) -> BudgetAmounts {
        let at_admission =
            BudgetAmounts::at_admission(self.prompt_tokens, self.output_tokens, self.micros_per_1000_tokens);
        BudgetAmounts { time_us: self.held_time_us, ..at_admission }
    }
}

/// The epoch that never is.
const NEVER: u32 = 0;

/// What a scheduler keeps of a waiting job, beside its bytes and what its queue knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WaitingJob {
    /// What it asks of a pool, as far as the queue does not know that, once somebody asked for it. QUEUE-13.
    kind: Kept64,
    kv_units: Kept32,
    /// The epoch in which no pool could take it.
    refused_in: Kept32,
    session: MaybeTicket,
    output_tokens: Kept32,
    micros_per_1000_tokens: Kept32,
}

impl WaitingJob {
    pub(super) fn new(work: &Work, wants: &Wants) -> Self {
        Self {
            kind: Kept64::new(wants.kind()),
            kv_units: Kept32::new(wants.kv_units()),
            refused_in: Kept32::new(NEVER),
            session: MaybeTicket::from(work.session),
            output_tokens: Kept32::new(work.output_tokens),
            micros_per_1000_tokens: Kept32::new(work.micros_per_1000_tokens),
        }
    }

    /// What it asks of a pool, as far as that is compared for equality; unknown until somebody asked for it. QUEUE-13.
    pub(super) const fn kind(&self) -> u64 {
        self.kind.get()
    }

    pub(super) const fn was_refused_in(&self, epoch: u32) -> bool {
        self.refused_in.get() == epoch
    }

    pub(super) const fn refuse_in(&mut self, epoch: u32, wants: &Wants) {
        self.refused_in = Kept32::new(epoch);
        self.kind = Kept64::new(wants.kind());
        self.kv_units = Kept32::new(wants.kv_units());
    }

    /// What it asks of a pool, if that is known. QUEUE-13.
    pub(super) const fn wants(&self, queued: &WaitingFacts) -> Wants {
        Wants::kept(self.kind.get(), queued.tokens, self.kv_units.get())
    }

    pub(super) fn work(&self, queued: &WaitingFacts) -> Work {
        Work {
            priority: queued.class,
            prompt_tokens: queued.tokens.saturating_sub(self.output_tokens.get()),
            output_tokens: self.output_tokens.get(),
            micros_per_1000_tokens: self.micros_per_1000_tokens.get(),
            admitted_at_us: queued.arrived_us,
            deadline_at_us: queued.deadline_at_us,
            session: self.session.get(),
            held_time_us: BudgetAmounts::SHORTEST_RUN_US,
        }
    }
}

impl Departed<WaitingJob> {
    pub(super) fn work(&self) -> Work {
        self.payload.work(&self.facts)
    }
}

/// What a scheduler keeps of a job that runs, beside what its lease knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RunningJob {
    deadline_at_us: Kept48,
    held_time_us: Kept48,
    session: MaybeTicket,
    output_tokens: Kept32,
    micros_per_1000_tokens: Kept32,
    priority: Priority,
}

impl RunningJob {
    pub(super) fn new(work: &Work) -> Self {
        Self {
            deadline_at_us: Kept48::or_never(work.deadline_at_us),
            held_time_us: Kept48::new(work.held_time_us),
            session: MaybeTicket::from(work.session),
            output_tokens: Kept32::new(work.output_tokens),
            micros_per_1000_tokens: Kept32::new(work.micros_per_1000_tokens),
            priority: work.priority,
        }
    }
}

impl<L> Leased<L, RunningJob> {
    pub(super) fn work(&self) -> Work {
        let job = &self.job;
        Work {
            priority: job.priority,
            prompt_tokens: self.prompt_tokens(),
            output_tokens: job.output_tokens.get(),
            micros_per_1000_tokens: job.micros_per_1000_tokens.get(),
            admitted_at_us: self.admitted_at_us(),
            deadline_at_us: job.deadline_at_us.unless_never(),
            session: job.session.get(),
            held_time_us: job.held_time_us.get(),
        }
    }
}
