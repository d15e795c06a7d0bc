//! Which pools cannot win, by their rows alone: most pools of a scan lose so, before anyone looks up their labels,
//! residents, sessions and devices.
//!
//! A pool can do no better than with the model resident and, where it may be warm, the whole prompt cached: less to
//! load and to prefill never makes an end later, and weights, rounding, saturation and buckets keep that order. Where
//! the end alone does not tell, `Scorer::key_of_candidate` compares the first word of such a key with the leader's.

use crate::limits::{END_UNKNOWN_US, TIME_MAX_US, WEIGHT_256_ONE};
use crate::policy::{Order, Policy, Weights};
use crate::rows::{JobQuery, PoolFlags, PoolRef, PoolRow};
use crate::rule::key::Key;
use crate::rule::score::weigh_rate;

/// The smallest key so far, and from which end on a pool has lost to it whatever else it brings. KEY-1, KEY-2.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leader {
    pub(super) key: Key,
    late_us: u64,
    late_if_preferred_us: u64,
}

impl Leader {
    /// The least end with which a pool, preferred or not, has lost.
    #[inline(always)] // Once per candidate of every scan.
    pub(super) const fn late_us(&self, preferred: bool) -> u64 {
        if preferred { self.late_if_preferred_us } else { self.late_us }
    }
}

/// An early guess at a pool's end, never after it. For one job, under a policy that predicts ends and weighs no more than
/// decode times.
///
/// Where every pool can take the job a scan does little else, so it takes no branches: which pools publish what is as
/// good as random to a branch predictor. Under other policies no end counts as late.
#[derive(Debug)]
pub(super) struct LeastEnd {
    quantum_shift: u8,
    /// Whether the policy is such a one.
    applies: bool,
    /// Rank of the pool that the session table names; of none without an entry.
    table_rank: u32,
    prompt_tokens: u32,
    /// The least of them that a pool which may be warm needs to prefill.
    prompt_tokens_if_warm: u32,
    output_tokens: u32,
    decode_weight: u16,
    /// [`END_UNKNOWN_US`] without a default.
    default_first_token_us: u64,
    /// 0 without a default.
    default_decode_q10: u32,
    /// The bits of [`END_UNKNOWN_US`] without a default rate, else none.
    unknown_without_rate_us: u64,
}

impl LeastEnd {
    pub(super) fn new(job: &JobQuery<'_>, policy: &Policy, uses_warmth: bool) -> Self {
        let predicts = policy.order() == Order::PredictedEnd && policy.performance_aware();
        let decode_weight = policy.weights().decode;
        let (prompt_tokens, default_decode_q10) = (job.row.prompt_tokens, policy.default_decode_q10());
        Self {
            quantum_shift: policy.quantum_shift(),
            applies: predicts && *policy.weights() == Weights { decode: decode_weight, ..Weights::ONE },
            table_rank: job.session.map_or(u32::MAX, |entry| entry.pool),
            prompt_tokens,
            prompt_tokens_if_warm: if uses_warmth { 0 } else { prompt_tokens },
            output_tokens: job.row.output_tokens,
            decode_weight,
            default_first_token_us: policy.default_first_token_us().unwrap_or(END_UNKNOWN_US),
            default_decode_q10: default_decode_q10.unwrap_or(0),
            unknown_without_rate_us: if default_decode_q10.is_some() { 0 } else { END_UNKNOWN_US },
        }
    }

    /// `key` as the smallest so far.
    pub(super) fn leader(&self, key: Key) -> Leader {
        // Beyond the limit of times a guess may be after the end, which saturates there.
        let next_bucket_us = Some(key.next_bucket_us(self.quantum_shift)).filter(|&end| end <= TIME_MAX_US);
        let late_us = next_bucket_us.filter(|_| self.applies).unwrap_or(u64::MAX);
        if key.is_preferred() {
            Leader { key, late_us: 0, late_if_preferred_us: late_us }
        } else {
            Leader { key, late_us, late_if_preferred_us: u64::MAX }
        }
    }

