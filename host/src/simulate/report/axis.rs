//! Axes in whole numbers: where a value stands, and what is written beside it.
//!
//! A logarithm comes from `libm` and is rounded to 1/1000 of a decade, so that no machine's own logarithm can move a
//! point by a pixel.

use std::ops::Range;

use crate::simulate::results::factor;

/// A decade, in positions of a logarithmic axis.
const DECADE: i64 = 1000;
/// Around 0 a signed axis is as good as linear up to this.
const SIGNED_FLOOR_US: u64 = 100_000;

/// How values become positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    /// Of numbers from 1 on.
    Log,
    /// Both signs, in µs.
    SignedLog,
}

/// What is written at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tick {
    at: i64,
    label: String,
}

/// One axis of a plot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Axis {
    scale: Scale,
    range: Range<i64>,
    ticks: Vec<Tick>,
}

impl Axis {
    /// Of times in µs, logarithmic, from the round number below the least to the one above the greatest.
    pub(super) fn of_times(times_us: impl IntoIterator<Item = u64> + Clone) -> Self {
        let least = times_us.clone().into_iter().min().unwrap_or(1).max(1);
        let most = times_us.into_iter().max().unwrap_or(1).max(1);
        let from = round_numbers().take_while(|&number| number <= least).last().unwrap_or(1);
        let to = round_numbers().find(|&number| number >= most && number > from).unwrap_or(u64::MAX);
        let range = log_position(from)..log_position(to);
        let is_far = range.end - range.start > 2 * DECADE;
        let shown = round_numbers().filter(|number| (from..=to).contains(number));
        let shown = shown.filter(|number| !is_far || is_power_of_ten(*number));
        let ticks = shown.map(|number| Tick { at: log_position(number), label: time_text(number) }).collect();
        Self { scale: Scale::Log, range, ticks }
    }

    /// Of loads in 1/1000, logarithmic, with a tick at each that has room.
    pub(super) fn of_loads(loads_permille: impl IntoIterator<Item = u32>) -> Self {
        let mut loads: Vec<u32> = loads_permille.into_iter().collect();
        loads.sort_unstable();
        let at = |load: &u32| log_position((*load).into());
        let (first, last) = (loads.first().map_or(0, at), loads.last().map_or(0, at));
        let margin = ((last - first) / 20).max(30);
        let mut ticks: Vec<Tick> = Vec::new();
        for load in &loads {
            if ticks.last().is_none_or(|before| at(load) - before.at > 2 * margin) {
                ticks.push(Tick { at: at(load), label: load_text(*load) });
            }
        }
        Self { scale: Scale::Log, range: first - margin..last + margin, ticks }
    }

    /// Of shares in 1/1000, from none to all.
    pub(super) fn of_shares() -> Self {
        Self::of_shares_up_to(1000)
    }

    /// Of shares in 1/1000 of which none exceeds `most`: to all, or to a round part of it.
    pub(super) fn of_shares_up_to(most: u64) -> Self {
        let end = [40, 200, 400].into_iter().find(|&end| most <= end).unwrap_or(1000);
        let ticks = (0..=4).map(|quarter| quarter * end / 4);
        let ticks = ticks.map(|at| Tick { at: whole(at), label: format!("{} %", at / 10) });
        Self { scale: Scale::Linear, range: 0..whole(end), ticks: ticks.collect() }
    }

    /// Of counts, from 0 to the round number at or above `most`.
    pub(super) fn of_counts(most: u64) -> Self {
        let step = round_numbers().find(|step| most.div_ceil(*step) <= 4).unwrap_or(u64::MAX);
        let steps = most.div_ceil(step).max(1);
        let tick = |count: u64| Tick { at: whole(count), label: count.to_string() };
        let ticks: Vec<_> = (0..=steps).map(|number| tick(number.saturating_mul(step))).collect();
        Self { scale: Scale::Linear, range: 0..whole(steps.saturating_mul(step)), ticks }
    }

