//! Which pools changed since a backend last looked: as many as there are, however often they change.
//!
//! Invariant: it holds at most twice as many ranks as there are pools that changed, or [`Changes::FEW`].

/// Ranks of pools, in no order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    ranks: Vec<u32>,
    /// With so many of them repeated ones are dropped.
    tidy_at: usize,
}

impl Changes {
    /// So few are not worth a search for repeated ones.
    const FEW: usize = 1 << 12;

    /// Notes a pool. O(1), now and then O(n · log n).
    pub(super) fn mark(&mut self, rank: u32) {
        if self.ranks.len() >= self.tidy_at.max(Self::FEW) {
            self.tidy_at = 2 * self.tidied().len();
        }
        self.ranks.push(rank);
    }

    /// Every one once, ascending.
    pub(super) fn tidied(&mut self) -> &[u32] {
        self.ranks.sort_unstable();
        self.ranks.dedup();
        &self.ranks
    }

    pub(super) fn clear(&mut self) {
        self.ranks.clear();
    }

    /// One of them, taken out.
    pub(super) fn pop(&mut self) -> Option<u32> {
        self.ranks.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::Changes;

    #[test]
    fn a_backend_that_never_looks_remembers_each_pool_once() {
        let mut changes = Changes::default();
        for turn in 0..1_000_000u32 {
            changes.mark(turn % 9_000);
            assert!(changes.ranks.len() <= 2 * 9_000);
        }
        assert!(changes.tidied().iter().copied().eq(0..9_000));
    }
}
