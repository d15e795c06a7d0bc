//! Trust in a backend, and what happens when it is lost: some jobs or all are decided by the oracle as well.
//!
//! A [`Guarded`] backend is a backend. Where it finds a difference, or an error, it answers from the oracle instead, says
//! so once, and never asks the backend again; if only a part of the backend answered wrongly, never that part.
//!
//! ```
//! use orchestrator_host::batch::{Backend, BackendName, CrossCheck, Guarded, Scalar};
//!
//! let check: CrossCheck = "sample:100".parse().unwrap();
//! assert_eq!(check.to_string(), "sample(100)");
//! let mut guarded = Guarded::new(Box::new(Scalar), check);
//! assert_eq!(guarded.name(), BackendName::Scalar);
//! assert!(guarded.take_incident().is_none());
//! ```
//!
//! Invariants: no answer that differs from the oracle's leaves a full check; which jobs a sample looks at depends on their
//! place in the run only, so that a run repeats.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use std::slice;
use std::str::FromStr;

use orchestrator_core::Shortlist;
use orchestrator_core::hash::spread_value;
use orchestrator_core::rows::JobQuery;

use super::backend::{Backend, BackendError, BackendName, World};
use super::scalar::Scalar;

/// Which jobs the oracle decides as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrossCheck {
    /// None.
    #[default]
    Off,
    /// One in so many.
    Sample(NonZeroU32),
    /// All.
    Full,
}

impl CrossCheck {
    /// Whether the oracle decides the job at this place of the run as well.
    #[must_use]
    pub const fn looks_at(self, job: u64) -> bool {
        match self {
            Self::Off => false,
            // Hashed: a period of the jobs must not meet that of the sample.
            Self::Sample(one_in) => spread_value(0, job).is_multiple_of(one_in.get()),
            Self::Full => true,
        }
    }
}

impl fmt::Display for CrossCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Sample(one_in) => write!(f, "sample({one_in})"),
            Self::Full => f.write_str("full"),
        }
    }
}

/// A text that is no [`CrossCheck`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of off, sample:N with N from 1 to 4294967295, full")]
pub struct UnknownCrossCheck(String);

impl FromStr for CrossCheck {
    type Err = UnknownCrossCheck;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Shells want parentheses quoted: the other form needs none.
        let in_parentheses = || text.strip_prefix("sample(")?.strip_suffix(')');
        let one_in = || text.strip_prefix("sample:").or_else(in_parentheses)?.parse().ok();
        match text {
            "off" => Ok(Self::Off),
            "full" => Ok(Self::Full),
            _ => one_in().map(Self::Sample).ok_or_else(|| UnknownCrossCheck(text.to_owned())),
        }
    }
}

/// A job that a backend and the oracle answered differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Which backend.
    pub backend: BackendName,
    /// The job's place among those that the backend was asked for, from 0: refused ones are not among them, and in
    /// independent mode equal ones of a chunk are one.
    pub job: u64,
    /// What the backend found.
    pub got: Shortlist,
    /// What the oracle found.
    pub expected: Shortlist,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, job, got, expected } = self;
        write!(f, "{backend}: job {job} of the batches: got ")?;
        write_list(f, got)?;
        f.write_str(", expected ")?;
        write_list(f, expected)
    }
}

/// A list as the ranks of its pools and how many are feasible.
fn write_list(f: &mut fmt::Formatter<'_>, list: &Shortlist) -> fmt::Result {
    f.write_str("ranks [")?;
    for (place, key) in list.keys().iter().enumerate() {
        write!(f, "{}{}", if place == 0 { "" } else { " " }, key.rank())?;
    }
    write!(f, "] of {} feasible", list.feasible())
}

/// Why a backend is asked no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incident {
    /// It answered wrongly.
    #[error("divergence: {0}")]
    Diverged(Box<Divergence>),
    /// It did not answer.
    #[error("failure: {0}")]
    Failed(BackendError),
}

/// A backend under a [`CrossCheck`], with the oracle behind it.
#[derive(Debug)]
pub struct Guarded {
    /// The oracle once it is quarantined: then all that it held is given back.
    backend: Box<dyn Backend>,
    check: CrossCheck,
    /// Jobs of the batches so far.
    jobs: u64,
    /// Of those, how many the oracle decided as well.
    checked: u64,
    quarantined: bool,
    /// Those that nobody was told of, the oldest first.
    incidents: VecDeque<Incident>,
}

