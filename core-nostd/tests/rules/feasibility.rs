//! Section 4: feasibility, needs, devices, and the headline when there is no pool.

use orchestrator_core::rows::{PoolRow, PoolTable};
use orchestrator_core::rule::devices::share_bytes;
use orchestrator_core::{
    DeviceMask, JobSpec, PlacementDecision, PlacementInput, PlacementMode, Policy, PoolSnapshot, Reason, Rejection,
    SmallFleet, WireCode,
};

use crate::{assigned, decide, decide_in, device, exact, failure, fleet, job, leak, pool};

type Pool = PoolSnapshot<'static>;
type Job = JobSpec<'static>;
type Change = fn(&mut Pool, &mut Job);

/// One rule: a question that the pool of [`world`] just passes, and the smallest change that makes it fail.
struct Rule {
    id: &'static str,
    rejection: Rejection,
    stage: u8,
    reason: &'static str,
    detail: &'static str,
    ask: Change,
    fail: Change,
}

const fn rule(
    id: &'static str,
    rejection: Rejection,
    wire: (u8, &'static str, &'static str),
    ask: Change,
    fail: Change,
) -> Rule {
    Rule { id, rejection, stage: wire.0, reason: wire.1, detail: wire.2, ask, fail }
}

/// A pool of two devices, and a job that needs 500 bytes of KV and 1,500 bytes of weights: all of its 2,000 bytes.
fn world() -> (Pool, Job) {
    let mut pool = pool("p");
    pool.engine_version = Some("1");
    pool.sampler_profile_version = Some("s");
    pool.devices = leak([device(1000, 1000), device(1000, 1000)]);
    pool.compute_capability = Some("8.0");
    pool.supports.quantizations = &["q4"];
    pool.supports.extensions = &["e1", "e2"];
    pool.supports.models = Some(&["m"]);
    pool.supports.model_digests = &["d"];
    pool.supports.ctx_max = Some(100);
    pool.labels = &[("k", "v"), ("l", "w")];
    let mut job = job();
    job.max_tokens = Some(0);
    job.est_kv_bytes = Some(500);
    job.requirements.min_vram_bytes = 1500;
    (pool, job)
}

