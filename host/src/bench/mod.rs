//! How fast backends are on this machine, beside what the machine can do at all.
//!
//! A time says nothing alone: every figure stands beside two limits that are measured in the same run, how fast memory is
//! read and how fast a bare loop does the arithmetic of a pair, and beside the digest of the answers, which is the same for
//! all backends. Pairs are those that are really evaluated: all jobs differ.
//!
//! ```
//! use std::time::Duration;
//!
//! use orchestrator_host::batch::BackendOptions;
//! use orchestrator_host::bench::{Size, bench};
//!
//! let size = Size { pools: 100, jobs: 10 };
//! let figures = bench(size, &BackendOptions::threads(1), Duration::from_millis(1)).unwrap();
//! assert!(figures.backends.windows(2).all(|pair| pair[0].digest == pair[1].digest));
//! ```

mod limits;
pub mod world;

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;
use std::time::{Duration, Instant};

use orchestrator_core::hash::ContentHasher;
use orchestrator_core::rows::JobQuery;
use orchestrator_core::{Policy, Shortlist};
use serde::{Serialize, Serializer};

pub use limits::{Limits, measure_limits};

#[cfg(feature = "cuda")]
use crate::batch::Cuda;
use crate::batch::{Backend, BackendError, BackendName, BackendOptions, Scalar, Simd, Unavailable, World};
use crate::fleet::Fleet;

/// Bytes that the loops read of a pool for most jobs: two words of the class's view, two rates and the low bits.
const BYTES_PER_PAIR: u64 = 26;
/// The oracle is asked for at most so many pairs: it takes some nanoseconds for each.
const SCALAR_PAIRS_MAX: usize = 1 << 27;
/// Jobs that are decided one by one, each on its own.
const SINGLE_JOBS: usize = 64;

/// A number of pools and one of distinct jobs: `10000x1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Pools.
    pub pools: usize,
    /// Jobs.
    pub jobs: usize,
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "a size is POOLSxJOBS, as in 10000x1000: 1 to 4194304 of each";
        let (pools, jobs) = text.split_once('x').ok_or(wanted)?;
        let number = |text: &str| text.parse().ok().filter(|number| (1..=1 << 22).contains(number)).ok_or(wanted);
        Ok(Self { pools: number(pools)?, jobs: number(jobs)? })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.pools, self.jobs)
    }
}

/// What one backend did.
#[derive(Debug, Clone, Serialize)]
pub struct BackendFigures {
    /// Its name and what it runs on.
    pub backend: String,
    /// Jobs that were decided: fewer than asked for where the oracle would take too long.
    pub jobs: usize,
    /// Pairs of pool and job per second, all jobs at once.
    pub pairs_per_s: f64,
    /// Jobs per second, all at once.
    pub jobs_per_s: f64,
    /// Time of one decision, jobs one by one, in µs.
    pub single_us: f64,
    /// Bytes of columns that the pairs take, per second; most come from a cache. Only vector units read columns.
    pub column_bytes_per_s: Option<f64>,
    /// Its pairs per second as a share of the bare loop's.
    pub share_of_bare_scan: f64,
    /// Pairs that would come from memory without tiles, as a share of what memory can bring.
    pub share_of_memory_read: Option<f64>,
    /// The digest of its answers on the first jobs, which all backends decided.
    #[serde(serialize_with = "as_hex")]
    pub digest: u64,
    /// How many those are.
    pub digest_jobs: usize,
    /// Where a device's time goes for all jobs at once, when the tables are there; not for other backends.
    pub transfers: Option<Transfers>,
}

/// Where the time of one call goes, in which every copy and every scan is waited for.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Transfers {
    /// Time of the first call, with the upload of all tables, in µs.
    pub first_call_us: f64,
    /// Time of the call, in µs.
    pub call_us: f64,
    /// Time of kernels by the device's clock, in µs.
    pub kernel_us: f64,
    /// Time of the host: the call's less that of kernels and copies, in µs.
    pub host_us: f64,
    /// Pairs per second of the kernels' time; none where the clock has measured nothing.
    pub kernel_pairs_per_s: Option<f64>,
    /// Time of copies to the device, in µs.
    pub upload_us: f64,
    /// Bytes to the device.
    pub upload_bytes: u64,
    /// Time of copies from the device, in µs.
    pub download_us: f64,
    /// Bytes from the device.
    pub download_bytes: u64,
}

/// What a size came to.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Pools and jobs.
    pub size: Size,
    /// Classes of pools.
    pub pool_classes: usize,
    /// Classes of jobs.
    pub job_classes: usize,
    /// What the machine can do.
    pub limits: Limits,
    /// The backends.
    pub backends: Vec<BackendFigures>,
}

