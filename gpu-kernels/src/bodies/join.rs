//! What the parts of the pools found for a job, joined.

use super::leaders::Leaders;
use crate::block::{Block, Output, place};
use crate::records::Found;

/// The kernel `merge_parts`.
#[inline(always)] // Into its kernel.
pub fn merge_parts<B: Block>(
    block: &mut B,
    parts_found: &[Found],
    jobs: u32,
    parts: u32,
    found: &mut (impl Output<Found> + ?Sized),
) {
    let block_index = block.index();
    let mut threads = block.all(());
    block.each(&mut threads, |thread, ()| {
        let job = place(block_index, thread);
        if job < jobs.into() {
            found.put(job, joined(of_job(parts_found, job, parts)));
        }
    });
}

/// The parts of a job, as far as there are any.
#[inline(always)]
fn of_job(parts_found: &[Found], job: u64, parts: u32) -> &[Found] {
    let start = usize::try_from(job).ok().and_then(|job| job.checked_mul(parts as usize));
    start.and_then(|start| parts_found.get(start..)?.get(..parts as usize)).unwrap_or_default()
}

#[inline(always)]
fn joined(parts: &[Found]) -> Found {
    let (mut leaders, mut feasible) = (Leaders::NONE, 0u32);
    for part in parts {
        let [first, second] = part.keys;
        if part.keys_len > 0 && leaders.offer(first) && part.keys_len > 1 {
            leaders.offer(second);
        }
        feasible = feasible.wrapping_add(part.feasible);
    }
    leaders.found(feasible)
}