const RULES: [Rule; 23] = [
    rule(
        "FEAS-1",
        Rejection::NotPinned,
        (1, "excluded", "not_pinned"),
        |_, job| job.placement.pin_pool_id = Some("p"),
        |_, job| job.placement.pin_pool_id = Some("other"),
    ),
    rule(
        "FEAS-2",
        Rejection::Avoided,
        (1, "excluded", "avoided"),
        |_, job| job.placement.avoid_pools = &["other"],
        |_, job| job.placement.avoid_pools = &["other", "p"],
    ),
    rule(
        "FEAS-3",
        Rejection::NotPreferred,
        (1, "excluded", "not_preferred"),
        |_, job| (job.placement.prefer_pools, job.placement.allow_fallback) = (&["other", "p"], false),
        |_, job| job.placement.prefer_pools = &["other"],
    ),
    rule(
        "FEAS-4",
        Rejection::LabelMissing,
        (1, "excluded", "label_missing"),
        |_, job| job.placement.require_labels = &[("l", "w"), ("k", "v")],
        |pool, _| pool.labels = &[("k", "w"), ("l", "w")],
    ),
    rule(
        "FEAS-5",
        Rejection::DeviceMaskMismatch,
        (1, "excluded", "device_mask_mismatch"),
        |_, job| job.placement.require_device_mask = Some("1,0"),
        |_, job| job.placement.require_device_mask = Some("0,1,2"),
    ),
    rule("FEAS-6", Rejection::EngineName, (2, "engine", "engine_name"), |_, _| (), |pool, _| pool.engine = "trt"),
    rule(
        "FEAS-7",
        Rejection::EngineVersion,
        (2, "engine", "engine_version"),
        |_, job| job.determinism.engine_version = Some("1"),
        |pool, _| pool.engine_version = Some("2"),
    ),
    rule(
        "FEAS-8",
        Rejection::SamplerProfile,
        (2, "engine", "sampler_profile"),
        |_, job| job.determinism.sampler_profile_version = Some("s"),
        |pool, _| pool.sampler_profile_version = Some("t"),
    ),
    rule(
        "FEAS-9",
        Rejection::ModelNotServed,
        (3, "model", "model_not_served"),
        |_, _| (),
        |pool, _| pool.supports.models = Some(&["n", "o"]),
    ),
    rule(
        "FEAS-10",
        Rejection::ModelDigest,
        (3, "model", "model_digest"),
        |_, job| job.determinism.model_digest = Some("d"),
        |pool, _| pool.supports.model_digests = &["c", "e"],
    ),
    rule(
        "FEAS-11",
        Rejection::Quantization,
        (3, "model", "quantization"),
        |_, job| job.requirements.quantization = Some("q4"),
        |pool, _| pool.supports.quantizations = &["q8"],
    ),
    rule(
        "FEAS-12",
        Rejection::Context,
        (3, "model", "context"),
        |_, job| job.required_ctx = Some(100),
        |pool, job| (pool.supports.ctx_max, job.required_ctx) = (Some(99), Some(100)),
    ),
    rule(
        "FEAS-13",
        Rejection::Extension,
        (3, "model", "extension"),
        |_, job| job.requirements.required_extensions = &["e1", "e2"],
        |pool, _| pool.supports.extensions = &["e2"],
    ),
    rule(
        "FEAS-14",
        Rejection::VramTotal,
        (3, "model", "vram_total"),
        |_, _| (),
        // 500 + 1,501 > 2,000
        |_, job| job.requirements.min_vram_bytes = 1501,
    ),
    rule(
        "FEAS-15",
        Rejection::MaskNotWithin,
        (4, "device_mask", "mask_not_within"),
        |_, job| job.requirements.device_mask = Some("0,1,2"),
        |_, job| job.requirements.device_mask = Some("1,2"),
    ),
    rule(
        "FEAS-16",
        Rejection::Capability,
        (4, "device_mask", "capability"),
        |_, job| job.requirements.min_compute_cap = Some("8.0"),
        |_, job| job.requirements.min_compute_cap = Some("8.1"),
    ),
    rule(
        "FEAS-17",
        Rejection::OwnMinCapability,
        (4, "device_mask", "own_min_capability"),
        |pool, _| pool.supports.min_compute_cap = Some("8.0"),
        |pool, _| pool.supports.min_compute_cap = Some("8.1"),
    ),
    rule(
        "FEAS-18",
        Rejection::SplitDegree,
        (4, "device_mask", "split_degree"),
        // ceil(2,000 / 2) = 1,000 is the total of each of two devices.
        |_, job| job.requirements.split_degree = Some(2),
        |_, job| job.requirements.split_degree = Some(3),
    ),
    rule(
        "FEAS-19",
        Rejection::Stale,
        (5, "stale", "stale"),
        |pool, _| pool.age_ms = 30_000.0,
        |pool, _| pool.age_ms = 30_000.001,
    ),
    rule(
        "FEAS-20",
        Rejection::NotReady,
        (6, "not_ready", "not_ready"),
        |pool, _| pool.ready = true,
        |pool, _| pool.ready = false,
    ),
    rule(
        "FEAS-21",
        Rejection::Draining,
        (6, "draining", "draining"),
        |pool, _| pool.draining = false,
        |pool, _| pool.draining = true,
    ),
    rule(
        "FEAS-22",
        Rejection::Slots,
        (7, "slots", "slots"),
        |pool, _| pool.slots_free = 1,
        |pool, _| pool.slots_free = 0,
    ),
    rule(
        "FEAS-23",
        Rejection::Vram,
        (7, "vram", "vram"),
        // Residency is not published, so the need is the KV: 250 + 250 = 500, and 250 + 249 < 500.
        |pool, _| pool.devices = leak([device(1000, 250), device(1000, 250)]),
        |pool, _| pool.devices = leak([device(1000, 250), device(1000, 249)]),
    ),
];

/// Pairs whose questions no single job can ask: pin and prefer; a split, and rules that hold without one.
const APART: [(&str, &str); 3] = [("FEAS-1", "FEAS-3"), ("FEAS-15", "FEAS-18"), ("FEAS-16", "FEAS-18")];

fn verdict((pool, job): (Pool, Job)) -> Option<Rejection> {
    failure(&[pool], &job)
}

fn after(changes: &[Change]) -> (Pool, Job) {
    let (mut pool, mut job) = world();
    for change in changes {
        change(&mut pool, &mut job);
    }
    (pool, job)
}

/// Each rule by a pair of worlds that differ in it alone.
#[test]
fn minimal_pairs() {
    assert_eq!(verdict(world()), None);
    for rule in RULES {
        assert_eq!(verdict(after(&[rule.ask])), None, "{}", rule.id);
        assert_eq!(verdict(after(&[rule.ask, rule.fail])), Some(rule.rejection), "{}", rule.id);
        assert_eq!(rule.rejection.stage(), rule.stage, "{}", rule.id);
        assert_eq!(rule.rejection.reason().name(), rule.reason, "{}", rule.id);
        assert_eq!(rule.rejection.detail(), rule.detail, "{}", rule.id);
    }
    assert_eq!(RULES.map(|rule| rule.rejection), Rejection::ALL);
}

