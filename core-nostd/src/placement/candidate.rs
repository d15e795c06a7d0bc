//! One pool against one job: its score, its key, and what the decision would say of it.

use super::bound::{Leader, LeastEnd};
use super::decision::Assignment;
use crate::limits::END_UNKNOWN_US;
use crate::policy::{Order, Policy, Weights};
use crate::rows::{JobFlags, JobQuery, JobRow, PoolFlags, PoolRef, PoolRow};
use crate::rule::devices::{choose, eligible, ids_of};
use crate::rule::feasibility::Checker;
use crate::rule::key::{Key, KeyParts};
use crate::rule::rejection::Rejection;
use crate::rule::score::{ScoreTerms, uncached_tokens};
use crate::values::device_mask::DeviceMask;
use crate::values::hash::spread_value;

/// A job and a policy, with what does not depend on the pool worked out once.
#[derive(Debug)]
pub(crate) struct Scorer<'a> {
    pub(crate) job: &'a JobQuery<'a>,
    pub(crate) policy: &'a Policy,
    checker: Checker<'a>,
    has_weights: bool,
    uses_warmth: bool,
    pub(super) least_end: LeastEnd,
}

impl<'a> Scorer<'a> {
    #[inline] // Made where it stays: it is large.
    pub(crate) fn new(job: &'a JobQuery<'a>, policy: &'a Policy) -> Self {
        let has_session = job.session.is_some() || job.row.session != crate::rows::NameId::NONE;
        let uses_warmth = has_session && !job.row.flags.has(JobFlags::COLD);
        Self {
            job,
            policy,
            checker: Checker::new(job, policy),
            has_weights: *policy.weights() != Weights::ONE,
            uses_warmth,
            least_end: LeastEnd::new(job, policy, uses_warmth),
        }
    }

    /// The first rule that the pool fails, or whether the job's model is resident.
    #[inline(always)] // Once per pool of every scan.
    pub(crate) fn check(&self, pool: &PoolRef<'_>) -> Result<bool, Rejection> {
        self.checker.check(pool)
    }

    /// See [`Checker::may_fit`].
    #[inline(always)] // Once per pool of every scan.
    pub(crate) fn may_fit(&self, pool: &PoolRef<'_>) -> bool {
        self.checker.may_fit(pool)
    }

    /// Whether the pool takes no job that differs from this one in tokens and VRAM only. See [`Checker::check_closed`].
    pub(super) fn is_closed(&self, pool: &PoolRef<'_>) -> bool {
        self.checker.check_closed(pool).is_err()
    }

    /// `key` as the smallest so far.
    pub(super) fn leader(&self, key: Key) -> Leader {
        self.least_end.leader(key)
    }

    /// Whether the pool ends too late to win against the leader, by a guess at its end. True only where its key is above.
    #[inline(always)] // Once per candidate of every scan.
    pub(super) fn is_late(&self, pool: &PoolRef<'_>, leader: &Leader) -> bool {
        self.least_end.of(pool) >= leader.late_us(self.checker.is_preferred(pool.rank))
    }

    /// The key that the pool would have with the model resident and, where it may be warm, the whole prompt cached: the
    /// first word of its own is never below. See [`super::bound`].
    #[inline(always)] // Once per candidate of every scan.
    pub(super) fn least_key(&self, pool: &PoolRef<'_>) -> Key {
        let cached_tokens = if self.may_be_warm(pool) { u32::MAX } else { 0 };
        self.key_of(&self.parts(pool, true, cached_tokens))
    }

    /// Whether [`Scorer::cached_tokens`] can be above 0.
    fn may_be_warm(&self, pool: &PoolRef<'_>) -> bool {
        let in_table = self.job.session.is_some_and(|entry| entry.pool == pool.rank);
        self.uses_warmth && (in_table || pool.row.flags.has(PoolFlags::WARM_SESSIONS))
    }

    /// The pool's key, or the first rule it fails.
    pub(crate) fn key(&self, pool: &PoolRef<'_>) -> Result<Key, Rejection> {
        let resident = self.check(pool)?;
        Ok(self.key_of_feasible(pool, resident))
    }

    /// The key of a pool that passed [`Scorer::may_fit`], if it is feasible and its row does not tell that the key is above
    /// the leader's.
    #[inline(never)] // Few candidates come so far, and the loop over all of them keeps its registers.
    pub(super) fn key_of_candidate(&self, pool: &PoolRef<'_>, leader: Option<&Leader>) -> Option<Key> {
        let least = self.least_key(pool);
        // Equal first words leave it to the others.
        if leader.is_some_and(|leader| least.first_word() > leader.key.first_word()) {
            return None;
        }
        let resident = self.checker.fits(pool)?;
        // Most pools have the model and are cold: their key has been made.
        Some(if resident && !self.may_be_warm(pool) { least } else { self.key_of_feasible(pool, resident) })
    }

