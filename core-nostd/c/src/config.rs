//! How large a scheduler is, and which policies it begins with.

use core::mem::offset_of;
use core::ptr::null;

use orchestrator_core::Problem;

use crate::codes::{Fault, OC_BAD_VALUE};
use crate::policy::{oc_placement_policy, oc_scheduler_policy};
use crate::prices::{PRICES_MAX, oc_price};
use crate::storage::Sizes;
use crate::versioned::{Versioned, read};

/// No table has more entries.
const ENTRIES_MAX: u32 = 1 << 22;
/// The length of a waiting job has 16 bits, and 2 bytes of its own.
const JOB_BYTES_MAX: u32 = (1 << 16) + 1;

/// The sizes of a scheduler. A structure of zeros with `struct_bytes` has all defaults: a size of 0 is its default. Pools
/// and names are counted when the library is built: `oc_limits`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_config {
    /// `sizeof(oc_config)`.
    pub struct_bytes: u32,
    /// Jobs that may wait: at most 2^22, as the following counts. Default 64.
    pub waiting_jobs: u32,
    /// Bytes that each of them may take: at most 65537. Default 512; most need 150 to 200.
    pub job_bytes: u32,
    /// Jobs that may run. Default 64.
    pub running_jobs: u32,
    /// Sessions that are remembered. Default 64.
    pub sessions: u32,
    /// Tenants with a turn of their own. Default 16.
    pub tenants: u32,
    /// Where ids come from strangers: a number that they cannot know. No answer depends on it.
    pub hash_seed: u64,
    /// How pools are chosen; null is the default. Read by `oc_init` only.
    pub placement: *const oc_placement_policy,
    /// How jobs wait, run and end; null is the default. Read by `oc_init` only.
    pub scheduler: *const oc_scheduler_policy,
    /// What tokens cost, in ascending order: at most 65536 prices. Null, with a count of 0, where everything is free. Read by
    /// `oc_init` only.
    pub prices: *const oc_price,
    /// How many they are.
    pub price_count: usize,
}

// SAFETY: integers and pointers, the size first.
unsafe impl Versioned for oc_config {
    /// Without prices.
    const FIRST_BYTES: usize = offset_of!(Self, prices);
}

impl oc_config {
    const ABSENT: Self = Self {
        struct_bytes: 0,
        waiting_jobs: 0,
        job_bytes: 0,
        running_jobs: 0,
        sessions: 0,
        tenants: 0,
        hash_seed: 0,
        placement: null(),
        scheduler: null(),
        prices: null(),
        price_count: 0,
    };

    /// What a caller says; a null pointer is all defaults.
    ///
    /// # Safety
    /// As [`read`].
    pub(crate) unsafe fn read(config: *const Self) -> Result<Self, Fault> {
        if config.is_null() {
            return Ok(Self::ABSENT);
        }
        // SAFETY: the caller's promise.
        unsafe { read(config, Self::ABSENT) }
    }

    pub(crate) fn sizes(&self) -> Result<Sizes, Fault> {
        Ok(Sizes {
            waiting_jobs: size("waiting_jobs", self.waiting_jobs, 64, ENTRIES_MAX)?,
            job_bytes: size("job_bytes", self.job_bytes, 512, JOB_BYTES_MAX)?,
            running_jobs: size("running_jobs", self.running_jobs, 64, ENTRIES_MAX)?,
            sessions: size("sessions", self.sessions, 64, ENTRIES_MAX)?,
            tenants: size("tenants", self.tenants, 16, ENTRIES_MAX)?,
            prices: price_count(self.price_count)?,
        })
    }
}

fn size(field: &'static str, size: u32, default: u32, max: u32) -> Result<usize, Fault> {
    let too_large = Fault::field(OC_BAD_VALUE, field, Problem::TooLarge { max: max.into() });
    let size = if size == 0 { default } else { size };
    if size > max { Err(too_large) } else { usize::try_from(size).map_err(|_| too_large) }
}

const fn price_count(count: usize) -> Result<usize, Fault> {
    if count > PRICES_MAX {
        return Err(Fault::field(OC_BAD_VALUE, "prices", Problem::TooMany { max: PRICES_MAX }));
    }
    Ok(count)
}
