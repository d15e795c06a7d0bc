//! The script on the host: what comes of it is what comes of it on a microcontroller with the same capacities.

use crate::capacities::{Buffers, Fleet, RUN_DIGEST};
use crate::{Agent, Device, Egress, Ingress, TICKS};

#[test]
fn a_run_has_the_committed_digest() {
    let (mut ingress, mut egress) = (Ingress::new(), Egress::new());
    let (messages, taken) = ingress.split();
    let (orders, given) = egress.split();
    let mut device = Device::new(messages, given);
    let (mut fleet, mut buffers) = (Box::new(Fleet::new()), Box::new(Buffers::new()));
    let mut agent = Agent::new(&mut fleet, buffers.storage(), taken, orders);
    for _ in 0..TICKS {
        device.tick();
        while agent.poll_one() {}
    }
    let summary = agent.summary();
    println!("{summary:?}, {} messages lost", device.lost());
    assert!(summary.is_whole());
    assert_eq!(format!("{:016x}", summary.digest), format!("{RUN_DIGEST:016x}"));
}
