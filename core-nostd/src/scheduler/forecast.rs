//! When a waiting job will start, and how likely a dispatched one meets its deadline. Advisory: nothing is decided by it.
//!
//! Two questions, two memories: the last forecast of each class, so that a later arrival is never promised an earlier
//! start; and how far earlier predictions were off, as a histogram. Rules: FORECAST-1 to FORECAST-4.
//!
//! ```
//! use orchestrator_core::Priority;
//! use orchestrator_core::scheduler::Forecast;
//!
//! let mut forecast = Forecast::new();
//! // 3 jobs ahead, one leaves the queue every 250 ms.
//! let wait = forecast.wait(Priority::Batch, 3, 1, Some(250_000), 1_000_000);
//! assert_eq!((wait.queue_position, wait.predicted_start_us), (3, Some(2_000_000)));
//!
//! forecast.record_end(Some(5_000_000), 4_000_000); // a second early
//! forecast.record_end(Some(5_000_000), 6_000_000); // a second late
//! let odds = |deadline_us| forecast.on_time_permille(Some(deadline_us), Some(9_000_000), 8_000_000);
//! assert_eq!(odds(9_000_000), Some(500));
//! assert_eq!(odds(11_000_000), Some(1000));
//! assert_eq!(odds(7_999_999), Some(0)); // it has passed
//! ```
//!
//! Invariants: forecasts of a class never fall before [`Forecast::class_emptied`]; errors keep their share of the
//! histogram, whatever their number.

use super::event::WaitForecast;
use crate::input::Priority;
use crate::values::index::index;

/// Sizes of errors on each side of 0. FORECAST-3.
const SIZES: u32 = 32;
/// The size that has no upper end.
const LARGEST_SIZE: u32 = SIZES - 1;
/// Errors below 2^10 µs are of size 0: nobody plans in less than a millisecond.
const SHIFT: u32 = 10;
pub(super) const BUCKETS: usize = 64;

// FORECAST-3: both signs fit, and all sizes are shifts inside a u64.
const _: () = assert!(2 * SIZES as usize == BUCKETS && SHIFT + LARGEST_SIZE < u64::BITS);

/// What earlier forecasts said, and how they turned out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Forecast {
    /// The last predicted start of each class, in µs; 0 where its queue ran empty since.
    pub(super) last_interactive_us: u64,
    pub(super) last_batch_us: u64,
    /// Errors by bucket, from far too early to far too late.
    pub(super) errors: [u32; BUCKETS],
}

impl Default for Forecast {
    fn default() -> Self {
        Self::new()
    }
}

impl Forecast {
    /// A forecast that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { last_interactive_us: 0, last_batch_us: 0, errors: [0; BUCKETS] }
    }

    /// What a newcomer is told, with that many waiting jobs served before it in all and in its class. FORECAST-1,
    /// FORECAST-2.
    ///
    /// `drain_interval_us` is the mean time between two departures, absent before the first was measured; `now_us` never
    /// goes back. A start above 2^64 - 1 is that.
    pub fn wait(
        &mut self,
        class: Priority,
        queue_position: u32,
        class_position: u32,
        drain_interval_us: Option<u64>,
        now_us: u64,
    ) -> WaitForecast {
        let predicted_start_us = drain_interval_us.map(|interval_us| {
            // Saturating sums and products keep the order.
            let departures = u64::from(queue_position).saturating_add(1);
            let own = now_us.saturating_add(departures.saturating_mul(interval_us));
            let last = self.last_us_mut(class);
            *last = own.max(*last);
            *last
        });
        WaitForecast { queue_position, class_position, predicted_start_us }
    }

    /// Nobody of the class waits any more: the next arrival is not compared with those before it. FORECAST-2.
    pub const fn class_emptied(&mut self, class: Priority) {
        *self.last_us_mut(class) = 0;
    }

    /// Counts how far a finished job's predicted end was off; nothing where none was predicted. FORECAST-3.
    pub fn record_end(&mut self, predicted_end_us: Option<u64>, real_end_us: u64) {
        let Some(predicted_us) = predicted_end_us else { return };
        let bucket = Bucket::of(predicted_us, real_end_us);
        let Some(count) = self.errors.get(bucket.place()) else { return };
        if *count == u32::MAX {
            for count in &mut self.errors {
                *count >>= 1;
            }
        }
        if let Some(count) = self.errors.get_mut(bucket.place()) {
            // Below u32::MAX: it was halved.
            *count = count.saturating_add(1);
        }
    }

    /// The share of counted errors with which the predicted end meets the deadline, in 1/1000, rounded down. O(1).
    ///
    /// FORECAST-4: 0 once the deadline has passed; else none without a deadline, a predicted end or a counted error. It
    /// never falls when the deadline is later. All times are absolute, in µs.
    #[must_use]
    pub fn on_time_permille(
        &self,
        deadline_at_us: Option<u64>,
        predicted_end_us: Option<u64>,
        now_us: u64,
    ) -> Option<u16> {
        let deadline_us = deadline_at_us?;
        if deadline_us < now_us {
            return Some(0);
        }
        let predicted_us = predicted_end_us?;
        let (mut met, mut all) = (0u64, 0u64);
        for (place, count) in (0u32..).zip(self.errors) {
            // 64 counters of 32 bits: below 2^38, and below 2^48 times 1000.
            all = all.saturating_add(count.into());
            if Bucket::at(place).latest_end_us(predicted_us).is_some_and(|end_us| end_us <= deadline_us) {
                met = met.saturating_add(count.into());
            }
        }
        u16::try_from(met.saturating_mul(1000).checked_div(all)?).ok()
    }

    const fn last_us_mut(&mut self, class: Priority) -> &mut u64 {
        match class {
            Priority::Interactive => &mut self.last_interactive_us,
            Priority::Batch => &mut self.last_batch_us,
        }
    }
}

