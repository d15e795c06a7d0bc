//! Recordings: whole, cut off, damaged, and compared.

use orchestrator_core::codec::{OutOfRoom, OutcomeItem, Sink, Writer, decode_item};
use orchestrator_core::scheduler::{
    Action, Answer, CancelCause, Capacities, Damage, DamageCause, Event, FlightRecorder, Frame, Input, JobFacts,
    Observer, OutcomeLog, RECORDING_FORMAT, RECORDING_MAGIC, RecordedOutcome, Recording, RecordingError,
    RecordingHeader, Refusal, RefusalCode, SchedulerPolicy, WaitForecast,
};
use orchestrator_core::{
    FieldError, Id, JobSpec, Policy, PoolFacts, PoolSnapshot, Priority, Problem, SEMANTICS_VERSION, WarmSession,
};
use proptest::prelude::*;

use super::codec::{Bytes, input_bytes, with_scratch};
use super::strategies::{action, answer, event, input, policy, scheduler_policy};

/// What happened on one input.
#[derive(Debug, Clone)]
struct Turn {
    now_us: u64,
    input: Input<'static>,
    events: Vec<Event<'static>>,
    answer: Answer,
    actions: Vec<Action>,
}

impl Turn {
    fn replay(&self, log: &mut OutcomeLog<'_>) {
        log.clear();
        self.events.iter().for_each(|event| log.observe(self.now_us, event));
        log.answer(&self.answer);
        self.actions.iter().for_each(|action| log.action(action));
    }
}

fn turn() -> impl Strategy<Value = Turn> {
    let lists = (proptest::collection::vec(event(), 0..3), proptest::collection::vec(action(), 0..3));
    (any::<u64>(), input(), answer(), lists).prop_map(|(now_us, input, answer, (events, actions))| Turn {
        now_us,
        input,
        events,
        answer,
        actions,
    })
}

fn header() -> RecordingHeader<'static> {
    RecordingHeader {
        capacities: Capacities {
            pools: 8,
            waiting_jobs: 64,
            job_bytes: 256,
            leases: 32,
            model_name_bytes: 129,
            sessions: 16,
            tenants: 4,
        },
        placement: Policy::default(),
        scheduler: SchedulerPolicy::default(),
        setup: b"prices",
    }
}

fn record<S: Sink>(sink: S, header: &RecordingHeader<'_>, turns: &[Turn], outcome_bytes: usize) -> (S, bool) {
    let mut outcome = vec![0; outcome_bytes];
    let mut recorder = FlightRecorder::new(sink, &mut outcome, header);
    for turn in turns {
        recorder.begin_input(turn.now_us, &turn.input);
        turn.events.iter().for_each(|event| recorder.observe(turn.now_us, event));
        recorder.answer(&turn.answer);
        turn.actions.iter().for_each(|action| recorder.action(action));
        recorder.end_input();
    }
    let broken = recorder.is_broken();
    (recorder.into_sink(), broken)
}

fn recorded(turns: &[Turn]) -> Vec<u8> {
    let (bytes, broken) = record(Bytes::default(), &header(), turns, 4096);
    assert!(!broken);
    bytes.0
}

