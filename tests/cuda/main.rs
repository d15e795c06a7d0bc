//! The backend `cuda` without a GPU: the command as a child process, over a stub driver that runs the very kernels that ship
//! in a PTX interpreter, and that fails on demand.
//!
//! What a real driver makes of the kernels only a GPU shows (`tests/gpu/evidence.sh`); all that the host does around them
//! is tested here.
#![cfg(target_os = "linux")]

mod answers;
mod faults;
mod images;
mod run;
mod stub;
