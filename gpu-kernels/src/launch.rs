//! The kernels by name, their arguments in order, and the shapes of their grids.
//!
//! All grids and blocks have one dimension. Lengths are numbers of records. `ends` is the suffix of the arithmetic that is
//! exact for all jobs of the launch ([`Ends`]).
//!
//! | kernel | arguments | blocks |
//! |---|---|---|
//! | `report` | `*mut Contract` | 1 |
//! | `scan_jobs_{ends}` | [scan arguments](#scan-arguments) | groups of [`JOBS_PER_BLOCK`] jobs, times parts |
//! | `scan_pools_{ends}` | [scan arguments](#scan-arguments) | jobs, times parts |
//! | `merge_parts` | `parts_found: *const Found, jobs: u32, parts: u32, found: *mut Found` | a thread per job |
//! | `patch_pools` | `changes: *const PoolChange, changes_len: u32, hot: *mut PoolHot, cold: *mut PoolCold, pools: u32` | a thread per change |
//! | `patch_views` | `changes: *const ViewChange, changes_len: u32, hot: *mut ViewHot, cold: *mut ViewCold, records: u64` | a thread per change |
//!
//! # Scan arguments
//! ```text
//! pool_hot: *const PoolHot, pool_cold: *const PoolCold, pools: u32,
//! view_hot: *const ViewHot, view_cold: *const ViewCold, views: u32, stride: u32,
//! jobs: *const JobLanes, jobs_len: u32,
//! segments: *const Segment, segments_len: u32,
//! parts: u32, pools_per_part: u32, quantum_shift: u32, spreads: u32,
//! found: *mut Found
//! ```
//! Block `b` works for group (or job) `b / parts` on the pools of part `b % parts`: those from
//! `part * pools_per_part` to before the next part's. What part `p` found for job `j` goes to `found[j * parts + p]`.
//! `spreads` is 1 under a policy that spreads, else 0.
//!
//! The job-tiled kernels (`scan_jobs`) look at all pools for every job, none preferred, and at no segments; `jobs_len` is
//! a multiple of [`JOBS_PER_BLOCK`] and the jobs of one group are of one view. The pool-tiled ones (`scan_pools`) look at
//! the segments of each job.
//!
//! A kernel reads and writes nothing outside the lengths that it is given, whatever the records hold.

/// Threads of a block, for every kernel.
pub const THREADS: u32 = 256;
/// Jobs that a thread of the job-tiled kernels keeps in registers.
pub const JOBS_PER_THREAD: u32 = 4;
/// Jobs of a block of the job-tiled kernels.
pub const JOBS_PER_BLOCK: u32 = THREADS * JOBS_PER_THREAD;

/// Which arithmetic is exact for the jobs of a launch: each kernel is built for every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ends {
    /// No end reaches the limit of times.
    Plain,
    /// Ends may reach the limit of times.
    Saturating,
    /// Jobs may wait in a pool for a slot; ends may reach the limit.
    Waiting,
    /// Order `vram-first`: a view's base is the first word, the other words are 0.
    Static,
}

impl Ends {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Saturating, Self::Waiting, Self::Static];

    /// The job-tiled kernel.
    #[must_use]
    pub const fn scan_jobs(self) -> &'static str {
        match self {
            Self::Plain => "scan_jobs_plain",
            Self::Saturating => "scan_jobs_saturating",
            Self::Waiting => "scan_jobs_waiting",
            Self::Static => "scan_jobs_static",
        }
    }

    /// The pool-tiled kernel.
    #[must_use]
    pub const fn scan_pools(self) -> &'static str {
        match self {
            Self::Plain => "scan_pools_plain",
            Self::Saturating => "scan_pools_saturating",
            Self::Waiting => "scan_pools_waiting",
            Self::Static => "scan_pools_static",
        }
    }
}

/// The kernel that says which contract an image was built for.
pub const REPORT: &str = "report";
/// The kernel that joins what the parts found.
pub const MERGE_PARTS: &str = "merge_parts";
/// The kernel that brings pools up to date.
pub const PATCH_POOLS: &str = "patch_pools";
/// The kernel that brings views up to date.
pub const PATCH_VIEWS: &str = "patch_views";