/// A pool that fails two rules reports the first: for every pair of rules that one job can ask about.
#[test]
fn the_first_failure_is_reported() {
    let mut pairs = 0;
    for (place, first) in RULES.iter().enumerate() {
        for second in RULES.iter().skip(place + 1) {
            if APART.contains(&(first.id, second.id)) {
                continue;
            }
            pairs += 1;
            let context = format!("{} before {}", first.id, second.id);
            assert_eq!(verdict(after(&[first.ask, second.ask])), None, "{context}");
            let both = after(&[first.ask, second.ask, first.fail, second.fail]);
            assert_eq!(verdict(both), Some(first.rejection), "{context}");
            let later = after(&[first.ask, second.ask, second.fail]);
            assert_eq!(verdict(later), Some(second.rejection), "{context}");
        }
    }
    // 23 * 22 / 2 - 3
    assert_eq!(pairs, 250);
}

/// A fact that was not published passes no rule that asks for it.
#[test]
fn unknown_facts_fail_closed() {
    use Rejection as R;
    let table: [(&str, Change, Option<Rejection>); 26] = [
        (
            "FEAS-4",
            |pool, job| (pool.labels, job.placement.require_labels) = (&[], &[("k", "v")]),
            Some(R::LabelMissing),
        ),
        // Key and value are on the pool, but not together.
        ("FEAS-4", |_, job| job.placement.require_labels = &[("k", "w")], Some(R::LabelMissing)),
        ("FEAS-4", |_, job| job.placement.require_labels = &[("k", "v"), ("k2", "v")], Some(R::LabelMissing)),
        ("FEAS-5", |_, job| job.placement.require_device_mask = Some("0"), Some(R::DeviceMaskMismatch)),
        (
            "FEAS-5",
            |pool, job| {
                (pool.device_mask, job.placement.require_device_mask) = (Some("0"), Some("0,1"));
            },
            Some(R::DeviceMaskMismatch),
        ),
        (
            "FEAS-5",
            |pool, job| {
                (pool.device_mask, job.placement.require_device_mask) = (Some("0,1"), Some("0"));
            },
            Some(R::DeviceMaskMismatch),
        ),
        (
            "FEAS-7",
            |pool, job| {
                (pool.engine_version, job.determinism.engine_version) = (None, Some("1"));
            },
            Some(R::EngineVersion),
        ),
        ("FEAS-7", |pool, _| pool.engine_version = None, None),
        (
            "FEAS-8",
            |pool, job| {
                (pool.sampler_profile_version, job.determinism.sampler_profile_version) = (None, Some("s"));
            },
            Some(R::SamplerProfile),
        ),
        // Not published: serves any model. An empty list: none.
        ("FEAS-9", |pool, _| pool.supports.models = None, None),
        ("FEAS-9", |pool, _| pool.supports.models = Some(&[]), Some(R::ModelNotServed)),
        ("FEAS-9", |pool, job| (pool.supports.models, job.model_id) = (None, "unheard"), None),
        (
            "FEAS-10",
            |pool, job| {
                (pool.supports.model_digests, job.determinism.model_digest) = (&[], Some("d"));
            },
            Some(R::ModelDigest),
        ),
        // Whatever the model.
        (
            "FEAS-10",
            |pool, job| {
                (pool.supports.models, job.determinism.model_digest) = (None, Some("d"));
                job.model_id = "unheard";
            },
            None,
        ),
        (
            "FEAS-11",
            |pool, job| {
                (pool.supports.quantizations, job.requirements.quantization) = (&[], Some("q4"));
            },
            Some(R::Quantization),
        ),
        ("FEAS-12", |pool, job| (pool.supports.ctx_max, job.required_ctx) = (None, Some(1)), Some(R::Context)),
        ("FEAS-12", |pool, job| (pool.supports.ctx_max, job.required_ctx) = (None, Some(0)), None),
        ("FEAS-12", |pool, job| (pool.supports.ctx_max, job.prompt_tokens) = (None, 1000), None),
        ("FEAS-12", |_, job| job.prompt_tokens = 101, Some(R::Context)),
        (
            "FEAS-13",
            |pool, job| {
                (pool.supports.extensions, job.requirements.required_extensions) = (&[], &["e1"]);
            },
            Some(R::Extension),
        ),
        ("FEAS-15", |_, job| job.requirements.device_mask = Some("0,1"), Some(R::MaskNotWithin)),
        (
            "FEAS-16",
            |pool, job| {
                (pool.compute_capability, job.requirements.min_compute_cap) = (None, Some("0"));
            },
            Some(R::Capability),
        ),
        (
            "FEAS-17",
            |pool, _| {
                (pool.compute_capability, pool.supports.min_compute_cap) = (None, Some("0"));
            },
            Some(R::OwnMinCapability),
        ),
        // Without devices none is eligible, also for degree 1.
        ("FEAS-18", |_, job| job.requirements.split_degree = Some(1), Some(R::SplitDegree)),
        (
            "FEAS-18",
            |pool, job| {
                (pool.device_mask, job.requirements.split_degree) = (Some("0"), Some(1));
            },
            Some(R::SplitDegree),
        ),
        ("FEAS-9", |pool, _| pool.supports.models = Some(&["l", "m", "n"]), None),
    ];
    for (place, (id, change, expected)) in table.into_iter().enumerate() {
        let (mut pool, mut job) = world();
        pool.devices = &[];
        (pool.vram_total_bytes, pool.vram_free_bytes) = (2000, 2000);
        change(&mut pool, &mut job);
        assert_eq!(failure(&[pool], &job), expected, "{id}, row {place}");
    }
}

