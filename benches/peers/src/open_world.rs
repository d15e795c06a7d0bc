//! A fleet in which every pool can take every job, as every worker of the router can: nobody saves anything by passing
//! over pools that a rule rejects.

use anyhow::Result;
use orchestrator_core::{JobSpec, Policy, PoolSnapshot, ResolvedJob};
use orchestrator_host::fleet::{Fleet, FleetBuilder};

use crate::random::below;

const GIB: i64 = 1 << 30;
const MIB: i64 = 1 << 20;

/// So many pools, of different rates and loads.
pub(crate) fn fleet(pools: usize) -> Result<Fleet> {
    let mut builder = FleetBuilder::default();
    for index in 0..pools as u64 {
        let id = format!("pool-{index:07}");
        let number = |limit, question| below(limit, index, question);
        let (slots_free, vram_free_bytes) = (1 + number(32, 0) as i64, 60 * GIB + number(80 << 10, 1) as i64 * MIB);
        let mut pool = PoolSnapshot::new(&id, "vllm", 32, slots_free, 141 * GIB, vram_free_bytes);
        pool.perf_tokens_per_s = Some(40.0 + number(90_000, 2) as f64 / 1_000.0);
        pool.first_token_ms = Some(20.0 + number(80_000, 3) as f64 / 1_000.0);
        pool.prefill_tokens_per_s = Some(4_000.0 + number(9_000_000, 4) as f64 / 1_000.0);
        pool.admission_latency_ms = number(5_000, 5) as f64 / 1_000.0;
        pool.model_load_ms = 4_000.0 + number(20_000, 6) as f64;
        builder.add(index + 1, &pool.validate()?)?;
    }
    Ok(builder.finish().fleet)
}

/// So many jobs, no two alike, all for one model.
pub(crate) fn jobs(count: usize, fleet: &Fleet, policy: &Policy) -> Result<Vec<ResolvedJob>> {
    let job = |index: u64| {
        let (id, number) = (format!("job-{index}"), |limit, question| below(limit, index, question));
        let mut job = JobSpec::new(&id, "vllm", "llama-8b");
        job.prompt_tokens = 20 + number(8_000, 100) as i64;
        job.expected_tokens = Some(10 + number(1_000, 101) as i64);
        // The index makes every job's KV bytes its own.
        job.est_kv_bytes = Some(number(6_000, 102) as i64 * MIB + index as i64);
        job.requirements.min_vram_bytes = 14 * GIB;
        Ok(job.validate(policy, None)?.resolve(fleet))
    };
    (0..count as u64).map(job).collect()
}
