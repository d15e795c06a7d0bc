//! Any pool.

use super::baseline::{Rule, View};

#[derive(Debug)]
pub(super) struct AnyPool;

impl Rule for AnyPool {
    fn choose(&mut self, view: &mut View<'_, '_>) -> u32 {
        *view.random.pick(view.candidates)
    }
}
