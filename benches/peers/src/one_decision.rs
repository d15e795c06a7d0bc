//! One decision a call: ours beside the router's selection, at the same number of pools.

use anyhow::Result;
use orchestrator_host::bench::Size;

use crate::contest::{Contest, Kind};
use crate::dynamo::Router;
use crate::ours::{self, Answers};
use crate::report::{Computes, Label, Line, Section, lines};
use crate::rounds::{Pace, take_turns};

/// Different jobs in turn: branch prediction would learn a single one.
const JOBS: usize = 256;

const SIMD: &str = "ours, simd";
const SIMD_AFTER_CHANGES: &str = "ours, simd, a pool changed";
const CORE: &str = "ours, core";
const DYNAMO: &str = "dynamo-kv-router 1.6.1";

const COMPUTES: [Computes; 4] = [
    Computes {
        contestant: SIMD,
        what: "every rule of feasibility, the whole key of the best two pools, warm sessions, lists of pools, the \
               number of feasible pools; keeps columns and the views of all classes of jobs from call to call",
    },
    Computes {
        contestant: SIMD_AFTER_CHANGES,
        what: "the same, and brings them up to date: a pool changes before each",
    },
    Computes {
        contestant: CORE,
        what: "every rule and the whole key of the best pool, from the pools' rows; keeps nothing",
    },
    Computes {
        contestant: DYNAMO,
        what: "a cost in f64 of prompt blocks that are not cached and of blocks that are active, per worker; a least \
               one, at random among equals; all workers are eligible: no VRAM, devices, models, quantisation, rates, \
               tie-breakers; the loads and who holds the prompt are given, as our rows are",
    },
];

pub(crate) fn run(pools: &[u32], pace: Pace) -> Result<Section> {
    let mut all = vec![];
    for kind in Kind::ALL {
        for &pools in pools {
            eprintln!("one decision, {} fleet, {pools} pools", kind.name());
            all.extend(at(kind, pools as usize, pace)?);
        }
    }
    Ok(Section { heading: "One decision", lines: all, computes: COMPUTES.into() })
}

fn at(kind: Kind, pools: usize, pace: Pace) -> Result<Vec<Line>> {
    let contest = Contest::new(kind, Size { pools, jobs: JOBS })?;
    let (world, jobs) = (contest.world(), contest.queries());
    let Answers { digest, feasible, .. } = ours::answers(&world, &jobs)?;
    let digest = format!("digest {digest:016x}");
    let mut router = Router::new(world.table.rows, &jobs);
    router.check()?;
    let labels = vec![
        Label::new(SIMD, feasible, digest.clone()),
        Label::new(SIMD_AFTER_CHANGES, feasible, digest),
        Label::new(CORE, feasible, "the same winners".to_owned()),
        Label::new(DYNAMO, 1.0, "its own: of least cost, checked".to_owned()),
    ];
    let mut turns = [
        ours::simd_one_by_one(world, &jobs)?,
        ours::simd_after_changes(world, &jobs)?,
        ours::core_one_by_one(world, &jobs),
        router.one_by_one(),
    ];
    let seconds = take_turns(&mut turns, pace)?;
    Ok(lines(kind, Size { pools, jobs: 1 }, labels, &seconds))
}
