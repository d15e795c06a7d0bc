//! The contract that the kernels were built for, told to a host before it trusts them.

use crate::Contract;
use crate::block::{Block, Output};

/// The kernel `report`.
#[inline(always)] // Into its kernel.
pub fn report<B: Block>(block: &mut B, contract: &mut (impl Output<Contract> + ?Sized)) {
    if block.index() > 0 {
        return;
    }
    let mut threads = block.all(());
    block.each(&mut threads, |thread, ()| {
        if thread == 0 {
            contract.put(0, Contract::CURRENT);
        }
    });
}