/// Errors of one sign and about one size. FORECAST-3.
///
/// Size 0 is below 2^10 µs, size `n` from 2^(n + 9) to below 2^(n + 10), size 31 has no upper end. An error of 0 is
/// early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    late: bool,
    size: u32,
}

impl Bucket {
    fn of(predicted_us: u64, real_us: u64) -> Self {
        let size_us = predicted_us.abs_diff(real_us) >> SHIFT;
        // At most 64 leading zeros.
        let size = u64::BITS.saturating_sub(size_us.leading_zeros()).min(LARGEST_SIZE);
        Self { late: real_us > predicted_us, size }
    }

    /// The bucket at a place in the order from far too early to far too late.
    const fn at(place: u32) -> Self {
        if place < SIZES {
            Self { late: false, size: LARGEST_SIZE.saturating_sub(place) }
        } else {
            Self { late: true, size: place.saturating_sub(SIZES) }
        }
    }

    fn place(self) -> usize {
        // Sizes are at most LARGEST_SIZE.
        index(if self.late { SIZES.saturating_add(self.size) } else { LARGEST_SIZE.saturating_sub(self.size) })
    }

    /// The predicted end plus the bucket's upper end; `None` is beyond every deadline. FORECAST-4.
    fn latest_end_us(self, predicted_us: u64) -> Option<u64> {
        if !self.late {
            // The least size is the upper end of an early error.
            return Some(predicted_us.saturating_sub(smallest_us(self.size)));
        }
        if self.size == LARGEST_SIZE {
            return None;
        }
        predicted_us.checked_add(smallest_us(self.size.saturating_add(1)).saturating_sub(1))
    }
}