    /// Of the simulation's clock in µs, from 0 to `end_us`.
    pub(super) fn of_clock(end_us: u64) -> Self {
        const DAY_US: u64 = 86_400_000_000;
        const UNITS: [(u64, &str, &[u64]); 5] = [
            (1000, "ms", &[1, 2, 5, 10, 20, 50, 100, 200, 500]),
            (1_000_000, "s", &[1, 2, 5, 10, 20, 30]),
            (60_000_000, "min", &[1, 2, 5, 10, 20, 30]),
            (3_600_000_000, "h", &[1, 2, 4, 6, 12]),
            (DAY_US, "d", &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]),
        ];
        let steps =
            UNITS.iter().flat_map(|(unit_us, unit, steps)| steps.iter().map(move |step| (*unit_us, *unit, *step)));
        let fits = |(unit_us, _, step): &(u64, &str, u64)| end_us / (unit_us * step) <= 6;
        let (unit_us, unit, step) = steps.clone().find(fits).unwrap_or((DAY_US, "d", u64::MAX / DAY_US));
        let numbers = (0..=6).map(|number| number * step).take_while(|number| number.saturating_mul(unit_us) <= end_us);
        let ticks =
            numbers.map(|number| Tick { at: whole(number.saturating_mul(unit_us)), label: format!("{number} {unit}") });
        Self { scale: Scale::Linear, range: 0..whole(end_us.max(1)), ticks: ticks.collect() }
    }

    /// Of errors in µs, earlier on the left; logarithmic on both sides of 0.
    pub(super) fn of_errors(least_us: i64, most_us: i64) -> Self {
        // At least from -100 ms to 100 ms.
        let edge = signed_position(100_000);
        let range = signed_position(least_us).min(-edge) - 50..signed_position(most_us).max(edge) + 50;
        let sides = |size_us: u64| [("\u{2212}", -whole(size_us)), ("+", whole(size_us))].map(|side| (side, size_us));
        let tick = |((sign, error_us), size_us): ((&str, i64), u64)| Tick {
            at: signed_position(error_us),
            label: format!("{sign}{}", time_text(size_us)),
        };
        // Powers of ten, from 100 ms on, as far as they have room.
        let room = (range.end - range.start) / 9;
        let mut taken = 0;
        let has_room = |size_us: &u64| {
            let at = signed_position(whole(*size_us));
            let has_room = at - taken >= room;
            taken = if has_room { at } else { taken };
            has_room
        };
        let both = (5..19).map(|power| 10_u64.pow(power)).filter(has_room).flat_map(sides).map(tick);
        let mut ticks: Vec<_> = both.filter(|tick| range.contains(&tick.at)).collect();
        ticks.push(Tick { at: 0, label: "0".to_owned() });
        ticks.sort_by_key(|tick| tick.at);
        Self { scale: Scale::SignedLog, range, ticks }
    }

    /// Where a value stands.
    pub(super) fn position(&self, value: i64) -> i64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => log_position(value.max(1).unsigned_abs()),
            Scale::SignedLog => signed_position(value),
        }
    }

    pub(super) fn range(&self) -> Range<i64> {
        self.range.clone()
    }

    /// Where something is written.
    pub(super) fn marked(&self) -> Vec<i64> {
        self.ticks.iter().map(|tick| tick.at).collect()
    }

    /// What is written at a position.
    pub(super) fn label(&self, at: i64) -> String {
        self.ticks.iter().find(|tick| tick.at == at).map(|tick| tick.label.clone()).unwrap_or_default()
    }
}

/// A load, as a factor with its sign.
pub(super) fn load_text(load_permille: u32) -> String {
    format!("{}\u{d7}", factor(load_permille))
}

/// A count or a time as a position; more than any axis has is its end.
pub(super) fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// 1, 2, 5, 10, 20, 50 and so on.
fn round_numbers() -> impl Iterator<Item = u64> {
    (0..19).flat_map(|power| [1, 2, 5].map(|first| first * 10_u64.pow(power)))
}

fn is_power_of_ten(number: u64) -> bool {
    number == 10_u64.pow(number.ilog10())
}

/// A round time.
fn time_text(time_us: u64) -> String {
    match time_us {
        0..1000 => format!("{time_us} \u{b5}s"),
        1000..1_000_000 => format!("{} ms", time_us / 1000),
        _ => format!("{} s", time_us / 1_000_000),
    }
}