/// FEAS-2: avoid beats pin and prefer.
#[test]
fn avoid_beats_every_mode() {
    for mode in [PlacementMode::Pin, PlacementMode::Prefer] {
        let mut asking = job();
        asking.placement.mode = Some(mode);
        asking.placement.avoid_pools = &["p"];
        match mode {
            PlacementMode::Pin => asking.placement.pin_pool_id = Some("p"),
            _ => asking.placement.prefer_pools = &["p"],
        }
        assert_eq!(failure(&[pool("p")], &asking), Some(Rejection::Avoided), "{mode:?}");
    }
}

/// FEAS-3 holds without a fallback only: with one, KEY-1 puts preferred pools first.
#[test]
fn no_preferred_pool_is_needed_with_a_fallback() {
    let mut asking = job();
    asking.placement.prefer_pools = &["other"];
    assert_eq!(failure(&[pool("p")], &asking), None);
    asking.placement.allow_fallback = false;
    assert_eq!(failure(&[pool("p")], &asking), Some(Rejection::NotPreferred));
    // Without preferences `allow_fallback` says nothing.
    asking.placement.prefer_pools = &[];
    assert_eq!(failure(&[pool("p")], &asking), None);
}

/// FEAS-15, FEAS-16: with a split the devices are asked, not the pool; without one, the pool and never its devices.
#[test]
fn pool_or_devices() {
    let (mut pool, mut job) = world();
    let mut capable = device(2000, 2000);
    capable.compute_capability = Some("9.0");
    pool.devices = leak([capable, device(1000, 1000)]);
    job.requirements.device_mask = Some("0");
    assert_eq!(failure(&[pool], &job), Some(Rejection::MaskNotWithin));
    job.requirements.split_degree = Some(1);
    assert_eq!(failure(&[pool], &job), None);

    job.requirements.split_degree = None;
    job.requirements.device_mask = None;
    job.requirements.min_compute_cap = Some("9.0");
    assert_eq!(failure(&[pool], &job), Some(Rejection::Capability));
    pool.devices = leak([capable, capable]);
    assert_eq!(failure(&[pool], &job), Some(Rejection::Capability));
    job.requirements.split_degree = Some(1);
    assert_eq!(failure(&[pool], &job), None);
    // FEAS-17 asks the pool in both cases.
    pool.supports.min_compute_cap = Some("9.0");
    assert_eq!(failure(&[pool], &job), Some(Rejection::OwnMinCapability));
}

/// FEAS-23, NEED-1: what a job needs, and that it fits when it is just as much.
#[test]
fn needs() {
    // resident_models, est_kv, min_vram, free, fits
    let table: [(Option<&'static [&'static str]>, i64, i64, i64, bool); 10] = [
        (None, 300, 500, 300, true),
        (None, 300, 500, 299, false),
        (Some(&["l", "m"]), 300, 500, 300, true),
        (Some(&["l", "m"]), 300, 500, 299, false),
        (Some(&["l"]), 300, 500, 800, true),
        (Some(&["l"]), 300, 500, 799, false),
        (Some(&[]), 300, 500, 800, true),
        (Some(&[]), 300, 500, 799, false),
        (Some(&[]), 0, 0, 0, true),
        (None, 0, 500, 0, true),
    ];
    for (resident, kv, weights, free, fits) in table {
        let mut tried = pool("p");
        (tried.resident_models, tried.vram_free_bytes) = (resident, free);
        let mut asking = job();
        (asking.est_kv_bytes, asking.requirements.min_vram_bytes) = (Some(kv), weights);
        let expected = (!fits).then_some(Rejection::Vram);
        assert_eq!(failure(&[tried], &asking), expected, "{resident:?} {kv} + {weights} in {free}");
    }
}

