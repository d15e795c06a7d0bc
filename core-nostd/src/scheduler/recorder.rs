//! The flight recorder: every input and its outcome as bytes, so that a run can be repeated and compared.
//!
//! ```text
//!                  ┌─ header ─┐┌─ input 1 ─┐┌─ outcome 1 ─┐┌─ input 2 ─┐┌─ outcome 2 ─┐ …
//!   FlightRecorder ─────────────────────────────────────────────────────────────────────▶ Sink
//!                                                                                          │
//!   Recording::open ◀── bytes ─────────────────────────────────────────────────────────────┘
//!     └─ frames: with_input ──▶ a new scheduler ──▶ OutcomeLog ─┐
//!                RecordedOutcome ───────────────────────────────┴─▶ compare
//! ```
//!
//! ```
//! use orchestrator_core::scheduler::{
//!     Answer, Capacities, FlightRecorder, Frame, Input, Recording, RecordingHeader, SchedulerPolicy,
//! };
//! use orchestrator_core::Policy;
//! use orchestrator_core::codec::Writer;
//!
//! let (mut storage, mut outcome) = ([0; 512], [0; 128]);
//! let header = RecordingHeader {
//!     capacities: Capacities::default(),
//!     placement: Policy::default(),
//!     scheduler: SchedulerPolicy::default(),
//!     setup: b"",
//! };
//! let mut sink = Writer::new(&mut storage);
//! let mut recorder = FlightRecorder::new(&mut sink, &mut outcome, &header);
//! recorder.begin_input(5, &Input::Tick);
//! recorder.answer(&Answer::Done);
//! recorder.end_input();
//! assert!(!recorder.is_broken());
//!
//! let mut recording = Recording::open(sink.written())?;
//! assert_eq!(recording.header(), &header);
//! assert!(matches!(recording.next(), Some(Frame::Input(_))));
//! assert!(matches!(recording.next(), Some(Frame::Outcome(outcome)) if outcome.items == 1));
//! assert!(recording.next().is_none() && recording.damage().is_none());
//! # Ok::<(), orchestrator_core::scheduler::RecordingError>(())
//! ```
//!
//! Invariants: a recorder changes nothing about the scheduler, and one whose sink failed writes nothing more; an
//! outcome's digest does not depend on whether its bytes fitted; what a reader yields stood in the recording, whole.
//! Rules: EVENT-2, RECORD-1 to RECORD-3. Bytes: `docs/recording.md`.

use core::fmt;

use super::action::{Action, Answer};
use super::event::Event;
use super::input::Input;
use super::observer::Observer;
use super::policy::SchedulerPolicy;
use crate::SEMANTICS_VERSION;
use crate::codec::{
    ACTION_ITEM, ANSWER_ITEM, Decode, DecodeError, DecodeProblem, EVENT_ITEM, Encode, Fixed, OutOfRoom, Raw, Reader,
    Scratch, Sink, Writer, encoded_bytes, with_input,
};
use crate::policy::Policy;
use crate::values::hash::Xxh64;

/// The first bytes of every recording.
pub const RECORDING_MAGIC: [u8; 8] = *b"orch-rec";

/// The version of the form of recordings, `docs/recording.md`.
pub const RECORDING_FORMAT: u32 = 2;

/// The first byte of a frame with an input.
const INPUT_FRAME: u8 = 1;
/// The first byte of a frame with an outcome.
const OUTCOME_FRAME: u8 = 2;

/// How much room a scheduler has (see [`SchedulerStorage`](super::SchedulerStorage)). Where it has more or less, its
/// outcomes can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Capacities {
    /// Pools.
    pub pools: u32,
    /// Jobs that wait.
    pub waiting_jobs: u32,
    /// Bytes of a waiting job.
    pub job_bytes: u32,
    /// Leases.
    pub leases: u32,
    /// Bytes of a leased job's model name.
    pub model_name_bytes: u32,
    /// Sessions.
    pub sessions: u32,
    /// Tenants with a turn of their own. QUEUE-10.
    pub tenants: u32,
}

coded_struct!(Capacities { pools, waiting_jobs, job_bytes, leases, model_name_bytes, sessions, tenants });

/// What a replay must begin with. RECORD-1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordingHeader<'a> {
    /// The scheduler's room.
    pub capacities: Capacities,
    /// How pools were chosen at first.
    pub placement: Policy,
    /// How jobs waited, ran and ended at first.
    pub scheduler: SchedulerPolicy,
    /// What else the owner sets a scheduler up with, such as prices and the fleet's storage, in a form of its own.
    pub setup: &'a [u8],
}

impl Encode for RecordingHeader<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self { capacities, placement, scheduler, setup } = self;
        (capacities, placement, scheduler, Raw(setup)).encode(sink)
    }
}

