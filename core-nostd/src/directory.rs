//! From a job's names to the numbers that a fleet's rows use.
//!
//! A fleet interns its names; whoever owns them answers through [`Directory`]. [`ValidJob::resolve`] looks a job up
//! once, so that a scan compares numbers only. A name that only the job knows becomes one that no pool has: never an
//! error (UNIT-8).

use heapless::Vec;

use crate::input::{PlacementMode, ValidJob};
use crate::limits::HINTS_MAX;
use crate::rows::{Hints, JobFlags, JobQuery, JobRow, LabelRow, NameId, RankRange, SessionEntry};
use crate::values::list::insert_sorted;

/// What a name names. Names of different kinds never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NameKind {
    /// An engine, without regard to ASCII case.
    Engine,
    /// A quantisation, without regard to ASCII case; its number is a bit position.
    Quantization,
    /// An extension; its number is a bit position.
    Extension,
    /// A model.
    Model,
    /// A version, profile, digest, label key or label value.
    Text,
    /// A session.
    Session,
}

/// Looks names and pool ids up in one fleet.
pub trait Directory {
    /// The number of a name, if a pool of the fleet has it.
    fn find(&self, kind: NameKind, name: &str) -> Option<NameId>;

    /// The ranks of all replicas of a pool id; empty when there is none.
    fn ranks_of(&self, pool_id: &str) -> RankRange;
}

/// A job whose names are numbers of one fleet, with storage for its hints: as many pools as the fleet has ids, and as many
/// labels as its pools have.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ResolvedJob<const POOLS: usize = HINTS_MAX, const LABELS: usize = HINTS_MAX> {
    row: JobRow,
    pin: RankRange,
    prefer: Vec<RankRange, POOLS>,
    avoid: Vec<RankRange, POOLS>,
    labels: Vec<LabelRow, LABELS>,
}

impl<const POOLS: usize, const LABELS: usize> ResolvedJob<POOLS, LABELS> {
    /// Room for a job with these numbers, its names still unset.
    #[inline(always)] // Made where it stays.
    pub(crate) const fn new(row: JobRow) -> Self {
        Self { row, pin: RankRange { start: 0, end: 0 }, prefer: Vec::new(), avoid: Vec::new(), labels: Vec::new() }
    }

    /// The job's numbers.
    #[must_use]
    pub const fn row(&self) -> &JobRow {
        &self.row
    }

    /// The job for a decision; `session` is what the session table says of its session.
    #[must_use]
    pub fn query(&self, session: Option<SessionEntry>) -> JobQuery<'_> {
        let hints = Hints { pin: self.pin, prefer: &self.prefer, avoid: &self.avoid, labels: &self.labels };
        JobQuery { row: &self.row, hints, session }
    }
}

impl ValidJob<'_> {
    /// Looks the job's names up in a fleet. O(hints²) at worst for hints out of order, with at most 64 of a kind.
    #[must_use]
    pub fn resolve(&self, fleet: &impl Directory) -> ResolvedJob {
        let mut resolved = ResolvedJob::new(*self.facts());
        self.resolve_into(fleet, &mut resolved);
        resolved
    }

    /// The same where `job` stays, which has its numbers: its lists are large, and to move them costs more than all else here.
    pub(crate) fn resolve_into<const POOLS: usize, const LABELS: usize>(
        &self,
        fleet: &impl Directory,
        job: &mut ResolvedJob<POOLS, LABELS>,
    ) {
        let hints = &self.spec().placement;
        let pinned = hints.pin_pool_id.filter(|_| self.mode() == PlacementMode::Pin);
        self.resolve_names(fleet, &mut job.row);
        job.pin = pinned.map_or(RankRange::default(), |id| fleet.ranks_of(id));
        resolve_pools(fleet, hints.prefer_pools, &mut job.prefer);
        resolve_pools(fleet, hints.avoid_pools, &mut job.avoid);
        let foreign = resolve_labels(fleet, hints.require_labels, &mut job.labels);
        job.row.flags.set(JobFlags::FOREIGN_LABEL, foreign);
    }

    /// Looks up all names but those of the hints' lists: what a commit needs to know.
    #[must_use]
    pub fn resolve_row(&self, fleet: &impl Directory) -> JobRow {
        let mut row = *self.facts();
        self.resolve_names(fleet, &mut row);
        row
    }

    fn resolve_names(&self, fleet: &impl Directory, row: &mut JobRow) {
        let spec = self.spec();
        let text = |name: Option<&str>| asked(fleet, NameKind::Text, name);
        row.engine = asked(fleet, NameKind::Engine, Some(spec.engine));
        row.model = asked(fleet, NameKind::Model, Some(spec.model_id));
        row.engine_version = text(spec.determinism.engine_version);
        row.sampler_profile = text(spec.determinism.sampler_profile_version);
        row.digest = text(spec.determinism.model_digest);
        row.session = spec.session_id.and_then(|id| fleet.find(NameKind::Session, id)).unwrap_or(NameId::NONE);
        row.flags.set_mode(self.mode(), spec.placement.allow_fallback);
        self.resolve_bits(fleet, row);
    }

    fn resolve_bits(&self, fleet: &impl Directory, row: &mut JobRow) {
        let requirements = &self.spec().requirements;
        if let Some(name) = requirements.quantization {
            match bit(fleet, NameKind::Quantization, name) {
                Some(bit) => row.quantization = bit,
                None => row.flags.set(JobFlags::FOREIGN_QUANTIZATION, true),
            }
        }
        for name in requirements.required_extensions {
            match bit(fleet, NameKind::Extension, name) {
                Some(bit) => row.extensions |= bit,
                None => row.flags.set(JobFlags::FOREIGN_EXTENSION, true),
            }
        }
    }
}

fn asked(fleet: &impl Directory, kind: NameKind, name: Option<&str>) -> NameId {
    name.map_or(NameId::NONE, |name| fleet.find(kind, name).unwrap_or(NameId::FOREIGN))
}

fn bit(fleet: &impl Directory, kind: NameKind, name: &str) -> Option<u64> {
    fleet.find(kind, name).and_then(|id| 1u64.checked_shl(id.0))
}

/// The replicas of all pools named, in ascending order, each once; an id that no pool has names none. JOB-5.
fn resolve_pools<const POOLS: usize>(fleet: &impl Directory, ids: &[&str], ranges: &mut Vec<RankRange, POOLS>) {
    for id in ids {
        let range = fleet.ranks_of(id);
        if !range.is_empty() {
            // Validation bounds the number of ids by the capacity, or the fleet has no more ids.
            let _ = insert_sorted(ranges, range);
        }
    }
}

/// The labels in ascending order; says whether no pool of the fleet has all of them, as far as their names tell.
fn resolve_labels<const LABELS: usize>(
    fleet: &impl Directory,
    labels: &[(&str, &str)],
    rows: &mut Vec<LabelRow, LABELS>,
) -> bool {
    let mut foreign = false;
    for (key, value) in labels {
        foreign |= match (fleet.find(NameKind::Text, key), fleet.find(NameKind::Text, value)) {
            // Validation bounds the number of labels by the capacity, or no pool of the fleet has so many.
            (Some(key), Some(value)) => insert_sorted(rows, LabelRow { key, value }).is_err(),
            _ => true,
        }
    }
    foreign
}
