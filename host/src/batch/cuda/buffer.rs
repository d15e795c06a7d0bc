//! Records on the device.
//!
//! Device memory is bytes; what they are is kept here. It begins at multiples of 256 bytes, which suits every record.

use std::marker::PhantomData;

use bytemuck::Pod;

use super::device::Device;
use super::driver::DeviceMemory;
use super::fault::{Doing, Fault};
use super::staging::Staging;
use crate::batch::backend::DeviceFault;

/// Where no record is.
const NOWHERE: u64 = 0;

/// Room for records on the device: written before it is read, apart from what a kernel leaves as zeros.
#[derive(Debug)]
pub(super) struct DeviceVec<T> {
    memory: Option<DeviceMemory>,
    record: PhantomData<T>,
}

impl<T> Default for DeviceVec<T> {
    fn default() -> Self {
        Self { memory: None, record: PhantomData }
    }
}

impl<T: Pod> DeviceVec<T> {
    /// For how many records there is room.
    pub(super) fn capacity(&self) -> usize {
        self.memory.as_ref().map_or(0, |memory| memory.len() / size_of::<T>())
    }

    /// Whether there is room for a table of so many rows and columns.
    pub(super) fn has_room_for(&self, rows: usize, columns: usize) -> bool {
        rows.checked_mul(columns).is_some_and(|records| records <= self.capacity())
    }

    pub(super) fn clear(&mut self) {
        self.memory = None;
    }

    /// Makes room for `len` records, at least one. Where there was less room, the content is lost.
    pub(super) fn reserve(&mut self, device: &Device, len: usize, doing: &'static str) -> Result<(), Fault> {
        let len = len.max(1);
        if self.capacity() >= len {
            return Ok(());
        }
        // First the old room goes: both may not fit.
        self.clear();
        let too_much = || Fault { kind: DeviceFault::OutOfMemory, doing, status: format!("{len} records") };
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(too_much)?;
        self.memory = Some(DeviceMemory::zeroed(&device.stream, bytes).doing(doing)?);
        Ok(())
    }

    /// The memory's address, for a kernel that is given a length of at most [`DeviceVec::capacity`].
    pub(super) fn address(&self) -> &u64 {
        self.memory.as_ref().map_or(&NOWHERE, DeviceMemory::address)
    }

    /// Writes records from the `at`-th on.
    pub(super) fn upload(
        &mut self,
        device: &Device,
        staging: &mut Staging,
        at: usize,
        records: &[T],
    ) -> Result<(), Fault> {
        if records.is_empty() {
            return Ok(());
        }
        let memory = self.memory.as_ref().ok_or_else(|| Fault::outside("copying to the device"))?;
        staging.upload(device, bytemuck::cast_slice(records), memory, at * size_of::<T>())
    }

    /// Reads the first records, after all that the device was asked for before.
    pub(super) fn download(&self, device: &Device, staging: &mut Staging, records: &mut [T]) -> Result<(), Fault> {
        let memory = self.memory.as_ref().ok_or_else(|| Fault::outside("copying from the device"))?;
        staging.download(device, memory, bytemuck::cast_slice_mut(records))
    }
}
