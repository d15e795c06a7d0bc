//! The answers, worked out pool by pool in wide integers, from the specification: all keys of a job, sorted.

use orchestrator_core::hash::spread_value;
use orchestrator_core::limits::{END_UNKNOWN_US, TIME_MAX_US};
use orchestrator_core::rule::key::{Key, KeyParts};
use orchestrator_core::rule::lane::{ClassLane, PoolLane};
use orchestrator_kernels::launch::Ends;
use orchestrator_kernels::records::Found;

use crate::world::{Job, World};

impl World {
    /// The keys of all pools of the job's segments that can take it, ascending.
    pub(crate) fn keys(&self, job: &Job) -> Vec<Key> {
        let mut keys = Vec::new();
        for segment in &job.segments {
            for rank in segment.start..segment.end {
                keys.extend(self.key(job, rank, segment.preferred != 0));
            }
        }
        keys.sort_unstable();
        keys
    }

    /// What kernels shall find for the job.
    pub(crate) fn found(&self, job: &Job) -> Found {
        let keys = self.keys(job);
        let counted: Vec<_> = keys.iter().filter(|key| **key >= job.from).take(2).collect();
        let mut found = Found { feasible: u32::try_from(keys.len()).expect("few pools"), ..Found::NONE };
        for key in counted {
            found.keys[found.keys_len as usize] = *key;
            found.keys_len += 1;
        }
        found
    }

    fn key(&self, job: &Job, rank: u32, preferred: bool) -> Option<Key> {
        let pool = &self.pools[rank as usize];
        let class = &self.views[job.view as usize][rank as usize];
        if job.kv_bytes >= class.room_bytes {
            return None;
        }
        if self.ends == Ends::Static {
            return Some(Key::from_words([class.base | u64::from(!preferred) << 63, 0, 0], rank));
        }
        let parts = KeyParts {
            preferred,
            weighted_end_us: self.end_us(job, pool, class),
            warm: false,
            active_leases: pool.active_leases,
            slots_free: pool.slots_free,
            vram_free_bytes: 0,
            residual_vram_bytes: class.spare_bytes - 1 - job.kv_bytes,
            milli_tps: pool.milli_tps,
            spread: if self.spreads { spread_value(self.spread_hashes[rank as usize], job.spread_hash) } else { 0 },
            rank,
        };
        Some(Key::by_predicted_end(&parts, u8::try_from(self.quantum_shift).expect("a policy's shift")))
    }

    fn end_us(&self, job: &Job, pool: &PoolLane, class: &ClassLane) -> u64 {
        if pool.first_token_us == END_UNKNOWN_US {
            return END_UNKNOWN_US;
        }
        let limit = u128::from(TIME_MAX_US);
        let decode = u128::from(pool.decode_q10) * u128::from(job.output_tokens);
        let prefill = u128::from(pool.prefill_q10) * u128::from(job.prompt_tokens);
        let tokens_us = (decode + prefill) / 1024;
        let service_us = u128::from(pool.first_token_us) + tokens_us;
        let end_us = if self.ends == Ends::Waiting {
            let wait_us = (u128::from(pool.waves) * service_us.min(limit)).min(limit);
            (u128::from(class.start_us) + wait_us).min(limit) + service_us
        } else {
            u128::from(class.start_us).min(limit) + service_us
        };
        u64::try_from(end_us.min(limit)).expect("a time")
    }
}