/// FEAS-14: weights count in the total also where the model is resident.
#[test]
fn the_total_holds_weights_and_kv() {
    for (total, fits) in [(800, true), (799, false)] {
        let mut tried = pool("p");
        tried.resident_models = Some(&["m"]);
        (tried.vram_total_bytes, tried.vram_free_bytes) = (total, 300);
        let mut asking = job();
        (asking.est_kv_bytes, asking.requirements.min_vram_bytes) = (Some(300), 500);
        assert_eq!(failure(&[tried], &asking), (!fits).then_some(Rejection::VramTotal));
    }
}

/// FEAS-23: with a split, the need counts for the pool and a rounded-up share on each chosen device.
#[test]
fn shares_of_a_split() {
    // need, free of three devices, degree, fits
    let table = [
        (400, [900, 200, 0], 2, true),
        (400, [900, 199, 0], 2, false),
        // ceil(401 / 2) = 201
        (401, [900, 201, 0], 2, true),
        (401, [900, 200, 0], 2, false),
        (401, [200, 200, 900], 2, false),
        // ceil(400 / 3) = 134
        (400, [134, 134, 134], 3, true),
        (400, [134, 134, 133], 3, false),
        (900, [0, 900, 0], 1, true),
        (900, [0, 899, 899], 1, false),
        (0, [0, 0, 0], 3, true),
    ];
    for (need, free, degree, fits) in table {
        let mut tried = pool("p");
        tried.devices = leak(free.map(|free| device(1000, free)));
        let mut asking = job();
        asking.est_kv_bytes = Some(need);
        asking.requirements.split_degree = Some(degree);
        let expected = (!fits).then_some(Rejection::Vram);
        assert_eq!(failure(&[tried], &asking), expected, "{need} over {degree} of {free:?}");
    }
    assert_eq!([share_bytes(10, 3), share_bytes(9, 3), share_bytes(0, 3)], [4, 3, 0]);
}

/// DEV-1: mask, capability and total VRAM of each device.
#[test]
fn eligible_devices() {
    let with_cap = |cap| {
        let mut own = device(1000, 1000);
        own.compute_capability = cap;
        own
    };
    let two = |pool: &mut Pool, caps: [Option<&'static str>; 2]| {
        pool.devices = leak(caps.map(with_cap));
    };
    let mut tried = pool("p");
    let mut asking = job();
    asking.requirements.split_degree = Some(2);
    two(&mut tried, [None, None]);
    assert_eq!(failure(&[tried], &asking), None);

    // Mask: ids 0 and 1.
    for (mask, fits) in [("0,1", true), ("0,1,9", true), ("0", false), ("1,2", false), ("2,3", false)] {
        let mut asking = asking;
        asking.requirements.device_mask = Some(mask);
        assert_eq!(failure(&[tried], &asking), (!fits).then_some(Rejection::SplitDegree), "{mask}");
    }

    // Capability 8.0 asked for: the device's own, else the pool's, else not eligible.
    asking.requirements.min_compute_cap = Some("8.0");
    let table = [
        (None, [None, None], false),
        (Some("8.0"), [None, None], true),
        (Some("7.9"), [None, None], false),
        (Some("7.9"), [Some("8.0"), Some("8.1")], true),
        (Some("9.0"), [Some("7.9"), None], false),
        (Some("9.0"), [Some("8.0"), None], true),
        (None, [Some("8.0"), None], false),
        (None, [Some("8.0"), Some("10.0")], true),
        (None, [Some("0"), Some("10.0")], false),
    ];
    for (pools, own, fits) in table {
        two(&mut tried, own);
        tried.compute_capability = pools;
        let expected = (!fits).then_some(Rejection::SplitDegree);
        assert_eq!(failure(&[tried], &asking), expected, "{pools:?} {own:?}");
    }

    // Total: ceil((600 + 401) / 2) = 501, though only the KV is needed now.
    let mut asking = job();
    asking.requirements.split_degree = Some(2);
    (asking.est_kv_bytes, asking.requirements.min_vram_bytes) = (Some(401), 600);
    for (totals, fits) in [([501, 501], true), ([501, 500], false), ([2000, 500], false)] {
        tried.devices = leak(totals.map(|total| device(total, total)));
        assert_eq!(failure(&[tried], &asking), (!fits).then_some(Rejection::SplitDegree), "{totals:?}");
    }
}