impl<'a> Decode<'a> for RecordingHeader<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            capacities: reader.take()?,
            placement: reader.take()?,
            scheduler: reader.take()?,
            setup: reader.take_bytes(reader.rest().len())?,
        })
    }
}

/// The outcome of one input: answer, events and actions in their order, as bytes and as a digest.
///
/// Without room for the bytes the digest remains: firmware compares digests, a host finds the item that differs.
#[derive(Debug)]
pub struct OutcomeLog<'b> {
    buffer: Writer<'b>,
    whole: bool,
    items: u32,
    hash: Xxh64,
}

impl<'b> OutcomeLog<'b> {
    /// A log that keeps items as long as they fit `buffer`, which may be empty.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer: Writer::new(buffer), whole: true, items: 0, hash: Xxh64::new(0) }
    }

    /// Starts the outcome of the next input.
    pub const fn clear(&mut self) {
        self.buffer.clear();
        self.whole = true;
        self.items = 0;
        self.hash = Xxh64::new(0);
    }

    /// Takes the answer.
    pub fn answer(&mut self, answer: &Answer) {
        self.push(&(ANSWER_ITEM, answer));
    }

    /// Takes the next action.
    pub fn action(&mut self, action: &Action) {
        self.push(&(ACTION_ITEM, action));
    }

    /// The number of items.
    #[must_use]
    pub const fn items(&self) -> u32 {
        self.items
    }

    /// The hash of all items, whether or not they fitted.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.hash.digest()
    }

    /// The items, if all of them fitted.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        self.whole.then_some(self.buffer.written())
    }

    /// An item is its length and its bytes, so that items can be told apart without being understood.
    fn push(&mut self, item: &impl Encode) {
        self.items = self.items.saturating_add(1);
        // A log takes everything.
        let _ = (encoded_bytes(item), item).encode::<dyn Sink>(self);
    }
}

/// Hashes all, and keeps it as long as it fits.
impl Sink for OutcomeLog<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        self.hash.update(bytes);
        self.whole = self.whole && self.buffer.write(bytes).is_ok();
        Ok(())
    }
}

/// EVENT-2: what it sees it writes down.
impl Observer for OutcomeLog<'_> {
    fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
        self.push(&(EVENT_ITEM, event));
    }
}

/// Writes a recording while a scheduler runs. RECORD-1.
///
/// For every input: [`begin_input`](Self::begin_input); [`Scheduler::handle`](super::Scheduler::handle) with the recorder
/// as observer, and [`answer`](Self::answer); [`Scheduler::next_action`](super::Scheduler::next_action) with it, and
/// [`action`](Self::action), as long as there is one; [`end_input`](Self::end_input). The input is written before it
/// takes effect, so that a recording that broke off there ends with it.
#[derive(Debug)]
pub struct FlightRecorder<'b, S> {
    sink: S,
    outcome: OutcomeLog<'b>,
    broken: bool,
}

impl<'b, S: Sink> FlightRecorder<'b, S> {
    /// Begins a recording. Outcomes are written whole where they fit `outcome`, else as digests: with an empty one all.
    #[must_use]
    pub fn new(sink: S, outcome: &'b mut [u8], header: &RecordingHeader<'_>) -> Self {
        let mut recorder = Self { sink, outcome: OutcomeLog::new(outcome), broken: false };
        let mut start = || {
            recorder.sink.write(&RECORDING_MAGIC)?;
            recorder.sink.write(&RECORDING_FORMAT.to_le_bytes())?;
            recorder.sink.write(&SEMANTICS_VERSION.to_le_bytes())
        };
        recorder.broken = start().is_err();
        recorder.write_frame(header);
        recorder
    }

    /// Whether the sink failed. Nothing has been written since; the recording is good up to the last whole frame.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Writes an input, before the scheduler handles it.
    pub fn begin_input(&mut self, now_us: u64, input: &Input<'_>) {
        self.outcome.clear();
        self.write_frame(&(INPUT_FRAME, now_us, input));
    }

    /// Takes the scheduler's answer.
    pub fn answer(&mut self, answer: &Answer) {
        self.outcome.answer(answer);
    }

    /// Takes the next of its actions.
    pub fn action(&mut self, action: &Action) {
        self.outcome.action(action);
    }

    /// Writes the outcome.
    pub fn end_input(&mut self) {
        let Self { sink, outcome, broken } = self;
        if !*broken {
            *broken = write_frame(sink, &*outcome).is_err();
        }
    }

    /// The sink, to flush what it holds back.
    pub const fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Gives the sink back.
    pub fn into_sink(self) -> S {
        self.sink
    }

    fn write_frame(&mut self, payload: &impl Encode) {
        if !self.broken {
            self.broken = write_frame(&mut self.sink, payload).is_err();
        }
    }
}

