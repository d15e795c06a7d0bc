//! Round trips, hostile bytes, and sizes.

use std::fmt::Debug;

use orchestrator_core::codec::{
    DecodeError, DecodeProblem, OutOfRoom, OutcomeItem, Reader, Scratch, Sink, Writer, decode_item, decode_job,
    decode_policy, decode_scheduler_policy, decode_snapshot, encode_input, encode_job, encode_policy,
    encode_scheduler_policy, encode_snapshot, job_bytes, with_input, with_job,
};
use orchestrator_core::scheduler::{Input, Observer, OutcomeLog};
use orchestrator_core::{
    DeviceSnapshot, JobSpec, KvHint, Order, PlacementMode, PolicySpec, PoolSnapshot, Priority, WarmSession, WeightsSpec,
};
use proptest::prelude::*;

use super::strategies::{action, answer, event, input, job, policy, scheduler_policy, snapshot};

/// A sink that takes everything.
#[derive(Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Sink for Bytes {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn bytes_of(encode: impl FnOnce(&mut Bytes) -> Result<(), OutOfRoom>) -> Vec<u8> {
    let mut sink = Bytes::default();
    encode(&mut sink).unwrap();
    sink.0
}

pub(super) fn input_bytes(now_us: u64, input: &Input<'_>) -> Vec<u8> {
    bytes_of(|sink| encode_input(now_us, input, sink))
}

/// Calls `read` with a scratch of `places` in each part.
pub(super) fn with_scratch<'a, R>(places: usize, read: impl FnOnce(Scratch<'_, 'a>) -> R) -> R {
    let device = DeviceSnapshot { vram_total_bytes: 0, vram_free_bytes: 0, compute_capability: None };
    let session = WarmSession { session_id: "", cached_tokens: 0 };
    read(Scratch {
        texts: &mut vec![""; places],
        labels: &mut vec![("", ""); places],
        devices: &mut vec![device; places],
        sessions: &mut vec![session; places],
    })
}

/// What was read, as text, and its bytes again.
type Read = Result<(String, Vec<u8>), DecodeError>;

fn read_job(bytes: &[u8], places: usize) -> Read {
    with_scratch(places, |mut scratch| {
        let mut reader = Reader::new(bytes);
        let job = decode_job(&mut reader, &mut scratch)?;
        reader.finish()?;
        Ok((format!("{job:?}"), bytes_of(|sink| encode_job(&job, sink))))
    })
}

fn read_snapshot(bytes: &[u8], places: usize) -> Read {
    with_scratch(places, |mut scratch| {
        let mut reader = Reader::new(bytes);
        let snapshot = decode_snapshot(&mut reader, &mut scratch)?;
        reader.finish()?;
        Ok((format!("{snapshot:?}"), bytes_of(|sink| encode_snapshot(&snapshot, sink))))
    })
}

fn read_policies(bytes: &[u8], _places: usize) -> Read {
    let mut reader = Reader::new(bytes);
    let (placement, scheduler) = (decode_policy(&mut reader)?, decode_scheduler_policy(&mut reader)?);
    reader.finish()?;
    let again =
        bytes_of(|sink| encode_policy(&placement, sink).and_then(|()| encode_scheduler_policy(&scheduler, sink)));
    Ok((format!("{placement:?} {scheduler:?}"), again))
}

fn read_input(bytes: &[u8], places: usize) -> Read {
    with_scratch(places, |scratch| {
        with_input(bytes, scratch, |now_us, input| (format!("{now_us} {input:?}"), input_bytes(now_us, &input)))
    })
}

/// The bytes of one item, without its length, and the item as text.
fn item_bytes(item: &OutcomeItem<'_>) -> (Vec<u8>, String) {
    let mut room = [0; 4096];
    let mut log = OutcomeLog::new(&mut room);
    match item {
        OutcomeItem::Answer(answer) => log.answer(answer),
        OutcomeItem::Event(event) => log.observe(7, event),
        OutcomeItem::Action(action) => log.action(action),
    }
    let bytes = log.bytes().unwrap();
    let length_bytes = 1 + usize::from(bytes.len() > 128);
    (bytes[length_bytes..].to_vec(), format!("{item:?}"))
}

