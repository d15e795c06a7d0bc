//! This engine on a GPU, beside whom other programs are measured on the same jobs: its times, the columns that a pair is
//! made of, and the answers that all must come to.
//!
//! ```console
//! gpu_peers POOLSxJOBS [FOLDER]
//! ```
//! The world is that of `orchestrator bench` with ends to the microsecond and jobs without sessions and lists of pools, as
//! in `benches/peers`: then the first word of a key, which the others compute, decides nearly all jobs. All lists of the
//! device (two whole keys and a count) are compared with those of the vector units.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use bytemuck::Pod;
use orchestrator_core::rows::{Hints, JobFlags, JobQuery, JobRow, NameId};
use orchestrator_core::rule::lane::{FIRST_WORD_LIMIT, low_bits};
use orchestrator_core::{ClassScorer, PlacementInput, PolicySpec, Shortlist, class_row, pool_lane};
use orchestrator_host::batch::{Backend, Cuda, Simd, Times, World};
use orchestrator_host::bench::{Size, digest, world};
use serde_json::Value;

type Failure = Box<dyn std::error::Error>;

/// How long each backend is measured.
const AT_LEAST: Duration = Duration::from_secs(1);
/// The winner of a job that no pool can take.
const NO_POOL: u32 = u32::MAX;
/// The winner of a job whose best two pools are equal in the first word.
const TIED: u32 = u32::MAX - 1;

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [size, folder @ ..] = &*arguments else { return Err("usage: gpu_peers POOLSxJOBS [FOLDER]".into()) };
    let size: Size = size.parse()?;
    let policy = PolicySpec { quantum_shift: 0, ..PolicySpec::default() }.validate()?;
    let fleet = world::fleet(size.pools);
    let rows: Vec<_> = world::jobs(size.jobs, &fleet, &policy).iter().map(|job| plain(*job.row())).collect();
    let jobs: Vec<_> = rows.iter().map(query).collect();
    let world = World { table: fleet.table(), policy: &policy };

    let (expected, line) = measure(&mut Simd::new(0)?, "ours, simd", size, &world, &jobs)?;
    println!("{line}");
    if let [folder, ..] = folder {
        write_columns(Path::new(folder), &world, &rows)?;
        write_answers(Path::new(folder), &world, &rows, &expected)?;
    }
    let mut cuda = Cuda::open(None)?;
    let (lists, mut line) = measure(&mut cuda, "ours, cuda", size, &world, &jobs)?;
    let times = times(&mut cuda, &world, &jobs)?;
    let differ = lists.iter().zip(&expected).filter(|(own, other)| own != other).count();
    line["answer"] = format!("{differ} lists differ").into();
    line["kernel_s"] = times.kernels.as_secs_f64().into();
    line["upload_s"] = times.upload.as_secs_f64().into();
    line["download_s"] = times.download.as_secs_f64().into();
    println!("{line}");
    if differ == 0 { Ok(()) } else { Err(format!("{differ} lists differ").into()) }
}

fn plain(mut row: JobRow) -> JobRow {
    row.session = NameId::NONE;
    for flag in [JobFlags::PIN, JobFlags::PREFER, JobFlags::NO_FALLBACK] {
        row.flags.set(flag, false);
    }
    row
}

fn query(row: &JobRow) -> JobQuery<'_> {
    JobQuery { row, hints: Hints::default(), session: None }
}

/// What a backend answers, and how fast it is.
fn measure(
    backend: &mut dyn Backend,
    who: &str,
    size: Size,
    world: &World<'_>,
    jobs: &[JobQuery<'_>],
) -> Result<(Vec<Shortlist>, Value), Failure> {
    let mut lists = vec![Shortlist::new(2); jobs.len()];
    let start = Instant::now();
    backend.shortlists(world, jobs, &mut lists)?;
    let first_s = start.elapsed().as_secs_f64();
    let (start, mut least) = (Instant::now(), Duration::MAX);
    while least == Duration::MAX || start.elapsed() < AT_LEAST {
        let before = Instant::now();
        backend.shortlists(world, black_box(jobs), &mut lists)?;
        least = least.min(before.elapsed());
    }
    let seconds = least.as_secs_f64();
    let line = serde_json::json!({
        "who": who, "form": backend.description(), "pools": size.pools, "jobs": size.jobs,
        "first_call_s": first_s, "decide_s": seconds,
        "pairs_per_s": size.pools as f64 * size.jobs as f64 / seconds,
        "digest": format!("{:016x}", digest(&lists)),
        "answer": "expected of others",
    });
    Ok((lists, line))
}

/// Where the time of a call goes in which everything is waited for.
fn times(cuda: &mut Cuda, world: &World<'_>, jobs: &[JobQuery<'_>]) -> Result<Times, Failure> {
    let mut lists = vec![Shortlist::new(2); jobs.len()];
    cuda.measure(true);
    cuda.shortlists(world, jobs, &mut lists)?;
    Ok(cuda.measure(false))
}