/// EVENT-2
impl<S> Observer for FlightRecorder<'_, S> {
    fn observe(&mut self, now_us: u64, event: &Event<'_>) {
        self.outcome.observe(now_us, event);
    }
}

/// The payload of a frame with an outcome.
impl Encode for OutcomeLog<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        (OUTCOME_FRAME, self.whole, self.items, Fixed(self.digest())).encode(sink)?;
        Raw(self.bytes().unwrap_or_default()).encode(sink)
    }
}

/// A frame: the payload's length, the checksum of length and payload, the payload. RECORD-1.
fn write_frame<S: Sink>(sink: &mut S, payload: &impl Encode) -> Result<(), OutOfRoom> {
    let length = u32::try_from(encoded_bytes(payload)).map_err(|_| OutOfRoom)?.to_le_bytes();
    let mut hash = Xxh64::new(0);
    hash.update(&length);
    payload.encode(&mut hash)?;
    sink.write(&length)?;
    sink.write(&hash.digest().to_le_bytes())?;
    payload.encode(sink)
}

/// Bytes that are no recording that this build can replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RecordingError {
    /// They are something else.
    NotARecording,
    /// A recording in another form.
    OtherFormat {
        /// Its version.
        found: u32,
    },
    /// A recording made under other rules: its outcomes would differ. RECORD-2.
    OtherSemantics {
        /// Their version.
        found: u32,
    },
    /// Its header is cut off or damaged.
    BadHeader(Damage),
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecording => f.write_str("not a recording"),
            Self::OtherFormat { found } => {
                write!(f, "a recording of format {found}; this program reads format {RECORDING_FORMAT}")
            }
            Self::OtherSemantics { found } => {
                write!(f, "a recording of semantics version {found}; this program has version {SEMANTICS_VERSION}")
            }
            Self::BadHeader(damage) => write!(f, "the header: {damage}"),
        }
    }
}

impl core::error::Error for RecordingError {}

/// Where a recording ends that does not end behind a whole frame, and why. RECORD-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Damage {
    /// The first byte behind the last whole frame.
    pub at_byte: usize,
    /// What is wrong there.
    pub cause: DamageCause,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DamageCause {
    /// The bytes end within it, or its length is damaged.
    CutOff,
    /// Its checksum is another.
    Checksum,
    /// It is whole and holds nothing that this build knows.
    Payload(DecodeError),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_byte, cause } = self;
        match cause {
            DamageCause::CutOff => write!(f, "cut off in the frame at byte {at_byte}"),
            DamageCause::Checksum => write!(f, "the frame at byte {at_byte} is damaged: its checksum is another"),
            DamageCause::Payload(error) => write!(f, "the frame at byte {at_byte} cannot be read: {error}"),
        }
    }
}

impl core::error::Error for Damage {}

/// Reads a recording, frame by frame. RECORD-1.
///
/// The iterator ends behind the last whole frame; [`damage`](Self::damage) then says whether something follows.
#[derive(Debug, Clone)]
pub struct Recording<'a> {
    reader: Reader<'a>,
    header: RecordingHeader<'a>,
    damage: Option<Damage>,
}

/// One frame behind the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Frame<'a> {
    /// What the scheduler was told.
    Input(RecordedInput<'a>),
    /// What came of it.
    Outcome(RecordedOutcome<'a>),
}

impl<'a> Recording<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// The bytes are no recording, one of another format or semantics version, or their header is damaged.
    pub fn open(bytes: &'a [u8]) -> Result<Self, RecordingError> {
        let mut reader = Reader::new(bytes);
        if reader.take_array() != Ok(RECORDING_MAGIC) {
            return Err(RecordingError::NotARecording);
        }
        let cut_off = |_| RecordingError::BadHeader(Damage { at_byte: 0, cause: DamageCause::CutOff });
        let format = u32::from_le_bytes(reader.take_array().map_err(cut_off)?);
        if format != RECORDING_FORMAT {
            return Err(RecordingError::OtherFormat { found: format });
        }
        let semantics = u32::from_le_bytes(reader.take_array().map_err(cut_off)?);
        if semantics != SEMANTICS_VERSION {
            return Err(RecordingError::OtherSemantics { found: semantics });
        }
        let header = take_frame(&mut reader).map_err(RecordingError::BadHeader)?;
        Ok(Self { reader, header, damage: None })
    }

    /// What the recording begins with.
    #[must_use]
    pub const fn header(&self) -> &RecordingHeader<'a> {
        &self.header
    }

    /// Where the bytes of the next frame begin.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.reader.position()
    }

    /// What is wrong behind the last whole frame, once the iterator has ended.
    #[must_use]
    pub const fn damage(&self) -> Option<Damage> {
        self.damage
    }
}

