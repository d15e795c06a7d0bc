//! What one device gave to a lease, in 13 bytes: a scheduler keeps as many for each job that runs as a pool has devices.
//!
//! Invariant: byte counts are at most 2^48 - 1, as those of devices are (UNIT-3), so that 6 bytes hold each.

use crate::limits::BYTES_MAX;
use crate::values::bytes6::{packed, unpacked};

/// What one device gave to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceShare {
    /// The device's position in its pool's list.
    pub position: u8,
    kv: [u8; 6],
    weights: [u8; 6],
}

impl DeviceShare {
    /// A share; none where it is more bytes than a device has.
    #[must_use]
    pub const fn new(position: u8, kv_bytes: u64, weight_bytes: u64) -> Option<Self> {
        if kv_bytes > BYTES_MAX || weight_bytes > BYTES_MAX {
            return None;
        }
        Some(Self { position, kv: packed(kv_bytes), weights: packed(weight_bytes) })
    }

    /// Bytes of KV cache: given back on release.
    #[must_use]
    pub const fn kv_bytes(&self) -> u64 {
        unpacked(self.kv)
    }

    /// Bytes of weights: they stay.
    #[must_use]
    pub const fn weight_bytes(&self) -> u64 {
        unpacked(self.weights)
    }

    pub(super) const fn taken_bytes(&self) -> u64 {
        self.kv_bytes().saturating_add(self.weight_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_every_byte_count_that_a_device_has() {
        for (kv, weights) in [(0, BYTES_MAX), (BYTES_MAX, 0), (1, 1 << 40), (0x0123_4567_89ab, 0xfedc_ba98_7654)] {
            let share = DeviceShare::new(15, kv, weights).unwrap();
            assert_eq!((share.position, share.kv_bytes(), share.weight_bytes()), (15, kv, weights));
        }
        assert_eq!(DeviceShare::new(0, BYTES_MAX + 1, 0), None);
        assert_eq!(DeviceShare::new(0, 0, BYTES_MAX + 1), None);
    }
}