/// Measures all backends on a fleet and jobs of a size, each for at least `at_least`; a device where there is one.
///
/// # Errors
/// When threads cannot be started, or a device fails on the way.
pub fn bench(size: Size, options: &BackendOptions, at_least: Duration) -> Result<Figures, BenchError> {
    let policy = Policy::default();
    let fleet = world::fleet(size.pools);
    let resolved = world::jobs(size.jobs, &fleet, &policy);
    let jobs: Vec<JobQuery<'_>> = resolved.iter().map(|job| job.query(None)).collect();
    let limits = measure_limits(size.pools, at_least);
    let common = jobs.len().min((SCALAR_PAIRS_MAX / size.pools).max(1));
    let asked = Asked { fleet: &fleet, policy: &policy, common, at_least, limits };
    let mut simd = Simd::new(1)?;
    let mut backends = vec![asked.measure(&mut Scalar, &jobs[..common])?, asked.measure(&mut simd, &jobs)?];
    if options.threads != 1 {
        backends.push(asked.measure(&mut Simd::new(options.threads)?, &jobs)?);
    }
    #[cfg(feature = "cuda")]
    if let Ok(mut cuda) = Cuda::open(options.kernel_image.as_deref()) {
        let transfers = Some(asked.transfers(&mut cuda, &jobs)?);
        backends.push(BackendFigures { transfers, ..asked.measure(&mut cuda, &jobs)? });
    }
    let (pool_classes, job_classes) = (fleet.class_count(), simd.class_count());
    Ok(Figures { size, pool_classes, job_classes, limits, backends })
}

/// Why there are no figures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// A backend that every machine has cannot be opened.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A backend did not answer.
    #[error(transparent)]
    Failed(#[from] BackendError),
}

/// What every backend is asked for.
struct Asked<'a> {
    fleet: &'a Fleet,
    policy: &'a Policy,
    /// Jobs that all backends decide.
    common: usize,
    at_least: Duration,
    limits: Limits,
}

impl Asked<'_> {
    fn decide(
        &self,
        backend: &mut dyn Backend,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        backend.shortlists(&World { table: self.fleet.table(), policy: self.policy }, jobs, lists)
    }

    /// What a device copies: first with all tables, then in a call like those that are measured.
    #[cfg(feature = "cuda")]
    fn transfers(&self, cuda: &mut Cuda, jobs: &[JobQuery<'_>]) -> Result<Transfers, BackendError> {
        let mut lists = vec![Shortlist::new(2); jobs.len()];
        let start = Instant::now();
        self.decide(cuda, jobs, &mut lists)?;
        let first_call = start.elapsed();
        cuda.measure(true);
        let start = Instant::now();
        let decided = self.decide(cuda, jobs, &mut lists);
        let call = start.elapsed();
        let times = cuda.measure(false);
        decided?;
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        let pairs = self.fleet.len() as f64 * jobs.len() as f64;
        Ok(Transfers {
            first_call_us: us(first_call),
            call_us: us(call),
            kernel_us: us(times.kernels),
            host_us: us(call.saturating_sub(times.kernels + times.upload + times.download)),
            kernel_pairs_per_s: (!times.kernels.is_zero()).then(|| pairs / times.kernels.as_secs_f64()),
            upload_us: us(times.upload),
            upload_bytes: times.upload_bytes,
            download_us: us(times.download),
            download_bytes: times.download_bytes,
        })
    }

    fn measure(&self, backend: &mut dyn Backend, jobs: &[JobQuery<'_>]) -> Result<BackendFigures, BackendError> {
        let Self { fleet, common, at_least, limits, .. } = *self;
        let mut lists = vec![Shortlist::new(2); jobs.len()];
        // The first time fills columns and views.
        self.decide(backend, jobs, &mut lists)?;
        let digest = digest(&lists[..common]);
        let seconds = fastest(at_least, || self.decide(backend, black_box(jobs), &mut lists))?;
        let singles = jobs.len().min(SINGLE_JOBS);
        let single_seconds = fastest(at_least, || {
            jobs[..singles].iter().zip(&mut lists).try_for_each(|(job, list)| {
                self.decide(backend, black_box(std::slice::from_ref(job)), std::slice::from_mut(list))
            })
        })?;
        let pairs_per_s = fleet.len() as f64 * jobs.len() as f64 / seconds;
        let column_bytes_per_s = (backend.name() == BackendName::Simd).then_some(pairs_per_s * BYTES_PER_PAIR as f64);
        Ok(BackendFigures {
            backend: backend.title(),
            jobs: jobs.len(),
            pairs_per_s,
            jobs_per_s: jobs.len() as f64 / seconds,
            single_us: single_seconds * 1e6 / singles as f64,
            column_bytes_per_s,
            share_of_bare_scan: pairs_per_s / limits.bare_pairs_per_s,
            share_of_memory_read: column_bytes_per_s.map(|bytes| bytes / limits.memory_bytes_per_s),
            digest,
            digest_jobs: common,
            transfers: None,
        })
    }
}

/// The least time of several runs, which are as many as `at_least` holds, in seconds.
fn fastest<E>(at_least: Duration, mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let (start, mut least) = (Instant::now(), Duration::MAX);
    while start.elapsed() < at_least || least == Duration::MAX {
        let before = Instant::now();
        run()?;
        least = least.min(before.elapsed());
    }
    Ok(least.as_secs_f64())
}

/// As the table says it; a number of 64 bits is none to many readers of JSON.
fn as_hex<S: Serializer>(digest: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{digest:016x}"))
}

/// The digest of answers, in the order of the jobs.
#[must_use]
pub fn digest(lists: &[Shortlist]) -> u64 {
    let mut hasher = ContentHasher::new("shortlists");
    for list in lists {
        hasher.int(list.feasible().into());
        for key in list.keys() {
            key.words().into_iter().for_each(|word| hasher.int(word));
            hasher.int(key.rank().into());
        }
    }
    hasher.finish()
}
