//! Runs a recording again and compares every outcome, byte for byte. RECORD-2.

use std::time::{Duration, Instant};

use orchestrator_core::codec::{Scratch, decode_item};
use orchestrator_core::commit::Lease;
use orchestrator_core::scheduler::{
    Damage, DamageCause, Frame, Input, OutcomeDifference, RecordedInput, RecordedOutcome, Recording, RecordingError,
};
use orchestrator_core::{DeviceSnapshot, WarmSession};

use super::driver::{Driver, OUTCOME_BYTES};
use super::explaining::{ExplainedDecision, ExplainingFleet};
use super::setup::prices_of;
use super::storage::{HostStorage, Sizes, StorageError};
use crate::fleet::LiveFleet;
use crate::input::{MAX_LINE_BYTES, Policies};
use crate::wire::AnswerLine;

/// A header's capacities take at most so many bytes, unless [`Replay::with_storage_bytes_max`] says otherwise: a
/// recording may come from anybody.
pub const REPLAY_STORAGE_BYTES_MAX: u64 = 2 << 30;

/// No input has more bytes: rows and lines of events have at most half as many.
const INPUT_BYTES_MAX: usize = 2 * MAX_LINE_BYTES;

/// A recording that cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// No recording, of another form or of other rules.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Its header has a setup that this program does not know.
    #[error("the header's setup cannot be read: {0}")]
    Setup(#[from] serde_json::Error),
    /// Its header asks for more memory than a scheduler has.
    #[error("the header's capacities cannot be had: {0}")]
    Storage(#[from] StorageError),
    /// Its header asks for more memory than it may take.
    #[error("the header's capacities take {bytes} bytes, and may take {max}; --max-storage-mib allows more")]
    TooMuchStorage {
        /// What they take.
        bytes: u64,
        /// What they may take.
        max: u64,
    },
    /// There is no input with this number.
    #[error("no input {wanted}: the recording has {inputs}")]
    NoSuchInput {
        /// The number.
        wanted: u64,
        /// How many there are.
        inputs: u64,
    },
}

/// The first input whose outcome is another one than the recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which item of the outcome differs, from 1; none where only digests were recorded.
    pub item: Option<u32>,
    /// The item as it was recorded, in words.
    pub recorded: String,
    /// The item of the replay, in words.
    pub replayed: String,
}

/// The end of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayEnd {
    /// All outcomes were equal, up to the end of a whole recording.
    Equal,
    /// The last input had another outcome.
    Differs(Difference),
    /// All outcomes were equal up to a tail that is missing or damaged. RECORD-1.
    BrokenOff(String),
    /// The last input is the one whose decisions were asked for.
    Explained(Vec<ExplainedDecision>),
}

/// What came of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Inputs that were replayed.
    pub inputs: u64,
    /// The time of the last one, in µs.
    pub last_us: u64,
    /// The last one and its answer as a line, where it is what the end is about.
    pub last: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// The digest of all outcomes, as the recorded run said it.
    pub digest: u64,
    /// How it ended.
    pub end: ReplayEnd,
}

/// Room for the lists of one input, used for all.
#[derive(Debug, Default)]
struct Room<'a> {
    texts: Vec<&'a str>,
    labels: Vec<(&'a str, &'a str)>,
    devices: Vec<DeviceSnapshot<'a>>,
    sessions: Vec<WarmSession<'a>>,
}

impl<'a> Room<'a> {
    /// As many places as an input of so many bytes can need: an entry has at least a byte for each of its values.
    fn for_bytes(&mut self, bytes: usize) -> Scratch<'_, 'a> {
        const DEVICE: DeviceSnapshot<'static> =
            DeviceSnapshot { vram_total_bytes: 0, vram_free_bytes: 0, compute_capability: None };
        let Self { texts, labels, devices, sessions } = self;
        grow(texts, bytes, "");
        grow(labels, bytes / 2, ("", ""));
        grow(devices, bytes / 3, DEVICE);
        grow(sessions, bytes / 2, WarmSession { session_id: "", cached_tokens: 0 });
        Scratch { texts, labels, devices, sessions }
    }
}

/// At least so many places.
fn grow<T: Clone>(list: &mut Vec<T>, places: usize, empty: T) {
    if places > list.len() {
        list.resize(places, empty);
    }
}

/// Reads frames in pairs: an input and its outcome.
#[derive(Debug)]
struct Pairs<'a> {
    recording: Recording<'a>,
    /// Why there is nothing more, if the recording is not whole.
    broken: Option<String>,
}

impl<'a> Pairs<'a> {
    fn damaged(&mut self, at_byte: usize, why: &str) {
        self.broken = Some(format!("the frame at byte {at_byte} {why}"));
    }

    /// The next input; its outcome is missing where the recording ends with it.
    fn next(&mut self) -> Option<(usize, RecordedInput<'a>, Option<RecordedOutcome<'a>>)> {
        if self.broken.is_some() {
            return None;
        }
        let at_byte = self.recording.position();
        let input = match self.recording.next() {
            Some(Frame::Input(input)) => Some(input),
            Some(Frame::Outcome(_)) => {
                self.damaged(at_byte, "is an outcome without an input");
                None
            }
            None => None,
        };
        let outcome = input.and_then(|_| self.outcome());
        let damage = self.recording.damage().map(|damage| damage.to_string());
        self.broken = damage.or(self.broken.take());
        input.map(|input| (at_byte, input, outcome))
    }

    fn outcome(&mut self) -> Option<RecordedOutcome<'a>> {
        let at_byte = self.recording.position();
        match self.recording.next() {
            Some(Frame::Outcome(outcome)) => Some(outcome),
            Some(Frame::Input(_)) => {
                self.damaged(at_byte, "is an input where the outcome of the one before is due");
                None
            }
            None => {
                self.broken = Some("it ends before the outcome of its last input".to_owned());
                None
            }
        }
    }
}