/// A short recording with an input, an outcome and a text of most kinds.
fn example() -> Vec<Turn> {
    const POOL: PoolSnapshot<'static> = PoolSnapshot {
        engine_version: Some("0.9"),
        perf_tokens_per_s: Some(50.0),
        warm_sessions: &[WarmSession { session_id: "s", cached_tokens: 300 }],
        ..PoolSnapshot::new("gpu-0", "vllm", 8, 7, 80 << 30, 60 << 30)
    };
    const JOB: JobSpec<'static> = JobSpec {
        priority: Priority::Interactive,
        prompt_tokens: 700,
        deadline_ms: Some(1500.0),
        session_id: Some("s"),
        ..JobSpec::new("job-1", "vllm", "m")
    };
    let pool = PoolFacts { id: "gpu-0", replica_id: "", engine: "vllm", engine_version: Some("0.9") };
    let job = JobFacts { id: "job-1", engine: "vllm", model_id: "m", prompt_tokens: 700, ..JobFacts::default() };
    let refusal = Refusal {
        code: RefusalCode::InvalidParams,
        field: Some(FieldError { field: "prompt_tokens", problem: Problem::TooLarge { max: 16_777_215 } }),
        policy_label: None,
        rejection: None,
        retry_after_ms: None,
    };
    let turn = |now_us, input, events: &[Event<'static>], answer, actions: &[Action]| Turn {
        now_us,
        input,
        events: events.to_vec(),
        answer,
        actions: actions.to_vec(),
    };
    let forecast = WaitForecast { queue_position: 0, class_position: 0, predicted_start_us: Some(1_000) };
    let refresh = Action::RefreshSnapshot {
        pool_id: Id::try_from("gpu-0").unwrap(),
        replica_id: Id::new(),
        attempt: 1,
        not_before_us: 15_000_000,
    };
    vec![
        turn(
            1,
            Input::Snapshot(&POOL),
            &[Event::PoolUpdated { pool, credited: 0, vram_used_bytes: 20 << 30 }],
            Answer::Done,
            &[refresh],
        ),
        turn(1_000, Input::Submit(&JOB), &[Event::JobEnqueued { job, forecast }], Answer::Accepted(forecast), &[]),
        turn(2_000, Input::Submit(&JOB), &[Event::JobRefused { job, refusal }], Answer::Refused(refusal), &[]),
        turn(3_000, Input::Cancel { job_id: "job-1", cause: CancelCause::Admin }, &[], Answer::UnknownJob, &[]),
        turn(300_000, Input::Tick, &[], Answer::TimeWentBack { last_us: 300_001 }, &[]),
    ]
}

/// The frames of a recording, and where it ends.
fn frames(bytes: &[u8]) -> Result<(Vec<Frame<'_>>, Option<Damage>), RecordingError> {
    let mut recording = Recording::open(bytes)?;
    let frames = recording.by_ref().collect();
    assert!(recording.next().is_none());
    Ok((frames, recording.damage()))
}

/// The ends of the header and of each frame behind it.
fn frame_ends(bytes: &[u8]) -> Vec<usize> {
    let mut recording = Recording::open(bytes).unwrap();
    let mut ends = vec![recording.position()];
    while recording.next().is_some() {
        ends.push(recording.position());
    }
    ends
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// RECORD-1, RECORD-2: what was recorded comes back, input by input and outcome by outcome, and compares equal.
    #[test]
    fn recordings_come_back(
        placement in policy(),
        scheduler in scheduler_policy(),
        sizes in any::<[u32; 7]>(),
        setup in proptest::collection::vec(any::<u8>(), 0..40),
        turns in proptest::collection::vec(turn(), 0..6),
        room in prop_oneof![Just(0usize), Just(100), Just(4096)],
    ) {
        let [pools, waiting_jobs, job_bytes, leases, model_name_bytes, sessions, tenants] = sizes;
        let capacities = Capacities { pools, waiting_jobs, job_bytes, leases, model_name_bytes, sessions, tenants };
        let header = RecordingHeader { capacities, placement, scheduler, setup: &setup };
        let (bytes, broken) = record(Bytes::default(), &header, &turns, room);
        prop_assert!(!broken);
        let recording = Recording::open(&bytes.0).unwrap();
        prop_assert_eq!(recording.header(), &header);
        let (frames, damage) = frames(&bytes.0).unwrap();
        prop_assert_eq!((frames.len(), damage), (2 * turns.len(), None));

        let mut room_for_all = [0; 8192];
        let mut log = OutcomeLog::new(&mut room_for_all);
        for (turn, pair) in turns.iter().zip(frames.chunks(2)) {
            let [Frame::Input(input), Frame::Outcome(outcome)] = pair else { panic!("{pair:?}") };
            prop_assert_eq!(input.bytes(), input_bytes(turn.now_us, &turn.input));
            let said = with_scratch(input.bytes().len(), |scratch| {
                input.read(scratch, |now_us, input| format!("{now_us} {input:?}"))
            });
            prop_assert_eq!(said, Ok(format!("{} {:?}", turn.now_us, turn.input)));
            turn.replay(&mut log);
            prop_assert_eq!(outcome.difference(&log), None);
            let all = log.bytes().unwrap();
            prop_assert_eq!(outcome.bytes, (all.len() <= room).then_some(all));
            prop_assert_eq!(outcome.items as usize, turn.events.len() + 1 + turn.actions.len());
        }
    }

    /// RECORD-2: the first item that differs is found, by number and by its bytes; without bytes, that one differs.
    #[test]
    fn differences_are_found(
        old in proptest::collection::vec(event(), 0..6),
        new in proptest::collection::vec(event(), 0..6),
        shared in proptest::collection::vec(event(), 0..4),
        rooms in any::<(bool, bool)>(),
    ) {
        let (old, new) = ([shared.clone(), old].concat(), [shared, new].concat());
        let mut storage = [[0; 8192]; 2];
        let [first, second] = &mut storage;
        let mut recorded = OutcomeLog::new(if rooms.0 { first } else { &mut [] });
        let mut replayed = OutcomeLog::new(if rooms.1 { second } else { &mut [] });
        old.iter().for_each(|event| recorded.observe(0, event));
        new.iter().for_each(|event| replayed.observe(0, event));
        let outcome =
            RecordedOutcome { items: recorded.items(), digest: recorded.digest(), bytes: recorded.bytes() };
        let difference = outcome.difference(&replayed);
        prop_assert_eq!(difference.is_none(), old == new);
        if let Some(difference) = difference {
            let place = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
            let compared = outcome.bytes.is_some() && replayed.bytes().is_some();
            prop_assert_eq!(difference.item, compared.then_some(place as u32));
            let intern = |text: &str| -> &'static str { text.to_owned().leak() };
            let shown = |bytes: Option<&[u8]>| bytes.map(|bytes| format!("{:?}", decode_item(bytes, intern).unwrap()));
            let expected = |events: &[Event<'static>]| {
                events.get(place).filter(|_| compared).map(|event| format!("{:?}", OutcomeItem::Event(*event)))
            };
            prop_assert_eq!(shown(difference.recorded), expected(&old));
            prop_assert_eq!(shown(difference.replayed), expected(&new));
        }
    }

    /// RECORD-1: any bytes behind a good beginning end a recording, and never disturb.
    #[test]
    fn any_tail_ends_a_recording(tail in proptest::collection::vec(any::<u8>(), 1..100)) {
        let whole = recorded(&example());
        let ends = frame_ends(&whole);
        for end in ends {
            let bytes = [&whole[..end], &tail].concat();
            let (frames, damage) = frames(&bytes).unwrap();
            prop_assert_eq!(damage.map(|damage| damage.at_byte), Some(end), "{:?}", frames);
        }
    }
}

