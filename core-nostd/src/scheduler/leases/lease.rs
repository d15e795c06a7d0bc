//! One lease: what it holds, and what was reported of its job.

use core::mem::replace;

use super::links::LeaseLinks;
use crate::fleet::{KeptHandle, PoolHandle, PoolRegistry};
use crate::scheduler::event::UsageFacts;
use crate::values::flag_set::flag_set;
use crate::values::kept::{Kept32, Kept48};

/// Where a lease is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LeaseState {
    /// Its pool's room is taken; the engine has not said that the job runs.
    Reserved,
    /// The job runs, without a token yet.
    Running,
    /// The job produces tokens.
    Streaming,
}

/// A lease to be made. Times are in µs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NewLease<L, P> {
    /// The pool that was taken from.
    pub pool: PoolHandle,
    /// What [`PoolRegistry::commit`] returned.
    pub held: L,
    /// When the job was admitted.
    pub admitted_at_us: u64,
    /// When it will probably end, not counted from now.
    pub predicted_end_us: Option<u64>,
    /// How long it will probably wait in its pool before it starts; 0 where it takes a slot. LEASE-5.
    pub pool_wait_us: u64,
    /// Time of its prefill as predicted; 0 where it is not known. LEASE-8.
    pub prefill_us: u64,
    /// Tokens of its prompt.
    pub prompt_tokens: u32,
    /// What else the scheduler keeps of the job: nothing here reads it.
    pub job: P,
}

flag_set! {
    /// What is so of a lease.
    Marks: u8 {
        /// The pool's numbers count it. LEASE-3.
        COUNTED = 0,
        /// Its start was reported, or something that implies it.
        STARTED = 1,
        /// So was its first token.
        FIRST_TOKEN = 2,
        /// It is known when it will probably end.
        END_PREDICTED = 3,
    }
}

/// A lease. Times are in µs.
#[derive(Debug, Clone)]
pub struct Leased<L, P> {
    /// What was taken from the pool.
    pub held: L,
    /// What else the scheduler keeps of the job.
    pub job: P,
    pool: KeptHandle,
    marks: Marks,
    prompt_tokens: Kept32,
    tokens_out: Kept32,
    admitted_at_us: Kept48,
    reserved_at_us: Kept48,
    last_report_us: Kept48,
    predicted_end_us: Kept48,
    /// Until it starts: how long it will probably wait for that. From then on: when it started.
    start_us: Kept48,
    /// Until its first token: the time of its prefill, as far as it is pending. From then on: when the token came.
    first_token_us: Kept48,
    pub(super) links: LeaseLinks,
}

impl<L, P> Leased<L, P> {
    pub(in crate::scheduler) fn new(lease: NewLease<L, P>, now_us: u64) -> Self {
        let NewLease { pool, held, admitted_at_us, predicted_end_us, pool_wait_us, prefill_us, prompt_tokens, job } =
            lease;
        let (now_us, mut marks) = (Kept48::new(now_us), Marks::EMPTY);
        marks.set(Marks::COUNTED, true);
        marks.set(Marks::END_PREDICTED, predicted_end_us.is_some());
        Self {
            held,
            job,
            pool: KeptHandle::of(pool),
            marks,
            prompt_tokens: Kept32::new(prompt_tokens),
            tokens_out: Kept32::new(0),
            admitted_at_us: Kept48::at_most(admitted_at_us),
            reserved_at_us: now_us,
            last_report_us: now_us,
            predicted_end_us: Kept48::at_most(predicted_end_us.unwrap_or(0)),
            start_us: Kept48::at_most(pool_wait_us),
            first_token_us: Kept48::at_most(prefill_us),
            links: LeaseLinks::OUT,
        }
    }

    /// What it was made of.
    pub(super) fn into_new(self) -> NewLease<L, P> {
        NewLease {
            pool: self.pool(),
            admitted_at_us: self.admitted_at_us(),
            predicted_end_us: self.predicted_end_us(),
            pool_wait_us: self.pool_wait_us(),
            prefill_us: self.pending_prefill_us(),
            prompt_tokens: self.prompt_tokens(),
            held: self.held,
            job: self.job,
        }
    }

    /// Its pool, from its beginning to its end. LEASE-2.
    #[must_use]
    pub fn pool(&self) -> PoolHandle {
        self.pool.get()
    }

    /// Whether the pool's numbers count it: only then it has something to give back. LEASE-3.
    #[must_use]
    pub const fn is_counted(&self) -> bool {
        self.marks.has(Marks::COUNTED)
    }

    pub(super) const fn count(&mut self, is_counted: bool) {
        self.marks.set(Marks::COUNTED, is_counted);
    }

    /// When the job was admitted.
    #[must_use]
    pub const fn admitted_at_us(&self) -> u64 {
        self.admitted_at_us.get()
    }

    /// When the lease was made.
    #[must_use]
    pub const fn reserved_at_us(&self) -> u64 {
        self.reserved_at_us.get()
    }

