//! Jobs of one launch: their records, and the room for what is found.

use orchestrator_core::rows::JobQuery;
use orchestrator_core::rule::key::Key;
use orchestrator_kernels::launch::JOBS_PER_BLOCK;
use orchestrator_kernels::records::{Found, JobLanes, Segment};

use super::answer::FIRST;
use super::buffer::DeviceVec;
use super::device::Device;
use super::fault::Fault;
use super::room::{Limits, Size, Wanted};
use super::staging::Staging;
use crate::batch::backend::DeviceFault;
use crate::batch::segments;

/// Buffers of a launch: kept for their memory.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    pub(super) records: DeviceVec<JobLanes>,
    pub(super) segments: DeviceVec<Segment>,
    pub(super) parts_found: DeviceVec<Found>,
    pub(super) found: DeviceVec<Found>,
    pub(super) host: HostJobs,
    limits: Limits,
}

/// The same on the host.
#[derive(Debug, Default)]
pub(super) struct HostJobs {
    pub(super) records: Vec<JobLanes>,
    pub(super) segments: Vec<Segment>,
    pub(super) found: Vec<Found>,
}

impl Jobs {
    /// Gives all room back, and begins again with as much as ever goes into a launch: there will be other memory.
    pub(super) fn clear(&mut self) {
        self.give_back();
        self.limits = Limits::default();
    }

    /// Makes room for a launch, or for a smaller one where memory is short. `segments` are those of so many blocks.
    pub(super) fn make_room(
        &mut self,
        device: &Device,
        wanted: Wanted,
        segments: impl Fn(usize) -> usize,
    ) -> Result<Size, Fault> {
        let mut limits = self.limits;
        let size = limits.fit(wanted, |size| {
            let segments = segments(size.blocks);
            // What an earlier launch had, or what fitted in part, must not stand in the way.
            let reserved = self.reserve(device, size, segments).or_else(|fault| {
                self.give_back();
                if fault.kind == DeviceFault::OutOfMemory { self.reserve(device, size, segments) } else { Err(fault) }
            });
            reserved.inspect_err(|_| self.give_back())
        });
        self.limits = limits;
        size
    }

    fn reserve(&mut self, device: &Device, size: Size, segments: usize) -> Result<(), Fault> {
        let doing = "making room for jobs";
        // Powers of two, so that a little more is not made room for again and again.
        let jobs = size.jobs.next_power_of_two();
        self.records.reserve(device, jobs, doing)?;
        self.found.reserve(device, jobs, doing)?;
        self.segments.reserve(device, segments.next_power_of_two(), "making room for segments")?;
        if size.parts > 1 { self.parts_found.reserve(device, jobs * size.parts, doing) } else { Ok(()) }
    }

    fn give_back(&mut self) {
        self.records.clear();
        self.found.clear();
        self.segments.clear();
        self.parts_found.clear();
    }

    /// Uploads the records of the host.
    pub(super) fn upload(&mut self, device: &Device, staging: &mut Staging) -> Result<(), Fault> {
        self.segments.upload(device, staging, 0, &self.host.segments)?;
        self.records.upload(device, staging, 0, &self.host.records)
    }

    /// Downloads what was found for every record.
    pub(super) fn download(&mut self, device: &Device, staging: &mut Staging) -> Result<(), Fault> {
        self.host.found.clear();
        self.host.found.resize(self.host.records.len(), Found::NONE);
        self.found.download(device, staging, &mut self.host.found)
    }
}

impl HostJobs {
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.segments.clear();
    }

    /// Adds a job that looks at some segments, from a key on.
    pub(super) fn add(&mut self, job: &JobQuery<'_>, view: u32, segments: &[segments::Segment], from: Key) {
        // Segments of a launch: at most 2^16 jobs with some hundreds each.
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        self.records.push(JobLanes {
            kv_bytes: job.row.est_kv_bytes,
            spread_hash: job.row.spread_hash,
            from,
            prompt_tokens: job.row.prompt_tokens,
            output_tokens: job.row.output_tokens,
            view,
            segment: count(self.segments.len()),
            segments: count(segments.len()),
            reserved: [0; 3],
        });
        self.segments.extend(segments.iter().map(|segment| Segment {
            start: segment.start,
            end: segment.end,
            preferred: segment.preferred.into(),
        }));
    }

    /// Fills up the last group with jobs that fit nowhere.
    pub(super) fn fill_group(&mut self, view: u32) {
        let len = self.records.len().next_multiple_of(JOBS_PER_BLOCK as usize);
        self.records.resize(
            len,
            JobLanes {
                kv_bytes: u64::MAX,
                spread_hash: 0,
                from: FIRST,
                prompt_tokens: 0,
                output_tokens: 0,
                view,
                segment: 0,
                segments: 0,
                reserved: [0; 3],
            },
        );
    }
}