impl Guarded {
    /// `backend`, checked as `check` says.
    #[must_use]
    pub fn new(backend: Box<dyn Backend>, check: CrossCheck) -> Self {
        Self { backend, check, jobs: 0, checked: 0, quarantined: false, incidents: VecDeque::new() }
    }

    /// Why the backend, or a part of it, is asked no more: once, to whoever asks first.
    pub fn take_incident(&mut self) -> Option<Incident> {
        self.incidents.pop_front()
    }

    /// How many lists were compared with the oracle's so far.
    #[must_use]
    pub const fn checked(&self) -> u64 {
        self.checked
    }

    /// Whether the oracle answers everything now.
    #[must_use]
    pub const fn is_quarantined(&self) -> bool {
        self.quarantined
    }

    /// Asks what is at fault no more: the part that answered wrongly where the backend can do without it, else all.
    fn quarantine(&mut self, incident: Incident) {
        let is_wrong_answer = matches!(incident, Incident::Diverged(_));
        if !(is_wrong_answer && self.backend.give_up_part(&incident.to_string())) {
            self.quarantined = true;
            self.backend = Box::new(Scalar);
        }
        tracing::warn!(%incident, "the {} backend decides from here on", self.name());
        self.incidents.push_back(incident);
    }

    /// The first job under check that the oracle answers otherwise.
    fn divergence(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &[Shortlist],
    ) -> Result<Option<Divergence>, BackendError> {
        // The oracle needs no oracle.
        if self.backend.name() == BackendName::Scalar {
            return Ok(None);
        }
        for ((job, query), got) in (self.jobs..).zip(jobs).zip(lists) {
            if !self.check.looks_at(job) {
                continue;
            }
            let mut expected = Shortlist::new(got.depth());
            Scalar.shortlists(world, slice::from_ref(query), slice::from_mut(&mut expected))?;
            self.checked += 1;
            if *got != expected {
                return Ok(Some(Divergence { backend: self.backend.name(), job, got: got.clone(), expected }));
            }
        }
        Ok(None)
    }

    /// Asks the backend, and says why its answer cannot be used.
    fn ask(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<Option<Incident>, BackendError> {
        if let Err(error) = self.backend.shortlists(world, jobs, lists) {
            return Ok(Some(Incident::Failed(error)));
        }
        let divergence = self.divergence(world, jobs, lists)?;
        Ok(divergence.map(|divergence| Incident::Diverged(Box::new(divergence))))
    }
}

impl Backend for Guarded {
    fn name(&self) -> BackendName {
        self.backend.name()
    }

    fn description(&self) -> String {
        self.backend.description()
    }

    fn snapshot_changed(&mut self) {
        self.backend.snapshot_changed();
    }

    fn pool_changed(&mut self, rank: u32) {
        self.backend.pool_changed(rank);
    }