    pub(super) fn key_of_feasible(&self, pool: &PoolRef<'_>, resident: bool) -> Key {
        self.key_of(&self.parts(pool, resident, self.cached_tokens(pool)))
    }

    #[inline(always)] // As above.
    fn key_of(&self, parts: &KeyParts) -> Key {
        match self.policy.order() {
            Order::PredictedEnd => Key::by_predicted_end(parts, self.policy.quantum_shift()),
            Order::VramFirst => Key::by_free_vram(parts),
        }
    }

    /// What the pool brings to the comparison.
    #[inline(always)] // Once per feasible pool of every scan.
    pub(crate) fn parts(&self, pool: &PoolRef<'_>, resident: bool, cached_tokens: u32) -> KeyParts {
        let PoolRow { vram_free_bytes, milli_tps, slots_total, slots_free, .. } = *pool.row;
        let job = self.job.row;
        let mut terms = self.terms(pool, resident);
        if self.has_weights {
            terms = terms.weighted(self.policy.weights());
        }
        KeyParts {
            preferred: self.checker.is_preferred(pool.rank),
            weighted_end_us: end_us(&terms, job, cached_tokens),
            warm: cached_tokens > 0,
            // Validation clamped slots_free, and a feasible pool has need <= free.
            active_leases: slots_total.saturating_sub(slots_free),
            slots_free,
            vram_free_bytes,
            residual_vram_bytes: vram_free_bytes.saturating_sub(job.need_bytes(resident)),
            milli_tps,
            spread: self.spread(pool),
            rank: pool.rank,
        }
    }

    /// The summands of the predicted end, without weights. SCORE-1, SCORE-4.
    #[inline(always)] // As above.
    pub(crate) fn terms(&self, pool: &PoolRef<'_>, resident: bool) -> ScoreTerms {
        ScoreTerms::of(pool.row, self.policy, resident)
    }

    /// Tokens that the pool holds warm for the job's session. SCORE-3.
    #[inline(always)] // As above.
    pub(crate) fn cached_tokens(&self, pool: &PoolRef<'_>) -> u32 {
        if !self.uses_warmth {
            return 0;
        }
        match self.job.session {
            Some(entry) if entry.pool == pool.rank => entry.cached_tokens,
            _ => pool.published_tokens(self.job.row.session),
        }
    }

    #[inline(always)] // As above.
    fn spread(&self, pool: &PoolRef<'_>) -> u32 {
        if self.policy.spread_seed().is_some() { spread_value(pool.spread_hash(), self.job.row.spread_hash) } else { 0 }
    }

    /// What the decision says of the winner.
    pub(crate) fn assignment(&self, pool: &PoolRef<'_>) -> Assignment {
        let job = self.job.row;
        let resident = pool.is_resident(job.model);
        let cached = self.cached_tokens(pool);
        let terms = self.terms(pool, resident);
        let end = end_us(&terms, job, cached);
        let end_us = (end != END_UNKNOWN_US).then_some(end);
        let has_deadline = job.deadline_us != JobRow::NO_DEADLINE;
        Assignment {
            rank: pool.rank,
            devices: self.split_devices(pool),
            start_us: terms.start_us(uncached_tokens(job.prompt_tokens, cached), job.output_tokens),
            end_us,
            warm: cached > 0,
            fallback: job.flags.has(JobFlags::PREFER) && !self.checker.is_preferred(pool.rank),
            on_time: end_us.filter(|_| has_deadline).map(|end| end <= job.deadline_us),
        }
    }

    /// The devices of a split; none without one. DEV-2.
    pub(crate) fn split_devices(&self, pool: &PoolRef<'_>) -> DeviceMask {
        let job = self.job.row;
        if job.split_degree == 0 {
            return DeviceMask::EMPTY;
        }
        let (class, devices) = (pool.class(), pool.devices());
        let chosen = choose(devices, eligible(class, devices, job), job.split_degree);
        ids_of(class.device_mask, &chosen)
    }
}

#[inline(always)] // As above.
fn end_us(terms: &ScoreTerms, job: &JobRow, cached_tokens: u32) -> u64 {
    terms.end_us(uncached_tokens(job.prompt_tokens, cached_tokens), job.output_tokens)
}
