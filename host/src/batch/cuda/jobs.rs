//! Jobs of one launch: their records, and the room for what is found.

use orchestrator_core::rows::JobQuery;
use orchestrator_core::rule::key::Key;
use orchestrator_kernels::launch::JOBS_PER_BLOCK;
use orchestrator_kernels::records::{Found, JobLanes, Segment};

use super::answer::FIRST;
use super::buffer::DeviceVec;
use super::device::Device;
use super::fault::Fault;
use super::staging::Staging;
use crate::batch::backend::DeviceFault;
use crate::batch::segments;

/// Jobs of a launch, while there is memory for their records.
const JOBS_MAX: usize = 1 << 16;
/// With memory for fewer jobs there is none for a launch.
const JOBS_MIN: usize = JOBS_PER_BLOCK as usize;

/// Buffers of a launch: kept for their memory.
#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) records: DeviceVec<JobLanes>,
    pub(super) segments: DeviceVec<Segment>,
    pub(super) parts_found: DeviceVec<Found>,
    pub(super) found: DeviceVec<Found>,
    pub(super) host: HostJobs,
    /// Jobs that a launch takes at most, in whole groups.
    jobs_max: usize,
}

/// The same on the host.
#[derive(Debug, Default)]
pub(super) struct HostJobs {
    pub(super) records: Vec<JobLanes>,
    pub(super) segments: Vec<Segment>,
    pub(super) found: Vec<Found>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            records: DeviceVec::default(),
            segments: DeviceVec::default(),
            parts_found: DeviceVec::default(),
            found: DeviceVec::default(),
            host: HostJobs::default(),
            jobs_max: JOBS_MAX,
        }
    }
}

impl Jobs {
    pub(super) const fn jobs_max(&self) -> usize {
        self.jobs_max
    }

    /// Makes room for a full launch over so many parts, with fewer jobs where memory is short.
    pub(super) fn reserve(&mut self, device: &Device, jobs: usize, parts: usize) -> Result<(), Fault> {
        loop {
            // Powers of two, so that a little more is not made room for again and again.
            let jobs = jobs.min(self.jobs_max).next_power_of_two();
            match self.allocate(device, jobs, parts) {
                Err(fault) if fault.kind == DeviceFault::OutOfMemory && self.jobs_max > JOBS_MIN => {
                    self.jobs_max /= 2;
                }
                done => return done,
            }
        }
    }

    fn allocate(&mut self, device: &Device, jobs: usize, parts: usize) -> Result<(), Fault> {
        let doing = "making room for jobs";
        self.records.reserve(device, jobs, doing)?;
        self.found.reserve(device, jobs, doing)?;
        if parts > 1 { self.parts_found.reserve(device, jobs * parts, doing) } else { Ok(()) }
    }

    /// Uploads the records of the host.
    pub(super) fn upload(&mut self, device: &Device, staging: &mut Staging) -> Result<(), Fault> {
        let segments = &self.host.segments;
        self.segments.reserve(device, segments.len().next_power_of_two(), "making room for segments")?;
        self.segments.upload(device, staging, 0, segments)?;
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
        let len = self.records.len().next_multiple_of(JOBS_MIN);
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
