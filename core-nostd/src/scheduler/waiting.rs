//! The wishes of jobs that wait.
//!
//! A job's wishes are texts and lists of any length, and a fleet's numbers for them change while it waits. So a waiting
//! job is kept in the binary form of [`codec`](crate::codec), in a stretch of bytes of its queue slot's own. Of a leased
//! one only numbers are kept, and its model's name where there is room for it.

use crate::codec::{Sink, Writer, encode_job, job_bytes, job_head, with_job};
use crate::input::JobSpec;
use crate::storage::Stretches;

/// Bytes of the length that stands before a waiting job's own.
const LENGTH_BYTES: usize = 2;

/// Waiting jobs as bytes: a stretch for each slot of the queue.
#[derive(Debug, Default)]
pub(super) struct JobStore<'a>(Stretches<'a>);

impl<'a> JobStore<'a> {
    pub(super) fn new(bytes: &'a mut [u8], slots: u32) -> Self {
        Self(Stretches::new(bytes, slots, usize::MAX))
    }

    /// Bytes that one job may take: below 2^16.
    pub(super) fn room(&self) -> usize {
        self.0.stride().saturating_sub(LENGTH_BYTES).min(usize::from(u16::MAX))
    }

    pub(super) fn fits(&self, job: &JobSpec<'_>) -> bool {
        job_bytes(job) <= self.room()
    }

    /// Keeps a job that [fits](Self::fits).
    pub(super) fn put(&mut self, slot: u32, job: &JobSpec<'_>) {
        let stretch = self.0.get_mut(slot);
        let Some((length, room)) = stretch.and_then(<[u8]>::split_first_chunk_mut::<LENGTH_BYTES>) else { return };
        let mut writer = Writer::new(room);
        // It fits: the guardrails of the admission asked.
        let written = encode_job::<dyn Sink>(job, &mut writer).map(|()| writer.written().len());
        *length = u16::try_from(written.unwrap_or(0)).unwrap_or(0).to_le_bytes();
    }

    pub(super) fn with<R>(&self, slot: u32, read: impl FnMut(&JobSpec<'_>) -> R) -> Option<R> {
        with_job(self.get(slot)?, read).ok()
    }

    /// Who a job is, without its wishes.
    pub(super) fn head(&self, slot: u32) -> Option<JobSpec<'_>> {
        job_head(self.get(slot)?).ok()
    }

    /// The job in the binary form of the codec.
    pub(super) fn get(&self, slot: u32) -> Option<&[u8]> {
        let (length, room) = self.0.get(slot)?.split_first_chunk::<LENGTH_BYTES>()?;
        room.get(..usize::from(u16::from_le_bytes(*length)))
    }
}