/// The smallest error of a size, in µs.
const fn smallest_us(size: u32) -> u64 {
    // Size 0 has no exponent. The others are below 2^41.
    match size.checked_sub(1) {
        None => 0,
        Some(exponent) => 1u64.wrapping_shl(exponent.saturating_add(SHIFT)),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000;

    fn start(forecast: &mut Forecast, class: Priority, queue_position: u32, interval_us: u64, now_us: u64) -> u64 {
        forecast.wait(class, queue_position, 0, Some(interval_us), now_us).predicted_start_us.unwrap()
    }

    /// FORECAST-1: positions stand as the queue counts them. FORECAST-2: unknown without a sample.
    #[test]
    fn positions_are_told_and_starts_need_a_sample() {
        let mut forecast = Forecast::new();
        let wait = forecast.wait(Priority::Batch, 7, 2, None, 100);
        assert_eq!(wait, WaitForecast { queue_position: 7, class_position: 2, predicted_start_us: None });
        let wait = forecast.wait(Priority::Batch, 7, 2, Some(10), 100);
        assert_eq!(wait, WaitForecast { queue_position: 7, class_position: 2, predicted_start_us: Some(180) });
        assert_eq!(forecast.wait(Priority::Batch, 0, 0, None, 100).predicted_start_us, None);
    }

    /// FORECAST-2: a later arrival of the class never starts earlier, until its queue ran empty.
    #[test]
    fn a_class_is_never_promised_an_earlier_start() {
        let (mut forecast, batch, interactive) = (Forecast::new(), Priority::Batch, Priority::Interactive);
        assert_eq!(start(&mut forecast, batch, 9, 100, 0), 1_000);
        assert_eq!(start(&mut forecast, batch, 1, 100, 50), 1_000);
        assert_eq!(start(&mut forecast, interactive, 1, 100, 50), 250);
        forecast.class_emptied(interactive);
        assert_eq!(start(&mut forecast, batch, 0, 100, 60), 1_000);
        assert_eq!(start(&mut forecast, interactive, 0, 100, 60), 160);
        forecast.class_emptied(batch);
        assert_eq!(start(&mut forecast, batch, 0, 100, 60), 160);
        assert_eq!(start(&mut forecast, batch, u32::MAX, u64::MAX, 70), u64::MAX);
    }

    /// FORECAST-3: sign and power of two, size 0 below 2^10 µs, the last without an end; nothing without a prediction.
    #[test]
    fn errors_are_counted_by_sign_and_size() {
        let predicted = 1u64 << 50;
        let table: [(i64, usize); 14] = [
            (0, 31),
            (-1_023, 31),
            (1, 32),
            (1_023, 32),
            (-1_024, 30),
            (1_024, 33),
            (-2_047, 30),
            (2_047, 33),
            (-2_048, 29),
            (2_048, 34),
            ((1 << 40) - 1, 62),
            (1 << 40, 63),
            (-(1 << 40), 0),
            (1 << 45, 63),
        ];
        for (error, bucket) in table {
            let mut forecast = Forecast::new();
            forecast.record_end(None, predicted);
            assert_eq!(forecast, Forecast::new());
            forecast.record_end(Some(predicted), predicted.saturating_add_signed(error));
            let counted: Vec<usize> = (0..BUCKETS).filter(|&place| forecast.errors[place] > 0).collect();
            assert_eq!((counted, forecast.errors[bucket]), (std::vec![bucket], 1), "{error}");
        }
    }

    /// FORECAST-3: where a counter is full all are halved, so the shares stay.
    #[test]
    fn full_counters_are_halved() {
        let mut forecast = Forecast::new();
        forecast.errors[31] = u32::MAX; // early, below 1.024 ms
        forecast.errors[40] = u32::MAX - 1;
        forecast.errors[50] = 1;
        forecast.record_end(Some(5), 5);
        assert_eq!((forecast.errors[31], forecast.errors[40], forecast.errors[50]), (1 << 31, (1 << 31) - 1, 0));
    }

    /// FORECAST-4: none without a deadline, a predicted end or a count; 0 once the deadline has passed, whatever is
    /// missing.
    #[test]
    fn what_is_missing_gives_no_share() {
        let empty = Forecast::new();
        let mut one = Forecast::new();
        one.record_end(Some(MS), MS);
        let table = [
            (&one, Some(50), Some(40), 50, Some(1000)),
            (&one, Some(50), Some(51), 50, Some(0)),
            (&one, None, Some(40), 50, None),
            (&one, Some(50), None, 50, None),
            (&empty, Some(50), Some(40), 50, None),
            (&one, Some(49), Some(40), 50, Some(0)),
            (&one, Some(49), None, 50, Some(0)),
            (&empty, Some(49), Some(40), 50, Some(0)),
        ];
        for (forecast, deadline, predicted, now, expected) in table {
            assert_eq!(forecast.on_time_permille(deadline, predicted, now), expected, "{deadline:?} {predicted:?}");
        }
    }

    /// FORECAST-4: each bucket by its upper end, rounded down.
    #[test]
    fn shares_count_buckets_by_their_upper_ends() {
        let mut forecast = Forecast::new();
        forecast.record_end(Some(1 << 30), (1 << 30) - 5_000); // 4.096 to 8.191 ms early
        forecast.record_end(Some(1 << 30), (1 << 30) + 5_000); // up to 8.191 ms late
        forecast.record_end(Some(1 << 30), 1 << 42); // later than any deadline
        let share = |deadline| forecast.on_time_permille(Some(deadline), Some(100_000), 0).unwrap();
        let table = [(95_903, 0), (95_904, 333), (108_190, 333), (108_191, 666), (u64::MAX, 666)];
        for (deadline, permille) in table {
            assert_eq!(share(deadline), permille, "{deadline}");
        }
        // At the ends of the number range.
        assert_eq!(forecast.on_time_permille(Some(0), Some(4_096), 0), Some(333));
        assert_eq!(forecast.on_time_permille(Some(u64::MAX), Some(u64::MAX), 0), Some(333));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Arrives { batch: bool, position: u32, interval_us: Option<u64>, after_us: u64 },
        Empties { batch: bool },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let interval = proptest::option::weighted(0.9, prop_oneof![0u64..2_000_000, Just(1 << 40), any::<u64>()]);
        let arrival = (any::<bool>(), prop_oneof![0u32..50, any::<u32>()], interval, 0u64..1_000_000);
        let step = prop_oneof![
            8 => arrival.prop_map(|(batch, position, interval_us, after_us)| Step::Arrives {
                batch,
                position,
                interval_us,
                after_us
            }),
            1 => any::<bool>().prop_map(|batch| Step::Empties { batch }),
        ];
        proptest::collection::vec(step, 0..60)
    }

    /// The upper end of an error's bucket as the specification lists them; `None` has no end. FORECAST-3.
    fn upper_end(error: i128) -> Option<i128> {
        let early = (10..=40).rev().map(|power| -(1i128 << power));
        let late = (10..=40).map(|power| (1i128 << power) - 1);
        early.chain([0]).chain(late).find(|&end| error <= end)
    }

    proptest! {
        /// FORECAST-2: the largest of the own forecasts of the class since its queue was empty.
        #[test]
        fn forecasts_of_a_class_never_fall(steps in steps()) {
            let mut forecast = Forecast::new();
            let mut told: [Vec<u64>; 2] = Default::default();
            let mut now_us = 0u64;
            for step in steps {
                match step {
                    Step::Arrives { batch, position, interval_us, after_us } => {
                        now_us += after_us;
                        let class = if batch { Priority::Batch } else { Priority::Interactive };
                        let wait = forecast.wait(class, position, 3, interval_us, now_us);
                        prop_assert_eq!((wait.queue_position, wait.class_position), (position, 3));
                        let own = interval_us.map(|interval| {
                            let exact = u128::from(now_us) + (u128::from(position) + 1) * u128::from(interval);
                            u64::try_from(exact).unwrap_or(u64::MAX)
                        });
                        let before = told[usize::from(batch)].iter().copied().max().unwrap_or(0);
                        prop_assert_eq!(wait.predicted_start_us, own.map(|own| own.max(before)));
                        told[usize::from(batch)].extend(own);
                    }
                    Step::Empties { batch } => {
                        forecast.class_emptied(if batch { Priority::Batch } else { Priority::Interactive });
                        told[usize::from(batch)].clear();
                    }
                }
            }
        }

        /// FORECAST-4: the share of the raw errors, each by the end of its bucket; it never falls with the deadline.
        #[test]
        fn shares_are_those_of_a_naive_count(
            ends in proptest::collection::vec((0u64..1 << 44, -(1i64 << 43)..1 << 43, 0u32..44), 0..40),
            predicted in 0u64..1 << 42,
            deadlines in proptest::collection::vec((any::<i64>(), 20u32..63), 1..20),
            now_us in 0u64..1 << 20,
        ) {
            let mut forecast = Forecast::new();
            let mut errors: Vec<i128> = Vec::new();
            for (predicted, error, shift) in ends {
                let real = predicted.saturating_add_signed(error >> shift);
                forecast.record_end(Some(predicted), real);
                errors.push(i128::from(real) - i128::from(predicted));
            }
            let mut deadlines: Vec<u64> =
                deadlines.into_iter().map(|(near, shift)| predicted.saturating_add_signed(near >> shift)).collect();
            deadlines.sort_unstable();
            let mut shares = Vec::new();
            for deadline in deadlines {
                let share = forecast.on_time_permille(Some(deadline), Some(predicted), now_us);
                let meets = |error: i128| upper_end(error).is_some_and(|end| i128::from(predicted) + end <= deadline.into());
                let met = errors.iter().filter(|&&error| meets(error)).count();
                let expected = match errors.len() {
                    _ if deadline < now_us => Some(0),
                    0 => None,
                    all => Some(u16::try_from(met * 1000 / all).unwrap()),
                };
                prop_assert_eq!(share, expected);
                prop_assert!(share.is_none_or(|share| share <= 1000));
                shares.push(share);
            }
            if !errors.is_empty() {
                prop_assert!(shares.is_sorted());
            }
        }
    }
}