fn read_item(bytes: &[u8], _places: usize) -> Read {
    let item = decode_item(bytes, |text| text.to_owned().leak())?;
    let (again, said) = item_bytes(&item);
    Ok((said, again))
}

fn item() -> impl Strategy<Value = OutcomeItem<'static>> {
    prop_oneof![
        answer().prop_map(OutcomeItem::Answer),
        event().prop_map(OutcomeItem::Event),
        action().prop_map(OutcomeItem::Action),
    ]
}

/// What every encoding must do: come back as it was; refuse each of its own beginnings; and take each single damaged
/// byte, as another value with exactly these bytes or as an error.
fn check(bytes: &[u8], said: &str, read: fn(&[u8], usize) -> Read) -> Result<(), TestCaseError> {
    let places = bytes.len();
    prop_assert_eq!(read(bytes, places), Ok((said.to_owned(), bytes.to_vec())));
    for length in 0..bytes.len() {
        // A shorter length can only be noticed at the end of the bytes.
        prop_assert!(read(&bytes[..length], places).is_err(), "{} bytes of {}", length, bytes.len());
    }
    let mut damaged = bytes.to_vec();
    for at in 0..bytes.len() {
        for flip in [1, 2, 0x10, 0x80, 0xff] {
            damaged[at] = bytes[at] ^ flip;
            if let Ok((other, again)) = read(&damaged, places) {
                prop_assert_eq!(&again, &damaged);
                prop_assert_ne!(other, said, "byte {} of {:?}", at, &damaged);
            }
        }
        damaged[at] = bytes[at];
    }
    let longer = [bytes, &[0]].concat();
    prop_assert!(read(&longer, places + 1).is_err());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// RECORD-1: jobs come back as they were.
    #[test]
    fn jobs_come_back(job in job()) {
        let bytes = bytes_of(|sink| encode_job(&job, sink));
        prop_assert_eq!(bytes.len(), job_bytes(&job));
        prop_assert_eq!(with_job(&bytes, |read| format!("{read:?}")), Ok(format!("{job:?}")));
        check(&bytes, &format!("{job:?}"), read_job)?;
    }

    /// RECORD-1
    #[test]
    fn snapshots_come_back(snapshot in snapshot()) {
        check(&bytes_of(|sink| encode_snapshot(&snapshot, sink)), &format!("{snapshot:?}"), read_snapshot)?;
    }

    /// RECORD-3: policies come back bit for bit, hashes included.
    #[test]
    fn policies_come_back(placement in policy(), scheduler in scheduler_policy()) {
        let bytes = bytes_of(|sink| {
            encode_policy(&placement, sink).and_then(|()| encode_scheduler_policy(&scheduler, sink))
        });
        check(&bytes, &format!("{placement:?} {scheduler:?}"), read_policies)?;
        let mut reader = Reader::new(&bytes);
        let (old, new) = (decode_policy(&mut reader).unwrap(), decode_scheduler_policy(&mut reader).unwrap());
        prop_assert_eq!(old.content_hash(), placement.content_hash());
        prop_assert_eq!(new.content_hash(), scheduler.content_hash());
        prop_assert_eq!((old, new), (placement, scheduler));
    }

    /// RECORD-1: inputs of every kind come back with their time.
    #[test]
    fn inputs_come_back(now_us in any::<u64>(), input in input()) {
        check(&input_bytes(now_us, &input), &format!("{now_us} {input:?}"), read_input)?;
    }

    /// RECORD-2: items of every kind come back, so that no two have the same bytes.
    #[test]
    fn items_come_back(item in item()) {
        let (bytes, said) = item_bytes(&item);
        check(&bytes, &said, read_item)?;
    }

    /// RECORD-2: different values, different bytes; equal values, equal bytes.
    #[test]
    fn bytes_are_equal_where_values_are(a in item(), b in item(), c in job(), d in job()) {
        let ((a_bytes, a_said), (b_bytes, b_said)) = (item_bytes(&a), item_bytes(&b));
        prop_assert_eq!(a_bytes == b_bytes, a_said == b_said);
        let of = |job| bytes_of(|sink| encode_job(job, sink));
        prop_assert_eq!(of(&c) == of(&d), format!("{c:?}") == format!("{d:?}"));
    }

    /// RECORD-1: any bytes are a value with exactly these bytes, or an error.
    #[test]
    fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..300), places in 0usize..40) {
        for read in [read_job, read_snapshot, read_policies, read_input, read_item] {
            if let Ok((_, again)) = read(&bytes, places) {
                prop_assert_eq!(&again, &bytes);
            }
        }
    }

    /// RECORD-1: bytes that begin like a value, and small numbers, get further than random ones.
    #[test]
    fn likely_bytes_can_be_read(bytes in proptest::collection::vec(0u8..4, 0..200), places in 0usize..40) {
        for read in [read_job, read_snapshot, read_policies, read_input, read_item] {
            if let Ok((_, again)) = read(&bytes, places) {
                prop_assert_eq!(&again, &bytes);
            }
        }
    }
}

