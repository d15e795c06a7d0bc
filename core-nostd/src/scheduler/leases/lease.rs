//! One lease: what it holds, and what was reported of its job.

use super::links::LeaseLinks;
use crate::fleet::{PoolHandle, PoolRegistry};
use crate::scheduler::event::UsageFacts;

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

/// A lease. Times are in µs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Leased<L, P> {
    /// Its pool, from its beginning to its end. LEASE-2.
    pub pool: PoolHandle,
    /// What was taken from the pool.
    pub held: L,
    /// When the job was admitted.
    pub admitted_at_us: u64,
    /// When the lease was made.
    pub reserved_at_us: u64,
    /// When something was last reported of it; first, when the lease was made.
    pub last_report_us: u64,
    /// How long it will probably wait in its pool, as seen at its dispatch. LEASE-5.
    pub pool_wait_us: u64,
    /// Time of its prefill as predicted, until its first token came; then 0. LEASE-8.
    pub pending_prefill_us: u64,
    /// Tokens of its prompt.
    pub prompt_tokens: u32,
    /// Tokens produced, as far as was reported.
    pub tokens_out: u32,
    /// What else the scheduler keeps of the job.
    pub job: P,
    /// Whether the pool's numbers count it: only then it has something to give back. LEASE-3.
    pub counted: bool,
    // Times with their options apart: 9 bytes each, not 16.
    has_started: bool,
    has_first_token: bool,
    has_predicted_end: bool,
    started_at_us: u64,
    first_token_at_us: u64,
    predicted_end_us: u64,
    pub(super) links: LeaseLinks,
}

impl<L, P> Leased<L, P> {
    pub(in crate::scheduler) fn new(lease: NewLease<L, P>, now_us: u64) -> Self {
        let NewLease { pool, held, admitted_at_us, predicted_end_us, pool_wait_us, prefill_us, prompt_tokens, job } =
            lease;
        Self {
            pool,
            held,
            counted: true,
            admitted_at_us,
            reserved_at_us: now_us,
            last_report_us: now_us,
            pool_wait_us,
            pending_prefill_us: prefill_us,
            prompt_tokens,
            tokens_out: 0,
            job,
            has_started: false,
            has_first_token: false,
            has_predicted_end: predicted_end_us.is_some(),
            started_at_us: 0,
            first_token_at_us: 0,
            predicted_end_us: predicted_end_us.unwrap_or(0),
            links: LeaseLinks::OUT,
        }
    }

    /// What it was made of.
    pub(super) fn into_new(self) -> NewLease<L, P> {
        let predicted_end_us = self.predicted_end_us();
        NewLease {
            pool: self.pool,
            held: self.held,
            admitted_at_us: self.admitted_at_us,
            predicted_end_us,
            pool_wait_us: self.pool_wait_us,
            prefill_us: self.pending_prefill_us,
            prompt_tokens: self.prompt_tokens,
            job: self.job,
        }
    }

    /// When the job started, as far as was reported.
    #[must_use]
    pub const fn started_at_us(&self) -> Option<u64> {
        if self.has_started { Some(self.started_at_us) } else { None }
    }

    /// When it produced its first token, as far as was reported.
    #[must_use]
    pub const fn first_token_at_us(&self) -> Option<u64> {
        if self.has_first_token { Some(self.first_token_at_us) } else { None }
    }

    /// When it will probably end, as seen at its dispatch.
    #[must_use]
    pub const fn predicted_end_us(&self) -> Option<u64> {
        if self.has_predicted_end { Some(self.predicted_end_us) } else { None }
    }

    /// Notes its start, if it has not started.
    pub(super) const fn start(&mut self, now_us: u64) {
        if !self.has_started {
            (self.has_started, self.started_at_us) = (true, now_us);
        }
    }

    pub(super) const fn produce_first_token(&mut self, now_us: u64) {
        (self.has_first_token, self.first_token_at_us) = (true, now_us);
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
        match (self.has_started, self.has_first_token) {
            (false, _) => LeaseState::Reserved,
            (true, false) => LeaseState::Running,
            (true, true) => LeaseState::Streaming,
        }
    }

    /// When it should start: its start timeout counts from then. LEASE-5.
    pub(super) const fn expected_start_us(&self) -> u64 {
        self.reserved_at_us.saturating_add(self.pool_wait_us)
    }

    /// What the job used if it ends now. BUDGET-2.
    ///
    /// `tokens_out` is what the end reports, 0 where it reports nothing; where more was reported before, that stands.
    /// A job that produced tokens had started, also where its start was not reported; its run time is then unknown: 0.
    #[must_use]
    pub fn usage(&self, now_us: u64, tokens_out: u32) -> UsageFacts {
        let tokens_out = tokens_out.max(self.tokens_out);
        let has_run = self.has_started || tokens_out > 0;
        let since = |at: Option<u64>| at.map_or(0, |at| now_us.saturating_sub(at));
        UsageFacts {
            tokens_in: if has_run { self.prompt_tokens } else { 0 },
            tokens_out,
            run_us: since(self.started_at_us()),
            decode_us: since(self.first_token_at_us()),
        }
    }

    /// Gives back to the pool what a lease that ended still holds of it, and returns what was kept of the job.
    ///
    /// Nothing where the pool's numbers do not count it (LEASE-3), or the pool is gone (LEASE-4).
    pub fn give_back_to<R: PoolRegistry<Lease = L>>(self, registry: &mut R) -> P {
        if self.counted {
            registry.release(self.pool, self.held);
        }
        self.job
    }
}
