//! How fast a policy decides: wall-clock time, which differs from run to run and so stands in no result.

use std::time::{Duration, Instant};

use crate::simulate::policy::{Order, Policy, Told};

/// A policy, and the time that was spent in it.
pub(super) struct Stopwatch<'p> {
    policy: &'p mut dyn Policy,
    spent: Duration,
}

impl<'p> Stopwatch<'p> {
    pub(super) const fn on(policy: &'p mut dyn Policy) -> Self {
        Self { policy, spent: Duration::ZERO }
    }

    /// Decisions a second, with all that the policy was told between them.
    pub(super) fn decisions_per_s(&self) -> u64 {
        let rate = u128::from(self.policy.decisions()) * 1_000_000_000 / self.spent.as_nanos().max(1);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

impl Policy for Stopwatch<'_> {
    fn tell(&mut self, now_us: u64, told: Told, orders: &mut Vec<Order>) {
        let begin = Instant::now();
        self.policy.tell(now_us, told, orders);
        self.spent += begin.elapsed();
    }

    fn next_wakeup_us(&self) -> Option<u64> {
        self.policy.next_wakeup_us()
    }

    fn decisions(&self) -> u64 {
        self.policy.decisions()
    }
}