/// All encodings differ.
fn assert_distinct<T: Debug>(values: &[T], encode: impl Fn(&T) -> Vec<u8>) {
    let encoded: Vec<_> = values.iter().map(encode).collect();
    for (i, a) in encoded.iter().enumerate() {
        for (j, b) in encoded.iter().enumerate() {
            assert!(i == j || a != b, "{:?}\n{:?}", values[i], values[j]);
        }
    }
}

/// RECORD-1: every field of a job shows in its bytes, absent and empty apart.
#[test]
fn every_field_of_a_job_counts() {
    let base = JobSpec::new("j", "e", "m");
    let changed = |change: fn(&mut JobSpec<'static>)| {
        let mut job = base;
        change(&mut job);
        job
    };
    let jobs = [
        base,
        changed(|job| job.id = ""),
        changed(|job| job.engine = "E"),
        changed(|job| job.model_id = "n"),
        changed(|job| (job.id, job.engine) = ("je", "")),
        changed(|job| job.priority = Priority::Interactive),
        changed(|job| job.prompt_tokens = 1),
        changed(|job| job.prompt_tokens = -1),
        changed(|job| job.expected_tokens = Some(0)),
        changed(|job| job.max_tokens = Some(0)),
        changed(|job| job.required_ctx = Some(0)),
        changed(|job| job.est_kv_bytes = Some(0)),
        changed(|job| job.session_id = Some("")),
        changed(|job| job.tenant_id = Some("")),
        changed(|job| job.kv_hint = KvHint::Cold),
        changed(|job| job.deadline_ms = Some(0.0)),
        changed(|job| job.deadline_ms = Some(-0.0)),
        changed(|job| job.deadline_ms = Some(f64::NAN)),
        changed(|job| job.requirements.min_vram_bytes = 1),
        changed(|job| job.requirements.quantization = Some("")),
        changed(|job| job.requirements.min_compute_cap = Some("")),
        changed(|job| job.requirements.device_mask = Some("")),
        changed(|job| job.requirements.required_extensions = &[""]),
        changed(|job| job.requirements.required_extensions = &["", ""]),
        changed(|job| job.requirements.split_degree = Some(0)),
        changed(|job| job.determinism.seed = Some(0)),
        changed(|job| job.determinism.sampler_profile_version = Some("")),
        changed(|job| job.determinism.engine_version = Some("")),
        changed(|job| job.determinism.model_digest = Some("")),
        changed(|job| job.placement.mode = Some(PlacementMode::Auto)),
        changed(|job| job.placement.mode = Some(PlacementMode::Pin)),
        changed(|job| job.placement.mode = Some(PlacementMode::Prefer)),
        changed(|job| job.placement.pin_pool_id = Some("")),
        changed(|job| job.placement.prefer_pools = &[""]),
        changed(|job| job.placement.avoid_pools = &[""]),
        changed(|job| job.placement.require_device_mask = Some("")),
        changed(|job| job.placement.allow_fallback = false),
        changed(|job| job.placement.require_labels = &[("", "")]),
        changed(|job| job.budget.tokens = Some(0)),
        changed(|job| job.budget.time_ms = Some(0.0)),
        changed(|job| job.budget.cost_micros = Some(0)),
    ];
    assert_distinct(&jobs, |job| bytes_of(|sink| encode_job(job, sink)));
}

