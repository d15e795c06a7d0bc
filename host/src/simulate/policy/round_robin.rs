//! One pool after the other, whatever they are.

use super::baseline::{Rule, View};

#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    turns: usize,
}

impl Rule for RoundRobin {
    fn choose(&mut self, view: &mut View<'_, '_>) -> u32 {
        let turn = self.turns % view.candidates.len();
        self.turns += 1;
        view.candidates[turn]
    }
}
