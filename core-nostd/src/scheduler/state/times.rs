//! Times of a state are relative to its `now`, so that another clock can go on with them. STATE-2.

/// A time before or after `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    is_ahead: bool,
    distance_us: u64,
}

coded_struct!(Moment { is_ahead, distance_us });

/// Turns times into relative ones, and back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) now_us: u64,
}

impl Clock {
    /// How long ago a time was.
    pub(super) const fn age_us(self, at_us: u64) -> u64 {
        self.now_us.saturating_sub(at_us)
    }

    /// The time so long ago; none before time 0.
    pub(super) const fn at_age(self, age_us: u64) -> Option<u64> {
        self.now_us.checked_sub(age_us)
    }

    pub(super) fn moment(self, at_us: u64) -> Moment {
        Moment { is_ahead: at_us > self.now_us, distance_us: at_us.abs_diff(self.now_us) }
    }

    /// A time beyond the end of time is one that does not come.
    pub(super) const fn at(self, moment: Moment) -> Option<u64> {
        let Moment { is_ahead, distance_us } = moment;
        if is_ahead { Some(self.now_us.saturating_add(distance_us)) } else { self.at_age(distance_us) }
    }
}