/// RECORD-1: every field of a snapshot shows in its bytes, absent and empty apart.
#[test]
fn every_field_of_a_snapshot_counts() {
    let base = PoolSnapshot::new("p", "e", 0, 0, 0, 0);
    let changed = |change: fn(&mut PoolSnapshot<'static>)| {
        let mut pool = base;
        change(&mut pool);
        pool
    };
    let device = DeviceSnapshot { vram_total_bytes: 0, vram_free_bytes: 0, compute_capability: None };
    let devices: [&'static [DeviceSnapshot<'static>]; 4] = [
        Box::leak(Box::new([device])),
        Box::leak(Box::new([DeviceSnapshot { vram_total_bytes: 1, ..device }])),
        Box::leak(Box::new([DeviceSnapshot { vram_free_bytes: 1, ..device }])),
        Box::leak(Box::new([DeviceSnapshot { compute_capability: Some(""), ..device }])),
    ];
    let mut pools = vec![
        base,
        changed(|pool| pool.id = ""),
        changed(|pool| pool.replica_id = "r"),
        changed(|pool| pool.engine = ""),
        changed(|pool| pool.engine_version = Some("")),
        changed(|pool| pool.sampler_profile_version = Some("")),
        changed(|pool| pool.slots_total = 1),
        changed(|pool| pool.slots_free = 1),
        changed(|pool| pool.vram_total_bytes = 1),
        changed(|pool| pool.vram_free_bytes = 1),
        changed(|pool| pool.compute_capability = Some("")),
        changed(|pool| pool.perf_tokens_per_s = Some(0.0)),
        changed(|pool| pool.first_token_ms = Some(0.0)),
        changed(|pool| pool.prefill_tokens_per_s = Some(0.0)),
        changed(|pool| pool.admission_latency_ms = 1.0),
        changed(|pool| pool.model_load_ms = 1.0),
        changed(|pool| pool.age_ms = 1.0),
        changed(|pool| pool.queue_depth = 1),
        changed(|pool| pool.supports.quantizations = &[""]),
        changed(|pool| pool.supports.extensions = &[""]),
        changed(|pool| pool.supports.models = Some(&[])),
        changed(|pool| pool.supports.models = Some(&[""])),
        changed(|pool| pool.supports.model_digests = &[""]),
        changed(|pool| pool.supports.ctx_max = Some(0)),
        changed(|pool| pool.supports.min_compute_cap = Some("")),
        changed(|pool| pool.resident_models = Some(&[])),
        changed(|pool| pool.resident_models = Some(&[""])),
        changed(|pool| pool.device_mask = Some("")),
        changed(|pool| pool.labels = &[("", "")]),
        changed(|pool| pool.warm_sessions = &[WarmSession { session_id: "", cached_tokens: 0 }]),
        changed(|pool| pool.warm_sessions = &[WarmSession { session_id: "", cached_tokens: 1 }]),
        changed(|pool| pool.ready = false),
        changed(|pool| pool.draining = true),
    ];
    pools.extend(devices.map(|devices| PoolSnapshot { devices, ..base }));
    assert_distinct(&pools, |pool| bytes_of(|sink| encode_snapshot(pool, sink)));
}

/// RECORD-1: the bytes of docs/recording.md, written out by hand.
#[test]
fn a_job_has_the_published_bytes() {
    let mut job = JobSpec::new("job-1", "vllm", "m");
    job.priority = Priority::Interactive;
    job.prompt_tokens = 700;
    job.max_tokens = Some(64);
    job.deadline_ms = Some(1500.0);
    job.placement.prefer_pools = &["a"];
    let mut expected = vec![0x89, 0x02]; // interactive, max_tokens, deadline_ms: bits 0, 3, 8
    expected.extend(b"\x05job-1\x04vllm\x01m");
    expected.extend([0xf8, 0x0a]); // 1400: prompt_tokens
    expected.extend([0x80, 0x01]); // 128: max_tokens
    expected.extend([0, 0, 0, 0, 0, 0x70, 0x97, 0x40]); // 1500.0
    expected.extend([0, 0, 0]); // requirements: nothing present, 0 bytes, no extensions
    expected.push(0); // determinism: nothing present
    expected.extend(b"\x01\x01\x01a\0\0"); // placement: fallback allowed, one preferred pool, no others, no labels
    expected.push(0); // budget: nothing present
    assert_eq!(bytes_of(|sink| encode_job(&job, sink)), expected);
    assert_eq!(job_bytes(&job), 38);
}