/// DEV-2: most free VRAM, then lowest id; named in ascending order, and only for a split.
#[test]
fn chosen_devices() {
    let mut tried = pool("p");
    tried.device_mask = Some("3,5,8,11");
    // free of the devices 3, 5, 8, 11; degree; chosen
    let table = [
        ([10, 40, 30, 20], 1, vec![5]),
        ([10, 40, 30, 20], 2, vec![5, 8]),
        ([10, 40, 30, 20], 3, vec![5, 8, 11]),
        ([10, 40, 30, 20], 4, vec![3, 5, 8, 11]),
        ([20, 20, 20, 20], 2, vec![3, 5]),
        ([10, 20, 10, 20], 3, vec![3, 5, 11]),
        ([1, 2, 3, 4], 2, vec![8, 11]),
    ];
    for (free, degree, chosen) in table {
        tried.devices = leak(free.map(|free| device(100, free)));
        let mut asking = job();
        asking.requirements.split_degree = Some(degree);
        let devices = assigned(&[tried], &asking, &exact(), None).devices;
        assert_eq!(devices.iter().collect::<Vec<u8>>(), chosen, "{degree} of {free:?}");
        asking.requirements.split_degree = None;
        assert_eq!(assigned(&[tried], &asking, &exact(), None).devices, DeviceMask::EMPTY);
    }
    // Among the eligible ones only: id 5 has most, and is not in the mask.
    tried.devices = leak([10, 40, 30, 20].map(|free| device(100, free)));
    let mut asking = job();
    asking.requirements.split_degree = Some(2);
    asking.requirements.device_mask = Some("3,8,11");
    let devices = assigned(&[tried], &asking, &exact(), None).devices;
    assert_eq!(devices.iter().collect::<Vec<u8>>(), [8, 11]);
}

/// NOCAP-1: the highest stage, within it the reason listed first, within that the detail listed last; for two pools in
/// both orders.
#[test]
fn headlines() {
    // Rules that a pool can fail while another passes them.
    let of_pools = RULES.iter().filter(|rule| {
        !matches!(
            rule.id,
            "FEAS-1" | "FEAS-2" | "FEAS-3" | "FEAS-5" | "FEAS-12" | "FEAS-14" | "FEAS-15" | "FEAS-16" | "FEAS-18"
        )
    });
    let failing: Vec<&Rule> = of_pools.collect();
    assert_eq!(failing.len(), 14);
    for first in &failing {
        for second in &failing {
            let mut pools = [pool("a"), pool("b")];
            let (_, mut asking) = world();
            for rule in &failing {
                (rule.ask)(&mut world().0, &mut asking);
            }
            for (place, rule) in [first, second].into_iter().enumerate() {
                let id = pools[place].id;
                pools[place] = world().0;
                pools[place].id = id;
                (rule.fail)(&mut pools[place], &mut asking);
            }
            // Stage; then reasons in their order; then details against their order.
            let usefulness = |rule: &Rule| {
                let reason = match rule.reason {
                    "draining" | "vram" => 0,
                    _ => 1,
                };
                (rule.stage, reason, rule.rejection)
            };
            let expected = if usefulness(first) > usefulness(second) { first } else { second };
            let decision = decide(&pools, &asking);
            let PlacementDecision::NoCapacity { reason, headline, .. } = decision else {
                panic!("{} and {}: {decision:?}", first.id, second.id);
            };
            assert_eq!(headline, Some(expected.rejection), "{} and {}", first.id, second.id);
            assert_eq!(reason.name(), expected.reason);
            assert_eq!(reason.stage(), expected.stage);
        }
    }
    // By hand, the second is the headline: stage, reason, detail.
    let table = [
        (Rejection::LabelMissing, Rejection::EngineName),
        (Rejection::SamplerProfile, Rejection::ModelNotServed),
        (Rejection::VramTotal, Rejection::MaskNotWithin),
        (Rejection::SplitDegree, Rejection::Stale),
        (Rejection::Stale, Rejection::Draining),
        (Rejection::NotReady, Rejection::Vram),
        (Rejection::Draining, Rejection::NotReady),
        (Rejection::Vram, Rejection::Slots),
        (Rejection::NotPinned, Rejection::DeviceMaskMismatch),
        (Rejection::EngineName, Rejection::EngineVersion),
        (Rejection::ModelNotServed, Rejection::Context),
        (Rejection::Context, Rejection::VramTotal),
        (Rejection::MaskNotWithin, Rejection::SplitDegree),
    ];
    for (less, more) in table {
        assert_eq!((less.headline(more), more.headline(less)), (more, more));
        assert_eq!((less.headline(less), more.headline(more)), (less, more));
    }
}

