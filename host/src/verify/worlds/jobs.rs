//! Jobs of random worlds.

use serde_json::{Value, json};

use super::features::{Feature, Features};
use super::pools::{KV, Names, WEIGHTS};
use super::set;
use crate::random::Random;

pub(super) fn job(random: &mut Random, features: Features, names: &Names, place: usize) -> Value {
    let mut job = json!({
        "id": format!("j{place}"),
        "engine": if random.one_in(32) { "f" } else { "e" },
        "model_id": random.pick(&["m", "m", "m", "n", "nowhere"]),
        "requirements": {},
    });
    set_tokens(random, features, &mut job);
    set_memory(random, features, &mut job);
    if features.has(Feature::Hints) && !random.one_in(3) {
        set_hints(random, names, &mut job);
    }
    if features.has(Feature::Splits) && !random.one_in(3) {
        set_split(random, &mut job);
    }
    if features.has(Feature::Sessions) && !random.one_in(3) {
        set(&mut job, "session_id", *random.pick(&["s0", "s1", "s2", "s3", "unseen"]));
        if random.one_in(4) {
            set(&mut job, "kv_hint", *random.pick(&["reuse", "cold"]));
        }
    }
    if features.has(Feature::Classes) && !random.one_in(3) {
        set_demands(random, &mut job);
    }
    if random.one_in(4) {
        set(&mut job, "deadline_ms", *random.pick(&[0.0, 100.0, 1e6]));
    }
    job
}

fn set_tokens(random: &mut Random, features: Features, job: &mut Value) {
    let tokens = |random: &mut Random| {
        if features.has(Feature::Saturating) {
            *random.pick(&[0, 1, 16_777_215, 8_388_608])
        } else if features.has(Feature::Ties) {
            *random.pick(&[0, 10, 20])
        } else {
            let bits = *random.pick(&[4, 10, 17]);
            random.below(1 << bits)
        }
    };
    set(job, "prompt_tokens", tokens(random));
    if !random.one_in(4) {
        set(job, "expected_tokens", tokens(random));
    }
    if random.one_in(4) {
        set(job, "max_tokens", tokens(random));
    }
}

fn set_memory(random: &mut Random, features: Features, job: &mut Value) {
    if !random.one_in(4) {
        set(job, "est_kv_bytes", *random.pick(&KV));
    }
    if features.has(Feature::VramEdges) || random.one_in(2) {
        set(&mut job["requirements"], "min_vram_bytes", *random.pick(&WEIGHTS));
    }
}

fn set_hints(random: &mut Random, names: &Names, job: &mut Value) {
    let mut placement = json!({});
    let some = |random: &mut Random| {
        let count = *random.pick(&[1, 1, 2, 5, 20]);
        (0..count).map(|_| names.any(random)).collect::<std::collections::BTreeSet<_>>()
    };
    match random.below(4) {
        0 => set(&mut placement, "pin_pool_id", names.any(random)),
        1 | 2 => set(&mut placement, "prefer_pools", some(random).into_iter().collect::<Vec<_>>()),
        _ => {}
    }
    if random.one_in(2) {
        set(&mut placement, "avoid_pools", some(random).into_iter().collect::<Vec<_>>());
    }
    if random.one_in(3) {
        set(&mut placement, "allow_fallback", false);
    }
    if random.one_in(3) {
        set(&mut placement, "require_labels", json!({"zone": "a"}));
    }
    set(job, "placement", placement);
}

fn set_split(random: &mut Random, job: &mut Value) {
    let requirements = &mut job["requirements"];
    if !random.one_in(4) {
        set(requirements, "split", json!({"degree": random.pick(&[1, 2, 3, 4, 16])}));
    }
    if random.one_in(3) {
        set(requirements, "device_mask", *random.pick(&["0", "0,1", "0,2,4", "1,2,3,4,5,6,7,8"]));
    }
    if random.one_in(4) {
        set(requirements, "min_compute_cap", *random.pick(&["7.5", "8.9"]));
    }
    if random.one_in(6) {
        set(job, "placement", json!({"require_device_mask": random.pick(&["0", "0,1", "0,2"])}));
    }
}

fn set_demands(random: &mut Random, job: &mut Value) {
    if random.one_in(3) {
        set(&mut job["requirements"], "min_compute_cap", *random.pick(&["7.5", "8.0", "9.0"]));
    }
    if random.one_in(3) {
        set(&mut job["requirements"], "quantization", *random.pick(&["AWQ", "q4"]));
    }
    if random.one_in(3) {
        set(job, "required_ctx", *random.pick(&[0, 100, 101, 4096, 4097]));
    }
}