/// RECORD-1: a recording cut off anywhere ends with its last whole frame, and says where.
#[test]
fn a_cut_off_tail_ends_at_the_last_whole_frame() {
    let whole = recorded(&example());
    let ends = frame_ends(&whole);
    assert_eq!((ends.len(), ends.last()), (11, Some(&whole.len())));
    let (all, _) = frames(&whole).unwrap();
    for length in 0..=whole.len() {
        let cut = &whole[..length];
        if length < 8 {
            assert_eq!(frames(cut), Err(RecordingError::NotARecording), "{length}");
        } else if length < ends[0] {
            let at_byte = if length < 16 { 0 } else { 16 };
            let damage = Damage { at_byte, cause: DamageCause::CutOff };
            assert_eq!(frames(cut), Err(RecordingError::BadHeader(damage)), "{length}");
        } else {
            let whole_frames = ends.iter().filter(|end| **end <= length).count() - 1;
            let at_byte = ends[whole_frames];
            let damage = (at_byte != length).then_some(Damage { at_byte, cause: DamageCause::CutOff });
            assert_eq!(frames(cut), Ok((all[..whole_frames].to_vec(), damage)), "{length}");
        }
    }
}

/// RECORD-1: each flipped bit is noticed: no frame at or behind it is read, all before it are.
#[test]
fn each_flipped_bit_is_noticed() {
    let whole = recorded(&example());
    let ends = frame_ends(&whole);
    let (all, _) = frames(&whole).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let result = frames(&bytes);
        let intact = ends.iter().filter(|end| **end <= bit / 8).count();
        match bit / 8 {
            0..8 => assert_eq!(result, Err(RecordingError::NotARecording)),
            8..12 => assert!(matches!(result, Err(RecordingError::OtherFormat { found }) if found != RECORDING_FORMAT)),
            12..16 => {
                assert!(matches!(result, Err(RecordingError::OtherSemantics { found }) if found != SEMANTICS_VERSION));
            }
            _ if intact == 0 => assert!(matches!(result, Err(RecordingError::BadHeader(_))), "bit {bit}"),
            _ => {
                let (read, damage) = result.unwrap();
                assert_eq!(read, all[..intact - 1], "bit {bit}");
                let damage = damage.unwrap();
                assert_eq!(damage.at_byte, ends[intact - 1]);
                assert!(matches!(damage.cause, DamageCause::Checksum | DamageCause::CutOff), "bit {bit}");
            }
        }
    }
}

