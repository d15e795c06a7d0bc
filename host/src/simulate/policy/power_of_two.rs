//! Of two pools by luck the one with fewer requests (Mitzenmacher, "The power of two choices in randomized load
//! balancing", 2001).

use super::baseline::{Rule, View};

#[derive(Debug)]
pub(super) struct PowerOfTwo;

impl Rule for PowerOfTwo {
    fn choose(&mut self, view: &mut View<'_, '_>) -> u32 {
        let (one, other) = (*view.random.pick(view.candidates), *view.random.pick(view.candidates));
        if view.load(other).requests() < view.load(one).requests() { other } else { one }
    }
}
