//! Which models an engine has loaded: a request for another waits until its model is.
//!
//! As [`SCORE-1`](../../../docs/spec.md) has it, a pool that publishes nothing of it has all models that it serves. What is
//! loaded stays until more models are than a pool can publish; then the one that was used least lately goes. Weights take no
//! room here: a trace does not say how large they are.

use orchestrator_core::limits::RESIDENT_MODELS_MAX;

/// The models that an engine has loaded, by their numbers in the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Residents {
    /// What it has when it starts; none where it always has all.
    at_first: Option<Vec<u32>>,
    /// The one that was used last stands last.
    loaded: Vec<u32>,
}

impl Residents {
    /// Of an engine that never loads a model.
    pub const ALL: Self = Self { at_first: None, loaded: Vec::new() };

    /// Of an engine that starts with these.
    #[must_use]
    pub fn starting_with(models: Vec<u32>) -> Self {
        Self { loaded: models.clone(), at_first: Some(models) }
    }

    /// Whether a request for the model can begin at once. O(models).
    #[must_use]
    pub fn have(&self, model: u32) -> bool {
        self.at_first.is_none() || self.loaded.contains(&model)
    }

    /// The model is loaded, or is used again. O(models).
    pub fn used(&mut self, model: u32) {
        if self.at_first.is_none() {
            return;
        }
        self.loaded.retain(|&own| own != model);
        self.loaded.push(model);
        let surplus = self.loaded.len().saturating_sub(RESIDENT_MODELS_MAX);
        self.loaded.drain(..surplus);
    }

    /// The engine starts anew.
    pub fn restart(&mut self) {
        self.loaded = self.at_first.clone().unwrap_or_default();
    }

    /// What the pool says of it; nothing where it always has all.
    #[must_use]
    pub fn published(&self) -> Option<Vec<u32>> {
        self.at_first.as_ref().map(|_| self.loaded.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_least_lately_goes_first() {
        let mut residents = Residents::starting_with(vec![1000, 1001]);
        residents.used(1000);
        (0..63).for_each(|model| residents.used(model));
        assert!(residents.have(1000) && residents.have(0) && !residents.have(1001));
        assert_eq!(residents.published().map(|models| models.len()), Some(RESIDENT_MODELS_MAX));
        residents.restart();
        assert_eq!(residents.published(), Some(vec![1000, 1001]));
    }

    #[test]
    fn who_says_nothing_has_all() {
        let mut residents = Residents::ALL;
        residents.used(7);
        residents.restart();
        assert!(residents.have(8));
        assert_eq!(residents.published(), None);
    }
}
