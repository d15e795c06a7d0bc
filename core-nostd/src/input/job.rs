//! What a request asks for, and the check that turns it into facts.
//!
//! Fields, defaults and rules: `docs/spec.md` section 3, JOB-1 to JOB-7, UNIT-1 to UNIT-9.

use super::checks;
use crate::error::{FieldError, Problem};
use crate::kv::{KvLayout, ModelDims, est_kv_bytes};
use crate::limits::{BYTES_MAX, HINTS_MAX, SPLIT_DEGREE_MAX};
use crate::policy::Policy;
use crate::rows::{JobFlags, JobRow};
use crate::values::capability::ComputeCapability;
use crate::values::hash::spread_job_hash;

/// The class of service. It orders queues, and changes nothing in a placement. JOB-6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Priority {
    /// A person is waiting.
    Interactive,
    /// Nobody is.
    #[default]
    Batch,
}

/// Whether a warm KV cache may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KvHint {
    /// Prefer pools that hold the session's KV cache.
    #[default]
    Reuse,
    /// Treat every pool as cold.
    Cold,
}

/// How the placement hints are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PlacementMode {
    /// No pool is special.
    Auto,
    /// Only the pinned pool.
    Pin,
    /// The preferred pools first.
    Prefer,
}

/// One request: untrusted, borrowed, in wire units.
///
/// [`JobSpec::new`] sets what every job must say; every other field has the default of `docs/spec.md` section 3.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JobSpec<'a> {
    /// The job's id: 1 to 64 bytes.
    pub id: &'a str,
    /// The engine it needs, without regard to ASCII case.
    pub engine: &'a str,
    /// The model it needs.
    pub model_id: &'a str,
    /// Its class of service.
    pub priority: Priority,
    /// Tokens of the prompt: below 2^24.
    pub prompt_tokens: i64,
    /// Tokens it will probably produce.
    pub expected_tokens: Option<i64>,
    /// Tokens it may produce.
    pub max_tokens: Option<i64>,
    /// Context it needs, in tokens; absent means prompt plus output tokens.
    pub required_ctx: Option<i64>,
    /// KV cache it needs, in bytes; absent means estimated where the model's dimensions are known, else 0.
    pub est_kv_bytes: Option<i64>,
    /// The session it continues.
    pub session_id: Option<&'a str>,
    /// On whose behalf; a scheduler's concern. QUEUE-10.
    pub tenant_id: Option<&'a str>,
    /// Whether that session's warm KV cache may be used.
    pub kv_hint: KvHint,
    /// Deadline in milliseconds from now.
    pub deadline_ms: Option<f64>,
    /// What the model needs of a pool.
    pub requirements: ModelRequirements<'a>,
    /// What must stay the same for a reproducible stream.
    pub determinism: DeterminismSpec<'a>,
    /// Where the caller wants it.
    pub placement: PlacementHints<'a>,
    /// What it may cost; the scheduler's concern.
    pub budget: Budget,
}

/// What a model needs of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ModelRequirements<'a> {
    /// Bytes of VRAM for weights and workspace.
    pub min_vram_bytes: i64,
    /// Quantisation, without regard to ASCII case.
    pub quantization: Option<&'a str>,
    /// The least compute capability, as `"major.minor"`.
    pub min_compute_cap: Option<&'a str>,
    /// Device ids it may use, such as `"0,1"`.
    pub device_mask: Option<&'a str>,
    /// Extensions that must all be there.
    pub required_extensions: &'a [&'a str],
    /// Number of devices to split over.
    pub split_degree: Option<i64>,
}

/// The facts that a byte-exact stream depends on. ORCH-3045.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeterminismSpec<'a> {
    /// The sampling seed, passed on to the engine.
    pub seed: Option<i64>,
    /// The sampler profile it needs, exactly.
    pub sampler_profile_version: Option<&'a str>,
    /// The engine version it needs, exactly.
    pub engine_version: Option<&'a str>,
    /// The model digest it needs, exactly.
    pub model_digest: Option<&'a str>,
}

