//! Pools of random worlds.

use serde_json::{Value, json};

use super::features::{Feature, Features};
use super::set;
use crate::random::Random;

/// Bytes of weights that jobs ask for, and of KV: the VRAM of pools is set near their sums.
pub(super) const WEIGHTS: [i64; 3] = [0, 1_000_000_000, 6_000_000_001];
pub(super) const KV: [i64; 4] = [0, 1, 1 << 20, 1 << 30];
const VRAM_TOTAL: i64 = 1 << 36;
/// Just below the limit of times, in milliseconds, and halves of it: sums saturate.
const LONG_MS: [f64; 3] = [70_368_744_177.0, 35_184_372_088.0, 1e9];

/// What a feature does to a pool.
type Setter = fn(&mut Random, &mut Value);

/// Ids of pools, in the order of ranks: so many replicas share one.
pub(super) struct Names {
    size: usize,
    replicas: usize,
}

impl Names {
    pub(super) fn of(random: &mut Random, features: Features, size: usize) -> Self {
        let replicas = if features.has(Feature::Hints) { *random.pick(&[1, 2, 7, 8, 31, 32, 64, 65]) } else { 1 };
        Self { size, replicas }
    }

    fn id(&self, place: usize) -> String {
        format!("p{:06}", place / self.replicas)
    }

    /// The id of some pool, and now and then of none.
    pub(super) fn any(&self, random: &mut Random) -> String {
        let place = random.below(self.size as u64 + 1);
        self.id(usize::try_from(place).unwrap_or_default())
    }
}

pub(super) fn pool(random: &mut Random, features: Features, names: &Names, place: usize) -> Value {
    let mut pool = json!({
        "id": names.id(place),
        "replica_id": format!("{:06}", place % names.replicas),
        "engine": if random.one_in(16) { "f" } else { "e" },
        "vram_total_bytes": VRAM_TOTAL,
        "vram_free_bytes": vram_free(random, features),
    });
    set_slots(random, features, &mut pool);
    set_rates(random, features, &mut pool);
    let optional: [(Feature, Setter); 8] = [
        (Feature::Hints, |random, pool| set(pool, "labels", json!({"zone": random.pick(&["a", "b"])}))),
        (Feature::Splits, set_devices),
        (Feature::Residency, set_residency),
        (Feature::Sessions, set_sessions),
        (Feature::Saturating, set_long_times),
        (Feature::States, set_state),
        (Feature::Classes, set_class),
        (Feature::Backlog, |random, pool| set(pool, "queue_depth", *random.pick(&[0, 1, 2, 5, 65_535, 1_000_000]))),
    ];
    optional.into_iter().filter(|(feature, _)| features.has(*feature)).for_each(|(_, set)| set(random, &mut pool));
    pool
}

fn vram_free(random: &mut Random, features: Features) -> i64 {
    if features.has(Feature::VramEdges) {
        let need = random.pick(&WEIGHTS) + random.pick(&KV) + random.pick(&[-1, 0, 1]);
        return need.max(0);
    }
    if features.has(Feature::Ties) {
        return *random.pick(&[VRAM_TOTAL, VRAM_TOTAL / 2]);
    }
    i64::try_from(random.below(VRAM_TOTAL.unsigned_abs() + 1)).unwrap_or(VRAM_TOTAL)
}

fn set_slots(random: &mut Random, features: Features, pool: &mut Value) {
    let (total, free) = if features.has(Feature::Ties) {
        (2, 1 + random.below(2))
    } else {
        let total = *random.pick(&[1, 2, 8, 256, 32_767]);
        (total, 1 + random.below(total))
    };
    let full = features.has(Feature::Backlog) && random.one_in(2) || features.has(Feature::States) && random.one_in(4);
    set(pool, "slots_total", total);
    set(pool, "slots_free", if full { 0 } else { free });
}

