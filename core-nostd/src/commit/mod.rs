//! What a placement changes: slots, VRAM, residency and the session table. And what gives it back.
//!
//! ```text
//!              commit (1)                       release (2)
//!   free  ───────────────────────▶  leased  ───────────────────────▶  free
//!            slot - 1                          slot + 1
//!            VRAM - need                       VRAM + KV share
//!            model becomes resident            (weights, residency and warmth stay)
//!            session points here
//! ```
//! 1. [`commit`], and [`SessionTable::record`] for the session. 2. [`release`].
//!
//! Invariants: a commit changes one pool only; the pool's free VRAM stays the sum over its devices; free never exceeds
//! total. Rules: COMMIT-1 to COMMIT-6.

mod lease;
mod room;
mod sessions;
mod share;

pub use lease::{CommitError, Lease, Taken, commit, committed_tokens, release, retake};
pub(crate) use lease::{give_back, take_again};
pub use room::HeldRoom;
pub use sessions::{SessionSlot, SessionTable};
pub use share::DeviceShare;