/// Where the caller wants the job. ORCH-3903.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PlacementHints<'a> {
    /// The mode; absent means the one that the lists imply.
    pub mode: Option<PlacementMode>,
    /// The only pool to use.
    pub pin_pool_id: Option<&'a str>,
    /// Pools to use first.
    pub prefer_pools: &'a [&'a str],
    /// Pools never to use.
    pub avoid_pools: &'a [&'a str],
    /// The pool's device ids must be exactly these.
    pub require_device_mask: Option<&'a str>,
    /// Whether other pools may serve when no preferred one can.
    pub allow_fallback: bool,
    /// Labels that the pool must have.
    pub require_labels: &'a [(&'a str, &'a str)],
}

impl Default for PlacementHints<'_> {
    fn default() -> Self {
        Self::AUTOMATIC
    }
}

impl PlacementHints<'_> {
    /// No hints.
    pub const AUTOMATIC: Self = Self {
        mode: None,
        pin_pool_id: None,
        prefer_pools: &[],
        avoid_pools: &[],
        require_device_mask: None,
        allow_fallback: true,
        require_labels: &[],
    };

    /// The mode that is meant. JOB-4.
    fn effective_mode(&self) -> Result<PlacementMode, Problem> {
        let pinned = self.pin_pool_id.is_some();
        let preferred = !self.prefer_pools.is_empty();
        let mode = self.mode.unwrap_or(match (pinned, preferred) {
            (true, _) => PlacementMode::Pin,
            (false, true) => PlacementMode::Prefer,
            (false, false) => PlacementMode::Auto,
        });
        let why = match mode {
            PlacementMode::Pin if !pinned => "mode pin needs pin_pool_id",
            PlacementMode::Pin if preferred => "mode pin does not go with prefer_pools",
            PlacementMode::Prefer if !preferred => "mode prefer needs prefer_pools",
            PlacementMode::Prefer if pinned => "mode prefer does not go with pin_pool_id",
            PlacementMode::Auto if pinned => "mode auto does not go with pin_pool_id",
            PlacementMode::Auto if preferred => "mode auto does not go with prefer_pools",
            _ => return Ok(mode),
        };
        Err(Problem::Contradiction { why })
    }
}

/// Limits on what a job may use; `None` is unlimited. Checked here, enforced by a scheduler. JOB-6.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Budget {
    /// Tokens: below 2^48.
    pub tokens: Option<i64>,
    /// Time in milliseconds.
    pub time_ms: Option<f64>,
    /// Cost in millionths of the currency: below 2^48.
    pub cost_micros: Option<i64>,
}

/// A [`Budget`] in integer units, or what is left of one; `None` is unlimited, 0 is exhausted. BUDGET-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BudgetLimits {
    /// Tokens: below 2^48.
    pub tokens: Option<u64>,
    /// Time in µs: below 2^46.
    pub time_us: Option<u64>,
    /// Cost in millionths of the currency: below 2^48.
    pub cost_micros: Option<u64>,
}

impl Budget {
    fn limits(&self) -> Result<BudgetLimits, FieldError> {
        let Self { tokens, time_ms, cost_micros } = *self;
        let counted =
            |field, value: Option<i64>| value.map(|value| checks::bounded(field, value, BYTES_MAX)).transpose();
        Ok(BudgetLimits {
            tokens: counted("budget.tokens", tokens)?,
            time_us: time_ms.map(|ms| checks::time("budget.time_ms", ms)).transpose()?,
            cost_micros: counted("budget.cost_micros", cost_micros)?,
        })
    }
}

