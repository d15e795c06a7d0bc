//! Plain-old-data rows: what the rules read, in a layout that a device can take as bytes.
//!
//! Every row is `#[repr(C)]`, free of padding and of references. Absence is a reserved value that validation can never
//! produce otherwise, named by a constant of the row.
//!
//! ```
//! use orchestrator_core::rows::{JobRow, PoolClass, PoolRow};
//!
//! assert_eq!(size_of::<PoolRow>(), 64);
//! assert_eq!(size_of::<PoolClass>(), 72);
//! assert_eq!(size_of::<JobRow>(), 112);
//! ```

mod job;
mod pool;
mod table;

pub use job::{Hints, JobFlags, JobQuery, JobRow, SessionEntry};
pub use pool::{ClassFlags, DeviceRow, LabelRow, PoolClass, PoolFlags, PoolLists, PoolRow, Span, WarmRow};
pub(crate) use table::PoolRef;
pub use table::{PoolTable, PoolTableMut, RankRange, TableError};

use bytemuck::{Pod, Zeroable};

/// A name as a number: only ever compared for equality, so its order can never reach a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(transparent)]
pub struct NameId(pub u32);

impl NameId {
    /// No name: of a pool, not published; of a job, not asked for.
    pub const NONE: Self = Self(u32::MAX);
    /// A name that a job asks for and no pool of the fleet has. Equal to no pool's name.
    pub const FOREIGN: Self = Self(u32::MAX - 1);
    /// Interned names are below this.
    pub const LIMIT: u32 = u32::MAX - 1;
}
