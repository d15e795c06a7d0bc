//! The launch of an entry over a grid: what is refused at once, and the blocks one after another.

use super::block::{Block, BlockFault};
use super::context::Context;
use super::order::Order;
use super::statistics::{Statistics, Tally};
use super::thread::Thread;
use crate::entry::Entry;
use crate::fault::{Fault, FaultKind, Place};
use crate::memory::global::{Memory, filled};
use crate::memory::region::Region;
use crate::memory::shared::Shared;
use crate::memory::windows::SPACE_START;
use crate::module::Module;

/// Instructions that one thread may execute, unless the caller says otherwise: far more than a kernel needs, and some
/// seconds of an endless loop.
pub const DEFAULT_BUDGET: u64 = 1 << 28;

/// Blocks of one launch: the interpreter keeps a list of them.
const BLOCKS: u64 = 1 << 24;
/// Threads of one block.
const THREADS: u64 = 1024;
const GRID: [u64; 3] = [(1 << 31) - 1, 65_535, 65_535];
const BLOCK: [u64; 3] = [1024, 1024, 64];
/// Shared memory of one block, static and dynamic, on the largest devices.
const SHARED_BYTES: u64 = 227 << 10;

/// The shape of a launch, and the order it runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// Blocks in each direction.
    pub grid: [u32; 3],
    /// Threads of a block in each direction.
    pub block: [u32; 3],
    /// Shared memory besides what the entry declares.
    pub dynamic_shared_bytes: u32,
    /// Decides the order of blocks and threads; the same seed gives the same run.
    pub order_seed: u64,
}

/// Runs an entry to its end.
///
/// # Errors
/// The first fault. Global memory keeps what was stored until then.
pub fn launch(
    module: &Module,
    entry: &str,
    launch: &Launch,
    params: &[u8],
    memory: &mut Memory,
) -> Result<Statistics, Fault> {
    launch_within(module, entry, launch, params, memory, DEFAULT_BUDGET)
}

/// [`launch`], with a limit on the instructions of each thread.
///
/// # Errors
/// The first fault; more instructions than `budget` in one thread are one.
pub fn launch_within(
    module: &Module,
    entry: &str,
    launch: &Launch,
    params: &[u8],
    memory: &mut Memory,
    budget: u64,
) -> Result<Statistics, Fault> {
    let refused = |kind| Fault { entry: entry.to_owned(), at: Place::default(), kind };
    let found = module.entry(entry).ok_or_else(|| refused(FaultKind::UnknownEntry))?;
    check_geometry(found, launch).map_err(refused)?;
    if params.len() != found.param_bytes() {
        return Err(refused(FaultKind::Params { expected: found.param_bytes(), found: params.len() }));
    }
    let ran = run(module, found, launch, params, memory, budget);
    memory.settle();
    ran
}

fn check_geometry(entry: &Entry, launch: &Launch) -> Result<(), FaultKind> {
    let product = |extent: [u32; 3]| extent.iter().map(|size| u64::from(*size)).product::<u64>();
    let mut limits = Vec::new();
    for axis in 0..3 {
        limits.push(("a grid's extent", u64::from(launch.grid[axis]), GRID[axis]));
        limits.push(("a block's extent", u64::from(launch.block[axis]), BLOCK[axis]));
    }
    limits.push(("a block's size", product(launch.block), u64::from(entry.most_threads.unwrap_or(THREADS as u32))));
    limits.push(("a block's size", product(launch.block), THREADS));
    limits.push(("a grid's size", product(launch.grid), BLOCKS));
    for (what, asked, limit) in limits {
        if asked == 0 || asked > limit {
            return Err(FaultKind::Geometry { what, asked, limit });
        }
    }
    let shared = u64::from(entry.shared_bytes) + u64::from(launch.dynamic_shared_bytes);
    if shared > SHARED_BYTES {
        return Err(FaultKind::Geometry { what: "shared memory", asked: shared, limit: SHARED_BYTES });
    }
    if let Some(exact) = entry.exact_block.filter(|exact| *exact != launch.block) {
        let (asked, limit) = (product(launch.block), product(exact));
        return Err(FaultKind::Geometry { what: "a block's required shape", asked, limit });
    }
    Ok(())
}

fn run(
    module: &Module,
    entry: &Entry,
    launch: &Launch,
    params: &[u8],
    memory: &mut Memory,
    budget: u64,
) -> Result<Statistics, Fault> {
    let program = &module.program;
    let statics = memory.statics(module.number, &program.statics);
    let constants = filled(SPACE_START, &program.constants, statics);
    let shared = Shared::new(&entry.shared, launch.dynamic_shared_bytes as usize);
    let params = entry_params(module, entry, params);
    let mut context = Context {
        program,
        memory,
        constants: &constants,
        statics,
        tally: Tally::new(program),
        shared: shared.clone(),
        grid: launch.grid,
        block: launch.block,
        block_index: [0; 3],
        dynamic_shared_bytes: launch.dynamic_shared_bytes,
        budget,
    };
    let mut order = Order::new(launch.order_seed);
    let mut blocks: Vec<u32> = (0..launch.grid.iter().product()).collect();
    order.shuffle(&mut blocks);
    for number in blocks {
        context.block_index = position(number, launch.grid);
        context.shared.clone_from(&shared);
        let threads = (0..launch.block.iter().product())
            .map(|number| Thread::new(position(number, launch.block), number, entry.function, program, &params));
        let mut block = Block::new(threads.collect());
        block.run(&mut context, &mut order).map_err(|fault| located(fault, &block, &context, entry))?;
    }
    Ok(context.tally.statistics(program, entry))
}

/// The parameters of an entry as each thread sees them.
fn entry_params(module: &Module, entry: &Entry, params: &[u8]) -> Region {
    let bytes = module.program.functions[entry.function as usize].param_bytes;
    let spans: Vec<_> = entry.params.iter().map(|param| (param.offset, param.bytes)).collect();
    let mut given = Region::unwritten(SPACE_START, bytes);
    let mut padded = params.to_vec();
    padded.resize(bytes, 0);
    let inputs = Region::filled(SPACE_START, &spans, &padded);
    for (offset, length) in spans {
        given.copy_from(offset, &inputs, offset, length);
    }
    given
}

/// The place of a number in a grid or block, x fastest.
fn position(number: u32, extent: [u32; 3]) -> [u32; 3] {
    [number % extent[0], number / extent[0] % extent[1], number / extent[0] / extent[1]]
}

fn located(fault: BlockFault, block: &Block, context: &Context<'_>, entry: &Entry) -> Fault {
    let thread = &block.threads[fault.thread];
    let line = context.program.code.get(thread.next as usize).map(|instruction| instruction.line);
    Fault {
        entry: entry.name.clone(),
        at: Place { line, block: Some(context.block_index), thread: Some(thread.index) },
        kind: *fault.kind,
    }
}
