//! The pool with the fewest requests.

use super::baseline::{Rule, View};

#[derive(Debug)]
pub(super) struct LeastLoaded;

impl Rule for LeastLoaded {
    fn choose(&mut self, view: &mut View<'_, '_>) -> u32 {
        view.least(|view, pool| f64::from(view.load(pool).requests()))
    }
}
