//! Section 1: units and limits. The limits of single fields stand in [`pools`](crate::pools) and [`jobs`](crate::jobs).

use orchestrator_core::units::{micros_from_millis, millis_ceil};
use orchestrator_core::{ComputeCapability, DeviceMask, Problem, Rate, Rejection};

use crate::{BAD_FLOATS, TIME_MAX, device, failure, job, leak, pool};

/// UNIT-1: `floor(ms * 1000 + 0.5)`, below 2^46.
#[test]
fn times() {
    let table = [
        (0.0, 0),
        (-0.0, 0),
        (1.0, 1000),
        (12.5, 12_500),
        // 0.4 + 0.5 = 0.9; 0.5 + 0.5 = 1.0; 1.5 + 0.5 = 2.0: halves go up.
        (0.0004, 0),
        (0.0005, 1),
        (0.0015, 2),
        (30_000.0, 30_000_000),
        // 2^46 - 1 = 70,368,744,177,663.
        (70_368_744_177.663, TIME_MAX),
    ];
    for (ms, us) in table {
        assert_eq!(micros_from_millis(ms), Ok(us), "{ms}");
    }
    for (ms, problem) in BAD_FLOATS {
        assert_eq!(micros_from_millis(ms), Err(problem), "{ms}");
    }
    for ms in [70_368_744_177.664, 1e300, f64::MAX] {
        assert_eq!(micros_from_millis(ms), Err(Problem::TooLargeScaled { max: TIME_MAX, per: 1000 }), "{ms}");
    }
}

/// UNIT-1: out again, `ceil(us / 1000)`.
#[test]
fn times_on_the_way_out() {
    let table = [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (TIME_MAX, 70_368_744_178)];
    for (us, ms) in table {
        assert_eq!(millis_ceil(us), ms, "{us}");
    }
}

/// UNIT-2: thousandths of a token per second, and 1/1024 µs per token.
#[test]
fn rates() {
    let table = [
        // (1,024,000,000,000 + 25,000) / 50,000 = 20,480,000.5
        (50.0, 50_000, 20_480_000),
        // (1,024,000,000,000 + 500) / 1,000 = 1,024,000,000.5
        (1.0, 1_000, 1_024_000_000),
        // 341,333,333.3 + 0.5
        (3.0, 3_000, 341_333_333),
        // 1,462,857,142.86 + 0.5 = ...143.36: rounded up
        (0.7, 700, 1_462_857_143),
        // floor(1.2344 * 1000 + 0.5) = floor(1234.9); (1,024,000,000,000 + 617) / 1,234 = 829,821,718.0
        (1.2344, 1_234, 829_821_718),
        // 239 * 4,284,518,828 = 1,023,999,999,892; the rest, 108 + 119 = 227, is below 239
        (0.239, 239, 4_284_518_828),
        // 238 would be 4,302,521,008, above 4,294,967,295: unknown
        (0.238, 0, 0),
        (0.0005, 0, 0),
        (0.0004, 0, 0),
        (0.0, 0, 0),
        (-0.0, 0, 0),
        // (1,024,000,000,000 + 2,147,483,647) / 4,294,967,295 = 238.9
        (4_294_967.295, 4_294_967_295, 238),
    ];
    for (tokens_per_s, milli_tps, q10) in table {
        let rate = Rate::from_tokens_per_s(tokens_per_s);
        assert_eq!(rate, Ok(Rate { milli_tps, q10 }), "{tokens_per_s}");
        assert_eq!(rate.unwrap().is_known(), q10 > 0);
    }
    for (tokens_per_s, problem) in BAD_FLOATS {
        assert_eq!(Rate::from_tokens_per_s(tokens_per_s), Err(problem), "{tokens_per_s}");
    }
    for tokens_per_s in [4_294_967.296, 1e300, f64::MAX] {
        let too_large = Problem::TooLargeScaled { max: 4_294_967_295, per: 1000 };
        assert_eq!(Rate::from_tokens_per_s(tokens_per_s), Err(too_large), "{tokens_per_s}");
    }
}

