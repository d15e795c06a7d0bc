//! One value per class, found by the class.

use crate::input::Priority;

/// A value for each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ByClass<V> {
    pub(super) interactive: V,
    pub(super) batch: V,
}

impl<V> ByClass<V> {
    pub(super) const fn get(&self, class: Priority) -> &V {
        match class {
            Priority::Interactive => &self.interactive,
            Priority::Batch => &self.batch,
        }
    }

    pub(super) const fn get_mut(&mut self, class: Priority) -> &mut V {
        match class {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        }
    }
}

/// The class that is not this one.
pub(super) const fn other(class: Priority) -> Priority {
    match class {
        Priority::Interactive => Priority::Batch,
        Priority::Batch => Priority::Interactive,
    }
}