fn set_rates(random: &mut Random, features: Features, pool: &mut Value) {
    let few = features.has(Feature::Ties);
    let unknown = |random: &mut Random| features.has(Feature::Unknown) && random.one_in(3);
    if !unknown(random) {
        let rate = if few { *random.pick(&[50.0, 100.0]) } else { fraction(random, 2_000_000) + 0.3 };
        set(pool, "perf_tokens_per_s", rate);
    }
    if !unknown(random) {
        let first = if few { *random.pick(&[20.0, 20.2, 25.0]) } else { fraction(random, 1_000_000) };
        set(pool, "first_token_ms", first);
    }
    if random.one_in(2) {
        let prefill = if few { 1000.0 } else { fraction(random, 50_000_000) + 0.3 };
        set(pool, "prefill_tokens_per_s", prefill);
    }
    if random.one_in(4) {
        set(pool, "admission_latency_ms", if few { 5.0 } else { fraction(random, 100_000) });
    }
}

/// Thousandths, below `limit` of them.
fn fraction(random: &mut Random, limit: u64) -> f64 {
    // Exact: a number below 2^32.
    f64::from(u32::try_from(random.below(limit)).unwrap_or_default()) / 1000.0
}

fn set_devices(random: &mut Random, pool: &mut Value) {
    let count = *random.pick(&[0, 1, 2, 3, 4, 8, 16]);
    let device = |random: &mut Random| {
        let total = VRAM_TOTAL / *random.pick(&[8, 16]);
        let mut device = json!({"vram_total_bytes": total, "vram_free_bytes": total / *random.pick(&[1, 2, 3])});
        if random.one_in(4) {
            set(&mut device, "compute_capability", *random.pick(&["7.5", "9.0"]));
        }
        device
    };
    set(pool, "devices", (0..count).map(|_| device(random)).collect::<Vec<_>>());
    if count > 0 && random.one_in(2) {
        let step = *random.pick(&[1, 2, 4]);
        set(pool, "device_mask", (0..count).map(|id| (id * step).to_string()).collect::<Vec<_>>().join(","));
    }
}

fn set_residency(random: &mut Random, pool: &mut Value) {
    set(pool, "model_load_ms", *random.pick(&[0.0, 5.0, 1000.0]));
    match random.below(4) {
        0 => {}
        1 => set(pool, "resident_models", json!([])),
        2 => set(pool, "resident_models", json!(["m"])),
        _ => set(pool, "resident_models", json!(["x", "m", "n"])),
    }
}

fn set_sessions(random: &mut Random, pool: &mut Value) {
    let mut sessions = Vec::new();
    for id in ["s0", "s1", "s2"] {
        if random.one_in(6) {
            let tokens = *random.pick(&[0, 5, 1000, 16_777_215]);
            sessions.push(json!({"session_id": id, "cached_tokens": tokens}));
        }
    }
    set(pool, "warm_sessions", sessions);
}

fn set_long_times(random: &mut Random, pool: &mut Value) {
    for field in ["first_token_ms", "admission_latency_ms", "model_load_ms"] {
        if random.one_in(3) {
            set(pool, field, *random.pick(&LONG_MS));
        }
    }
    if random.one_in(2) {
        set(pool, "perf_tokens_per_s", *random.pick(&[0.238, 0.239, 0.5, 4_000_000.0]));
    }
    if random.one_in(2) {
        set(pool, "prefill_tokens_per_s", *random.pick(&[0.239, 0.5]));
    }
}

fn set_state(random: &mut Random, pool: &mut Value) {
    set(pool, "ready", !random.one_in(8));
    set(pool, "draining", random.one_in(8));
    set(pool, "age_ms", *random.pick(&[0.0, 0.0, 30_000.0, 30_000.001]));
}

fn set_class(random: &mut Random, pool: &mut Value) {
    set(pool, "labels", json!({"zone": random.pick(&["a", "b"]), "rack": random.below(40).to_string()}));
    set(pool, "compute_capability", *random.pick(&["7.5", "8.0", "9.0", "10.0"]));
    let mut supports = json!({"quantizations": [random.pick(&["awq", "Q4"])]});
    if random.one_in(2) {
        set(&mut supports, "ctx_max", *random.pick(&[100, 4096, 131_072]));
    }
    if random.one_in(3) {
        set(&mut supports, "models", *random.pick(&[&["m"][..], &["n", "m"], &["x"]]));
    }
    if random.one_in(8) {
        set(&mut supports, "min_compute_cap", "8.9");
    }
    set(pool, "supports", supports);
}
