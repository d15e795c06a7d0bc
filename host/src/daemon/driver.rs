//! A scheduler with everything that watches it.

use orchestrator_core::PoolRegistry;
use orchestrator_core::scheduler::{
    Action, Answer, FlightRecorder, Input, Observer, OutcomeLog, RecordingHeader, Scheduler, SchedulerStorage,
};

use super::digest::RunDigest;
use super::recording_file::RecordingFile;
use super::setup::setup_bytes;
use super::storage::Sizes;
use super::tally::Tally;
use crate::input::Policies;

/// Outcomes of at most this many bytes are recorded whole, larger ones as digests.
pub const OUTCOME_BYTES: usize = 1 << 20;

/// What a driver has to say of an input: its answer first, then its actions.
#[derive(Debug)]
pub enum Said<'s> {
    /// What became of the input.
    Answer {
        /// When, in µs.
        now_us: u64,
        /// The input.
        input: &'s Input<'s>,
        /// Its answer.
        answer: &'s Answer,
    },
    /// One thing to do.
    Action {
        /// When, in µs.
        now_us: u64,
        /// What.
        action: &'s Action,
    },
}

/// A scheduler with a recorder, counts, a digest and other observers. See the [module](super).
pub struct Driver<'a, F: PoolRegistry, O> {
    scheduler: Scheduler<'a, F>,
    outcome: OutcomeLog<'a>,
    recorder: Option<FlightRecorder<'a, RecordingFile>>,
    tally: Tally,
    digest: RunDigest,
    observers: O,
}

impl<'a, F: PoolRegistry, O: Observer> Driver<'a, F, O> {
    /// A driver of a new scheduler, which records nothing.
    #[must_use]
    pub fn new(
        fleet: F,
        storage: SchedulerStorage<'a, F::Lease>,
        policies: &Policies,
        outcome: Option<&'a mut [u8]>,
        observers: O,
    ) -> Self {
        Self {
            scheduler: Scheduler::new(fleet, storage, policies.placement.clone(), policies.scheduler),
            outcome: OutcomeLog::new(outcome.unwrap_or_default()),
            recorder: None,
            tally: Tally::default(),
            digest: RunDigest::default(),
            observers,
        }
    }

    /// Records from now on, before the first input; `outcome` is room for the outcome of one input. RECORD-1.
    pub fn record(&mut self, file: RecordingFile, outcome: &'a mut [u8], sizes: Sizes, policies: &Policies) {
        let setup = setup_bytes(&policies.prices);
        let header = RecordingHeader {
            capacities: sizes.into(),
            placement: policies.placement.clone(),
            scheduler: policies.scheduler,
            setup: &setup,
        };
        self.recorder = Some(FlightRecorder::new(file, outcome, &header));
    }

    /// Takes one input; `said` gets its answer, then its actions.
    pub fn drive(&mut self, input: &Input<'_>, now_us: u64, said: &mut impl FnMut(Said<'_>)) -> Answer {
        let Self { scheduler, outcome, recorder, tally, observers, .. } = self;
        outcome.clear();
        if let Some(recorder) = recorder {
            recorder.begin_input(now_us, input);
        }
        let mut watchers = (&mut *outcome, (&mut *recorder, (tally, observers)));
        let answer = scheduler.handle(input, now_us, &mut watchers);
        watchers.0.answer(&answer);
        if let Some(recorder) = watchers.1.0 {
            recorder.answer(&answer);
        }
        said(Said::Answer { now_us, input, answer: &answer });
        while let Some(action) = scheduler.next_action(&mut watchers) {
            watchers.0.action(&action);
            if let Some(recorder) = watchers.1.0 {
                recorder.action(&action);
            }
            said(Said::Action { now_us, action: &action });
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.end_input();
        }
        self.digest.add(&self.outcome);
        self.tally.answered(&answer);
        answer
    }

    /// Lets every timer fire that is due until `at_us`, each at its own time; their actions go to `said`.
    pub fn tick_until(&mut self, at_us: u64, said: &mut impl FnMut(Said<'_>)) {
        while let Some(due_us) = self.next_timer_us().filter(|&due_us| due_us <= at_us) {
            self.tick(due_us, said);
        }
    }

    /// Lets what is due at `at_us` happen.
    pub fn tick(&mut self, at_us: u64, said: &mut impl FnMut(Said<'_>)) {
        self.tally.ticked();
        let _ = self.drive(&Input::Tick, at_us, &mut |one| {
            if matches!(one, Said::Action { .. }) {
                said(one);
            }
        });
    }

    /// When the next timer fires, in µs.
    #[must_use]
    pub fn next_timer_us(&self) -> Option<u64> {
        next_timer_us(&self.scheduler)
    }

    /// The scheduler.
    #[must_use]
    pub const fn scheduler(&self) -> &Scheduler<'a, F> {
        &self.scheduler
    }

    /// The outcome of the last input.
    #[must_use]
    pub const fn outcome(&self) -> &OutcomeLog<'a> {
        &self.outcome
    }

    /// The file that is recorded to.
    pub const fn recording_mut(&mut self) -> Option<&mut RecordingFile> {
        match &mut self.recorder {
            Some(recorder) => Some(recorder.sink_mut()),
            None => None,
        }
    }

    /// What happened so far.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The digest of all outcomes so far.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }
}

/// When the next timer of a scheduler fires, in µs. What was due at the time of the last input came with that, so it is
/// later.
#[must_use]
pub fn next_timer_us<F: PoolRegistry>(scheduler: &Scheduler<'_, F>) -> Option<u64> {
    scheduler.next_wakeup_us().filter(|&due_us| due_us > scheduler.now_us())
}
