//! This engine: the backend `simd` on one thread, and the core's decision, which is its oracle.

use std::hint::black_box;

use anyhow::{Result, ensure};
use orchestrator_core::rows::JobQuery;
use orchestrator_core::{PlacementInput, Shortlist, decide};
use orchestrator_host::batch::{Backend, Scalar, Simd, World};
use orchestrator_host::bench::digest;

use crate::rounds::{Turn, batches, one_by_one};

/// Keys per job: the winner, and the one that tells by how much it won.
const DEPTH: u8 = 2;

/// The rank that stands for: no pool can take the job.
pub(crate) const NO_POOL: u32 = u32::MAX;

/// What the jobs are answered, the same by both backends and by the core's decision.
pub(crate) struct Answers {
    pub(crate) digest: u64,
    /// The rank of each job's winner, or [`NO_POOL`].
    pub(crate) winners: Vec<u32>,
    /// The share of pairs whose pool can take the job.
    pub(crate) feasible: f64,
    /// The jobs whose winner the first words of the keys do not tell.
    pub(crate) undecided: usize,
}

/// Decides all jobs three ways, and fails where two of them differ.
pub(crate) fn answers(world: &World<'_>, jobs: &[JobQuery<'_>]) -> Result<Answers> {
    let oracle = shortlists(&mut Scalar, world, jobs)?;
    ensure!(shortlists(&mut Simd::new(1)?, world, jobs)? == oracle, "the backends differ");
    let winners: Vec<u32> = oracle.iter().map(|list| list.best().map_or(NO_POOL, |key| key.rank())).collect();
    for (job, &winner) in jobs.iter().zip(&winners) {
        let decision = decide(&PlacementInput::new(world.table, *job, world.policy)?);
        ensure!(decision.assignment().map_or(NO_POOL, |assignment| assignment.rank) == winner, "the decisions differ");
    }
    let undecided = oracle.iter().filter(|list| is_undecided(list)).count();
    let feasible = oracle.iter().map(|list| f64::from(list.feasible())).sum::<f64>();
    let feasible = feasible / (jobs.len() * world.table.len()) as f64;
    Ok(Answers { digest: digest(&oracle), winners, feasible, undecided })
}

/// Whether the best two pools are equal in the first word.
fn is_undecided(list: &Shortlist) -> bool {
    matches!(list.keys(), [first, second] if first.words()[0] == second.words()[0])
}

fn shortlists(backend: &mut dyn Backend, world: &World<'_>, jobs: &[JobQuery<'_>]) -> Result<Vec<Shortlist>> {
    let mut lists = vec![Shortlist::new(DEPTH); jobs.len()];
    backend.shortlists(world, jobs, &mut lists)?;
    Ok(lists)
}

/// One decision a call.
pub(crate) fn simd_one_by_one<'a>(world: World<'a>, jobs: &'a [JobQuery<'a>]) -> Result<Turn<'a>> {
    let (mut simd, mut list) = (Simd::new(1)?, Shortlist::new(DEPTH));
    Ok(one_by_one(jobs.len(), move |job| {
        Ok(simd.shortlists(&world, std::slice::from_ref(black_box(&jobs[job])), std::slice::from_mut(&mut list))?)
    }))
}

/// One decision a call, and before each a pool has changed, as after a commit.
pub(crate) fn simd_after_changes<'a>(world: World<'a>, jobs: &'a [JobQuery<'a>]) -> Result<Turn<'a>> {
    let (mut simd, mut list) = (Simd::new(1)?, Shortlist::new(DEPTH));
    let mut ranks = (0u32..).take(world.table.len()).cycle();
    Ok(one_by_one(jobs.len(), move |job| {
        ranks.next().into_iter().for_each(|rank| simd.pool_changed(rank));
        Ok(simd.shortlists(&world, std::slice::from_ref(black_box(&jobs[job])), std::slice::from_mut(&mut list))?)
    }))
}

/// The core's decision, which keeps nothing from job to job.
pub(crate) fn core_one_by_one<'a>(world: World<'a>, jobs: &'a [JobQuery<'a>]) -> Turn<'a> {
    one_by_one(jobs.len(), move |job| {
        black_box(decide(&PlacementInput::new(world.table, *black_box(&jobs[job]), world.policy)?));
        Ok(())
    })
}

/// All jobs in one call.
pub(crate) fn simd_all_at_once<'a>(world: World<'a>, jobs: &'a [JobQuery<'a>]) -> Result<Turn<'a>> {
    let (mut simd, mut lists) = (Simd::new(1)?, vec![Shortlist::new(DEPTH); jobs.len()]);
    Ok(batches(move || Ok(simd.shortlists(&world, black_box(jobs), &mut lists)?)))
}
