//! The agent's firmware: runs the script, says what came of it, and ends with 0 where that is what it should be.

#![no_std]
#![no_main]

use node_agent::board::{Place, exit, instructions, pend, prepare, print, print_hex, print_number, stack};
use node_agent::capacities::RUN_DIGEST;
use node_agent::{Agent, Device, Egress, Ingress, Summary, TICKS, tables};

static INGRESS: Place<Ingress> = Place::new();
static EGRESS: Place<Egress> = Place::new();
static AGENT: Place<Agent<'static>> = Place::new();

/// What is the interrupt's.
mod wire {
    use core::cell::UnsafeCell;

    use node_agent::Device;

    struct Wire(UnsafeCell<Option<Device<'static>>>);

    // SAFETY: the main program touches it before the first interrupt and after the last one only.
    unsafe impl Sync for Wire {}

    static WIRE: Wire = Wire(UnsafeCell::new(None));

    /// Connects a device.
    ///
    /// # Safety
    /// Not while the interrupt can come.
    pub(super) unsafe fn connect(device: Device<'static>) {
        // SAFETY: the caller's promise.
        unsafe { *WIRE.0.get() = Some(device) };
    }

    /// What the interrupt does.
    ///
    /// # Safety
    /// From the interrupt, which does not interrupt itself; or where it cannot come.
    pub(super) unsafe fn with(act: impl FnOnce(&mut Device<'static>)) {
        // SAFETY: the caller's promise.
        if let Some(device) = unsafe { &mut *WIRE.0.get() } {
            act(device);
        }
    }
}

#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
fn PendSV() {
    // SAFETY: the interrupt itself.
    unsafe { wire::with(Device::tick) };
}

#[cfg(target_arch = "riscv32")]
#[riscv_rt::core_interrupt(riscv::interrupt::Interrupt::MachineSoft)]
fn machine_soft() {
    node_agent::board::acknowledge();
    // SAFETY: the interrupt itself.
    unsafe { wire::with(Device::tick) };
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    stack::paint();
    // SAFETY: the program starts once.
    let agent = unsafe { start() };
    let start_stack = stack::deepest();
    stack::paint();
    prepare();
    let worst = run(agent);
    let summary = agent.summary();
    report(&summary, worst, start_stack);
    let as_expected = summary.is_whole() && summary.digest == RUN_DIGEST;
    exit(u32::from(!as_expected))
}

/// The agent and the device, connected.
///
/// # Safety
/// At most once.
#[inline(never)] // What is made passes over the stack: not inside the frame of a function that never returns.
unsafe fn start() -> &'static mut Agent<'static> {
    // SAFETY: the caller's promise is that of each; the interrupt comes only when it is pended, later.
    let ([ingress], [egress], (fleet, storage)) =
        unsafe { (INGRESS.fill(Ingress::new), EGRESS.fill(Egress::new), tables::take()) };
    let (messages, taken) = ingress.split();
    let (orders, given) = egress.split();
    // SAFETY: the interrupt cannot come yet.
    unsafe { wire::connect(Device::new(messages, given)) };
    // SAFETY: the caller's promise.
    unsafe { AGENT.put(Agent::new(fleet, storage, taken, orders)) }
}

/// The instructions of the most expensive message.
#[inline(never)]
fn run(agent: &mut Agent<'_>) -> u32 {
    let mut worst = 0;
    for _ in 0..TICKS {
        // A real wire interrupts when it likes, and the main program waits for it: `wfi`.
        pend();
        let (_, mut last) = instructions(0);
        while agent.poll_one() {
            let (spent, now) = instructions(last);
            (worst, last) = (worst.max(spent), now);
        }
    }
    worst
}

fn report(summary: &Summary, worst: u32, start_stack: usize) {
    let mut lost = 0;
    // SAFETY: the interrupt is not pended any more.
    unsafe { wire::with(|device| lost = device.lost()) };
    print("run ");
    print_hex(summary.digest);
    print("\n");
    let lines = [
        ("messages ", summary.messages),
        ("lost ", lost),
        ("accepted ", summary.accepted),
        ("dispatched ", summary.dispatched),
        ("ended ", summary.ended),
        ("left ", summary.left),
        ("lost_orders ", summary.lost_orders),
        ("worst_message ", worst),
        ("start_stack ", start_stack as u32),
        ("run_stack ", stack::deepest() as u32),
    ];
    for (name, number) in lines {
        print(name);
        print_number(number);
        print("\n");
    }
}