/// What one input came to.
struct Step {
    now_us: u64,
    /// The input and its answer as a line, where someone wants to see it.
    line: Option<String>,
    difference: Option<Difference>,
}

/// A recording that is replayed.
#[derive(Debug)]
pub struct Replay<'a> {
    pairs: Pairs<'a>,
    room: Room<'a>,
    sizes: Sizes,
    policies: Policies,
    storage_bytes_max: u64,
}

type ReplayStorage = HostStorage<Lease>;

type ReplayDriver<'d> = Driver<'d, ExplainingFleet<LiveFleet>, ()>;

impl<'a> Replay<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// The bytes are no recording that this program can replay.
    pub fn open(bytes: &'a [u8]) -> Result<Self, ReplayError> {
        let recording = Recording::open(bytes)?;
        let header = recording.header();
        let policies = Policies {
            placement: header.placement.clone(),
            scheduler: header.scheduler,
            prices: prices_of(header.setup)?,
        };
        let sizes = header.capacities.into();
        let (pairs, room) = (Pairs { recording, broken: None }, Room::default());
        Ok(Self { pairs, room, sizes, policies, storage_bytes_max: REPLAY_STORAGE_BYTES_MAX })
    }

    /// Lets the header's capacities take so many bytes.
    #[must_use]
    pub const fn with_storage_bytes_max(mut self, bytes: u64) -> Self {
        self.storage_bytes_max = bytes;
        self
    }

    fn storage(&self) -> Result<ReplayStorage, ReplayError> {
        let (bytes, max) = (ReplayStorage::bytes_of(&self.sizes), self.storage_bytes_max);
        if bytes > max {
            return Err(ReplayError::TooMuchStorage { bytes, max });
        }
        Ok(ReplayStorage::new(&self.sizes, &self.policies.prices)?)
    }

    /// Replays all of it; with `explained`, up to the input of this number (from 1), whose decisions are explained.
    ///
    /// # Errors
    /// The header asks for too much, or no input has this number.
    pub fn run(mut self, explained: Option<u64>) -> Result<Replayed, ReplayError> {
        let start = Instant::now();
        let mut storage = self.storage()?;
        let mut outcome = vec![0; OUTCOME_BYTES];
        let fleet = ExplainingFleet::new(LiveFleet::with_capacity(self.sizes.pools));
        let mut driver = Driver::new(fleet, storage.storage(), &self.policies, Some(&mut outcome), ());
        let (mut inputs, mut last_us) = (0, 0);
        let done = |driver: &ReplayDriver<'_>, inputs, last_us, last, end| Replayed {
            inputs,
            last_us,
            last,
            took: start.elapsed(),
            digest: driver.digest(),
            end,
        };
        while let Some((at_byte, input, recorded)) = self.pairs.next() {
            let is_wanted = explained == Some(inputs + 1);
            if is_wanted {
                driver.scheduler().fleet().begin();
            }
            let input_bytes = input.bytes().len();
            if input_bytes > INPUT_BYTES_MAX {
                self.pairs.damaged(at_byte, &format!("is larger than any input: {input_bytes} bytes"));
                break;
            }
            let scratch = self.room.for_bytes(input_bytes);
            let step = input.read(scratch, |now_us, input| step(&mut driver, now_us, &input, recorded, is_wanted));
            let step = match step {
                Ok(step) => step,
                Err(error) => {
                    let damage = Damage { at_byte, cause: DamageCause::Payload(error) };
                    self.pairs.broken = Some(damage.to_string());
                    break;
                }
            };
            inputs += 1;
            last_us = step.now_us;
            if let Some(difference) = step.difference {
                return Ok(done(&driver, inputs, last_us, step.line, ReplayEnd::Differs(difference)));
            }
            if is_wanted {
                let decisions = driver.scheduler().fleet().finish();
                return Ok(done(&driver, inputs, last_us, step.line, ReplayEnd::Explained(decisions)));
            }
        }
        if let Some(wanted) = explained {
            return Err(ReplayError::NoSuchInput { wanted, inputs });
        }
        let end = self.pairs.broken.take().map_or(ReplayEnd::Equal, ReplayEnd::BrokenOff);
        Ok(done(&driver, inputs, last_us, None, end))
    }
}

fn step(
    driver: &mut ReplayDriver<'_>,
    now_us: u64,
    input: &Input<'_>,
    recorded: Option<RecordedOutcome<'_>>,
    is_wanted: bool,
) -> Step {
    let answer = driver.drive(input, now_us, &mut |_| ());
    let difference = recorded.and_then(|recorded| recorded.difference(driver.outcome()));
    let line = || serde_json::to_string(&AnswerLine::new(now_us, input, &answer)).expect("an answer is JSON");
    let line = (is_wanted || difference.is_some()).then(line);
    Step { now_us, line, difference: difference.map(in_words) }
}

fn in_words(difference: OutcomeDifference<'_>) -> Difference {
    let OutcomeDifference { item, recorded, replayed } = difference;
    let words = |bytes: Option<&[u8]>| match (item, bytes) {
        (None, _) => "another digest".to_owned(),
        (Some(_), None) => "nothing more".to_owned(),
        (Some(_), Some(bytes)) => item_in_words(bytes),
    };
    Difference { item: item.map(|item| item.saturating_add(1)), recorded: words(recorded), replayed: words(replayed) }
}

fn item_in_words(bytes: &[u8]) -> String {
    // Two items at most are shown in a run: what is leaked is small.
    match decode_item(bytes, |text| Box::leak(text.into())) {
        Ok(item) => format!("{item:?}"),
        Err(error) => format!("{} bytes that are no item: {error}", bytes.len()),
    }
}