/// QUEUE-1, RECORD-1: a usual job fits a slot of 150 bytes.
#[test]
fn a_usual_job_is_small() {
    let id = "0b9f2c1e-6a51-4d0e-9c58-3f4b7d2a8e10";
    let mut job = JobSpec::new(id, "vllm", "meta-llama/Llama-3.1-70B-Instruct");
    job.priority = Priority::Interactive;
    job.prompt_tokens = 3_500;
    job.max_tokens = Some(1_024);
    job.session_id = Some("7d3a8f52-0c44-4f7b-8b0a-d1e5c6a79b23");
    job.deadline_ms = Some(30_000.0);
    job.requirements.min_vram_bytes = 140 << 30;
    let bytes = job_bytes(&job);
    println!("a usual job: {bytes} bytes; the smallest: {} bytes", job_bytes(&JobSpec::new("1", "e", "m")));
    assert_eq!(bytes, 141);
    job.tenant_id = Some("acme");
    job.requirements.quantization = Some("fp8");
    job.determinism.seed = Some(42);
    assert_eq!(job_bytes(&job), 141 + 5 + 4 + 1);
}

/// RECORD-1: too little room is an error, at every size, and nothing is written beyond it.
#[test]
fn too_little_room_is_an_error() {
    let job = JobSpec::new("job-1", "vllm", "m");
    let needed = job_bytes(&job);
    for room in 0..needed {
        let mut storage = vec![0xee; needed + 8];
        let (slot, behind) = storage.split_at_mut(room);
        assert_eq!(encode_job(&job, &mut Writer::new(slot)), Err(OutOfRoom));
        assert!(behind.iter().all(|byte| *byte == 0xee));
    }
    let mut slot = vec![0; needed];
    assert_eq!(encode_job(&job, &mut Writer::new(&mut slot)), Ok(()));
}

/// RECORD-1: each kind of bad bytes has its own error, at its place.
#[test]
fn bad_bytes_have_typed_errors() {
    let error = |bytes: &[u8]| read_job(bytes, 0).unwrap_err();
    let problem = |bytes: &[u8]| error(bytes).problem;
    assert_eq!(error(b""), DecodeError { at_byte: 0, problem: DecodeProblem::Truncated });
    assert_eq!(error(b"\0\x05job"), DecodeError { at_byte: 2, problem: DecodeProblem::Truncated });
    assert_eq!(problem(b"\0\x01\xff"), DecodeProblem::NotUtf8);
    assert_eq!(problem(b"\x80\x04"), DecodeProblem::UnknownTag); // flag 9
    assert_eq!(problem(b"\x80\0"), DecodeProblem::NotCanonical);
    assert_eq!(problem(b"\xff\xff\xff\xff\x1f"), DecodeProblem::OutOfRange);
    assert_eq!(problem(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), DecodeProblem::OutOfRange);
    assert_eq!(problem(b"\0\0\0\0\0\0\0\x01\0"), DecodeProblem::TooMany { max: 0 });
    let whole = b"\0\0\0\0\0\0\0\0\0\x01\0\0\0\0";
    assert_eq!(with_job(whole, |job| job.id.len()), Ok(0));
    assert_eq!(problem(&[&whole[..], b"\0"].concat()), DecodeProblem::TrailingBytes);
    assert_eq!(error(&[&whole[..], b"\0"].concat()).to_string(), "byte 14: bytes behind the end");
}

/// RECORD-1: a NaN has one form, and only that one is read.
#[test]
fn a_nan_is_one_value() {
    let with = |deadline| {
        let job = JobSpec { deadline_ms: Some(deadline), ..JobSpec::new("", "", "") };
        bytes_of(|sink| encode_job(&job, sink))
    };
    let bytes = with(f64::NAN);
    assert_eq!(bytes, with(-f64::NAN));
    assert_eq!(bytes, with(f64::from_bits(0x7ff0_0000_0000_0001)));
    let at = bytes.windows(8).position(|window| window == [0, 0, 0, 0, 0, 0, 0xf8, 0x7f]).unwrap();
    let mut other = bytes.clone();
    other[at] = 1;
    assert_eq!(read_job(&other, 0).unwrap_err().problem, DecodeProblem::NotCanonical);
}