/// NOCAP-1, NOCAP-2, NOCAP-3: a fleet without pools.
#[test]
fn no_pools() {
    let decision = decide(&[], &job());
    let PlacementDecision::NoCapacity { reason, headline, code } = decision else {
        panic!("{decision:?}");
    };
    assert_eq!((reason, headline), (Reason::NoPools, None));
    assert_eq!((reason.name(), reason.stage(), reason.is_retryable()), ("no_pools", 0, true));
    assert_eq!(code.name(), "POOL_UNAVAILABLE");
    assert_eq!(decision.assignment(), None);
}

const UNAVAILABLE: &str = "POOL_UNAVAILABLE";
const INVALID: &str = "INVALID_PARAMS";
const UNREADY: &str = "POOL_UNREADY";
const EXHAUSTED: &str = "REPLICA_EXHAUSTED";

/// NOCAP-2, NOCAP-3, NOCAP-4: rule, whether to wait, code, and code under a pin to the pool.
#[test]
fn codes() {
    let table = [
        (Rejection::NotPinned, false, INVALID, INVALID),
        (Rejection::Avoided, false, INVALID, INVALID),
        (Rejection::NotPreferred, false, INVALID, INVALID),
        (Rejection::LabelMissing, false, INVALID, INVALID),
        (Rejection::DeviceMaskMismatch, false, INVALID, INVALID),
        (Rejection::EngineName, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::EngineVersion, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::SamplerProfile, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::ModelNotServed, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::ModelDigest, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::Quantization, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::Context, false, INVALID, INVALID),
        (Rejection::Extension, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::VramTotal, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::MaskNotWithin, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::Capability, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::OwnMinCapability, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::SplitDegree, false, UNAVAILABLE, UNAVAILABLE),
        (Rejection::Stale, true, UNREADY, UNREADY),
        (Rejection::NotReady, true, UNREADY, UNREADY),
        (Rejection::Draining, true, UNREADY, UNREADY),
        (Rejection::Slots, true, EXHAUSTED, UNREADY),
        (Rejection::Vram, true, UNAVAILABLE, UNREADY),
    ];
    for (rule, (rejection, retryable, code, pinned_code)) in RULES.iter().zip(table) {
        assert_eq!(rule.rejection, rejection);
        for pinned in [false, true] {
            let (tried, mut asking) = after(&[rule.ask, rule.fail]);
            // FEAS-1 pins by itself, to an id that no pool has; FEAS-3 cannot be asked with a pin.
            if pinned && !matches!(rejection, Rejection::NotPinned | Rejection::NotPreferred) {
                asking.placement.pin_pool_id = Some("p");
            }
            let decision = decide(&[tried], &asking);
            let PlacementDecision::NoCapacity { reason, headline, code: given } = decision else {
                panic!("{}: {decision:?}", rule.id);
            };
            assert_eq!(headline, Some(rejection), "{}", rule.id);
            assert_eq!(reason.is_retryable(), retryable, "{}", rule.id);
            assert_eq!(given.name(), if pinned { pinned_code } else { code }, "{} pinned={pinned}", rule.id);
        }
    }
}

/// NOCAP-4: a pin to an id that no pool has, also where the fleet is empty and where another pool has the headline.
#[test]
fn pins_to_nowhere() {
    let mut asking = job();
    asking.placement.pin_pool_id = Some("nowhere");
    let mut full = pool("p");
    full.slots_free = 0;
    let mut avoided = asking;
    avoided.placement.avoid_pools = &["p"];
    for (pools, asking, reason) in [
        (vec![], asking, Reason::NoPools),
        (vec![full], asking, Reason::Excluded),
        (vec![pool("p")], avoided, Reason::Excluded),
    ] {
        let decision = decide(&pools, &asking);
        let PlacementDecision::NoCapacity { reason: given, code, .. } = decision else {
            panic!("{decision:?}");
        };
        assert_eq!((given, code.name()), (reason, INVALID));
    }
    // Another pool is excluded by the pin, the pinned one is full: stage 7, and POOL_UNREADY for slots.
    asking.placement.pin_pool_id = Some("p");
    let decision = decide(&[pool("a"), full], &asking);
    let PlacementDecision::NoCapacity { headline, code, .. } = decision else {
        panic!("{decision:?}");
    };
    assert_eq!((headline, code.name()), (Some(Rejection::Slots), UNREADY));
}

