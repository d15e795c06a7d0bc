//! Prefills that are pending make the next one in their pool wait. LEASE-8.
//!
//! An engine prefills about one prompt at a time. Until a job's first token is reported, or its end, whoever comes after
//! it waits for its prefill. So the pool's row has the sum of these beside the admission latency that the pool publishes,
//! times a weight: a wait for the first token is worse than as long a time between tokens. What is said of a start and an
//! end is without the weight.
//!
//! Invariant: between two inputs the admission latency in a pool's row is what its last snapshot says plus the weighted
//! predicted prefills of its leases without a first token, at most 2^46 - 1.

use super::machine::Scheduler;
use crate::fleet::{PoolHandle, PoolRegistry};
use crate::placement::Assignment;
use crate::policy::Policy;
use crate::rows::PoolRow;
use crate::rule::score::ScoreTerms;
use crate::storage::Ticket;

impl<F: PoolRegistry> Scheduler<'_, F> {
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
        if let Some(pool) = self.leases.get(ticket).map(|lease| lease.pool) {
            self.note_prefills(pool);
        }
    }

    /// Leases of the pool came, went or had their first token.
    pub(super) fn note_prefills(&mut self, pool: PoolHandle) {
        if let Some(published_us) = self.pools.admission_latency_us(pool) {
            let weighted_us = self.leases.pending_prefill_us(pool).saturating_mul(self.rules.prefill_weight.into());
            self.fleet.set_admission_latency(pool, published_us.saturating_add(weighted_us));
        }
    }
}

/// What stands in a pool's row for pending prefills and is no part of a predicted time, in µs: all of it where the job
/// waits for a slot, because the service times of WAIT-2 have it, and what the weight adds where it does not.
pub(super) fn untold_us(pending_us: u64, weight: u8, waits_for_slot: bool) -> u64 {
    let times = if waits_for_slot { weight } else { weight.saturating_sub(1) };
    pending_us.saturating_mul(times.into())
}

/// The part of a predicted service before its first token, in µs; 0 where it is not known.
pub(super) fn prefill_us(row: &PoolRow, policy: &Policy, assignment: &Assignment, output_tokens: u32) -> u64 {
    let service_us = assignment.end_us.map_or(0, |end_us| end_us.saturating_sub(assignment.start_us));
    let decode_q10 = ScoreTerms::of(row, policy, true).decode_q10.unwrap_or(0);
    // 32 by 24 bits.
    service_us.saturating_sub(u64::from(decode_q10).saturating_mul(output_tokens.into()) >> 10)
}
