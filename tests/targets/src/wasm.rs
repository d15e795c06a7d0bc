//! What the host calls.

#[unsafe(no_mangle)]
extern "C" fn placement() -> u64 {
    orchestrator_golden::placement_digest()
}

#[unsafe(no_mangle)]
extern "C" fn scheduler() -> u64 {
    orchestrator_golden::scheduler_digest()
}
