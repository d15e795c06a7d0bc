//! Which class is served next: strict priority, or turns by weight.
//!
//! Invariant: with weights, the class whose turn it is has at least one service left. QUEUE-7, QUEUE-8.

use super::class::other;
use crate::input::Priority;
use crate::scheduler::policy::ClassWeights;

/// The classes' turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turns {
    weights: Option<ClassWeights>,
    class: Priority,
    left: u32,
}

impl Turns {
    /// Interactive jobs have the first turn.
    pub(super) fn new(weights: Option<ClassWeights>) -> Self {
        let class = Priority::Interactive;
        Self { weights, class, left: weights.map_or(1, |weights| weight(weights, class)) }
    }

    pub(super) const fn weights(&self) -> Option<ClassWeights> {
        self.weights
    }

    /// Whose turn it is, and for how many services more.
    pub(super) const fn standing(&self) -> (Priority, u32) {
        (self.class, self.left)
    }

    /// Goes on with a turn under the same weights; says whether there can be such a turn. STATE-5.
    pub(super) fn resume(&mut self, class: Priority, left: u32) -> bool {
        let most = self.weights.map_or(1, |weights| weight(weights, class));
        let can_be = (1..=most).contains(&left) && (self.weights.is_some() || class == Priority::Interactive);
        if can_be {
            (self.class, self.left) = (class, left);
        }
        can_be
    }

    /// The class that is served next, if one has jobs. A class without jobs passes its turn on. QUEUE-8.
    pub(super) const fn next(&self, has_interactive: bool, has_batch: bool) -> Option<Priority> {
        match (has_interactive, has_batch) {
            (false, false) => None,
            (true, false) => Some(Priority::Interactive),
            (false, true) => Some(Priority::Batch),
            (true, true) if self.weights.is_some() => Some(self.class),
            (true, true) => Some(Priority::Interactive),
        }
    }

    /// A job of a class was taken: the turn advances, or begins where it was passed on. QUEUE-8.
    pub(super) fn take(&mut self, class: Priority) {
        let Some(weights) = self.weights else { return };
        if self.class != class {
            self.class = class;
            self.left = weight(weights, class);
        }
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.class = other(class);
            self.left = weight(weights, self.class);
        }
    }

    /// How many of `others` jobs of the other class are served before the job of `class` that `ahead` jobs of its own
    /// class are before. FORECAST-1.
    pub(super) fn others_before(&self, class: Priority, ahead: u32, others: u32) -> u32 {
        let Some(weights) = self.weights else {
            return if class == Priority::Interactive { 0 } else { others };
        };
        let (own, their) = (weight(weights, class), weight(weights, other(class)));
        let before = if class != self.class {
            u64::from(self.left).saturating_add(whole_turns(ahead, own).saturating_mul(their.into()))
        } else if let Some(later) = ahead.checked_sub(self.left) {
            whole_turns(later, own).saturating_add(1).saturating_mul(their.into())
        } else {
            0
        };
        u32::try_from(before).unwrap_or(u32::MAX).min(others)
    }
}

/// Below 2^32; times a weight it fits.
fn whole_turns(services: u32, weight: u32) -> u64 {
    u64::from(services.div_euclid(weight.max(1)))
}

/// At least 1, also where rules were made without a check.
fn weight(weights: ClassWeights, class: Priority) -> u32 {
    let weight = match class {
        Priority::Interactive => weights.interactive,
        Priority::Batch => weights.batch,
    };
    u32::from(weight).max(1)
}
