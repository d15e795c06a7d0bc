//! The other end of the wire, made up: it sends requests, and plays the engines of the pools.
//!
//! Each tick is one interrupt. What the ingress has no room for is lost, as on a wire without flow control, and counted;
//! a job of which nothing more is heard ends by the scheduler's watchdog.

use heapless::spsc::{Consumer, Producer};

use crate::capacities::{LEASES, POOLS};
use crate::message::{Message, Order, What};

/// Time between two ticks, in µs.
const TICK_US: u64 = 20_000;
/// Ticks between two snapshots of pools.
const SNAPSHOT_TICKS: u32 = 4;

/// A job at its engine.
#[derive(Debug, Clone, Copy)]
struct Running {
    job: u16,
    /// Ticks that it has been there.
    age: u8,
    /// Ticks until it is done.
    length: u8,
}

/// The device: its state belongs to the interrupt.
pub struct Device<'q> {
    ingress: Producer<'q, Message>,
    egress: Consumer<'q, Order>,
    running: [Option<Running>; LEASES],
    random: u64,
    ticks: u32,
    next_job: u16,
    lost: u32,
}

impl<'q> Device<'q> {
    /// A device at these ends of the two queues.
    pub const fn new(ingress: Producer<'q, Message>, egress: Consumer<'q, Order>) -> Self {
        Self { ingress, egress, running: [None; LEASES], random: 1, ticks: 0, next_job: 0, lost: 0 }
    }

    /// What an interrupt does.
    pub fn tick(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        while let Some(order) = self.egress.dequeue() {
            self.take(order);
        }
        self.send(What::Tick);
        self.report();
        if self.ticks.is_multiple_of(SNAPSHOT_TICKS) || self.ticks as usize <= POOLS {
            self.snapshot();
        }
        // The load goes up and down, so that jobs wait now and then.
        let busy = self.ticks / 64 % 2 == 1;
        for _ in 0..if busy { 3 } else { 1 } {
            self.request();
        }
        if self.below(8) == 0 {
            let back = self.below(16) as u16;
            self.send(What::Canceled(self.next_job.wrapping_sub(back)));
        }
    }

    /// Messages for which there was no room.
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Run { job, pool } => {
                let length = 6 + pool % 8 + self.below(12) as u8;
                if let Some(place) = self.running.iter_mut().find(|place| place.is_none()) {
                    *place = Some(Running { job, age: 0, length });
                }
            }
            Order::Stop(stopped) => {
                for place in &mut self.running {
                    if place.is_some_and(|running| running.job == stopped) {
                        *place = None;
                    }
                }
            }
        }
    }

    /// One in 16 jobs is never heard of again.
    fn report(&mut self) {
        for place in 0..LEASES {
            let Some(slot) = self.running.get_mut(place) else { continue };
            let Some(running) = slot else { continue };
            running.age = running.age.saturating_add(1);
            let Running { job, age, length } = *running;
            let what = match age {
                1 => What::Started(job),
                3 => What::FirstToken(job),
                age if age >= length => {
                    *slot = None;
                    if job % 16 == 5 {
                        continue;
                    }
                    What::Finished(job)
                }
                _ => continue,
            };
            self.send(what);
        }
    }

    fn snapshot(&mut self) {
        let number = (self.ticks as usize % POOLS) as u8;
        let (slots_free, speed) = (self.below(3) as u8, self.below(4) as u8);
        self.send(What::Pool { number, slots_free, speed });
    }

    fn request(&mut self) {
        self.next_job = self.next_job.wrapping_add(1);
        let session = (self.below(3) == 0).then(|| self.below(12) as u8);
        let prompt_tokens = 50 + 50 * self.below(20) as u16;
        let batch = self.below(3) == 0;
        self.send(What::Request { job: self.next_job, session, prompt_tokens, batch });
    }

    fn send(&mut self, what: What) {
        let message = Message { at_us: u64::from(self.ticks) * TICK_US, what };
        if self.ingress.enqueue(message).is_err() {
            self.lost = self.lost.wrapping_add(1);
        }
    }

    /// SplitMix64.
    fn below(&mut self, limit: u32) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z >> 32) * u64::from(limit)) >> 32) as u32
    }
}
