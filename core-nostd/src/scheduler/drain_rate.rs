//! How fast the queue drains, measured, and what a refused caller is told to wait.
//!
//! A service time would be per pool and model; the time between two services is what a waiting job notices.
//!
//! ```
//! use orchestrator_core::scheduler::{DrainRate, SchedulerPolicy, retry_after_seconds};
//!
//! let mut drain = DrainRate::default();
//! drain.served(1_000_000);
//! assert_eq!(drain.interval_us(), None); // one service has no distance to another
//! drain.served(3_500_000); // jobs waited in between, without a gap
//! assert_eq!(drain.interval_us(), Some(2_500_000));
//! drain.ran_empty();
//! drain.served(9_000_000); // the queue was empty in between: no sample
//! assert_eq!(drain.interval_us(), Some(2_500_000));
//!
//! let rules = SchedulerPolicy::default().admission;
//! assert_eq!(drain.retry_after_ms(2, &rules), 7_500);
//! assert_eq!(retry_after_seconds(7_500), 8);
//! ```
//!
//! Invariants: an interval is at most [`SAMPLE_MAX_US`]; it lies between its former value and the sample.

use super::policy::AdmissionRules;

/// A sample is at most this many µs (12.7 days). ADMIT-3.
const SAMPLE_MAX_US: u64 = 1 << 40;

/// The mean time between two services of a queue in which jobs wait. ADMIT-3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DrainRate {
    interval_us: Option<u64>,
    last_service_us: Option<u64>,
}

impl DrainRate {
    /// A rate as it was exported.
    #[must_use]
    pub const fn from_parts(interval_us: Option<u64>, last_service_us: Option<u64>) -> Self {
        Self { interval_us, last_service_us }
    }

    /// The mean time between two services, in µs, once there was a sample. ADMIT-3.
    #[must_use]
    pub const fn interval_us(&self) -> Option<u64> {
        self.interval_us
    }

    /// The time of the last service, unless the queue is known to have run empty since.
    #[must_use]
    pub const fn last_service_us(&self) -> Option<u64> {
        self.last_service_us
    }

    /// A job is about to enter an empty queue: the service before it begins no sample. ADMIT-3.
    ///
    /// Times alone do not tell: a queue can run empty and fill within the µs of a service.
    pub const fn ran_empty(&mut self) {
        self.last_service_us = None;
    }

    /// A waiting job was served at `now_us`. ADMIT-3.
    ///
    /// Jobs that leave otherwise say nothing about how fast the queue is served, and are not reported here.
    pub fn served(&mut self, now_us: u64) {
        let Some(last_us) = self.last_service_us.replace(now_us) else { return };
        let sample_us = now_us.saturating_sub(last_us).min(SAMPLE_MAX_US);
        self.interval_us = Some(self.interval_us.map_or(sample_us, |mean_us| nearer(mean_us, sample_us)));
    }

    /// What a caller with so many jobs ahead is told to wait, in ms. ADMIT-4.
    #[must_use]
    pub fn retry_after_ms(&self, jobs_ahead: u32, rules: &AdmissionRules) -> u64 {
        retry_after_ms(self.interval_us, jobs_ahead, rules)
    }
}

/// An eighth of the way from the mean to the sample, rounded towards the sample.
fn nearer(mean_us: u64, sample_us: u64) -> u64 {
    let step_us = mean_us.abs_diff(sample_us).div_ceil(8);
    if sample_us >= mean_us { mean_us.saturating_add(step_us) } else { mean_us.saturating_sub(step_us) }
}

/// What a caller with so many jobs ahead is told to wait, in ms: never less when there are more. ADMIT-4.
#[must_use]
#[inline(never)] // On machines of 32 bits a division is large.
pub fn retry_after_ms(drain_interval_us: Option<u64>, jobs_ahead: u32, rules: &AdmissionRules) -> u64 {
    // The product of an interval below 2^41 and a count of at most 2^32 may saturate: that is far above any cap.
    let services = u64::from(jobs_ahead).saturating_add(1);
    let wait_ms = drain_interval_us.unwrap_or(0).saturating_mul(services).div_ceil(1_000);
    wait_ms.min(rules.retry_cap_ms).max(rules.retry_floor_ms)
}