    fn shortlists(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        let incident = self.ask(world, jobs, lists)?;
        self.jobs += jobs.len() as u64;
        if let Some(incident) = incident {
            self.quarantine(incident);
            return Scalar.shortlists(world, jobs, lists);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use orchestrator_core::rule::key::Key;
    use orchestrator_core::{JobSpec, Policy, PoolSnapshot};

    use super::*;
    use crate::batch::fake::{Fake, planted};
    use crate::fleet::FleetBuilder;

    /// What a faulty backend does to its answers.
    type Fault = fn(&mut Shortlist);

    /// The oracle with a fault in its answer to one job of the run; without one it fails.
    struct Faulty {
        at: u64,
        fault: Option<Fault>,
    }

    impl Faulty {
        /// A backend that holds something, which goes back when it is dropped.
        fn holding(self, held: Arc<()>) -> Box<dyn Backend> {
            let mut first = 0;
            Fake::boxed(BackendName::Simd, move |world, jobs, lists| {
                let _ = &held;
                Scalar.shortlists(world, jobs, lists)?;
                for (job, list) in (first..).zip(lists) {
                    match self.fault {
                        Some(fault) if job == self.at => fault(list),
                        None if job == self.at => return Err(planted(BackendName::Simd)),
                        _ => {}
                    }
                }
                first += jobs.len() as u64;
                Ok(())
            })
        }
    }

    fn rebuilt(list: &Shortlist, keys: impl IntoIterator<Item = Key>, feasible: u32) -> Shortlist {
        let mut other = Shortlist::new(list.depth());
        keys.into_iter().for_each(|key| other.offer(key));
        other.count(feasible);
        other
    }

    fn wrong_winner(list: &mut Shortlist) {
        *list = rebuilt(list, list.keys().iter().skip(1).copied(), list.feasible());
    }

    fn wrong_second(list: &mut Shortlist) {
        *list = rebuilt(list, list.keys().iter().take(1).copied(), list.feasible());
    }

    fn wrong_count(list: &mut Shortlist) {
        list.count(1);
    }

    /// Runs `batches` batches of `size` jobs; all answers must be the oracle's where `all_right`.
    fn incident(
        faulty: Faulty,
        check: CrossCheck,
        (batches, size): (usize, usize),
        all_right: bool,
    ) -> Option<Incident> {
        let mut builder = FleetBuilder::default();
        for (line, id) in (1..).zip(["a", "b", "c"]) {
            builder.add(line, &PoolSnapshot::new(id, "vllm", 8, 8, 1 << 36, 1 << 36).validate().unwrap()).unwrap();
        }
        let (fleet, policy) = (builder.finish().fleet, Policy::default());
        let job = JobSpec::new("job", "vllm", "some/model").validate(&policy, None).unwrap().resolve(&fleet);
        let world = World { table: fleet.table(), policy: &policy };
        let jobs = vec![job.query(None); size];
        let held = Arc::new(());
        let mut guarded = Guarded::new(faulty.holding(Arc::clone(&held)), check);
        let mut incident = None;
        for _ in 0..batches {
            let (mut got, mut expected) = (vec![Shortlist::new(2); size], vec![Shortlist::new(2); size]);
            guarded.shortlists(&world, &jobs, &mut got).unwrap();
            Scalar.shortlists(&world, &jobs, &mut expected).unwrap();
            assert!(!all_right || got == expected);
            if let Some(found) = guarded.take_incident() {
                assert!(incident.replace(found).is_none(), "said once");
                assert_eq!((guarded.name(), guarded.is_quarantined()), (BackendName::Scalar, true));
                // What it held is free for others at once, not when the run ends.
                assert_eq!(Arc::strong_count(&held), 1);
            }
        }
        incident
    }

    const fn faulty(at: u64, fault: Option<Fault>) -> Faulty {
        Faulty { at, fault }
    }

    #[test]
    fn a_full_check_finds_every_fault() {
        for fault in [wrong_winner as Fault, wrong_second, wrong_count] {
            for at in [0, 4, 5, 13] {
                let found = incident(faulty(at, Some(fault)), CrossCheck::Full, (4, 5), true);
                let Some(Incident::Diverged(divergence)) = found else { panic!("{found:?}") };
                assert_eq!((divergence.backend, divergence.job), (BackendName::Simd, at));
                assert_eq!(divergence.expected.feasible(), 3);
                assert_ne!(divergence.got, divergence.expected);
            }
        }
    }

    #[test]
    fn a_failure_falls_back() {
        let found = incident(faulty(7, None), CrossCheck::Off, (4, 5), true);
        assert!(matches!(found, Some(Incident::Failed(_))), "{found:?}");
        assert_eq!(found.unwrap().to_string(), "failure: simd: planted");
    }

    // A fault that stays is seen by a sample sooner or later, one that does not may pass.
    #[test]
    fn a_sample_sees_one_in_so_many() {
        let sample = CrossCheck::Sample(NonZeroU32::new(10).unwrap());
        let seen: Vec<u64> = (0..10_000).filter(|&job| sample.looks_at(job)).collect();
        assert!((900..1_100).contains(&seen.len()), "{}", seen.len());
        for at in 0..200 {
            let found = incident(faulty(at, Some(wrong_count)), sample, (40, 5), sample.looks_at(at));
            assert_eq!(found.is_some(), sample.looks_at(at), "{at}");
        }
        assert_eq!(incident(faulty(3, Some(wrong_count)), CrossCheck::Off, (1, 5), false), None);
    }

    #[test]
    fn written_as_read() {
        for text in ["off", "full", "sample(1)", "sample(4294967295)"] {
            assert_eq!(text.parse::<CrossCheck>().unwrap().to_string(), text);
        }
        assert_eq!("sample:7".parse::<CrossCheck>(), "sample(7)".parse());
        for text in
            ["", "Full", "sample", "sample()", "sample(0)", "sample:0", "sample:", "sample(-1)", "sample(4294967296)"]
        {
            assert!(text.parse::<CrossCheck>().is_err(), "{text}");
        }
    }
}
