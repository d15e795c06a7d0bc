//! What a snapshot had not seen is taken again. LEASE-3.
//!
//! ```text
//!   reserved r1          snapshot observed t          reserved r2          snapshot arrives
//!   ────┬────────────────────────┬───────────────────────┬────────────────────────┬───────▶ time
//!   r1 < t: in its numbers                          r2 >= t: not in its numbers, taken again
//! ```
//! Without this a pool that reports every second would look free for that second, whatever was dispatched to it since.
//! What a snapshot cannot tell is on the safe side: a lease that ended after `t` keeps its room until the next one.

use super::Leases;
use super::links::InPool;
use crate::fleet::{PoolHandle, PoolRegistry};
use crate::storage::list::next;

/// Takes from a pool again what its new snapshot, observed at `observed_at_us`, had not seen: the leases that were
/// reserved then or later, in the order of their reservation. Returns how many were taken again. LEASE-3.
///
/// Call it after each [`PoolRegistry::upsert`] of a pool that was there. Afterwards every lease of the pool says whether
/// the pool's numbers count it. O(leases of the pool).
pub fn credit_after_snapshot<R: PoolRegistry, P>(
    registry: &mut R,
    leases: &mut Leases<'_, R::Lease, P>,
    pool: PoolHandle,
    observed_at_us: u64,
) -> u32 {
    let mut retaken = 0u32;
    let mut slot = leases.head_of(pool);
    while let Some(lease) = leases.table.in_slot_mut(slot) {
        if lease.pool() == pool {
            let is_seen = lease.reserved_at_us() < observed_at_us;
            let is_retaken = !is_seen && registry.retake(pool, &lease.held);
            lease.count(is_seen || is_retaken);
            retaken = retaken.saturating_add(u32::from(is_retaken));
        }
        slot = next::<_, InPool>(&leases.table, slot);
    }
    retaken
}
