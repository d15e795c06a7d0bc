//! The one driver of the process, behind a lock: what lives, what waits, what was asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::env;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orchestrator_ptx_interpreter::{Memory, Module};

use crate::events::Event;
use crate::faults::Fault;
use crate::status::{self, Status};
use crate::stream::Step;

/// Bytes of a device, unless the environment says otherwise.
const MEMORY_BYTES: u64 = 1 << 30;

/// A handle of the driver: a number in the place of an address.
pub(crate) type Handle = usize;

/// All of it.
pub(crate) struct Driver {
    pub(crate) fault: Fault,
    pub(crate) devices: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) seed: u64,
    pub(crate) memory: Memory,
    /// How often the primary context is retained.
    pub(crate) contexts: u64,
    pub(crate) modules: HashMap<Handle, Arc<Module>>,
    /// Functions by their handles: whose module, and their names.
    pub(crate) functions: HashMap<Handle, (Handle, String)>,
    pub(crate) streams: BTreeSet<Handle>,
    pub(crate) events: HashMap<Handle, Event>,
    /// Pinned memory: its address and length.
    pub(crate) pinned: BTreeMap<usize, usize>,
    /// What was asked for and not yet done, in order.
    pub(crate) waiting: VecDeque<Step>,
    /// Why the context does nothing any more.
    pub(crate) failed: Option<Status>,
    pub(crate) counters: Counters,
    /// Launches by kernel.
    pub(crate) launches_of: BTreeMap<String, u64>,
    next_handle: Handle,
}

/// What was asked for so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) allocations: u64,
    pub(crate) launches: u64,
    /// Records of events.
    pub(crate) records: u64,
    pub(crate) downloads: u64,
    /// Times between events.
    pub(crate) timings: u64,
    /// Pinned memory that was freed with a copy under way.
    pub(crate) hazards: u64,
}

static DRIVER: Mutex<Option<Driver>> = Mutex::new(None);

/// Begins, as the environment says.
pub(crate) fn begin() -> Result<(), Status> {
    let mut driver = lock();
    if driver.is_some() {
        return Ok(());
    }
    let fault = Fault::of_environment().map_err(|why| {
        eprintln!("stub driver: {why}");
        status::INVALID_VALUE
    })?;
    match fault {
        Fault::NoDevice => return Err(status::NO_DEVICE),
        Fault::DriverMismatch => return Err(status::SYSTEM_DRIVER_MISMATCH),
        Fault::InitStatus(status) => return Err(status),
        _ => {}
    }
    *driver = Some(Driver::new(fault));
    Ok(())
}

/// Does something with the driver, once it has begun.
pub(crate) fn with<T>(run: impl FnOnce(&mut Driver) -> Result<T, Status>) -> Result<T, Status> {
    lock().as_mut().map_or(Err(status::NOT_INITIALIZED), run)
}

/// The same, as long as its context works.
pub(crate) fn working<T>(run: impl FnOnce(&mut Driver) -> Result<T, Status>) -> Result<T, Status> {
    with(|driver| driver.failed.map_or(Ok(()), Err).and_then(|()| run(driver)))
}

fn lock() -> MutexGuard<'static, Option<Driver>> {
    DRIVER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver {
    fn new(fault: Fault) -> Self {
        let memory_bytes = of_environment("ORCHESTRATOR_STUB_MEMORY", MEMORY_BYTES);
        Self {
            fault,
            devices: of_environment("ORCHESTRATOR_STUB_DEVICES", 1),
            memory_bytes,
            seed: of_environment("ORCHESTRATOR_STUB_SEED", 1),
            memory: Memory::new(memory_bytes),
            contexts: 0,
            modules: HashMap::new(),
            functions: HashMap::new(),
            streams: BTreeSet::new(),
            events: HashMap::new(),
            pinned: BTreeMap::new(),
            waiting: VecDeque::new(),
            failed: None,
            counters: Counters::default(),
            launches_of: BTreeMap::new(),
            next_handle: 0,
        }
    }

    /// A number that no other handle has; small ones mean something of their own to the driver.
    pub(crate) const fn new_handle(&mut self) -> Handle {
        self.next_handle += 1;
        self.next_handle << 12
    }
}

fn of_environment<T: FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