/// UNIT-4: numbers, not text.
#[test]
fn capabilities() {
    let table = [
        ("0", 0),
        ("9", 9 * 256),
        ("9.0", 9 * 256),
        ("8.6", 8 * 256 + 6),
        ("10.0", 2560),
        ("255.255", 65_535),
        ("08.06", 8 * 256 + 6),
    ];
    for (text, value) in table {
        assert_eq!(ComputeCapability::parse(text).map(ComputeCapability::value), Ok(value), "{text}");
    }
    let bad = ["", ".", "8.", ".6", "256", "8.256", "-1", "+8", "8.6.1", " 8", "8 ", "sm_86", "8,6", "٨"];
    for text in bad {
        let parsed = ComputeCapability::parse(text);
        assert!(matches!(parsed, Err(Problem::Malformed { .. })), "{text:?}");
    }
    // "10.0" is above "9.0" in a decision too.
    let asking = |cap| {
        let mut job = job();
        job.requirements.min_compute_cap = Some(cap);
        job
    };
    let mut blackwell = pool("a");
    blackwell.compute_capability = Some("10.0");
    assert_eq!(failure(&[blackwell], &asking("9.0")), None);
    blackwell.compute_capability = Some("9.0");
    assert_eq!(failure(&[blackwell], &asking("10.0")), Some(Rejection::Capability));
    assert_eq!(failure(&[blackwell], &asking("9")), None);
}

/// UNIT-5: names are compared bytewise, engines and quantisations without regard to ASCII case.
#[test]
fn case_of_names() {
    let mut full = pool("a");
    full.engine = "vLLM";
    full.engine_version = Some("V1");
    full.sampler_profile_version = Some("S1");
    full.supports.models = Some(leak(["M"]));
    full.supports.model_digests = leak(["D"]);
    full.supports.quantizations = leak(["Q4_K"]);
    full.supports.extensions = leak(["E"]);
    full.labels = leak([("K", "V")]);
    let mut asking = job();
    asking.engine = "VLLM";
    asking.model_id = "M";
    asking.requirements.quantization = Some("q4_k");
    assert_eq!(failure(&[full], &asking), None);

    let other = |change: fn(&mut orchestrator_core::JobSpec<'static>)| {
        let mut changed = asking;
        change(&mut changed);
        failure(&[full], &changed)
    };
    assert_eq!(other(|job| job.model_id = "m"), Some(Rejection::ModelNotServed));
    assert_eq!(other(|job| job.determinism.engine_version = Some("v1")), Some(Rejection::EngineVersion));
    assert_eq!(other(|job| job.determinism.sampler_profile_version = Some("s1")), Some(Rejection::SamplerProfile));
    assert_eq!(other(|job| job.determinism.model_digest = Some("d")), Some(Rejection::ModelDigest));
    assert_eq!(other(|job| job.requirements.required_extensions = &["e"]), Some(Rejection::Extension));
    assert_eq!(other(|job| job.placement.require_labels = &[("k", "V")]), Some(Rejection::LabelMissing));
    assert_eq!(other(|job| job.placement.require_labels = &[("K", "v")]), Some(Rejection::LabelMissing));
    assert_eq!(other(|job| job.placement.pin_pool_id = Some("A")), Some(Rejection::NotPinned));
    // Only ASCII letters fold.
    full.engine = "É";
    asking.engine = "é";
    assert_eq!(failure(&[full], &asking), Some(Rejection::EngineName));
}

