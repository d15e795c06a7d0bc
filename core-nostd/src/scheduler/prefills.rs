//! Prefills that are pending make the next one in their pool wait. LEASE-8.
//!
//! An engine prefills about one prompt at a time. Until a job's first token is reported, or its end, whoever comes after
//! it waits for its prefill. So the pool's row has the sum of these beside the admission latency that the pool publishes.
//!
//! And a wait for the first token is worse than as long a time between tokens: decisions weigh decode times by so much
//! less. All that comes before the first token has one weight, also the job's own prefill: else a job would leave a pool
//! that holds its long prompt for one where it has to be prefilled first, because another one's prefill is pending here.
//! What is said of a start and an end is without the weight.
//!
//! Invariant: between two inputs the admission latency in a pool's row is what its last snapshot says plus the predicted
//! prefills of its leases without a first token, at most 2^46 - 1; the former alone where the weight is 0.

use super::machine::Scheduler;
use crate::fleet::{PoolHandle, PoolRegistry};
use crate::placement::Assignment;
use crate::policy::Policy;
use crate::rows::PoolRow;
use crate::rule::score::ScoreTerms;
use crate::storage::Ticket;

impl<F: PoolRegistry> Scheduler<'_, F> {
    /// The placement policy as decisions have it.
    #[must_use]
    pub fn deciding_policy(&self) -> Policy {
        self.placement.with_decode_over(self.rules.prefill_weight)
    }

    /// A snapshot stands: what the pool publishes is in its row.
    pub(super) fn note_published_latency(&mut self, pool: PoolHandle) {
        let published_us = self.fleet.row(pool).map_or(0, |row| row.admission_latency_us);
        self.pools.set_admission_latency(pool, published_us);
        self.note_prefills(pool);
    }

    /// Leases, or the weight, changed in all pools. O(pools).
    pub(super) fn note_all_prefills(&mut self) {
        for rank in 0..self.fleet.len() {
            if let Some(pool) = self.fleet.at_rank(rank) {
                self.note_prefills(pool);
            }
        }
    }

    /// A job's first token was reported.
    pub(super) fn prefills_changed(&mut self, ticket: Ticket) {
        if let Some(pool) = self.leases.get(ticket).map(|lease| lease.pool()) {
            self.note_prefills(pool);
        }
    }

    /// Leases of the pool came, went or had their first token.
    pub(super) fn note_prefills(&mut self, pool: PoolHandle) {
        if let Some(published_us) = self.pools.admission_latency_us(pool) {
            self.fleet.set_admission_latency(pool, published_us.saturating_add(self.counted_prefills_us(pool)));
        }
    }

    /// What stands in a pool's row for its pending prefills, in µs.
    pub(super) fn counted_prefills_us(&self, pool: PoolHandle) -> u64 {
        if self.rules.prefill_weight == 0 { 0 } else { self.leases.pending_prefill_us(pool) }
    }
}

/// The part of a predicted service before its first token, in µs; 0 where it is not known.
pub(super) fn prefill_us(row: &PoolRow, policy: &Policy, assignment: &Assignment, output_tokens: u32) -> u64 {
    let service_us = assignment.end_us.map_or(0, |end_us| end_us.saturating_sub(assignment.start_us));
    let decode_q10 = ScoreTerms::of(row, policy, true).decode_q10.unwrap_or(0);
    // 32 by 24 bits.
    service_us.saturating_sub(u64::from(decode_q10).saturating_mul(output_tokens.into()) >> 10)
}
