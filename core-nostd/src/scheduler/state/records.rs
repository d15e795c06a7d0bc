//! The parts of a state, as they are written and read. `docs/state.md`.

use heapless::Vec;

use super::error::StateError;
use super::times::Moment;
use crate::codec::{Decode, DecodeError, DecodeProblem, Encode, Fixed, OutOfRoom, Raw, Reader, Sink};
use crate::commit::{DeviceShare, Lease};
use crate::fleet::PoolFacts;
use crate::input::{BudgetLimits, Priority};
use crate::limits::DEVICES_MAX;
use crate::scheduler::BudgetAmounts;
use crate::scheduler::forecast::BUCKETS;
use crate::scheduler::policy::{ClassWeights, Discipline};
use crate::values::hash::Xxh64;

/// Hands bytes on and keeps their checksum.
pub(super) struct Checked<'s, S: ?Sized> {
    pub(super) sink: &'s mut S,
    pub(super) hash: Xxh64,
}

impl<S: Sink + ?Sized> Sink for Checked<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        self.hash.update(bytes);
        self.sink.write(bytes)
    }
}

/// What a state begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prelude {
    pub(super) placement_hash: Fixed,
    pub(super) scheduler_hash: Fixed,
    /// The age of the earliest time in the state.
    pub(super) oldest_age_us: u64,
    pub(super) room: RoomNeeded,
    pub(super) measured: Measured,
    pub(super) order: OrderRecord,
}

coded_struct!(Prelude { placement_hash, scheduler_hash, oldest_age_us, room, measured, order });

/// What a state needs room for.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoomNeeded {
    pub(super) waiting_jobs: u32,
    /// Of the largest job.
    pub(super) job_bytes: usize,
    /// With a turn of their own.
    pub(super) tenants: u32,
    pub(super) leases: u32,
    pub(super) sessions: u32,
}

coded_struct!(RoomNeeded { waiting_jobs, job_bytes, tenants, leases, sessions });

/// What was measured. ADMIT-3, FORECAST-2, FORECAST-3.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) drain_interval_us: Option<u64>,
    /// The last service, where jobs have waited since without a gap: else it is the start of no sample.
    pub(super) last_service_age_us: Option<u64>,
    /// How far ahead the last forecasts of the classes are; 0 where they hold nothing back.
    pub(super) interactive_ahead_us: u64,
    pub(super) batch_ahead_us: u64,
    pub(super) errors: Errors,
}

coded_struct!(Measured { drain_interval_us, last_service_age_us, interactive_ahead_us, batch_ahead_us, errors });

/// Forecast errors by bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errors(pub(super) [u32; BUCKETS]);

impl Encode for Errors {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        self.0.iter().try_for_each(|count| count.encode(sink))
    }
}

impl Decode<'_> for Errors {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut counts = [0; BUCKETS];
        for count in &mut counts {
            *count = reader.take()?;
        }
        Ok(Self(counts))
    }
}

/// Where the service order stands. QUEUE-8, QUEUE-10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct OrderRecord {
    pub(in crate::scheduler) discipline: Discipline,
    pub(in crate::scheduler) quantum_tokens: u32,
    pub(in crate::scheduler) weights: Option<ClassWeights>,
    /// Whose turn it is, and for how many services more.
    pub(in crate::scheduler) turn_of: Priority,
    pub(in crate::scheduler) turns_left: u32,
    /// The rounds that were served last.
    pub(in crate::scheduler) interactive_round: u64,
    pub(in crate::scheduler) batch_round: u64,
    /// Jobs that arrived so far.
    pub(in crate::scheduler) arrivals: u64,
}

coded_struct!(OrderRecord {
    discipline,
    quantum_tokens,
    weights,
    turn_of,
    turns_left,
    interactive_round,
    batch_round,
    arrivals,
});

/// A job's place in the service order, beside its class and its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct PlaceRecord {
    /// Arrivals before it.
    pub(in crate::scheduler) arrival: u64,
    pub(in crate::scheduler) overtaken: u32,
    /// Whether it shares its turn with tenants that have none of their own.
    pub(in crate::scheduler) shares_turn: bool,
    /// The account of its tenant, where it is that tenant's first job.
    pub(in crate::scheduler) account: Option<AccountRecord>,
}

coded_struct!(PlaceRecord { arrival, overtaken, shares_turn, account });

/// A tenant's account in a class. QUEUE-10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct AccountRecord {
    pub(in crate::scheduler) round: u64,
    pub(in crate::scheduler) deficit: u64,
    /// The arrival that began it.
    pub(in crate::scheduler) since: u64,
}

coded_struct!(AccountRecord { round, deficit, since });