impl<'a> JobSpec<'a> {
    /// A job with the required fields; every other field has its default.
    #[must_use]
    pub const fn new(id: &'a str, engine: &'a str, model_id: &'a str) -> Self {
        Self {
            id,
            engine,
            model_id,
            priority: Priority::Batch,
            prompt_tokens: 0,
            expected_tokens: None,
            max_tokens: None,
            required_ctx: None,
            est_kv_bytes: None,
            session_id: None,
            tenant_id: None,
            kv_hint: KvHint::Reuse,
            deadline_ms: None,
            requirements: ModelRequirements {
                min_vram_bytes: 0,
                quantization: None,
                min_compute_cap: None,
                device_mask: None,
                required_extensions: &[],
                split_degree: None,
            },
            determinism: DeterminismSpec {
                seed: None,
                sampler_profile_version: None,
                engine_version: None,
                model_digest: None,
            },
            placement: PlacementHints::AUTOMATIC,
            budget: Budget { tokens: None, time_ms: None, cost_micros: None },
        }
    }

    /// Checks every field against its limit, and derives what it leaves open.
    ///
    /// `policy` gives the default for output tokens and the spread seed, so the same policy must decide; `dims`, where
    /// the model's dimensions are known, the KV estimate. O(list entries).
    ///
    /// # Errors
    /// A field that breaks a rule of UNIT-1 to UNIT-9 or JOB-1 to JOB-4.
    pub fn validate(&self, policy: &Policy, dims: Option<(&ModelDims, KvLayout)>) -> Result<ValidJob<'a>, FieldError> {
        self.check_texts()?;
        let budget = self.budget.limits()?;
        let mode = self.placement.effective_mode().map_err(|problem| FieldError::new("placement.mode", problem))?;
        self.check_hints()?;
        let facts = self.numeric_facts(policy, dims)?;
        Ok(ValidJob { spec: *self, facts, mode, budget })
    }

    fn check_texts(&self) -> Result<(), FieldError> {
        checks::id("id", self.id)?;
        checks::name("engine", self.engine)?;
        checks::name("model_id", self.model_id)?;
        if let Some(session) = self.session_id {
            checks::id("session_id", session)?;
        }
        if let Some(tenant) = self.tenant_id {
            checks::id("tenant_id", tenant)?;
        }
        checks::optional_name("requirements.quantization", self.requirements.quantization)?;
        checks::names("requirements.required_extensions", self.requirements.required_extensions)?;
        let tuple = &self.determinism;
        checks::optional_name("determinism.sampler_profile_version", tuple.sampler_profile_version)?;
        checks::optional_name("determinism.engine_version", tuple.engine_version)?;
        checks::optional_name("determinism.model_digest", tuple.model_digest)
    }

    fn check_hints(&self) -> Result<(), FieldError> {
        let hints = &self.placement;
        if let Some(pin) = hints.pin_pool_id {
            checks::id("placement.pin_pool_id", pin)?;
        }
        for (field, list) in
            [("placement.prefer_pools", hints.prefer_pools), ("placement.avoid_pools", hints.avoid_pools)]
        {
            checks::at_most(field, list, HINTS_MAX)?;
            list.iter().try_for_each(|id| checks::id(field, id))?;
        }
        checks::labels("placement.require_labels", hints.require_labels, HINTS_MAX)
    }

    fn numeric_facts(&self, policy: &Policy, dims: Option<(&ModelDims, KvLayout)>) -> Result<JobRow, FieldError> {
        let requirements = &self.requirements;
        let min_capability = checks::capability("requirements.min_compute_cap", requirements.min_compute_cap)?;
        let prompt_tokens = checks::tokens("prompt_tokens", self.prompt_tokens)?;
        let output_tokens = self.output_tokens(policy)?;
        let asked_ctx = self.required_ctx.map(|ctx| checks::tokens("required_ctx", ctx)).transpose()?;
        // Both are below 2^24.
        let context_tokens = asked_ctx.unwrap_or(prompt_tokens.saturating_add(output_tokens));

        let mut flags = JobFlags::EMPTY;
        flags.set(JobFlags::CONTEXT_GIVEN, asked_ctx.is_some());
        flags.set(JobFlags::MIN_CAPABILITY, min_capability.is_some());
        flags.set(JobFlags::COLD, matches!(self.kv_hint, KvHint::Cold));
        Ok(JobRow {
            est_kv_bytes: self.kv_bytes(dims, context_tokens)?,
            min_vram_bytes: checks::bytes("requirements.min_vram_bytes", requirements.min_vram_bytes)?,
            device_mask: checks::mask("requirements.device_mask", requirements.device_mask)?,
            require_device_mask: checks::mask("placement.require_device_mask", self.placement.require_device_mask)?,
            deadline_us: self.deadline_ms.map_or(Ok(JobRow::NO_DEADLINE), |ms| checks::time("deadline_ms", ms))?,
            spread_hash: policy.spread_seed().map_or(0, |seed| spread_job_hash(seed, self.id)),
            prompt_tokens,
            output_tokens,
            context_tokens,
            min_capability: min_capability.unwrap_or(ComputeCapability::from_value(0)),
            pool_backlog: if policy.performance_aware() { policy.pool_backlog() } else { 0 },
            split_degree: self.split_degree()?,
            flags,
            ..JobRow::UNNAMED
        })
    }

    /// JOB-1.
    fn output_tokens(&self, policy: &Policy) -> Result<u32, FieldError> {
        let expected = self.expected_tokens.map(|count| checks::tokens("expected_tokens", count)).transpose()?;
        let max = self.max_tokens.map(|count| checks::tokens("max_tokens", count)).transpose()?;
        Ok(match (expected, max) {
            (Some(expected), Some(max)) => expected.min(max),
            (Some(count), None) | (None, Some(count)) => count,
            (None, None) => policy.default_output_tokens(),
        })
    }

    /// JOB-3.
    fn kv_bytes(&self, dims: Option<(&ModelDims, KvLayout)>, context_tokens: u32) -> Result<u64, FieldError> {
        match (self.est_kv_bytes, dims) {
            (Some(given), _) => checks::bytes("est_kv_bytes", given),
            (None, Some((dims, layout))) => {
                est_kv_bytes(dims, layout, context_tokens).map_err(|problem| FieldError::new("est_kv_bytes", problem))
            }
            (None, None) => Ok(0),
        }
    }

    /// The degree, or 0 without a split. UNIT-7.
    fn split_degree(&self) -> Result<u8, FieldError> {
        let field = "requirements.split.degree";
        let Some(degree) = self.requirements.split_degree else {
            return Ok(0);
        };
        let checked = checks::bounded(field, degree, u64::from(SPLIT_DEGREE_MAX))?;
        match u8::try_from(checked) {
            Ok(0) | Err(_) => Err(FieldError::new(field, Problem::Malformed { expected: "a degree of 1 to 16" })),
            Ok(degree) => Ok(degree),
        }
    }
}

/// A job inside every limit, its names not yet looked up in a fleet.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ValidJob<'a> {
    spec: JobSpec<'a>,
    facts: JobRow,
    mode: PlacementMode,
    budget: BudgetLimits,
}

impl<'a> ValidJob<'a> {
    /// The texts and lists as they came, each inside its limit.
    #[must_use]
    pub const fn spec(&self) -> &JobSpec<'a> {
        &self.spec
    }

    /// The numbers, bounded and in integer units; names are still unset.
    #[must_use]
    pub const fn facts(&self) -> &JobRow {
        &self.facts
    }

    /// How the placement hints are meant. JOB-4.
    #[must_use]
    pub const fn mode(&self) -> PlacementMode {
        self.mode
    }

    /// What it may cost, in integer units; the scheduler's concern. JOB-6, BUDGET-1.
    #[must_use]
    pub const fn budget(&self) -> BudgetLimits {
        self.budget
    }
}
