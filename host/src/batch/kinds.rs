//! The class of a job, mostly without asking every class of pools.
//!
//! Jobs of one kind differ in nothing that stages 2 to 4 read but their context and their KV bytes, and more of either
//! opens no class of pools that less of it leaves closed (FEAS-12, FEAS-14). So if two sizes have the same verdicts on all
//! classes of pools, every size between them has: a kind keeps such spans, each with its class.
//!
//! Invariant: all jobs of a kind whose sizes are within one of its spans are of the span's class.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use orchestrator_core::rows::{JobQuery, JobRow, LabelRow, NameId};

/// Spans that a kind keeps: the sizes of further ones are asked about each time.
const SPANS_MAX: usize = 32;

/// How large a job is, as far as classes of pools ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JobSize {
    context_tokens: u32,
    kv_bytes: u64,
}

impl JobSize {
    pub(super) const fn of(job: &JobRow) -> Self {
        Self { context_tokens: job.context_tokens, kv_bytes: job.est_kv_bytes }
    }

    /// The job, if it were of this size.
    pub(super) const fn put_into(self, job: &JobRow) -> JobRow {
        JobRow { context_tokens: self.context_tokens, est_kv_bytes: self.kv_bytes, ..*job }
    }
}

/// Sizes from one corner to the other, both of them included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) least: JobSize,
    pub(super) greatest: JobSize,
}

impl Span {
    const fn contains(&self, size: JobSize) -> bool {
        self.least.context_tokens <= size.context_tokens
            && size.context_tokens <= self.greatest.context_tokens
            && self.least.kv_bytes <= size.kv_bytes
            && size.kv_bytes <= self.greatest.kv_bytes
    }

    fn widened_to(&self, size: JobSize) -> Self {
        let (least, greatest) = (self.least, self.greatest);
        Self {
            least: JobSize {
                context_tokens: least.context_tokens.min(size.context_tokens),
                kv_bytes: least.kv_bytes.min(size.kv_bytes),
            },
            greatest: JobSize {
                context_tokens: greatest.context_tokens.max(size.context_tokens),
                kv_bytes: greatest.kv_bytes.max(size.kv_bytes),
            },
        }
    }
}

/// What jobs of a kind have in common.
#[derive(Debug)]
struct Kind {
    row: JobRow,
    labels: Vec<LabelRow>,
    /// Spans and their classes.
    spans: Vec<(Span, u32)>,
}

impl Kind {
    fn is_of(&self, row: &JobRow, labels: &[LabelRow]) -> bool {
        self.row == *row && self.labels == labels
    }
}

/// The kinds of jobs that were met since the snapshot changed.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    all: Vec<Kind>,
    index: HashTable<usize>,
    /// It spreads kinds over buckets and reaches no answer.
    hasher: DefaultHashBuilder,
}

impl Kinds {
    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.index.clear();
    }

    /// The kind of a job. O(1).
    pub(super) fn of(&mut self, job: &JobQuery<'_>) -> usize {
        let (row, labels) = (kind_row(job.row), job.hints.labels);
        let hash = self.hasher.hash_one((&row, labels));
        if let Some(&kind) = self.index.find(hash, |&kind| self.all[kind].is_of(&row, labels)) {
            return kind;
        }
        let kind = self.all.len();
        self.all.push(Kind { row, labels: labels.to_vec(), spans: Vec::new() });
        let (all, hasher) = (&self.all, &self.hasher);
        self.index.insert_unique(hash, kind, |&kind| hasher.hash_one((&all[kind].row, &*all[kind].labels)));
        kind
    }

    /// The class of a job of a kind, if a span tells it. O(spans).
    pub(super) fn class(&self, kind: usize, size: JobSize) -> Option<u32> {
        self.all[kind].spans.iter().find(|(span, _)| span.contains(size)).map(|&(_, class)| class)
    }

    /// Notes the class of a job of a kind, in a span of that class which grows if `has_class` says so of the corners that
    /// it would get, else in one of its own. O(spans), and two questions for each span of the class.
    pub(super) fn learn(&mut self, kind: usize, size: JobSize, class: u32, mut has_class: impl FnMut(JobSize) -> bool) {
        let spans = &mut self.all[kind].spans;
        for (span, _) in spans.iter_mut().filter(|(_, own)| *own == class) {
            let wider = span.widened_to(size);
            if has_class(wider.least) && has_class(wider.greatest) {
                *span = wider;
                return;
            }
        }
        if spans.len() < SPANS_MAX {
            spans.push((Span { least: size, greatest: size }, class));
        }
    }
}

/// A job's row without its size and without what stages 2 to 4 and the classes of jobs do not read.
const fn kind_row(job: &JobRow) -> JobRow {
    JobRow {
        // The devices of a split ask for shares of just these bytes. DEV-1.
        est_kv_bytes: if job.split_degree > 0 { job.est_kv_bytes } else { 0 },
        context_tokens: 0,
        prompt_tokens: 0,
        output_tokens: 0,
        deadline_us: JobRow::NO_DEADLINE,
        spread_hash: 0,
        session: NameId::NONE,
        ..*job
    }
}
