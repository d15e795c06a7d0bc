//! The kernels against an oracle that shares none of their code: whole grids, in any order of blocks and threads.

mod cases;
mod device;
mod fleets;
mod hostile;
mod image;
mod interpreted;
mod joins;
mod lists;
mod mutant;
mod mutants;
mod native;
mod oracle;
mod random;
mod scans;
mod world;
