//! A CUDA device: the pools and the views of classes lie there, jobs go there, their best two come back.
//!
//! Classes, segments and warm sessions are those of the other backends; what a pool is to a class is made by the core and
//! uploaded as records of `orchestrator-kernels`; the kernels do the arithmetic of `rule::lane`. `docs/batch.md` has the
//! whole picture.
//!
//! ```no_run
//! use orchestrator_host::batch::{Backend, Cuda};
//!
//! match Cuda::open(None) {
//!     Ok(cuda) => println!("{}", cuda.description()),
//!     Err(why) => println!("not available: {why}"),
//! }
//! ```
//!
//! Invariants: a device that was opened has an image of this program's contract and has passed the self-test; after a
//! failure nothing is left on it, and it is not asked again; no answer depends on how jobs and pools are cut.

#![allow(
    unsafe_code,
    reason = "launches, pinned memory and the search for the driver; each block says why it is sound"
)]

mod answer;
mod buffer;
mod device;
mod driver;
mod entries;
mod fault;
mod image;
mod jobs;
mod kernels;
mod pools;
mod room;
mod round;
mod self_test;
mod session;
mod staging;
mod timer;
mod views;

use std::path::Path;

use orchestrator_core::Shortlist;
use orchestrator_core::rows::JobQuery;

pub use self::round::Tiling;
pub use self::staging::Times;

use self::device::Device;
use self::driver::Functions;
use self::image::Image;
use self::session::{Session, Sorted};
use super::backend::{Backend, BackendError, BackendName, World};
use super::classes::Classes;
use super::sorted::SortedJobs;
use super::unavailable::Unavailable;
use super::warm::WarmIndex;

/// A CUDA device.
#[derive(Debug)]
pub struct Cuda {
    /// The device, or why it is not asked any more.
    session: Result<Session, BackendError>,
    device_name: String,
    image: String,
    tiling: Tiling,
    classes: Classes,
    warm: WarmIndex,
    /// Whether anything may have changed since the tables were made.
    stale: bool,
    sorted: SortedJobs,
}

impl Cuda {
    /// Opens the first device, with the kernels in a file of PTX or with the built-in ones, and tests it.
    ///
    /// # Errors
    /// Why there is none that can be trusted.
    pub fn open(kernel_image: Option<&Path>) -> Result<Self, Unavailable> {
        let (image, functions) = (Image::of(kernel_image)?, Functions::find()?);
        Device::count(&functions)?;
        Self::open_one(functions, 0, &image)
    }

    /// Opens every device that the driver shows and that can be trusted, as [`Cuda::open`]: at least one.
    ///
    /// # Errors
    /// Why there is none that can be trusted: of several reasons the first device's.
    pub fn open_all(kernel_image: Option<&Path>) -> Result<Vec<Self>, Unavailable> {
        let (image, functions) = (Image::of(kernel_image)?, Functions::find()?);
        let mut opened = Vec::new();
        let mut first_reason = None;
        for ordinal in 0..Device::count(&functions)? {
            match Self::open_one(functions, ordinal, &image) {
                Ok(cuda) => opened.push(cuda),
                Err(why) => {
                    tracing::warn!(device = ordinal, %why, "a device is left out");
                    first_reason.get_or_insert(why);
                }
            }
        }
        match first_reason {
            Some(why) if opened.is_empty() => Err(why),
            _ => Ok(opened),
        }
    }

    fn open_one(functions: Functions, ordinal: u32, image: &Image) -> Result<Self, Unavailable> {
        let session = Session::open(functions, ordinal, image)?;
        let mut cuda = Self::of(session, image.origin.clone());
        self_test::run(&mut cuda)?;
        Ok(cuda)
    }

    /// Whether a file has kernels of this program's contract, as far as its text says.
    pub(super) fn check_kernel_image(file: &Path) -> Result<(), Unavailable> {
        Image::of(Some(file)).map(drop)
    }

    fn of(session: Session, image: String) -> Self {
        Self {
            device_name: session.device_name().to_owned(),
            session: Ok(session),
            image,
            tiling: Tiling::default(),
            classes: Classes::default(),
            warm: WarmIndex::default(),
            stale: true,
            sorted: SortedJobs::default(),
        }
    }

    /// The same device, cut otherwise.
    #[must_use]
    pub const fn with_tiling(mut self, tiling: Tiling) -> Self {
        self.tiling = tiling;
        self
    }

    /// Begins to measure kernels and what goes between host and device, or ends it; returns what was measured so far.
    /// While it measures, every copy and every scan is waited for.
    pub fn measure(&mut self, measured: bool) -> Times {
        self.session.as_mut().map_or_else(|_| Times::default(), |session| session.staging_mut().measure(measured))
    }

    /// Whether the tables are of another snapshot.
    fn is_stale(&self, world: &World<'_>) -> bool {
        let len = self.session.as_ref().map_or(0, |session| session.pools.len());
        self.stale || len as usize != world.table.len()
    }

    /// Finds the lists of the batch on the device.
    fn scan(&mut self, world: &World<'_>, jobs: &[JobQuery<'_>]) -> Result<(), BackendError> {
        let is_stale = self.is_stale(world);
        let session = self.session.as_mut().map_err(|why| why.clone())?;
        if is_stale {
            session.fill(world)?;
            self.warm.fill(&world.table);
            self.classes.forget_views();
            self.stale = false;
        } else {
            session.refresh(world)?;
        }
        let SortedJobs { order, lists, segments } = &mut self.sorted;
        session.scan(world, Sorted { jobs, order, segments }, self.tiling, &mut self.classes, lists)?;
        Ok(())
    }
}

impl Backend for Cuda {
    fn name(&self) -> BackendName {
        BackendName::Cuda
    }

    fn description(&self) -> String {
        format!("{}, kernels {}", self.device_name, self.image)
    }

    fn snapshot_changed(&mut self) {
        self.stale = true;
    }

    fn pool_changed(&mut self, rank: u32) {
        if let Ok(session) = &mut self.session {
            session.pools.mark(rank);
        }
        self.classes.mark(rank);
    }

    fn shortlists(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        world.check(jobs, lists, self.name())?;
        if self.is_stale(world) {
            // Classes of pools may be others, and with them the verdicts that classes of jobs are made of.
            self.classes.clear();
        }
        self.sorted.arrange(world, &mut self.classes, jobs, lists);
        if let Err(error) = self.scan(world, jobs) {
            // The device and all that lies on it go back.
            self.session = Err(error.clone());
            return Err(error);
        }
        self.sorted.hand_out(world, &self.warm, self.name(), jobs, lists)
    }
}