/// The classes of jobs: each job's, and one job of each. Jobs of this world ask nothing of a class of pools but their
/// engine and model.
fn classes(rows: &[JobRow]) -> (Vec<u32>, Vec<&JobRow>) {
    let (mut known, mut firsts, mut of_jobs) = (vec![], vec![], vec![]);
    for row in rows {
        let class = (class_row(row), row.engine);
        let place = known.iter().position(|other| *other == class).unwrap_or(known.len());
        if place == known.len() {
            known.push(class);
            firsts.push(row);
        }
        of_jobs.push(u32::try_from(place).expect("few classes"));
    }
    (of_jobs, firsts)
}

/// The places of the jobs, in the order of their classes.
fn order(of_jobs: &[u32]) -> Vec<usize> {
    let mut order: Vec<_> = (0..of_jobs.len()).collect();
    order.sort_by_key(|&job| of_jobs[job]);
    order
}

/// A file per column, as `benches/peers/python/columns.py` reads them.
fn write_columns(folder: &Path, world: &World<'_>, rows: &[JobRow]) -> Result<(), Failure> {
    let lanes: Vec<_> = world.table.rows.iter().map(|row| pool_lane(row, world.policy)).collect();
    write(folder, "decode_q10", lanes.iter().map(|lane| lane.decode_q10))?;
    write(folder, "prefill_q10", lanes.iter().map(|lane| lane.prefill_q10))?;
    write(folder, "low_bits", lanes.iter().map(|lane| low_bits(lane.active_leases)))?;
    let (of_jobs, firsts) = classes(rows);
    let (mut base, mut room_bytes) = (vec![], vec![]);
    for job in firsts {
        let input = PlacementInput::new(world.table, query(job), world.policy)?;
        let class = ClassScorer::new(&input);
        for rank in (0u32..).take(world.table.len()) {
            let lane = class.lane(rank);
            base.push(lane.base);
            room_bytes.push(lane.room_bytes);
        }
    }
    write(folder, "base", base)?;
    write(folder, "room_bytes", room_bytes)?;
    let order = order(&of_jobs);
    let rows = || order.iter().map(|&job| &rows[job]);
    write(folder, "job_class", order.iter().map(|&job| of_jobs[job]))?;
    write(folder, "kv_bytes", rows().map(|row| row.est_kv_bytes))?;
    write(folder, "prompt_tokens", rows().map(|row| row.prompt_tokens))?;
    write(folder, "output_tokens", rows().map(|row| row.output_tokens))
}

/// What each job is to be answered: the least first word, its pool, and how many pools can take it.
fn write_answers(folder: &Path, world: &World<'_>, rows: &[JobRow], lists: &[Shortlist]) -> Result<(), Failure> {
    let order = order(&classes(rows).0);
    let lists = || order.iter().map(|&job| &lists[job]);
    let word = |list: &Shortlist, place: usize| list.keys().get(place).map(|key| key.words()[0] & !FIRST_WORD_LIMIT);
    let winner = |list: &Shortlist| match list.best() {
        None => NO_POOL,
        Some(_) if word(list, 0) == word(list, 1) => TIED,
        Some(key) => key.rank(),
    };
    let tied = lists().filter(|list| winner(list) == TIED).count();
    eprintln!("{tied} of {} jobs are tied in the first word, of {} pools", rows.len(), world.table.len());
    write(folder, "expected_words", lists().map(|list| word(list, 0).unwrap_or(u64::MAX)))?;
    write(folder, "expected_winners", lists().map(winner))?;
    write(folder, "expected_feasible", lists().map(Shortlist::feasible))
}

fn write<T: Pod>(folder: &Path, name: &str, column: impl IntoIterator<Item = T>) -> Result<(), Failure> {
    let column: Vec<T> = column.into_iter().collect();
    let file = folder.join(name);
    fs::write(&file, bytemuck::cast_slice::<T, u8>(&column)).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(())
}
