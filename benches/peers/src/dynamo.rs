//! NVIDIA Dynamo's KV-aware router: `DefaultWorkerSelector::select_worker` of `dynamo-kv-router`, set up as in the
//! crate's own benchmark `worker_selection`, at temperature 0.
//!
//! That type is public under the crate's feature `bench` only. What its router does before, for every request, is left
//! out: looking the prompt's prefix up in the radix tree, and projecting every worker's load.
//!
//! Where the crate's benchmark repeats one request, requests differ here: in tokens, and in the workers that hold the
//! prefix, one of [`PREFIXES`] in turn. The loads are those of one moment, so one map holds them.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use dynamo_kv_router::protocols::{RoutingConstraints, WorkerConfigLike, WorkerId, WorkerWithDpRank};
use dynamo_kv_router::scheduling::{OverlapSignals, ScheduleMode};
use dynamo_kv_router::{
    DefaultWorkerSelector, KvRouterConfig, SchedulingRequest, WorkerLoadProjection, WorkerSelectionInput,
    WorkerSelector,
};
use orchestrator_core::rows::{JobQuery, PoolRow};
use rustc_hash::FxHashMap;

use crate::random::mixed;
use crate::rounds::{Turn, one_by_one};

/// Tokens of a KV block.
const BLOCK_TOKENS: u32 = 16;
/// Prefixes in use: each is held by one worker of so many.
const PREFIXES: u64 = 16;
/// The longest prefix in tokens.
const PREFIX_TOKENS_MAX: usize = 1_024;

#[derive(Default)]
struct Worker {
    taints: HashSet<String>,
}

impl WorkerConfigLike for Worker {
    fn data_parallel_start_rank(&self) -> u32 {
        0
    }

    fn data_parallel_size(&self) -> u32 {
        1
    }

    fn max_num_batched_tokens(&self) -> Option<u64> {
        None
    }

    fn total_kv_blocks(&self) -> Option<u64> {
        Some(131_072)
    }

    fn taints(&self) -> &HashSet<String> {
        &self.taints
    }
}

/// What of our jobs becomes a request.
#[derive(Clone, Copy)]
struct Tokens {
    prompt: usize,
    output: u32,
}

/// As many workers as there are pools, and as many requests as there are jobs.
pub(crate) struct Router {
    workers: HashMap<WorkerId, Worker>,
    selector: DefaultWorkerSelector,
    requests: Vec<Tokens>,
    /// Which workers hold which prefix, and how much of it.
    prefixes: Vec<OverlapSignals>,
    /// The request at hand; it owns the loads of all workers.
    request: SchedulingRequest,
}

impl Router {
    pub(crate) fn new(pools: &[PoolRow], jobs: &[JobQuery<'_>]) -> Self {
        let config = KvRouterConfig { router_temperature: 0.0, ..KvRouterConfig::default() };
        let tokens = |job: &JobQuery<'_>| Tokens {
            prompt: PREFIX_TOKENS_MAX + job.row.prompt_tokens as usize,
            output: job.row.output_tokens,
        };
        Self {
            workers: (0..).zip(pools).map(|(id, _)| (id, Worker::default())).collect(),
            selector: DefaultWorkerSelector::new(Some(config), "prefill"),
            requests: jobs.iter().map(tokens).collect(),
            prefixes: (0..PREFIXES).map(|prefix| holders(prefix, pools.len())).collect(),
            request: request((0..).zip(pools).map(|(id, pool)| (worker(id), load(id, pool))).collect()),
        }
    }

