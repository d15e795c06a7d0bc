//! Equal pools, except where one must win: at every edge of lanes, blocks and tiles.
//!
//! One world plants a winner per job, by the model that is resident there; the next plants one or two for all jobs, which
//! then win by their rate, or by their rank alone.

use serde_json::{Value, json};

use super::set;
use crate::random::Random;
use crate::verify::case::Case;

const SIZES: [usize; 18] = [1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257, 1023, 1024, 1025];
const EDGES: [usize; 24] =
    [0, 1, 5, 7, 8, 9, 15, 16, 30, 31, 32, 33, 62, 63, 64, 65, 127, 128, 129, 255, 256, 1022, 1023, 1024];

/// The world of this number among the planted ones.
pub(super) fn case(random: &mut Random, number: u64, pools: Option<usize>, jobs: Option<usize>) -> Case {
    let turn = usize::try_from(number / 2).unwrap_or_default();
    let size = pools.unwrap_or(SIZES[turn % SIZES.len()]);
    let positions: Vec<_> = EDGES.into_iter().filter(|&edge| edge < size).chain(size.checked_sub(1)).collect();
    let mut case = Case {
        pools: (0..size).map(pool).collect(),
        jobs: Vec::new(),
        policy: vec!["version = 1".to_owned(), format!("quantum_shift = {}", random.pick(&[0, 10]))],
    };
    if number.is_multiple_of(2) {
        plant_residents(&mut case, &positions, jobs.unwrap_or(positions.len()));
    } else {
        plant_rates(random, &mut case, &positions, jobs.unwrap_or(3));
    }
    case
}

fn pool(place: usize) -> Value {
    json!({
        "id": format!("p{place:06}"), "engine": "e", "slots_total": 4, "slots_free": 4,
        "vram_total_bytes": 1u64 << 36, "vram_free_bytes": 1u64 << 36, "resident_models": [], "model_load_ms": 50.0,
        "perf_tokens_per_s": 50.0, "first_token_ms": 20.0,
    })
}

fn job(place: usize, model: &str) -> Value {
    json!({"id": format!("j{place}"), "engine": "e", "model_id": model, "prompt_tokens": 10, "expected_tokens": 100})
}

fn plant_residents(case: &mut Case, positions: &[usize], jobs: usize) {
    let model = |position: usize| format!("m{position}");
    for &position in positions {
        set(&mut case.pools[position], "resident_models", json!([model(position)]));
    }
    let turns = positions.iter().cycle().take(if positions.is_empty() { 0 } else { jobs });
    case.jobs = turns.enumerate().map(|(place, &position)| job(place, &model(position))).collect();
}

fn plant_rates(random: &mut Random, case: &mut Case, positions: &[usize], jobs: usize) {
    if !positions.is_empty() {
        for _ in 0..random.below(3) {
            set(&mut case.pools[*random.pick(positions)], "perf_tokens_per_s", 55.0);
        }
    }
    case.jobs = (0..jobs).map(|place| job(place, "m")).collect();
}