    /// The guess for one pool: its end with nothing to load and, where it may be warm, nothing to prefill. Not
    /// saturated; unknown ends are at [`END_UNKNOWN_US`] or above.
    #[inline(always)] // Once per candidate of every scan.
    pub(super) fn of(&self, pool: &PoolRef<'_>) -> u64 {
        let row = pool.row;
        let may_be_warm = (pool.rank == self.table_rank) | row.flags.has(PoolFlags::WARM_SESSIONS);
        let prompt_tokens = if may_be_warm { self.prompt_tokens_if_warm } else { self.prompt_tokens };
        let has_first_token = row.first_token_us != PoolRow::FIRST_TOKEN_UNKNOWN;
        let first_token_us = if has_first_token { row.first_token_us } else { self.default_first_token_us };
        let has_rate = row.decode_q10 != 0;
        let decode_q10 = if has_rate { row.decode_q10 } else { self.default_decode_q10 };
        let unknown_us = if has_rate { 0 } else { self.unknown_without_rate_us };
        // Wrapping, because nothing wraps: see `ScoreTerms::end_us`.
        let prefill = u64::from(row.prefill_q10).wrapping_mul(prompt_tokens.into());
        // The same for all pools: asked first, it costs no wrong guess.
        let has_weight = self.decode_weight != WEIGHT_256_ONE;
        let decode_q10 = if has_weight { weigh_rate(decode_q10, self.decode_weight) } else { decode_q10 };
        let decode = u64::from(decode_q10).wrapping_mul(self.output_tokens.into());
        let tokens_us = prefill.wrapping_add(decode) >> 10;
        row.admission_latency_us.wrapping_add(first_token_us).wrapping_add(tokens_us) | unknown_us
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
mod tests {
    extern crate std;

    use proptest::prelude::*;
    use proptest::sample::select;
    use std::vec::Vec;

    use super::*;
    use crate::limits::{BYTES_MAX, SLOTS_MAX, TOKENS_MAX};
    use crate::placement::candidate::Scorer;
    use crate::policy::{PolicySpec, WeightsSpec};
    use crate::rows::{Hints, JobFlags, JobRow, NameId, PoolLists, PoolTable, RankRange, SessionEntry, Span, WarmRow};

    const MODEL: NameId = NameId(0);
    const SESSION: NameId = NameId(0);

    /// Two pools, a job and a policy.
    #[derive(Debug, Clone)]
    struct World {
        rows: [PoolRow; 2],
        lists: [PoolLists; 2],
        job: JobRow,
        prefer: Vec<RankRange>,
        session: Option<SessionEntry>,
        policy: Policy,
    }

    /// What a scan finds out about the two pools, the first one leading.
    #[derive(Debug)]
    struct Found {
        keys: [Key; 2],
        least_words: [u64; 2],
        second_is_late: bool,
        /// None where its row tells that it is above the first one's.
        second_key: Option<Key>,
    }

    impl World {
        /// Pools that are alike: 20 ms to the first token, 10 ms per token, one lease of four.
        fn of_twins() -> Self {
            let row = PoolRow {
                vram_free_bytes: 1000,
                first_token_us: 20_000,
                decode_q10: 10_000 << 10,
                slots_total: 4,
                slots_free: 3,
                ..PoolRow::EMPTY
            };
            Self {
                rows: [row; 2],
                lists: [PoolLists::default(); 2],
                job: JobRow { model: MODEL, prompt_tokens: 10, output_tokens: 10, ..JobRow::UNNAMED },
                prefer: Vec::new(),
                session: None,
                policy: Policy::default(),
            }
        }

        fn look(&self) -> Found {
            let hints = Hints { prefer: &self.prefer, ..Hints::default() };
            let query = JobQuery { row: &self.job, hints, session: self.session };
            let table = PoolTable {
                rows: &self.rows,
                lists: &self.lists,
                residents: &[MODEL],
                warm: &[WarmRow { session: SESSION, cached_tokens: 5 }],
                ..PoolTable::default()
            };
            let scorer = Scorer::new(&query, &self.policy);
            let pools = [0, 1].map(|rank| table.pool(rank).unwrap());
            let keys = pools.map(|pool| scorer.key_of_feasible(&pool, pool.is_resident(MODEL)));
            let leader = scorer.leader(keys[0]);
            Found {
                keys,
                least_words: pools.map(|pool| scorer.least_key(&pool).first_word()),
                second_is_late: scorer.is_late(&pools[1], &leader),
                second_key: scorer.key_of_candidate(&pools[1], Some(&leader)),
            }
        }
    }

    /// Whether the second of two pools that differ as `change` says has lost to the first by its row.
    fn has_lost(change: impl FnOnce(&mut World)) -> bool {
        let mut world = World::of_twins();
        change(&mut world);
        let found = world.look();
        found.second_is_late || found.second_key.is_none()
    }

    // KEY-2, KEY-4: a later bucket or more leases lose, the same do not: VRAM, rate and rank are still to be compared.
    #[test]
    fn a_pool_loses_by_more_and_not_by_the_same() {
        assert!(!has_lost(|_| ()));
        // 120,000 µs end in the bucket from 119,808 to 120,831.
        assert!(!has_lost(|world| world.rows[1].first_token_us += 831));
        assert!(has_lost(|world| world.rows[1].first_token_us += 832));
        assert!(!has_lost(|world| world.rows[0].first_token_us += 831));
        assert!(has_lost(|world| world.rows[1].slots_free -= 1));
        assert!(!has_lost(|world| world.rows[0].slots_free -= 1));
        assert!(has_lost(|world| world.rows[1].prefill_q10 = 100 << 10));
    }

    // KEY-1: no end is early enough without preference, none too late with it.
    #[test]
    fn preferred_pools_lose_to_preferred_ones_only() {
        let prefer = |world: &mut World, rank: u32| {
            world.job.flags.set(JobFlags::PREFER, true);
            world.prefer.push(RankRange { start: rank, end: rank + 1 });
        };
        assert!(has_lost(|world| {
            prefer(world, 0);
            world.rows[1].first_token_us = 0;
        }));
        assert!(!has_lost(|world| {
            prefer(world, 1);
            world.rows[1].first_token_us = TIME_MAX_US;
        }));
        let both = |world: &mut World| (0..2).for_each(|rank| prefer(world, rank));
        assert!(!has_lost(both));
        assert!(has_lost(|world| {
            both(world);
            world.rows[1].first_token_us += 1024;
        }));
    }

    // SCORE-1, SCORE-3: what only lists and the session table can tell counts in the pool's favour.
    #[test]
    fn a_pool_that_may_be_warm_or_resident_has_not_lost() {
        let load = |world: &mut World, flags| {
            world.rows[1].model_load_us = 1_000_000;
            world.rows[1].prefill_q10 = 1000 << 10;
            world.rows[1].flags = flags;
            world.job.session = SESSION;
        };
        assert!(has_lost(|world| load(world, PoolFlags::EMPTY)));
        assert!(has_lost(|world| load(world, PoolFlags::RESIDENCY_PUBLISHED)));
        assert!(!has_lost(|world| load(world, PoolFlags::WARM_SESSIONS)));
        let entry = |pool| Some(SessionEntry { pool, cached_tokens: 1 });
        assert!(!has_lost(|world| {
            load(world, PoolFlags::EMPTY);
            world.session = entry(1);
        }));
        assert!(has_lost(|world| {
            load(world, PoolFlags::EMPTY);
            world.session = entry(0);
        }));
        assert!(has_lost(|world| {
            load(world, PoolFlags::WARM_SESSIONS);
            world.job.flags.set(JobFlags::COLD, true);
        }));
        assert!(!has_lost(|world| {
            load(world, PoolFlags::RESIDENCY_PUBLISHED);
            world.rows[1].prefill_q10 = 0;
        }));
    }

    // SCORE-2, SCORE-4: ends saturate below unknown ones, and unknown ends are alike.
    #[test]
    fn saturated_and_unknown_ends() {
        assert!(!has_lost(|world| {
            world.rows[0].first_token_us = TIME_MAX_US;
            world.rows[1].first_token_us = TIME_MAX_US;
            world.rows[1].admission_latency_us = TIME_MAX_US;
        }));
        assert!(has_lost(|world| world.rows[1].decode_q10 = 0));
        assert!(has_lost(|world| world.rows[1].first_token_us = PoolRow::FIRST_TOKEN_UNKNOWN));
        assert!(!has_lost(|world| world.rows.iter_mut().for_each(|row| row.decode_q10 = 0)));
        assert!(has_lost(|world| {
            world.rows.iter_mut().for_each(|row| row.decode_q10 = 0);
            world.rows[1].slots_free = 2;
        }));
        let policy = PolicySpec { default_tokens_per_s: Some(100.0), ..PolicySpec::default() }.validate().unwrap();
        assert!(!has_lost(|world| {
            world.rows[1].decode_q10 = 0;
            world.policy = policy;
        }));
    }

    fn any_row() -> impl Strategy<Value = PoolRow> {
        let time = || select(&[0, 1, 5_000, 20_000, 20_200, TIME_MAX_US][..]);
        let rate = || select(&[0, 1, 1000 << 10, 1001 << 10, u32::MAX][..]);
        let slots = select(&[(1, 1), (4, 3), (4, 1), (SLOTS_MAX, 1), (SLOTS_MAX, SLOTS_MAX)][..]);
        let first = prop_oneof![4 => time(), 1 => Just(PoolRow::FIRST_TOKEN_UNKNOWN)];
        let parts = (time(), first, time(), rate(), rate(), slots, select(&[0, 999, 1000, BYTES_MAX][..]), 0u8..4);
        parts.prop_map(|(admission, first, load, decode, prefill, (total, free), vram, published)| {
            let mut flags = PoolFlags::EMPTY;
            flags.set(PoolFlags::RESIDENCY_PUBLISHED, published & 1 != 0);
            flags.set(PoolFlags::WARM_SESSIONS, published & 2 != 0);
            PoolRow {
                vram_free_bytes: vram,
                first_token_us: first,
                admission_latency_us: admission,
                model_load_us: load,
                decode_q10: decode,
                prefill_q10: prefill,
                milli_tps: decode,
                slots_total: total,
                slots_free: free,
                flags,
                ..PoolRow::EMPTY
            }
        })
    }

    fn any_lists() -> impl Strategy<Value = PoolLists> {
        (0u32..2, 0u32..2).prop_map(|(residents, warm)| PoolLists {
            residents: Span { start: 0, len: residents },
            warm: Span { start: 0, len: warm },
            ..PoolLists::default()
        })
    }

    fn any_job() -> impl Strategy<Value = JobRow> {
        let tokens = || select(&[0, 1, 5, 10, 1000, TOKENS_MAX][..]);
        (tokens(), tokens(), any::<(bool, bool, bool)>()).prop_map(|(prompt, output, (has_session, cold, prefer))| {
            let mut flags = JobFlags::EMPTY;
            flags.set(JobFlags::COLD, cold);
            flags.set(JobFlags::PREFER, prefer);
            let session = if has_session { SESSION } else { NameId::NONE };
            let (prompt_tokens, output_tokens) = (prompt, output);
            JobRow { model: MODEL, prompt_tokens, output_tokens, session, flags, ..JobRow::UNNAMED }
        })
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        let weight = || select(&[0.0, 0.5, 1.0, 16.0][..]);
        let weights = (weight(), weight(), weight(), weight(), weight()).prop_map(
            |(admission, model_load, first_token, prefill, decode)| WeightsSpec {
                admission,
                model_load,
                first_token,
                prefill,
                decode,
            },
        );
        let of_decode_alone = select(&[0.0, 1.0 / 256.0, 0.03125, 0.5, 16.0][..])
            .prop_map(|decode| WeightsSpec { decode, ..WeightsSpec::default() });
        let weights = prop_oneof![2 => Just(WeightsSpec::default()), 2 => of_decode_alone, 1 => weights];
        let order = prop_oneof![3 => Just(Order::PredictedEnd), 1 => Just(Order::VramFirst)];
        let defaults = (select(&[None, Some(1.0), Some(1000.0)][..]), select(&[None, Some(0.0), Some(20.0)][..]));
        (order, select(&[0, 10, 24, 46][..]), prop::bool::weighted(0.9), defaults, weights).prop_map(
            |(order, quantum_shift, performance_aware, (rate, first), weights)| {
                let spec = PolicySpec { order, quantum_shift, performance_aware, weights, ..PolicySpec::default() };
                PolicySpec { default_tokens_per_s: rate, default_first_token_ms: first, ..spec }.validate().unwrap()
            },
        )
    }

    prop_compose! {
        fn any_world()(
            rows in [any_row(), any_row()],
            lists in [any_lists(), any_lists()],
            job in any_job(),
            preferred in 0u32..4,
            session in prop::option::of((0u32..3, select(&[0, 5, TOKENS_MAX][..]))),
            policy in any_policy(),
        ) -> World {
            let ranks = (0..2).filter(|rank| job.flags.has(JobFlags::PREFER) && preferred >> rank & 1 != 0);
            World {
                rows,
                lists,
                job,
                prefer: ranks.map(|rank| RankRange { start: rank, end: rank + 1 }).collect(),
                session: session.map(|(pool, cached_tokens)| SessionEntry { pool, cached_tokens }),
                policy,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        // KEY-1 to KEY-4, KEY-10: the bound is one, and a pool that has lost by its row would lose by its key. A key that
        // is not made anew is the pool's own.
        #[test]
        fn what_a_row_says_is_never_above_the_key(world in any_world()) {
            let found = world.look();
            for (least, key) in found.least_words.iter().zip(&found.keys) {
                prop_assert!(*least <= key.first_word());
            }
            match found.second_key {
                Some(key) => prop_assert_eq!(key, found.keys[1]),
                None => prop_assert!(found.keys[1].first_word() > found.keys[0].first_word()),
            }
        }

        // The guess of the end says nothing that the word would not say: it only says it sooner.
        #[test]
        fn a_late_pool_has_lost_by_its_word_too(world in any_world()) {
            let found = world.look();
            if found.second_is_late {
                prop_assert!(found.least_words[1] > found.keys[0].first_word());
            }
        }
    }
}