/// A session. SESSION-1, BUDGET-1. How many jobs it has, and what they hold, is said by those.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionRecord<'a> {
    pub(super) id: &'a str,
    /// Idle ones come first, the least recently used before the others.
    pub(super) is_idle: bool,
    /// The pool that has its KV cache: id and replica.
    pub(super) pool: Option<(&'a str, &'a str)>,
    pub(super) cached_tokens: u32,
    pub(super) turns: u32,
    pub(super) last_used_age_us: u64,
    pub(super) limits: BudgetLimits,
    pub(super) spent: BudgetAmounts,
}

coded_struct!(SessionRecord<'a> { id, is_idle, pool, cached_tokens, turns, last_used_age_us, limits, spent });
coded_struct!(BudgetLimits { tokens, time_us, cost_micros });
coded_struct!(BudgetAmounts { tokens, time_us, cost_micros });

/// What a job brings along from its admission to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct WorkRecord {
    pub(super) priority: Priority,
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
    pub(super) micros_per_1000_tokens: u32,
    pub(super) admitted_age_us: u64,
    pub(super) deadline: Option<Moment>,
    pub(super) held: BudgetAmounts,
}

coded_struct!(WorkRecord {
    priority,
    prompt_tokens,
    output_tokens,
    micros_per_1000_tokens,
    admitted_age_us,
    deadline,
    held,
});

/// A waiting job. Its id, its tenant and its session's id are in its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobRecord<'a> {
    pub(super) work: WorkRecord,
    pub(super) place: PlaceRecord,
    /// Whether the session that took it in is still there.
    pub(super) in_session: bool,
    pub(super) job: Bytes<'a>,
}

coded_struct!(JobRecord<'a> { work, place, in_session, job });

/// Bytes after their number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Encode for Bytes<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        (self.0.len(), Raw(self.0)).encode(sink)
    }
}

impl<'a> Decode<'a> for Bytes<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = reader.take()?;
        reader.take_bytes(count).map(Self)
    }
}

/// A pool that has leases, or is drained on request; its leases follow, in the order of their reservation.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolEntry<'a> {
    pub(super) pool: PoolFacts<'a>,
    pub(super) is_drained: bool,
    pub(super) leases: u32,
}

coded_struct!(PoolEntry<'a> { pool, is_drained, leases });

/// A lease.
#[derive(Debug, Clone)]
pub(super) struct LeaseRecord<'a> {
    pub(super) id: &'a str,
    pub(super) work: WorkRecord,
    /// The session that took it in, if it is still there.
    pub(super) session: Option<&'a str>,
    /// Empty where it is not known.
    pub(super) model_id: &'a str,
    pub(super) reserved_age_us: u64,
    pub(super) started_age_us: Option<u64>,
    pub(super) first_token_age_us: Option<u64>,
    pub(super) last_report_age_us: u64,
    pub(super) predicted_end: Option<Moment>,
    /// From its reservation on.
    pub(super) pool_wait_us: u64,
    pub(super) pending_prefill_us: u64,
    pub(super) tokens_out: u32,
    pub(super) taken: Lease,
}

coded_struct!(LeaseRecord<'a> {
    id,
    work,
    session,
    model_id,
    reserved_age_us,
    started_age_us,
    first_token_age_us,
    last_report_age_us,
    predicted_end,
    pool_wait_us,
    pending_prefill_us,
    tokens_out,
    taken,
});

/// What was taken from a pool. Its rank is not: it is that of another fleet.
impl Encode for Lease {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self { kv_bytes, weight_bytes, rank: _, devices, waits, resident } = self;
        (kv_bytes, weight_bytes, waits, resident).encode(sink)?;
        devices.as_slice().encode(sink)
    }
}

impl Decode<'_> for Lease {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kv_bytes, weight_bytes) = (reader.take()?, reader.take()?);
        let (waits, resident) = (reader.take()?, reader.take()?);
        let mut devices = Vec::new();
        for _ in 0..reader.take::<usize>()? {
            let full = DecodeProblem::TooMany { max: DEVICES_MAX };
            let share = reader.take()?;
            devices.push(share).or_else(|_| reader.fail(full))?;
        }
        Ok(Self { kv_bytes, weight_bytes, rank: 0, devices, waits, resident })
    }
}

impl Encode for DeviceShare {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        (self.position, self.kv_bytes(), self.weight_bytes()).encode(sink)
    }
}

impl Decode<'_> for DeviceShare {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (position, kv_bytes, weight_bytes) = (reader.take()?, reader.take()?, reader.take()?);
        Self::new(position, kv_bytes, weight_bytes).map_or_else(|| reader.fail(DecodeProblem::OutOfRange), Ok)
    }
}

/// Walks through pools and their leases, as they stand in a state: each pool, and each of its leases with it.
pub(super) fn each_pool<'a>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(&PoolEntry<'a>, Option<&LeaseRecord<'a>>) -> Result<(), StateError>,
) -> Result<(), StateError> {
    for _ in 0..reader.take::<u32>()? {
        let pool = reader.take()?;
        each(&pool, None)?;
        for _ in 0..pool.leases {
            each(&pool, Some(&reader.take()?))?;
        }
    }
    Ok(())
}
