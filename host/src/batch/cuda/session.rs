//! An open device with everything that lies on it. Where anything fails, the whole of it is given back.

use orchestrator_core::Shortlist;
use orchestrator_core::rows::JobQuery;
use orchestrator_kernels::Contract;

use super::buffer::DeviceVec;
use super::device::Device;
use super::driver::Functions;
use super::fault::Fault;
use super::image::Image;
use super::jobs::Jobs;
use super::pools::Pools;
use super::room::Wanted;
use super::round::{Round, Tiling};
use super::staging::Staging;
use super::views::{ViewTables, Writer};
use crate::batch::backend::World;
use crate::batch::classes::Classes;
use crate::batch::segments::Segments;
use crate::batch::unavailable::Unavailable;

/// Views on the device at most: the one to give up is searched for among all.
const VIEWS_MAX: usize = 1024;

/// A device and its tables, for as long as it answers.
#[derive(Debug)]
pub(super) struct Session {
    device: Device,
    staging: Staging,
    pub(super) pools: Pools,
    views: ViewTables,
    jobs: Jobs,
}

/// The jobs of a call, by class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sorted<'a> {
    pub(super) jobs: &'a [JobQuery<'a>],
    /// Class and index of every job, by class.
    pub(super) order: &'a [(u32, u32)],
    pub(super) segments: &'a Segments,
}

impl Session {
    /// Opens a device with an image whose contract is this program's.
    pub(super) fn open(functions: Functions, ordinal: u32, image: &Image) -> Result<Self, Unavailable> {
        let device = Device::open(functions, ordinal, image)?;
        let staging = Staging::new(&device)?;
        let (pools, views, jobs) = (Pools::default(), ViewTables::default(), Jobs::default());
        // Whole before it copies anything: it waits for that when it is dropped.
        let mut session = Self { device, staging, pools, views, jobs };
        check_contract(&session.device, &mut session.staging, image)?;
        Ok(session)
    }

    pub(super) fn device_name(&self) -> &str {
        self.device.name()
    }

    pub(super) const fn staging_mut(&mut self) -> &mut Staging {
        &mut self.staging
    }

    /// Makes the pool tables anew. Those of a larger fleet may need the room of what was made for the smaller one.
    pub(super) fn fill(&mut self, world: &World<'_>) -> Result<(), Fault> {
        if !self.pools.has_room_for(world.table.len()) {
            self.views.clear();
            self.jobs.clear();
        }
        self.pools.fill(&self.device, &mut self.staging, world)
    }

    /// Brings the pools up to date that were noted.
    pub(super) fn refresh(&mut self, world: &World<'_>) -> Result<(), Fault> {
        self.pools.refresh(&self.device, &mut self.staging, world)
    }

    /// Scans for the jobs of as many classes at a time as there is memory for views; `lists` are in the jobs' order.
    pub(super) fn scan(
        &mut self,
        world: &World<'_>,
        sorted: Sorted<'_>,
        tiling: Tiling,
        classes: &mut Classes,
        lists: &mut [Shortlist],
    ) -> Result<(), Fault> {
        let Self { device, staging, pools, views, jobs: buffers } = self;
        let Sorted { jobs, order, segments } = sorted;
        // Of all classes that are known: those of other calls come again.
        let wanted = classes.len().min(VIEWS_MAX);
        if !views.is_enough(pools.len() as usize, wanted) {
            // First comes room for the smallest launch, then views, then larger launches.
            buffers.clear();
            buffers.make_room(device, Wanted::SMALLEST, |_| 0)?;
            views.reserve(device, pools.len() as usize, wanted)?;
            classes.forget_views();
        }
        let mut start = 0;
        while start < order.len() {
            let room = views.room();
            let mut writer = Writer { device, staging, tables: views };
            let end = classes.prepare(world, &mut writer, room, order, start)?;
            let mut round =
                Round { device, staging, pools, views, buffers, tiling, world, jobs, order, segments, classes };
            round.run(start..end, lists)?;
            start = end;
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Memory goes back when nothing is under way in it. Where a device that failed does not even say so, its driver
        // has given its context up, and with it all that was under way.
        let _ = self.device.finish("ending");
    }
}

fn check_contract(device: &Device, staging: &mut Staging, image: &Image) -> Result<(), Unavailable> {
    let mut room = DeviceVec::<Contract>::default();
    room.reserve(device, 1, "making room for the contract")?;
    device.kernels.report(&device.stream, &room)?;
    let mut found: [Contract; 1] = [bytemuck::Zeroable::zeroed()];
    room.download(device, staging, &mut found)?;
    let [found] = found;
    if found == Contract::CURRENT {
        return Ok(());
    }
    Err(Unavailable::ContractDiffers {
        image: image.origin.clone(),
        found: text_of(&found),
        expected: text_of(&Contract::CURRENT),
    })
}

fn text_of(contract: &Contract) -> String {
    let Contract { magic, contract_version, semantics_version, threads, jobs_per_thread, record_bytes } = contract;
    format!(
        "[magic {magic:#x}, contract {contract_version}, semantics {semantics_version}, {threads} threads, \
         {jobs_per_thread} jobs a thread, records of {record_bytes:?} bytes]"
    )
}
