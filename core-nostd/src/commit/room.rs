//! What a commit took, as a scheduler keeps it for each job that runs: 15 bytes, and 13 for each device that its fleet's
//! pools may have. Whose room it is, its keeper knows.
//!
//! Invariant: where devices gave it, the shares of these are all of it.

use heapless::Vec;

use super::lease::{Lease, Taken};
use super::share::DeviceShare;
use crate::limits::{BYTES_MAX, DEVICES_MAX};
use crate::values::bytes6::{packed, unpacked};

/// What a commit took from a pool of a [`SmallFleet`](crate::SmallFleet), of at most `SHARES` devices.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "room that is dropped stays taken"]
pub struct HeldRoom<const SHARES: usize = DEVICES_MAX> {
    /// Of a pool without devices.
    kv: [u8; 6],
    /// Of a pool without devices.
    weights: [u8; 6],
    devices: Vec<DeviceShare, SHARES, u8>,
    waits: bool,
    resident: bool,
}

impl<const SHARES: usize> HeldRoom<SHARES> {
    /// None where it is of more devices than `SHARES`, or more than a pool has.
    pub(crate) fn of(taken: &Taken<'_>) -> Option<Self> {
        let Taken { kv_bytes, weight_bytes, devices, waits, resident } = *taken;
        if devices.is_empty() && kv_bytes.max(weight_bytes) > BYTES_MAX {
            return None;
        }
        let devices = Vec::from_slice(devices).ok()?;
        Some(Self { kv: packed(kv_bytes), weights: packed(weight_bytes), devices, waits, resident })
    }

    /// What was taken.
    #[must_use]
    pub fn taken(&self) -> Taken<'_> {
        let Self { ref devices, waits, resident, .. } = *self;
        let sum = |of: fn(&DeviceShare) -> u64| devices.iter().map(of).fold(0, u64::saturating_add);
        let (kv_bytes, weight_bytes) = if devices.is_empty() {
            (unpacked(self.kv), unpacked(self.weights))
        } else {
            (sum(DeviceShare::kv_bytes), sum(DeviceShare::weight_bytes))
        };
        Taken { kv_bytes, weight_bytes, devices, waits, resident }
    }
}

impl<const SHARES: usize> From<Lease<SHARES>> for HeldRoom<SHARES> {
    fn from(lease: Lease<SHARES>) -> Self {
        let Lease { kv_bytes, weight_bytes, rank: _, devices, waits, resident } = lease;
        // Without devices each is at most what a job may ask for, which is as much as 6 bytes hold.
        Self { kv: packed(kv_bytes), weights: packed(weight_bytes), devices, waits, resident }
    }
}
