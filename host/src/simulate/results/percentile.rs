//! Percentiles by nearest rank, over exact values: every one that is shown was measured.

/// Values in ascending order: times, or signed errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution<T = u64>(Vec<T>);

impl<T> Default for Distribution<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> FromIterator<T> for Distribution<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values: Vec<T> = values.into_iter().collect();
        values.sort_unstable();
        Self(values)
    }
}

impl<T: Copy> Distribution<T> {
    /// The least value that at least so many thousandths of all values do not exceed; `None` of no values.
    ///
    /// ```
    /// use orchestrator_host::simulate::results::Distribution;
    ///
    /// let values: Distribution = [40, 10, 30, 20].into_iter().collect();
    /// assert_eq!(values.permille(500), Some(20));
    /// assert_eq!(values.permille(501), Some(30));
    /// ```
    #[must_use]
    pub fn permille(&self, permille: u32) -> Option<T> {
        let count = self.0.len() as u64;
        let rank = (u64::from(permille.min(1000)) * count).div_ceil(1000).max(1);
        self.0.get(usize::try_from(rank - 1).ok()?).copied()
    }

    /// The values, ascending.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Distribution {
    /// The mean, rounded down.
    #[must_use]
    pub fn mean(&self) -> Option<u64> {
        let sum: u128 = self.0.iter().map(|&value| u128::from(value)).sum();
        let mean = sum.checked_div(self.0.len() as u128)?;
        u64::try_from(mean).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nearest_rank() {
        // The textbook's example: 15, 20, 35, 40, 50.
        let values: Distribution = [35, 20, 15, 50, 40].into_iter().collect();
        let expected = [(0, 15), (50, 15), (300, 20), (400, 20), (401, 35), (500, 35), (999, 50), (1000, 50)];
        for (permille, value) in expected {
            assert_eq!(values.permille(permille), Some(value), "{permille}");
        }
        assert_eq!(values.mean(), Some(32));
        let none = <Distribution>::default();
        assert_eq!((none.permille(500), none.mean(), none.is_empty()), (None, None, true));
        assert_eq!(Distribution::from_iter([5, -7, 0]).permille(1), Some(-7));
        assert_eq!(Distribution::from_iter([u64::MAX, u64::MAX]).mean(), Some(u64::MAX));
    }

    proptest! {
        /// By the definition, without ranks: count how many values do not exceed a candidate.
        #[test]
        fn the_definition(values in prop::collection::vec(0_u64..50, 1..40), permille in 0_u32..=1000) {
            let found = Distribution::from_iter(values.iter().copied()).permille(permille).unwrap();
            let reaches = |candidate: u64| {
                let covered = values.iter().filter(|&&value| value <= candidate).count() as u64;
                covered * 1000 >= u64::from(permille) * values.len() as u64
            };
            prop_assert!(values.contains(&found) && reaches(found));
            prop_assert!(values.iter().all(|&value| value >= found || !reaches(value)));
        }
    }
}