/// The same in whole seconds, for `Retry-After`: never before the milliseconds are over, and at least 1. ADMIT-4.
#[must_use]
pub const fn retry_after_seconds(retry_after_ms: u64) -> u64 {
    let seconds = retry_after_ms.div_ceil(1_000);
    if seconds == 0 { 1 } else { seconds }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scheduler::policy::SchedulerPolicy;

    fn rules(retry_floor_ms: u64, retry_cap_ms: u64) -> AdmissionRules {
        AdmissionRules { retry_floor_ms, retry_cap_ms, ..SchedulerPolicy::default().admission }
    }

    /// ADMIT-3: the first sample stands; then an eighth of the way, rounded towards the sample; at most 2^40 µs.
    #[test]
    fn the_mean_moves_towards_the_sample() {
        let mut drain = DrainRate::default();
        let mut now_us = 0;
        // (time since the last service, the mean after it)
        let samples =
            [(0, None), (800, Some(800)), (1_600, Some(900)), (901, Some(901)), (902, Some(902)), (901, Some(901))];
        for (since_us, mean_us) in samples.into_iter().chain([(0, Some(788)), (1, Some(689))]) {
            now_us += since_us;
            drain.served(now_us);
            assert_eq!(drain.interval_us(), mean_us);
        }
        let mut slow = DrainRate::from_parts(None, Some(0));
        slow.served(u64::MAX);
        assert_eq!((slow.interval_us(), slow.last_service_us()), (Some(1 << 40), Some(u64::MAX)));
    }

    /// ADMIT-3: a gap without jobs is no sample, the gap after it is one again.
    #[test]
    fn idle_gaps_are_no_samples() {
        let mut drain = DrainRate::default();
        drain.served(100);
        drain.ran_empty();
        drain.served(300);
        assert_eq!(drain.interval_us(), None);
        drain.served(340);
        assert_eq!(drain.interval_us(), Some(40));
        drain.ran_empty();
        drain.served(1_000);
        assert_eq!(drain.interval_us(), Some(40));
        drain.ran_empty(); // within the µs of the last service
        drain.served(1_000);
        assert_eq!(drain.interval_us(), Some(40));
        drain.served(1_000); // two of those that wait at once
        assert_eq!(drain.interval_us(), Some(35));
    }

    /// ADMIT-3: however many jobs come to an empty queue at the same time, each served at once, there is no sample.
    #[test]
    fn a_burst_without_waiting_is_no_sample() {
        let mut drain = DrainRate::default();
        for _ in 0..100 {
            drain.ran_empty();
            drain.served(7);
        }
        assert_eq!((drain.interval_us(), drain.last_service_us()), (None, Some(7)));
    }

    /// ADMIT-4.
    #[test]
    fn retry_after() {
        // (interval, jobs ahead, floor, cap, told)
        let table = [
            (None, 1_000, 1_000, 60_000, 1_000),
            (Some(0), 1_000, 1_000, 60_000, 1_000),
            (Some(1_000_001), 0, 1_000, 60_000, 1_001),
            (Some(1_000_000), 9, 1_000, 60_000, 10_000),
            (Some(1_000_000), 60, 1_000, 60_000, 60_000),
            (Some(1 << 40), u32::MAX, 1_000, 60_000, 60_000),
            (Some(1), 0, 0, 0, 0),
            (Some(1), 0, 0, 1, 1),
            (None, 0, 5, 5, 5),
        ];
        for (interval_us, ahead, floor_ms, cap_ms, told_ms) in table {
            let rules = rules(floor_ms, cap_ms);
            assert_eq!(retry_after_ms(interval_us, ahead, &rules), told_ms);
            assert_eq!(DrainRate::from_parts(interval_us, None).retry_after_ms(ahead, &rules), told_ms);
        }
        let seconds = [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (1_500, 2), (2_000, 2), (60_000, 60)];
        for (ms, expected) in seconds {
            assert_eq!(retry_after_seconds(ms), expected, "{ms}");
        }
    }

    proptest! {
        /// ADMIT-3, ADMIT-4: the mean stays between itself and the sample; nobody is told less when more jobs wait.
        #[test]
        fn bounded_and_monotone(
            samples in proptest::collection::vec(0u64..1 << 42, 1..40),
            ahead in 0u32..1 << 20,
            (floor, cap) in (0u64..5_000, 0u64..90_000),
        ) {
            let mut drain = DrainRate::default();
            let mut now_us = 0u64;
            drain.served(now_us);
            for sample_us in samples {
                now_us += sample_us;
                let before = drain.interval_us();
                drain.served(now_us);
                let (after, sample_us) = (drain.interval_us().unwrap(), sample_us.min(1 << 40));
                let before = before.unwrap_or(sample_us);
                prop_assert!(before.min(sample_us) <= after && after <= before.max(sample_us));
                prop_assert!(after != before || after == sample_us, "it never stands still beside a sample");
                let rules = rules(floor, floor + cap);
                let told_ms = drain.retry_after_ms(ahead, &rules);
                prop_assert!(told_ms <= drain.retry_after_ms(ahead + 1, &rules));
                prop_assert!((floor..=floor + cap).contains(&told_ms));
            }
        }
    }
}
