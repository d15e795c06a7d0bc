//! Policies of random worlds, as lines of a policy file.

use super::features::{Feature, Features};
use crate::random::Random;

pub(super) fn policy(random: &mut Random, features: Features) -> Vec<String> {
    let mut lines = vec!["version = 1".to_owned()];
    let mut say = |line: String| lines.push(line);
    if random.one_in(6) {
        say("order = \"vram-first\"".to_owned());
    }
    if random.one_in(2) {
        say(format!("quantum_shift = {}", random.pick(&[0, 1, 10, 24, 45, 46])));
    }
    if random.one_in(8) {
        say("performance_aware = false".to_owned());
    }
    if random.one_in(3) {
        say(format!("spread_seed = {}", random.below(1000)));
    }
    if features.has(Feature::Unknown) && random.one_in(2) {
        say(format!("default_tokens_per_s = {}", random.pick(&["50.0", "0.3", "4000.0"])));
        say(format!("default_first_token_ms = {}", random.pick(&["0.0", "20.0", "70368744177.0"])));
    }
    if features.has(Feature::Backlog) {
        say(format!("pool_backlog = {}", random.pick(&[0, 1, 2, 65_535])));
    }
    if random.one_in(8) {
        say("session_capacity = 1".to_owned());
    }
    if random.one_in(3) {
        for term in ["admission", "model_load", "first_token", "prefill", "decode"] {
            say(format!("weights.{term} = {}", random.pick(&["0.0", "0.00390625", "0.5", "1.0", "3.7", "16.0"])));
        }
    }
    lines
}