/// UNIT-6: sets of ids from 0 to 63, in any spelling.
#[test]
fn masks() {
    let table = [("0", 1), ("0,1", 0b11), ("GPU1, gpu0", 0b11), (" 63 ,Gpu00", 1 << 63 | 1), ("07", 1 << 7)];
    for (text, bits) in table {
        assert_eq!(DeviceMask::parse(text), Ok(DeviceMask::from_bits(bits)), "{text:?}");
    }
    let bad = ["", " ", ",", "0,", "0,,1", "64", "0,0", "0,gpu0", "GPU", "GPU 0", "-1", "+1", "0-3", "0;1", "a", "\t0"];
    for text in bad {
        assert!(matches!(DeviceMask::parse(text), Err(Problem::Malformed { .. })), "{text:?}");
    }
}

/// UNIT-7: all entries of a list count for its limit, repeats once in it.
#[test]
fn repeats_in_lists() {
    let mut full = pool("a");
    full.resident_models = Some(leak(vec!["m"; 64]));
    full.supports.models = Some(leak(vec!["m"; 100]));
    full.supports.quantizations = leak(["q", "Q", "q"]);
    assert_eq!(failure(&[full], &job()), None);
    full.resident_models = Some(leak(vec!["m"; 65]));
    let error = full.validate().unwrap_err();
    assert_eq!((error.field, error.problem), ("resident_models", Problem::TooMany { max: 64 }));

    let mut asking = job();
    asking.placement.prefer_pools = leak(vec!["a"; 64]);
    asking.placement.avoid_pools = leak(vec!["b"; 64]);
    asking.requirements.required_extensions = &[];
    assert_eq!(failure(&[pool("a")], &asking), None);
}

/// UNIT-8: a name that only a job knows is never an error: no pool has it.
#[test]
fn names_that_only_a_job_knows() {
    let table: [(fn(&mut orchestrator_core::JobSpec<'static>), Option<Rejection>); 9] = [
        (|job| job.engine = "unheard", Some(Rejection::EngineName)),
        (|job| job.determinism.engine_version = Some("unheard"), Some(Rejection::EngineVersion)),
        (|job| job.determinism.sampler_profile_version = Some("unheard"), Some(Rejection::SamplerProfile)),
        (|job| job.determinism.model_digest = Some("unheard"), Some(Rejection::ModelDigest)),
        (|job| job.requirements.quantization = Some("unheard"), Some(Rejection::Quantization)),
        (|job| job.requirements.required_extensions = &["unheard"], Some(Rejection::Extension)),
        (|job| job.placement.require_labels = &[("unheard", "unheard")], Some(Rejection::LabelMissing)),
        // A pool that lists no models serves any; a session that nobody holds is cold.
        (|job| job.model_id = "unheard", None),
        (|job| job.session_id = Some("unheard"), None),
    ];
    for (place, (change, expected)) in table.into_iter().enumerate() {
        let mut asking = job();
        change(&mut asking);
        assert_eq!(failure(&[pool("a")], &asking), expected, "row {place}");
    }
}

/// UNIT-9: two values are clamped, after their limits were checked.
#[test]
fn clamps() {
    let mut clamped = pool("a");
    clamped.slots_free = 32_767;
    clamped.vram_free_bytes = crate::BYTES;
    let valid = clamped.validate().unwrap();
    assert_eq!((valid.row().slots_free, valid.row().vram_free_bytes), (4, 1000));

    clamped.slots_free = 32_768;
    assert_eq!(clamped.validate().unwrap_err().field, "slots_free");
    clamped.slots_free = 0;
    clamped.vram_free_bytes = crate::BYTES + 1;
    assert_eq!(clamped.validate().unwrap_err().field, "vram_free_bytes");
    clamped.vram_free_bytes = 0;

    clamped.devices = leak([device(10, 20), device(10, 3)]);
    let valid = clamped.validate().unwrap();
    let free: Vec<u64> = valid.devices().iter().map(|device| device.vram_free_bytes).collect();
    assert_eq!(free, [10, 3]);
    // 10 + 3: the device was clamped before the sum.
    assert_eq!(valid.row().vram_free_bytes, 13);
    clamped.devices = leak([device(10, crate::BYTES + 1)]);
    assert_eq!(clamped.validate().unwrap_err().field, "devices.vram_free_bytes");
}
