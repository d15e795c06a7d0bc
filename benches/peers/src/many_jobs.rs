//! Many jobs at once: ours beside what numpy and numba make of the same columns.

use std::path::Path;

use anyhow::{Result, ensure};
use orchestrator_core::rows::JobQuery;
use orchestrator_host::bench::Size;

use crate::columns::Columns;
use crate::contest::{Contest, Kind, plain_query};
use crate::ours::{self, Answers};
use crate::python::{Environment, Peer};
use crate::report::{Computes, Label, Line, Section, lines};
use crate::rounds::{Pace, Turn, take_turns};

const SIMD: &str = "ours, simd, 1 thread";
const SIMD_AS_THEY_COME: &str = "ours, simd, jobs as they come";

/// Scripts, and which of their forms.
const PYTHON: [(&str, &str); 3] =
    [("numpy_peer.py", "blocks"), ("numba_peer.py", "fused"), ("numba_peer.py", "two-loops")];

const COMPUTES: [Computes; 3] = [
    Computes {
        contestant: SIMD,
        what: "for jobs without sessions and lists of pools, ends to the microsecond: finds each job's class, then the \
               whole keys of the best two pools and the number of feasible pools; keeps the views of the classes",
    },
    Computes {
        contestant: SIMD_AS_THEY_COME,
        what: "the same for the jobs with their warm sessions and lists of pools, under the default policy",
    },
    Computes {
        contestant: "numpy, numba",
        what: "the jobs of the first line: the first word of the key (predicted end, leases) where the KV bytes fit, \
               the first pool with the least one; jobs are sorted by class for them, and all other rules are folded \
               into their columns beforehand; no second best, no count, no other words of the key, no warm sessions, \
               no lists of pools; compiling is not counted",
    },
];

pub(crate) fn run(sizes: &[Size], pace: Pace, python: Option<&Environment>) -> Result<Section> {
    let mut all = vec![];
    for kind in Kind::ALL {
        for &size in sizes {
            eprintln!("many jobs, {} fleet, {size}", kind.name());
            all.extend(at(kind, size, pace, python)?);
        }
    }
    Ok(Section { heading: "Many jobs at once", lines: all, computes: COMPUTES.into() })
}

fn at(kind: Kind, size: Size, pace: Pace, python: Option<&Environment>) -> Result<Vec<Line>> {
    let contest = Contest::new(kind, size)?;
    let (exact, rows) = (contest.exact_world(), contest.plain_rows());
    let plain: Vec<JobQuery<'_>> = rows.iter().map(plain_query).collect();
    let Answers { digest, winners, feasible, undecided } = ours::answers(&exact, &plain)?;
    ensure!(
        python.is_none() || undecided == 0,
        "{size}: {undecided} jobs are not decided by what numpy and numba compute"
    );
    let (world, jobs) = (contest.world(), contest.queries());
    let as_they_come = ours::answers(&world, &jobs)?;
    let columns = Columns::new(&exact, &rows)?;
    let folder = tempfile::tempdir()?;
    columns.write(folder.path())?;
    let mut peers = start(python, folder.path())?;

    let mut labels = vec![
        Label::new(SIMD, feasible, format!("digest {digest:016x}")),
        Label::new(SIMD_AS_THEY_COME, as_they_come.feasible, format!("digest {:016x}", as_they_come.digest)),
    ];
    labels.extend(peers.iter().map(|peer| Label::new(&peer.name, feasible, "winners identical".to_owned())));
    let mut turns = vec![ours::simd_all_at_once(exact, &plain)?, ours::simd_all_at_once(world, &jobs)?];
    turns.extend(peers.iter_mut().map(|peer| turn_of(peer, &columns.order, &winners)));
    let seconds = take_turns(&mut turns, pace)?;
    Ok(lines(kind, size, labels, &seconds))
}

fn start(python: Option<&Environment>, folder: &Path) -> Result<Vec<Peer>> {
    let Some(python) = python else { return Ok(vec![]) };
    PYTHON.iter().map(|(script, form)| python.start(script, form, folder)).collect()
}

/// A peer's turn counts only where its winners are ours, job by job.
fn turn_of<'a>(peer: &'a mut Peer, order: &'a [usize], winners: &'a [u32]) -> Turn<'a> {
    Box::new(move |budget| {
        let seconds = peer.turn(budget)?;
        let theirs = peer.winners()?;
        let differ = order.iter().zip(&theirs).filter(|&(&job, &theirs)| winners[job] != theirs).count();
        ensure!(theirs.len() == order.len() && differ == 0, "{}: {differ} winners differ from ours", peer.name);
        Ok(seconds)
    })
}
