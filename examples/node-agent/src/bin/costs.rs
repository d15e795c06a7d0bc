//! What one decision costs at 8 and at all pools, in instructions.

#![no_std]
#![no_main]

use core::hint::black_box;

use node_agent::board::{exit, instructions, prepare, print, print_number};
use node_agent::capacities::{Fleet, POOLS};
use orchestrator_core::{JobSpec, Policy, PoolSnapshot};

/// Decisions of which the mean is taken: what counts can be coarse.
const DECISIONS: u32 = 64;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    prepare();
    let mut fleet = Fleet::new();
    for pools in [8, 64] {
        if pools > POOLS {
            break;
        }
        grow(&mut fleet, pools);
        print("decide_");
        print_number(pools as u32);
        print(" ");
        print_number(decide(&fleet));
        print("\n");
    }
    exit(0)
}

/// Pools as an agent has them: equal ones, but for their speed.
fn grow(fleet: &mut Fleet, pools: usize) {
    for number in fleet.len()..pools {
        let name = [b'p', b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        let id = core::str::from_utf8(&name).unwrap_or_default();
        let pool = PoolSnapshot {
            perf_tokens_per_s: Some([50.0, 60.0, 55.0][number % 3]),
            first_token_ms: Some(40.0),
            ..PoolSnapshot::new(id, "vllm", 8, 8, 80 << 30, 60 << 30)
        };
        let _ = fleet.upsert(&pool);
    }
}

/// The mean of one decision, from the request's fields to the pool.
#[inline(never)] // An agent's fleet is not in the frame of who decides.
fn decide(fleet: &Fleet) -> u32 {
    let policy = Policy::default();
    let spec = JobSpec { prompt_tokens: 700, max_tokens: Some(64), ..JobSpec::new("job-1", "vllm", "some/model") };
    let (_, start) = instructions(0);
    for _ in 0..DECISIONS {
        if let Ok(job) = black_box(&spec).validate(&policy, None) {
            black_box(fleet.decide(&job, &policy));
        }
    }
    instructions(start).0 / DECISIONS
}