    /// A turn of requests, one selection each.
    pub(crate) fn one_by_one(&mut self) -> Turn<'_> {
        one_by_one(self.requests.len(), |index| {
            black_box(self.select(index)?);
            Ok(())
        })
    }

    fn select(&mut self, index: usize) -> Result<WorkerWithDpRank> {
        let prefix = index % self.prefixes.len();
        let Tokens { prompt, output } = self.requests[index];
        (self.request.isl_tokens, self.request.expected_output_tokens) = (prompt, Some(output));
        // Taken and given back, so that no map is copied.
        self.request.overlap = std::mem::take(&mut self.prefixes[prefix]);
        let (workers, request) = (black_box(&self.workers), black_box(&self.request));
        let input = WorkerSelectionInput::configured(workers, request, request.eligibility(), BLOCK_TOKENS);
        let selected = self.selector.select_worker(input);
        self.prefixes[prefix] = std::mem::take(&mut self.request.overlap);
        Ok(selected.context("no worker")?.worker)
    }

    /// Fails unless every selected worker has the least cost, worked out here from what the crate documents.
    pub(crate) fn check(&mut self) -> Result<()> {
        for index in 0..self.requests.len() {
            let selected = self.select(index)?;
            let costs = self.workers.keys().map(|&id| self.cost(index, worker(id)));
            let least = costs.fold(f64::INFINITY, f64::min);
            let own = self.cost(index, selected);
            ensure!(own == least, "request {index}: a worker of cost {own} was selected, the least is {least}");
        }
        Ok(())
    }

    /// Blocks to prefill that are not cached, and blocks and requests that are active.
    fn cost(&self, index: usize, worker: WorkerWithDpRank) -> f64 {
        let config = &self.selector.kv_router_config;
        let load = &self.request.worker_loads[&worker];
        let prefix = &self.prefixes[index % self.prefixes.len()];
        let overlap_blocks = prefix.effective_overlap_blocks.get(&worker).copied().unwrap_or(0.0);
        let prefill_tokens = load.active_prefill_tokens + self.requests[index].prompt;
        let prefill_blocks = prefill_tokens as f64 / f64::from(BLOCK_TOKENS);
        let uncached_blocks = (prefill_blocks - config.overlap_score_credit * overlap_blocks).max(0.0);
        config.prefill_load_scale * uncached_blocks
            + load.potential_decode_blocks() as f64
            + config.decode_active_request_weight * load.active_requests as f64
    }
}

fn worker(id: WorkerId) -> WorkerWithDpRank {
    WorkerWithDpRank::from_worker_id(id)
}

/// The pool's running leases are the worker's requests, each with a context of its own length.
fn load(id: WorkerId, pool: &PoolRow) -> WorkerLoadProjection {
    let active_requests = usize::from(pool.slots_total.saturating_sub(pool.slots_free));
    let numbers = mixed(id) as usize;
    WorkerLoadProjection {
        active_prefill_tokens: numbers % 8_192,
        active_decode_blocks: active_requests * (1 + (numbers >> 16) % 512),
        active_requests,
        additional_active_blocks: 0,
    }
}

fn holders(prefix: u64, workers: usize) -> OverlapSignals {
    let mut overlap = OverlapSignals::default();
    for id in (0..workers as WorkerId).filter(|&id| mixed(id ^ 0x5eed) % PREFIXES == prefix) {
        let blocks = 1 + mixed(id) as usize % (PREFIX_TOKENS_MAX / BLOCK_TOKENS as usize);
        overlap.effective_overlap_blocks.insert(worker(id), blocks as f64);
        overlap.effective_cached_tokens.insert(worker(id), blocks * BLOCK_TOKENS as usize);
    }
    overlap
}

fn request(worker_loads: FxHashMap<WorkerWithDpRank, WorkerLoadProjection>) -> SchedulingRequest {
    SchedulingRequest {
        mode: ScheduleMode::QueryOnly { request_id: None },
        token_seq: None,
        isl_tokens: 0,
        lora_name: None,
        expected_output_tokens: None,
        affinity_target: None,
        pinned_worker: None,
        allowed_worker_ids: None,
        routing_constraints: RoutingConstraints::default(),
        router_config_override: None,
        track_prefill_tokens: true,
        priority_jump: 0.0,
        strict_priority: 0,
        policy_class: None,
        session_context: None,
        overlap: OverlapSignals::default(),
        kv_transfer_candidates: None,
        retain_kv_transfer_chain: false,
        shared_cache_hits: None,
        worker_loads,
        resp_tx: None,
    }
}