/// FEAS-19: `stale_after` is the policy's.
#[test]
fn staleness_is_a_knob() {
    let policy = |ms| {
        let mut spec = exact();
        spec.stale_after_ms = ms;
        spec.validate().unwrap()
    };
    let mut old = pool("p");
    old.age_ms = 0.001;
    let owner = fleet(&[old]);
    let failed = |policy: &Policy| decide_in(&owner, &job(), policy, None).assignment().is_none();
    assert!(failed(&policy(0.0)));
    assert!(!failed(&policy(0.001)));
}

/// DEV-1, UNIT-7: sixteen devices, one share on each.
#[test]
fn the_widest_split() {
    let mut wide = pool("p");
    wide.devices = leak((0..16).map(|_| device(10, 10)));
    wide.device_mask = Some("0,1,2,3,4,5,6,7,56,57,58,59,60,61,62,63");
    let mut owner: SmallFleet<1, 16, 8> = SmallFleet::new();
    owner.upsert(&wide).unwrap();
    let mut asking = job();
    asking.requirements.split_degree = Some(16);
    asking.est_kv_bytes = Some(160);
    let policy = Policy::default();
    let valid = asking.validate(&policy, None).unwrap();
    let decision = owner.decide(&valid, &policy);
    let devices = decision.assignment().map(|assignment| assignment.devices.bits());
    assert_eq!(devices, Some(0xff00_0000_0000_00ff));
    asking.est_kv_bytes = Some(161);
    assert_eq!(failure(&[wide], &asking), Some(Rejection::VramTotal));
}

/// FEAS-2, FEAS-3, FEAS-12, KEY-1: each pool gets its own answer in a fleet with more kinds of pools, and more gaps
/// between the pools that a job names, than a scan remembers.
#[test]
fn many_kinds_of_pools() {
    let mut owner: Box<SmallFleet<130, 1, 4>> = Box::default();
    for place in 0..130 {
        let mut kind = pool(format!("{place:03}").leak());
        kind.supports.ctx_max = Some(if place % 64 < 32 { 10 } else { 20 + place });
        owner.upsert(&kind).unwrap();
    }
    let policy = exact().validate().unwrap();
    let explained = |job: &Job| owner.explain(&job.validate(&policy, None).unwrap(), &policy, None);
    let best = |job: &Job| {
        let mut best = [None; 5];
        owner.rank_best(&job.validate(&policy, None).unwrap(), &policy, &mut best);
        best.map(|assignment| assignment.map(|assignment: orchestrator_core::Assignment| assignment.rank))
    };
    let mut asking = job();
    asking.required_ctx = Some(90);
    // 32 to 63 and 96 to 127 have 20 more than their number, so those from 96 on have 90: the others are 98.
    assert_eq!(explained(&asking).counts.of(Rejection::Context), 98);
    assert_eq!(best(&asking), [96, 97, 98, 99, 100].map(Some));

    let mut asking = job();
    asking.placement.prefer_pools = &["120", "010", "050", "129", "none"];
    assert_eq!(best(&asking), [10, 50, 120, 129, 0].map(Some));
    asking.placement.avoid_pools = &["010", "011", "064", "128"];
    assert_eq!(explained(&asking).counts.of(Rejection::Avoided), 4);
    assert_eq!(best(&asking), [50, 120, 129, 0, 1].map(Some));
    asking.placement.allow_fallback = false;
    assert_eq!(explained(&asking).feasible, 3);
    // 130 less the 4 to avoid less 3
    assert_eq!(explained(&asking).counts.of(Rejection::NotPreferred), 123);
    asking.placement.prefer_pools = &["000", "129"];
    assert_eq!(best(&asking), [Some(0), Some(129), None, None, None]);
}

/// FEAS-6: a class number outside the table is a class that nothing fits, whatever the number.
#[test]
fn stray_class_numbers() {
    let (owner, policy) = (fleet(&[pool("a")]), Policy::default());
    let asking = job();
    let resolved = asking.validate(&policy, None).unwrap().resolve(&owner);
    for class in [1, 77, u32::MAX - 1, u32::MAX] {
        let rows = [PoolRow { class, ..owner.table().rows[0] }];
        let table = PoolTable { rows: &rows, ..owner.table() };
        let input = PlacementInput::new(table, resolved.query(None), &policy).unwrap();
        let expected = PlacementDecision::NoCapacity {
            reason: Reason::Engine,
            headline: Some(Rejection::EngineName),
            code: WireCode::PoolUnavailable,
        };
        assert_eq!(orchestrator_core::decide(&input), expected, "{class}");
    }
}
