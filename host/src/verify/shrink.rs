//! The smallest case that still differs: fewer jobs, fewer pools, fewer fields, as long as it does.
//!
//! Invariants: the result differs on the same backend, and not only because its device has failed; what is tried is
//! bounded, so that the result comes soon rather than smallest.

use serde_json::Value;

use super::case::Case;
use super::compare::{BackendDigest, Difference, Run};
use crate::batch::Backend;

/// Cases that are tried at most.
const ATTEMPTS_MAX: u32 = 20_000;
/// Pools times jobs that are looked at at most.
const PAIRS_MAX: u64 = 300_000_000;

/// Makes a case that differs smaller; one in which a device failed stays as it is.
pub(super) fn shrink(case: Case, difference: Difference, backends: &mut [Box<dyn Backend>]) -> (Case, Difference) {
    if difference.is_of_failed_device() {
        return (case, difference);
    }
    let index = difference.backend_index;
    let mut shrinker = Shrinker { case, difference, backends, index, attempts: ATTEMPTS_MAX, pairs: PAIRS_MAX };
    while shrinker.pass() {}
    (shrinker.case, shrinker.difference)
}

struct Shrinker<'b> {
    case: Case,
    difference: Difference,
    backends: &'b mut [Box<dyn Backend>],
    index: usize,
    attempts: u32,
    pairs: u64,
}

impl Shrinker<'_> {
    /// Tries everything once; whether anything went.
    fn pass(&mut self) -> bool {
        let jobs = self.drop_rows(|case| &mut case.jobs);
        let pools = self.drop_rows(|case| &mut case.pools);
        let policy = self.drop_rows(|case| &mut case.policy);
        let of_jobs = self.drop_fields(|case| &mut case.jobs);
        let of_pools = self.drop_fields(|case| &mut case.pools);
        jobs | pools | policy | of_jobs | of_pools
    }

    /// Drops halves, then quarters, down to single rows.
    fn drop_rows<T: Clone>(&mut self, rows: fn(&mut Case) -> &mut Vec<T>) -> bool {
        let mut dropped = false;
        let mut chunk = rows(&mut self.case).len().div_ceil(2);
        while chunk > 0 {
            let mut start = 0;
            while start < rows(&mut self.case).len() {
                let mut smaller = self.case.clone();
                let list = rows(&mut smaller);
                list.drain(start..(start + chunk).min(list.len()));
                if self.takes(smaller) {
                    dropped = true;
                } else {
                    start += chunk;
                }
            }
            chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
        }
        dropped
    }

    /// Drops each field, of all rows at once, else of single ones.
    fn drop_fields(&mut self, rows: fn(&mut Case) -> &mut Vec<Value>) -> bool {
        let paths: std::collections::BTreeSet<_> = rows(&mut self.case).iter().flat_map(paths_of).collect();
        let mut dropped = false;
        for path in paths {
            let count = rows(&mut self.case).len();
            if self.drop_field(rows, 0..count, &path) {
                dropped = true;
                continue;
            }
            for row in 0..count {
                dropped |= self.drop_field(rows, row..row + 1, &path);
            }
        }
        dropped
    }

    fn drop_field(
        &mut self,
        rows: fn(&mut Case) -> &mut Vec<Value>,
        range: std::ops::Range<usize>,
        path: &[String],
    ) -> bool {
        let mut smaller = self.case.clone();
        let removed = rows(&mut smaller)[range].iter_mut().map(|row| usize::from(remove(row, path))).sum::<usize>();
        removed > 0 && self.takes(smaller)
    }

    /// Goes on with `smaller` if it still differs.
    fn takes(&mut self, smaller: Case) -> bool {
        if self.attempts == 0 || self.pairs == 0 {
            return false;
        }
        self.attempts -= 1;
        let Some(difference) = self.difference_of(&smaller) else { return false };
        self.difference = Difference { backend_index: self.index, ..difference };
        self.case = smaller;
        true
    }

    fn difference_of(&mut self, case: &Case) -> Option<Difference> {
        let setup = case.build().ok()?;
        let backend = &mut self.backends[self.index..=self.index];
        let mut digest = [BackendDigest::of(&*backend[0])];
        let mut run = Run::new(setup, backend, &mut digest);
        let difference = run.compare().err().map(|difference| *difference);
        let difference = difference.filter(|difference| !difference.is_of_failed_device());
        self.pairs = self.pairs.saturating_sub(run.pairs().max(1));
        difference
    }
}

/// The fields of a row, and those of the objects in it.
fn paths_of(row: &Value) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (key, value) in row.as_object().into_iter().flatten() {
        paths.push(vec![key.clone()]);
        let inner = value.as_object().into_iter().flatten();
        paths.extend(inner.map(|(inner, _)| vec![key.clone(), inner.clone()]));
    }
    paths
}

/// Removes a field; false if the row has none of this path.
fn remove(row: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let parent = parents.iter().try_fold(row, |value, key| value.get_mut(key));
    parent.and_then(Value::as_object_mut).and_then(|object| object.remove(last)).is_some()
}
