//! A table per rule, and random sequences against a naive model.

mod model;
mod random;
mod rules;

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::*;
use crate::scheduler::policy::SchedulerPolicy;

/// Bytes for the longest id and its length.
const ID_STRIDE: usize = 65;

/// Storage of a queue that owns itself, for tests.
pub(super) struct Room {
    jobs: Vec<WaitingSlot<u32>>,
    buckets: Vec<u32>,
    ids: Vec<u8>,
    job_tenants: Vec<u8>,
    tenants: Vec<TenantSlot>,
    tenant_buckets: Vec<u32>,
    tenant_ids: Vec<u8>,
}

impl Room {
    pub(super) fn new(jobs: usize, tenants: usize) -> Self {
        Self {
            jobs: vec![WaitingSlot::EMPTY; jobs],
            buckets: vec![0; jobs.max(1)],
            ids: vec![0; jobs * ID_STRIDE],
            job_tenants: vec![0; jobs * ID_STRIDE],
            tenants: vec![TenantSlot::EMPTY; tenants],
            tenant_buckets: vec![0; tenants],
            tenant_ids: vec![0; tenants * ID_STRIDE],
        }
    }

    pub(super) fn queue(&mut self, rules: QueueRules) -> Queue<'_, u32> {
        let Self { jobs, buckets, ids, job_tenants, tenants, tenant_buckets, tenant_ids } = self;
        let storage = QueueStorage { jobs, buckets, ids, job_tenants, tenants, tenant_buckets, tenant_ids };
        Queue::new(storage, rules)
    }
}

/// The default rules, changed.
fn rules(change: impl FnOnce(&mut QueueRules)) -> QueueRules {
    let mut rules = SchedulerPolicy::default().queue;
    change(&mut rules);
    rules
}

fn job(id: &str, class: Priority) -> Arrival<'_> {
    Arrival { id, class, tokens: 10, deadline_at_us: None, tenant: "" }
}

fn interactive(id: &str) -> Arrival<'_> {
    job(id, Priority::Interactive)
}

fn batch(id: &str) -> Arrival<'_> {
    job(id, Priority::Batch)
}

/// Enqueues at time 0 and expects room.
fn enqueue(queue: &mut Queue<'_, u32>, arrival: &Arrival<'_>) -> Ticket {
    let enqueued = queue.enqueue(arrival, 0, 0).unwrap();
    assert_eq!(enqueued.evicted, None);
    enqueued.ticket
}

/// Pops everything.
fn drain(queue: &mut Queue<'_, u32>, now_us: u64) -> Vec<String> {
    core::iter::from_fn(|| queue.pop(now_us)).map(|departed| departed.id.to_string()).collect()
}

fn ids(queue: &Queue<'_, u32>, class: Priority) -> Vec<String> {
    queue.ids(class).map(ToString::to_string).collect()
}
