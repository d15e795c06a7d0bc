//! Log lines, where there is something that reads them: defmt's statements link for bare metal only.

use orchestrator_core::scheduler::{Action, Answer, Input};

/// What a message was answered.
#[cfg(all(feature = "defmt", target_os = "none"))]
pub(crate) fn answer(now_us: u64, input: &Input<'_>, answer: &Answer) {
    if !matches!(input, Input::Tick) {
        defmt::debug!("{=u64} {}", now_us, answer);
    }
}

/// What is to be done.
#[cfg(all(feature = "defmt", target_os = "none"))]
pub(crate) fn action(now_us: u64, action: &Action) {
    defmt::info!("{=u64} {}", now_us, action);
}

/// Nobody reads.
#[cfg(not(all(feature = "defmt", target_os = "none")))]
pub(crate) fn answer(_: u64, _: &Input<'_>, _: &Answer) {}

/// Nobody reads.
#[cfg(not(all(feature = "defmt", target_os = "none")))]
pub(crate) fn action(_: u64, _: &Action) {}
