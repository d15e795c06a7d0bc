//! A fleet in fixed storage, for node agents: pools come, change, age and go; the table stays sorted.
//!
//! [`SmallFleet`] owns what a [`PoolTable`](crate::rows::PoolTable) borrows, at sizes chosen at compile time. Every
//! pool keeps its own stride of the list arenas, so an update never moves another pool's lists. A full table is a typed
//! refusal that names the capacity, and changes nothing.

mod borrowed;
mod kept_handle;
mod names;
mod registry;
mod small;

pub(crate) use kept_handle::KeptHandle;
pub use registry::{PoolFacts, PoolHandle, PoolRegistry};
pub use small::{FleetError, HeldLease, SmallFleet};