    /// When something was last reported of it; first, when the lease was made.
    #[must_use]
    pub const fn last_report_us(&self) -> u64 {
        self.last_report_us.get()
    }

    /// Notes when something was last reported of it.
    pub(in crate::scheduler) const fn hear(&mut self, now_us: u64) {
        self.last_report_us = Kept48::new(now_us);
    }

    /// How long it will probably wait in its pool, as seen at its dispatch; 0 once it started. LEASE-5.
    #[must_use]
    pub const fn pool_wait_us(&self) -> u64 {
        if self.marks.has(Marks::STARTED) { 0 } else { self.start_us.get() }
    }

    /// Time of its prefill as predicted, until its first token came; then 0. LEASE-8.
    #[must_use]
    pub const fn pending_prefill_us(&self) -> u64 {
        if self.marks.has(Marks::FIRST_TOKEN) { 0 } else { self.first_token_us.get() }
    }

    /// Its prefill is done, or never will be: how long it was pending.
    pub(super) const fn take_prefill(&mut self) -> u64 {
        if self.marks.has(Marks::FIRST_TOKEN) { 0 } else { replace(&mut self.first_token_us, Kept48::ZERO).get() }
    }

    /// Tokens of its prompt.
    #[must_use]
    pub const fn prompt_tokens(&self) -> u32 {
        self.prompt_tokens.get()
    }

    /// Tokens produced, as far as was reported.
    #[must_use]
    pub const fn tokens_out(&self) -> u32 {
        self.tokens_out.get()
    }

    pub(in crate::scheduler) const fn produce(&mut self, tokens_out: u32) {
        self.tokens_out = Kept32::new(tokens_out);
    }

    /// When the job started, as far as was reported.
    #[must_use]
    pub const fn started_at_us(&self) -> Option<u64> {
        if self.marks.has(Marks::STARTED) { Some(self.start_us.get()) } else { None }
    }

    /// When it produced its first token, as far as was reported.
    #[must_use]
    pub const fn first_token_at_us(&self) -> Option<u64> {
        if self.marks.has(Marks::FIRST_TOKEN) { Some(self.first_token_us.get()) } else { None }
    }

    /// When it will probably end, as seen at its dispatch.
    #[must_use]
    pub const fn predicted_end_us(&self) -> Option<u64> {
        if self.marks.has(Marks::END_PREDICTED) { Some(self.predicted_end_us.get()) } else { None }
    }

    /// Notes its start, if it has not started.
    pub(super) const fn start(&mut self, now_us: u64) {
        if !self.marks.has(Marks::STARTED) {
            self.marks.set(Marks::STARTED, true);
            self.start_us = Kept48::new(now_us);
        }
    }

    pub(super) const fn produce_first_token(&mut self, now_us: u64) {
        self.marks.set(Marks::FIRST_TOKEN, true);
        self.first_token_us = Kept48::new(now_us);
    }

    /// The times of a lease as it was. STATE-1.
    pub(in crate::scheduler) const fn restore_start(&mut self, started: Option<u64>, first_token: Option<u64>) {
        if let Some(at_us) = started {
            self.start(at_us);
        }
        if let Some(at_us) = first_token {
            self.produce_first_token(at_us);
        }
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn state(&self) -> LeaseState {
        match (self.marks.has(Marks::STARTED), self.marks.has(Marks::FIRST_TOKEN)) {
            (false, _) => LeaseState::Reserved,
            (true, false) => LeaseState::Running,
            (true, true) => LeaseState::Streaming,
        }
    }

    /// When it should start: its start timeout counts from then. LEASE-5.
    pub(super) const fn expected_start_us(&self) -> u64 {
        self.reserved_at_us().saturating_add(self.pool_wait_us())
    }

    /// What the job used if it ends now. BUDGET-2.
    ///
    /// `tokens_out` is what the end reports, 0 where it reports nothing; where more was reported before, that stands.
    /// A job that produced tokens had started, also where its start was not reported; its run time is then unknown: 0.
    #[must_use]
    pub fn usage(&self, now_us: u64, tokens_out: u32) -> UsageFacts {
        let tokens_out = tokens_out.max(self.tokens_out());
        let has_run = self.started_at_us().is_some() || tokens_out > 0;
        let since = |at: Option<u64>| at.map_or(0, |at| now_us.saturating_sub(at));
        UsageFacts {
            tokens_in: if has_run { self.prompt_tokens() } else { 0 },
            tokens_out,
            run_us: since(self.started_at_us()),
            decode_us: since(self.first_token_at_us()),
        }
    }

    /// Gives back to the pool what a lease that ended still holds of it, and returns what was kept of the job.
    ///
    /// Nothing where the pool's numbers do not count it (LEASE-3), or the pool is gone (LEASE-4).
    pub fn give_back_to<R: PoolRegistry<Lease = L>>(self, registry: &mut R) -> P {
        if self.is_counted() {
            registry.release(self.pool(), self.held);
        }
        self.job
    }
}
