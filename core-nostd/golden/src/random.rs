//! Numbers that look random and are the same everywhere.

/// SplitMix64: a world is its seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) const fn below(&mut self, limit: u32) -> u32 {
        // The product of two numbers below 2^32, without its lower half.
        (((self.number() >> 32) * limit as u64) >> 32) as u32
    }

    /// True once in `times`.
    pub(crate) const fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of `values`, each as likely as the others.
    pub(crate) fn pick<T: Copy + Default, const N: usize>(&mut self, values: [T; N]) -> T {
        const { assert!(N > 0 && N < 1 << 16) };
        // The default never comes: without a value to fall back to, this could panic.
        values.get(self.below(N as u32) as usize).copied().unwrap_or_default()
    }

    /// One of `values` once in `times`, else `usual`.
    pub(crate) fn rarely<T: Copy + Default, const N: usize>(&mut self, times: u32, values: [T; N], usual: T) -> T {
        if self.one_in(times) { self.pick(values) } else { usual }
    }
}