/// UNIT-7: a job with as many hints and extensions as it may have is read; lists beyond the room are a typed error.
#[test]
fn long_lists_are_read_or_refused() {
    let texts = ["a-pool"; 65];
    let labels = [("k", "v"); 65];
    let with = |extensions, prefer, avoid, label_count| {
        let mut job = JobSpec::new("j", "e", "m");
        job.requirements.required_extensions = &texts[..extensions];
        job.placement.prefer_pools = &texts[..prefer];
        job.placement.avoid_pools = &texts[..avoid];
        job.placement.require_labels = &labels[..label_count];
        with_job(&bytes_of(|sink| encode_job(&job, sink)), |read| *read == job)
    };
    assert_eq!(with(64, 64, 64, 64), Ok(true));
    assert_eq!(with(64, 64, 65, 0).unwrap_err().problem, DecodeProblem::TooMany { max: 64 });
    assert_eq!(with(0, 0, 0, 65).unwrap_err().problem, DecodeProblem::TooMany { max: 64 });
}

/// RECORD-3, POLICY-1: numbers outside a policy's limits are not read, so that no such policy can come out of bytes.
#[test]
fn policies_outside_their_limits_are_refused() {
    // order, shift, aware, no seed, tokens 0, rate 1000, no first token, stale 0, sessions 0, backlog 0, five weights
    let good = [0, 46, 1, 0, 0, 0xe8, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let read = |at: usize, bytes: &[u8]| {
        let damaged = [&good[..at], bytes, &good[at + 1..]].concat();
        decode_policy(&mut Reader::new(&damaged)).map_err(|error| error.problem)
    };
    let expected = PolicySpec {
        quantum_shift: 46,
        default_output_tokens: 0,
        default_tokens_per_s: Some(1.0),
        stale_after_ms: 0.0,
        session_capacity: 0,
        weights: WeightsSpec { admission: 0.0, model_load: 0.0, first_token: 0.0, prefill: 0.0, decode: 0.0 },
        ..PolicySpec::default()
    };
    assert_eq!(read(1, &[46]), Ok(expected.validate().unwrap()));
    assert_eq!(read(0, &[2]), Err(DecodeProblem::UnknownTag));
    assert_eq!(read(1, &[47]), Err(DecodeProblem::OutOfRange));
    assert_eq!(read(2, &[2]), Err(DecodeProblem::UnknownTag));
    assert_eq!(read(4, &[0x80, 0x80, 0x80, 0x08]), Err(DecodeProblem::OutOfRange)); // 2^24
    assert!(read(4, &[0xff, 0xff, 0xff, 0x07]).is_ok());
    assert_eq!(read(11, &[0x81, 0x20]), Err(DecodeProblem::OutOfRange)); // 4097
    assert!(read(11, &[0x80, 0x20]).is_ok());
    // A rate of 238 thousandths is unknown, and written as 0.
    let slow = [&good[..5], &[0xee, 0x01], &good[7..]].concat();
    assert_eq!(decode_policy(&mut Reader::new(&slow)).unwrap_err().problem, DecodeProblem::OutOfRange);
}

/// RECORD-3, KEY-8: a seed that the order does not use stays in the policy.
#[test]
fn an_unused_seed_stays() {
    let spec = PolicySpec { order: Order::VramFirst, spread_seed: Some(9), ..PolicySpec::default() };
    let seeded = spec.validate().unwrap();
    let unseeded = PolicySpec { spread_seed: None, ..spec }.validate().unwrap();
    let bytes = bytes_of(|sink| encode_policy(&seeded, sink));
    assert_ne!(bytes, bytes_of(|sink| encode_policy(&unseeded, sink)));
    assert_eq!(decode_policy(&mut Reader::new(&bytes)), Ok(seeded));
}