impl<'a> Iterator for Recording<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        if self.damage.is_some() || self.reader.rest().is_empty() {
            return None;
        }
        let mut ahead = self.reader.clone();
        match take_frame(&mut ahead) {
            Ok(frame) => {
                self.reader = ahead;
                Some(frame)
            }
            Err(damage) => {
                self.damage = Some(damage);
                None
            }
        }
    }
}

/// Reads a frame whose payload is one value.
fn take_frame<'a, T: Decode<'a>>(reader: &mut Reader<'a>) -> Result<T, Damage> {
    let at_byte = reader.position();
    let damaged = |cause| Damage { at_byte, cause };
    let payload = take_payload(reader).map_err(|_| damaged(DamageCause::CutOff))?;
    let payload = payload.ok_or(damaged(DamageCause::Checksum))?;
    let mut inner = Reader::new(payload);
    let value = inner.take().and_then(|value| inner.finish().map(|()| value));
    value.map_err(|error| damaged(DamageCause::Payload(error)))
}

/// Reads the payload of a frame; none where the checksum is another.
fn take_payload<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, DecodeError> {
    let length = reader.take_array()?;
    let Fixed(checksum) = reader.take()?;
    let payload = reader.take_bytes(crate::values::index::index(u32::from_le_bytes(length)))?;
    let mut hash = Xxh64::new(0);
    hash.update(&length);
    hash.update(payload);
    Ok((hash.digest() == checksum).then_some(payload))
}

impl<'a> Decode<'a> for Frame<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match reader.take::<u8>()? {
            INPUT_FRAME => {
                let bytes = reader.take_bytes(reader.rest().len())?;
                Ok(Self::Input(RecordedInput { bytes }))
            }
            OUTCOME_FRAME => {
                let (whole, items, Fixed(digest)) = (reader.take()?, reader.take()?, reader.take()?);
                let bytes = if whole { Some(reader.take_bytes(reader.rest().len())?) } else { None };
                Ok(Self::Outcome(RecordedOutcome { items, digest, bytes }))
            }
            _ => reader.fail(DecodeProblem::UnknownTag),
        }
    }
}

/// A recorded input, not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordedInput<'a> {
    bytes: &'a [u8],
}

impl<'a> RecordedInput<'a> {
    /// Its bytes, in the form of [`encode_input`](crate::codec::encode_input).
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Hands the input and its time on; as many places in each part of the scratch as there are bytes suffice.
    ///
    /// # Errors
    /// The bytes are no input, or its lists have more entries than the scratch has places.
    pub fn read<R>(
        &self,
        scratch: Scratch<'_, 'a>,
        handle: impl FnOnce(u64, Input<'_>) -> R,
    ) -> Result<R, DecodeError> {
        with_input(self.bytes, scratch, handle)
    }
}

/// A recorded outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordedOutcome<'a> {
    /// The number of items.
    pub items: u32,
    /// The hash of all items.
    pub digest: u64,
    /// The items, where they were recorded.
    pub bytes: Option<&'a [u8]>,
}

/// Where a replay's outcome differs from the recorded one. RECORD-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OutcomeDifference<'a> {
    /// Which item differs first, from 0; none where only the digests were at hand.
    pub item: Option<u32>,
    /// That item as recorded, for [`decode_item`](crate::codec::decode_item); none where the recorded outcome has fewer.
    pub recorded: Option<&'a [u8]>,
    /// That item of the replay; none where the replay has fewer.
    pub replayed: Option<&'a [u8]>,
}

impl<'a> RecordedOutcome<'a> {
    /// Compares a replay's outcome: none is the same. RECORD-2.
    #[must_use]
    pub fn difference(&self, replayed: &'a OutcomeLog<'_>) -> Option<OutcomeDifference<'a>> {
        let same_digest = (self.items, self.digest) == (replayed.items(), replayed.digest());
        let (Some(old), Some(new)) = (self.bytes, replayed.bytes()) else {
            return (!same_digest).then_some(OutcomeDifference { item: None, recorded: None, replayed: None });
        };
        if same_digest && old == new { None } else { Some(first_difference(old, new)) }
    }
}

/// The first item that differs.
fn first_difference<'a>(old: &'a [u8], new: &'a [u8]) -> OutcomeDifference<'a> {
    let (mut old, mut new) = (Reader::new(old), Reader::new(new));
    let mut item = 0u32;
    loop {
        let (recorded, replayed) = (next_item(&mut old), next_item(&mut new));
        if recorded != replayed || recorded.is_none() {
            return OutcomeDifference { item: Some(item), recorded, replayed };
        }
        item = item.saturating_add(1);
    }
}

fn next_item<'a>(items: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = items.take().ok()?;
    items.take_bytes(length).ok()
}
