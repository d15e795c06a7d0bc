//! Runs PTX on the CPU, strictly, so that a machine without a GPU tests the bytes that ship.
//!
//! The kernels become PTX at build time, and that text is what a driver gets. This crate parses the same text, refuses
//! whatever it does not know, and runs it with checks that no device makes: registers that nothing set, memory that
//! nothing wrote, stray and misaligned addresses, races on shared memory, barriers that not all threads reach. The order
//! of threads is pseudo-random and repeatable, so a result that depends on it shows. What a driver's compiler makes of
//! the text only a device can show.
//!
//! ```
//! use orchestrator_ptx_interpreter::{Launch, Memory, Module, launch};
//!
//! let module = Module::parse(
//!     ".version 6.3
//!      .target sm_75
//!      .address_size 64
//!      .visible .entry square(.param .u64 square_param_0) {
//!          .reg .b32 %r<3>;
//!          .reg .b64 %rd<3>;
//!          ld.param.b64 %rd1, [square_param_0];
//!          mov.u32 %r1, %tid.x;
//!          mad.wide.u32 %rd2, %r1, 4, %rd1;
//!          mul.lo.s32 %r2, %r1, %r1;
//!          st.global.b32 [%rd2], %r2;
//!          ret;
//!      }",
//! )?;
//! let mut memory = Memory::new(1 << 20);
//! let out = memory.alloc(16)?;
//! let shape = Launch { grid: [1; 3], block: [4, 1, 1], dynamic_shared_bytes: 0, order_seed: 7 };
//! launch(&module, "square", &shape, &out.to_le_bytes(), &mut memory)?;
//! let mut squares = [0; 16];
//! memory.read(out, &mut squares)?;
//! assert_eq!(squares[12..], 9u32.to_le_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod entry;
mod fault;
mod memory;
mod module;
mod parse;
mod program;
mod run;
mod value;

pub use entry::{Entry, ParamLayout};
pub use fault::{Fault, FaultKind, MemorySpace, Place};
pub use memory::global::{Memory, MemoryError};
pub use module::Module;
pub use parse::error::{Found, ParseError, ParseErrorKind};
pub use run::launch::{DEFAULT_BUDGET, Launch, launch, launch_within};
pub use run::statistics::Statistics;