/// RECORD-1, RECORD-2: what is no recording, one of another format, and one of other rules are told apart.
#[test]
fn other_files_are_told_apart() {
    assert_eq!(frames(b""), Err(RecordingError::NotARecording));
    assert_eq!(frames(b"{\"version\":1}"), Err(RecordingError::NotARecording));
    let whole = recorded(&[]);
    let with = |at: usize, version: u32| [&whole[..at], &version.to_le_bytes(), &whole[at + 4..]].concat();
    assert_eq!(frames(&with(8, 9)), Err(RecordingError::OtherFormat { found: 9 }));
    assert_eq!(frames(&with(12, 7)), Err(RecordingError::OtherSemantics { found: 7 }));
    let said = RecordingError::OtherSemantics { found: 7 }.to_string();
    assert_eq!(said, format!("a recording of semantics version 7; this program has version {SEMANTICS_VERSION}"));
}

/// RECORD-1: a whole frame of a kind that this build does not know ends the recording, and says so.
#[test]
fn unknown_frames_end_a_recording() {
    let whole = recorded(&[]);
    let payload = [9u8];
    let length = 1u32.to_le_bytes();
    let checksum = xxhash_rust::xxh64::xxh64(&[&length[..], &payload].concat(), 0).to_le_bytes();
    let bytes = [&whole[..], &length, &checksum, &payload].concat();
    let (read, damage) = frames(&bytes).unwrap();
    assert!(read.is_empty());
    let damage = damage.unwrap();
    assert_eq!(damage.at_byte, whole.len());
    assert!(matches!(damage.cause, DamageCause::Payload(_)));
    assert_eq!(damage.to_string(), format!("the frame at byte {} cannot be read: byte 1: unknown tag", whole.len()));
}

/// EVENT-2, RECORD-1: a full sink breaks the recording, never the caller; what fitted can be read.
#[test]
fn a_full_sink_breaks_the_recording_only() {
    let turns = example();
    let whole = recorded(&turns);
    let ends = frame_ends(&whole);
    for room in 0..=whole.len() {
        let mut storage = vec![0xee; room];
        let (writer, broken) = record(Writer::new(&mut storage), &header(), &turns, 4096);
        assert_eq!(broken, room < whole.len(), "{room}");
        let written = writer.written();
        assert_eq!(written, &whole[..written.len()]);
        if written.len() >= ends[0] {
            let (read, _) = frames(written).unwrap();
            assert_eq!(read.len(), ends.iter().filter(|end| **end <= written.len()).count() - 1);
        }
    }
}

/// A sink that fails once.
struct FailsAt {
    calls_left: u32,
    bytes: Vec<u8>,
}

impl Sink for FailsAt {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        self.calls_left = self.calls_left.wrapping_sub(1);
        if self.calls_left == 0 {
            return Err(OutOfRoom);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// RECORD-1: after one failure nothing more is written, also where the sink would take it again.
#[test]
fn nothing_is_written_after_a_failure() {
    let turns = example();
    let whole = recorded(&turns);
    for calls_left in 1.. {
        let (sink, broken) = record(FailsAt { calls_left, bytes: Vec::new() }, &header(), &turns, 4096);
        assert!(whole.starts_with(&sink.bytes));
        if !broken {
            assert_eq!(sink.bytes, whole);
            break;
        }
        assert_ne!(sink.bytes, whole);
    }
}

/// RECORD-1: the recording of `example`, byte for byte; `docs/recording.md` says what each is.
#[test]
fn the_bytes_are_the_published_ones() {
    let whole = recorded(&example());
    let shown: Vec<String> = frame_ends(&whole).windows(2).map(|ends| ends[0]..ends[1]).fold(
        vec![hex(&whole[..frame_ends(&whole)[0]])],
        |mut lines, range| {
            lines.push(hex(&whole[range]));
            lines
        },
    );
    let fixture = include_str!("golden.hex");
    let expected: Vec<&str> = fixture.lines().filter(|line| !line.starts_with('#')).collect();
    if SEMANTICS_VERSION == 1 && RECORDING_FORMAT == 1 {
        assert_eq!(shown, expected, "\n{}\n", shown.join("\n"));
        assert_eq!(whole[..8], RECORDING_MAGIC);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
