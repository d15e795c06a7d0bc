//! What the Python peers get: the columns that ours scans, made by the core, as files of little-endian integers.
//!
//! A peer so starts behind all rules: per class of jobs and pool they are folded into the end without tokens and the
//! room for KV bytes, 0 where any other rule rejects. What is left to it is one product of pools and jobs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytemuck::Pod;
use orchestrator_core::rows::{JobRow, NameId};
use orchestrator_core::rule::lane::low_bits;
use orchestrator_core::{ClassScorer, PlacementInput, class_row, pool_lane};
use orchestrator_host::batch::World;

use crate::contest::plain_query;

/// The columns of pools, of pools by class, and of jobs; jobs are in order of their classes.
#[derive(Default)]
pub(crate) struct Columns {
    decode_q10: Vec<u32>,
    prefill_q10: Vec<u32>,
    low_bits: Vec<u16>,
    base: Vec<u64>,
    room_bytes: Vec<u64>,
    job_class: Vec<u32>,
    kv_bytes: Vec<u64>,
    prompt_tokens: Vec<u32>,
    output_tokens: Vec<u32>,
    /// Where the jobs stand among those that were given.
    pub(crate) order: Vec<usize>,
}

impl Columns {
    pub(crate) fn new(world: &World<'_>, jobs: &[JobRow]) -> Result<Self> {
        ensure!(world.policy.quantum_shift() == 0, "the peers know no wider buckets than 1 us");
        let mut columns = Self::default();
        columns.add_pools(world);
        let mut classes: Vec<(JobRow, NameId)> = vec![];
        let mut of_jobs = vec![];
        for job in jobs {
            // Jobs of this world ask nothing of a class of pools but their engine and model.
            let class = (class_row(job), job.engine);
            let known = classes.iter().position(|known| *known == class);
            if known.is_none() {
                classes.push(class);
                columns.add_class(world, job)?;
            }
            of_jobs.push(known.unwrap_or(classes.len() - 1));
        }
        columns.order = (0..jobs.len()).collect();
        columns.order.sort_by_key(|&job| of_jobs[job]);
        columns.add_jobs(jobs, &of_jobs)?;
        Ok(columns)
    }

    fn add_pools(&mut self, world: &World<'_>) {
        for row in world.table.rows {
            let lane = pool_lane(row, world.policy);
            self.decode_q10.push(lane.decode_q10);
            self.prefill_q10.push(lane.prefill_q10);
            self.low_bits.push(low_bits(lane.active_leases));
        }
    }

    fn add_class(&mut self, world: &World<'_>, job: &JobRow) -> Result<()> {
        let input = PlacementInput::new(world.table, plain_query(job), world.policy)?;
        let class = ClassScorer::new(&input);
        for rank in (0u32..).take(world.table.len()) {
            let lane = class.lane(rank);
            self.base.push(lane.base);
            self.room_bytes.push(lane.room_bytes);
        }
        Ok(())
    }

    fn add_jobs(&mut self, jobs: &[JobRow], classes: &[usize]) -> Result<()> {
        for &job in &self.order {
            self.job_class.push(classes[job].try_into().context("classes")?);
            self.kv_bytes.push(jobs[job].est_kv_bytes);
            self.prompt_tokens.push(jobs[job].prompt_tokens);
            self.output_tokens.push(jobs[job].output_tokens);
        }
        Ok(())
    }

    /// A file per column, named as in `python/columns.py`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write(folder, "decode_q10", &self.decode_q10)?;
        write(folder, "prefill_q10", &self.prefill_q10)?;
        write(folder, "low_bits", &self.low_bits)?;
        write(folder, "base", &self.base)?;
        write(folder, "room_bytes", &self.room_bytes)?;
        write(folder, "job_class", &self.job_class)?;
        write(folder, "kv_bytes", &self.kv_bytes)?;
        write(folder, "prompt_tokens", &self.prompt_tokens)?;
        write(folder, "output_tokens", &self.output_tokens)
    }
}

fn write<T: Pod>(folder: &Path, name: &str, column: &[T]) -> Result<()> {
    let file = folder.join(name);
    fs::write(&file, bytemuck::cast_slice::<T, u8>(column)).with_context(|| format!("cannot write {}", file.display()))
}
