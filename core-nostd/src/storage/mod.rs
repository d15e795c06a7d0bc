//! Containers over storage that their owner brings: a slice in firmware, a vector on a host, one code for both.
//!
//! ```text
//! IdTable ─┬─ waiting jobs (scheduler::queue)
//!          ├─ leases       (scheduler::leases)
//!          └─ sessions     (scheduler::sessions)
//! Stretches ┬─ Texts: the ids of each, whose jobs wait, the models of leases
//!           └─ the wishes of waiting jobs (scheduler::waiting)
//! ```

mod buckets;
mod id_table;
pub(crate) mod list;
mod slot_number;
mod stretches;
mod texts;

pub(crate) use id_table::MaybeTicket;
pub use id_table::{IdSlot, IdTable, InsertError, Ticket};
pub(crate) use slot_number::{ROWS_MAX, SlotNumber};
pub(crate) use stretches::Stretches;
pub(crate) use texts::Texts;
