//! Unpredictable but fixed numbers: a world is its seed.

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of one world of a run.
    pub(crate) fn of(seed: u64, world: u64) -> Self {
        let mut mixed = Self(seed);
        Self(mixed.number() ^ world.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(crate) const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// True once in `times`.
    pub(crate) const fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `values`, of which there is at least one.
    pub(crate) fn pick<'v, T>(&mut self, values: &'v [T]) -> &'v T {
        let place = self.below(values.len() as u64);
        &values[usize::try_from(place).unwrap_or_default()]
    }
}