/// 1000 times the decimal logarithm of a number from 1 on.
fn log_position(number: u64) -> i64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a picture; from 0 to 19266")]
    let position = libm::rint(libm::log10(number.max(1) as f64) * 1000.0) as i64;
    position
}

fn signed_position(error_us: i64) -> i64 {
    let size = log_position(SIGNED_FLOOR_US.saturating_add(error_us.unsigned_abs())) - log_position(SIGNED_FLOOR_US);
    if error_us < 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        assert!(axis.ticks.is_sorted_by_key(|tick| tick.at) && axis.range.start < axis.range.end, "{axis:?}");
        axis.marked().into_iter().map(|at| axis.label(at)).collect()
    }

    #[test]
    fn times() {
        let axis = Axis::of_times([30_000, 700_000]);
        assert_eq!(labels(&axis), ["20 ms", "50 ms", "100 ms", "200 ms", "500 ms", "1 s"]);
        assert_eq!(axis.range(), 4301..6000);
        assert_eq!((axis.position(100_000), axis.position(0), axis.position(-5)), (5000, 0, 0));
        assert_eq!(labels(&Axis::of_times([900, 3_000_000])), ["1 ms", "10 ms", "100 ms", "1 s"]);
        assert_eq!(labels(&Axis::of_times([5])), ["5 \u{b5}s", "10 \u{b5}s"]);
        assert_eq!(labels(&Axis::of_times([])).len(), 2);
        assert!(labels(&Axis::of_times([0, u64::MAX])).len() > 10);
    }

    #[test]
    fn loads() {
        assert_eq!(labels(&Axis::of_loads([4000, 500, 1000, 1500])), ["0.5\u{d7}", "1\u{d7}", "1.5\u{d7}", "4\u{d7}"]);
        assert_eq!(labels(&Axis::of_loads([1000])), ["1\u{d7}"]);
        assert_eq!(labels(&Axis::of_loads([1000, 1001, 1000])), ["1\u{d7}"]);
        assert_eq!(labels(&Axis::of_loads([])), [""; 0]);
    }

    #[test]
    fn counts_and_shares() {
        assert_eq!(labels(&Axis::of_counts(0)), ["0", "1"]);
        assert_eq!(labels(&Axis::of_counts(3)), ["0", "1", "2", "3"]);
        assert_eq!(labels(&Axis::of_counts(170)), ["0", "50", "100", "150", "200"]);
        labels(&Axis::of_counts(u64::MAX));
        assert_eq!(labels(&Axis::of_shares()), ["0 %", "25 %", "50 %", "75 %", "100 %"]);
        assert_eq!(Axis::of_shares_up_to(401), Axis::of_shares());
        assert_eq!(labels(&Axis::of_shares_up_to(40)), ["0 %", "1 %", "2 %", "3 %", "4 %"]);
        assert_eq!(labels(&Axis::of_shares_up_to(41)).last().map(String::as_str), Some("20 %"));
    }

    #[test]
    fn the_clock() {
        assert_eq!(labels(&Axis::of_clock(0)), ["0 ms"]);
        assert_eq!(labels(&Axis::of_clock(7_500_000)), ["0 s", "2 s", "4 s", "6 s"]);
        assert_eq!(
            labels(&Axis::of_clock(1_800_000_000)),
            ["0 min", "5 min", "10 min", "15 min", "20 min", "25 min", "30 min"]
        );
        assert_eq!(labels(&Axis::of_clock(600_000_000_000)), ["0 d", "1 d", "2 d", "3 d", "4 d", "5 d", "6 d"]);
        labels(&Axis::of_clock(u64::MAX));
    }

    #[test]
    fn errors() {
        let axis = Axis::of_errors(-1_500_000, 20_000_000);
        assert_eq!(labels(&axis), ["\u{2212}1 s", "0", "+1 s", "+10 s"]);
        assert_eq!((axis.position(0), axis.position(900_000), axis.position(-900_000)), (0, 1000, -1000));
        let far = labels(&Axis::of_errors(i64::MIN, i64::MAX));
        assert_eq!(far.len(), 7, "{far:?}");
        assert_eq!(labels(&Axis::of_errors(0, 0)), ["\u{2212}100 ms", "0", "+100 ms"]);
    }
}
