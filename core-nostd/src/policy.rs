//! The knobs of a placement, checked once.
//!
//! [`PolicySpec`] is what a file or a caller says, in wire units; [`Policy`] is what the rules read. Rules: POLICY-1,
//! SCORE-5, HASH-3.
//!
//! ```
//! use orchestrator_core::{Order, PolicySpec};
//!
//! let policy = PolicySpec { order: Order::VramFirst, ..PolicySpec::default() }.validate().unwrap();
//! assert_eq!(policy.order(), Order::VramFirst);
//! assert_eq!(policy.stale_after_us(), 30_000_000);
//!
//! let error = PolicySpec { quantum_shift: 47, ..PolicySpec::default() }.validate().unwrap_err();
//! assert_eq!(error.field, "quantum_shift");
//! ```

use crate::error::{FieldError, Problem};
use crate::limits::{
    POOL_BACKLOG_MAX, QUANTUM_SHIFT_MAX, SESSION_CAPACITY_MAX, TIME_MAX_US, TOKENS_MAX, WEIGHT_256_ONE,
};
use crate::values::edge::{Rate, micros_from_millis, weight_256_from};
use crate::values::hash::ContentHasher;

/// Which order ranks the feasible pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Order {
    /// Earliest predicted end, then the tie-breakers: KEY-1 to KEY-9.
    #[default]
    PredictedEnd,
    /// Most free VRAM, then fewest active leases: KEY-10.
    VramFirst,
}

impl Order {
    /// All orders.
    pub const ALL: [Self; 2] = [Self::PredictedEnd, Self::VramFirst];

    /// The order's name in a policy file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PredictedEnd => "predicted-end",
            Self::VramFirst => "vram-first",
        }
    }
}

/// Weights of the score's terms, as a factor each: 0 to 16.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WeightsSpec {
    /// Of the admission latency.
    pub admission: f64,
    /// Of the model's load time.
    pub model_load: f64,
    /// Of the first-token time.
    pub first_token: f64,
    /// Of the prefill time.
    pub prefill: f64,
    /// Of the decode time.
    pub decode: f64,
}

impl Default for WeightsSpec {
    fn default() -> Self {
        Self { admission: 1.0, model_load: 1.0, first_token: 1.0, prefill: 1.0, decode: 1.0 }
    }
}

/// Weights of the score's terms, in 1/256. SCORE-5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Weights {
    /// Of the admission latency.
    pub admission: u16,
    /// Of the model's load time.
    pub model_load: u16,
    /// Of the first-token time.
    pub first_token: u16,
    /// Of the prefill time.
    pub prefill: u16,
    /// Of the decode time.
    pub decode: u16,
}

impl Weights {
    /// Every term counts as it is.
    pub const ONE: Self = Self {
        admission: WEIGHT_256_ONE,
        model_load: WEIGHT_256_ONE,
        first_token: WEIGHT_256_ONE,
        prefill: WEIGHT_256_ONE,
        decode: WEIGHT_256_ONE,
    };
}

/// A policy as a file or a caller says it.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PolicySpec {
    /// Which order ranks the pools.
    pub order: Order,
    /// Ends within the same 2^shift µs are equal: 0 to 46.
    pub quantum_shift: i64,
    /// Whether measured rates and times count at all.
    pub performance_aware: bool,
    /// Seed of the spread tie-break; `None` switches it off.
    pub spread_seed: Option<u64>,
    /// Output tokens of a job that says nothing about them.
    pub default_output_tokens: i64,
    /// Decode rate of a pool that publishes none, in tokens per second.
    pub default_tokens_per_s: Option<f64>,
    /// First-token time of a pool that publishes none, in milliseconds.
    pub default_first_token_ms: Option<f64>,
    /// Snapshots older than this are stale, in milliseconds.
    pub stale_after_ms: f64,
    /// Entries of the session table.
    pub session_capacity: i64,
    /// Jobs that may wait in a pool without free slots; 0 is off.
    pub pool_backlog: i64,
    /// Weights of the score's terms.
    pub weights: WeightsSpec,
}

impl Default for PolicySpec {
    fn default() -> Self {
        Self {
            order: Order::PredictedEnd,
            quantum_shift: 10,
            performance_aware: true,
            spread_seed: None,
            default_output_tokens: 256,
            default_tokens_per_s: None,
            default_first_token_ms: None,
            stale_after_ms: 30_000.0,
            session_capacity: 65_536,
            pool_backlog: 0,
            weights: WeightsSpec::default(),
        }
    }
}

impl PolicySpec {
    /// Checks every knob.
    ///
    /// # Errors
    /// The first knob outside its range.
    pub fn validate(&self) -> Result<Policy, FieldError> {
        let time = |field, ms| micros_from_millis(ms).map_err(|problem| FieldError::new(field, problem));
        let default_rate = self.default_tokens_per_s.map_or(Ok(Rate::UNKNOWN), |rate| {
            Rate::from_tokens_per_s(rate).map_err(|problem| FieldError::new("default_tokens_per_s", problem))
        })?;
        let quantum_shift = integer("quantum_shift", self.quantum_shift, u32::from(QUANTUM_SHIFT_MAX))?;
        Ok(Policy {
            order: self.order,
            // Bounded by QUANTUM_SHIFT_MAX.
            quantum_shift: u8::try_from(quantum_shift).unwrap_or(QUANTUM_SHIFT_MAX),
            performance_aware: self.performance_aware,
            spread_seed: self.spread_seed,
            default_output_tokens: integer("default_output_tokens", self.default_output_tokens, TOKENS_MAX)?,
            default_rate,
            default_first_token_us: self
                .default_first_token_ms
                .map(|ms| time("default_first_token_ms", ms))
                .transpose()?,
            stale_after_us: time("stale_after_ms", self.stale_after_ms)?,
            session_capacity: integer("session_capacity", self.session_capacity, SESSION_CAPACITY_MAX)?,
            // Bounded by POOL_BACKLOG_MAX.
            pool_backlog: u16::try_from(integer("pool_backlog", self.pool_backlog, POOL_BACKLOG_MAX.into())?)
                .unwrap_or(POOL_BACKLOG_MAX),
            weights: self.weights.validate()?,
        })
    }
}

impl WeightsSpec {
    fn validate(&self) -> Result<Weights, FieldError> {
        let weight = |field, factor| weight_256_from(factor).map_err(|problem| FieldError::new(field, problem));
        Ok(Weights {
            admission: weight("weights.admission", self.admission)?,
            model_load: weight("weights.model_load", self.model_load)?,
            first_token: weight("weights.first_token", self.first_token)?,
            prefill: weight("weights.prefill", self.prefill)?,
            decode: weight("weights.decode", self.decode)?,
        })
    }
}

fn integer(field: &'static str, value: i64, max: u32) -> Result<u32, FieldError> {
    let too_large = FieldError::new(field, Problem::TooLarge { max: max.into() });
    let unsigned = u64::try_from(value).map_err(|_| FieldError::new(field, Problem::Negative))?;
    u32::try_from(unsigned).ok().filter(|&value| value <= max).ok_or(too_large)
}

/// A policy inside every limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Policy {
    pub(crate) order: Order,
    pub(crate) quantum_shift: u8,
    pub(crate) performance_aware: bool,
    pub(crate) spread_seed: Option<u64>,
    pub(crate) default_output_tokens: u32,
    pub(crate) default_rate: Rate,
    pub(crate) default_first_token_us: Option<u64>,
    pub(crate) stale_after_us: u64,
    pub(crate) session_capacity: u32,
    pub(crate) pool_backlog: u16,
    pub(crate) weights: Weights,
}

impl Default for Policy {
    /// The defaults of POLICY-1.
    fn default() -> Self {
        Self {
            order: Order::PredictedEnd,
            quantum_shift: 10,
            performance_aware: true,
            spread_seed: None,
            default_output_tokens: 256,
            default_rate: Rate::UNKNOWN,
            default_first_token_us: None,
            stale_after_us: 30_000_000,
            session_capacity: 65_536,
            pool_backlog: 0,
            weights: Weights::ONE,
        }
    }
}

impl Policy {
    /// The same with another age limit of snapshots, in µs; none above the largest time. FEAS-19.
    ///
    /// Firmware that starts from [`Policy::default`] needs no check of floats for it.
    #[must_use]
    pub fn with_stale_after_us(self, stale_after_us: u64) -> Option<Self> {
        if stale_after_us > TIME_MAX_US { None } else { Some(Self { stale_after_us, ..self }) }
    }

    /// Which order ranks the pools.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.order
    }

    /// Ends within the same 2^shift µs are equal: 0 to 46.
    #[must_use]
    pub const fn quantum_shift(&self) -> u8 {
        self.quantum_shift
    }

    /// Whether measured rates and times count at all. SCORE-4.
    #[must_use]
    pub const fn performance_aware(&self) -> bool {
        self.performance_aware
    }

    /// Seed of the spread tie-break, if it is on. KEY-8. The order `vram-first` never spreads.
    #[must_use]
    pub const fn spread_seed(&self) -> Option<u64> {
        match self.order {
            Order::PredictedEnd => self.spread_seed,
            Order::VramFirst => None,
        }
    }

    /// Output tokens of a job that says nothing about them. JOB-1.
    #[must_use]
    pub const fn default_output_tokens(&self) -> u32 {
        self.default_output_tokens
    }

    /// Decode time per token of a pool that publishes no rate, in 1/1024 µs. SCORE-4.
    #[must_use]
    pub const fn default_decode_q10(&self) -> Option<u32> {
        if self.default_rate.q10 == 0 { None } else { Some(self.default_rate.q10) }
    }

    /// First-token time of a pool that publishes none, in µs. SCORE-4.
    #[must_use]
    pub const fn default_first_token_us(&self) -> Option<u64> {
        self.default_first_token_us
    }

    /// Snapshots older than this are stale, in µs. FEAS-19.
    #[must_use]
    pub const fn stale_after_us(&self) -> u64 {
        self.stale_after_us
    }

    /// Entries of the session table. COMMIT-5.
    #[must_use]
    pub const fn session_capacity(&self) -> u32 {
        self.session_capacity
    }

    /// Jobs that may wait in a pool without free slots; 0 is off. WAIT-1.
    #[must_use]
    pub const fn pool_backlog(&self) -> u16 {
        self.pool_backlog
    }

    /// Weights of the score's terms. SCORE-5.
    #[must_use]
    pub const fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The same, but that decode times count for so many times less, rounded; not for nothing where they counted. LEASE-8.
    ///
    /// 0 and 1 change nothing.
    #[must_use]
    pub(crate) fn with_decode_over(&self, divisor: u8) -> Self {
        let (weight, divisor) = (self.weights.decode, u16::from(divisor.max(1)));
        // At most 16 * 256 + 127.
        let lighter = weight.saturating_add(divisor >> 1).checked_div(divisor).unwrap_or(weight);
        Self { weights: Weights { decode: lighter.max(weight.min(1)), ..self.weights }, ..self.clone() }
    }

    /// The policy's hash: equal knobs, equal hash, on every machine. HASH-3.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        let Self {
            order,
            quantum_shift,
            performance_aware,
            spread_seed,
            default_output_tokens,
            default_rate,
            default_first_token_us,
            stale_after_us,
            session_capacity,
            pool_backlog,
            weights: Weights { admission, model_load, first_token, prefill, decode },
        } = self;
        let mut hasher = ContentHasher::new("policy");
        hasher.text(order.name());
        hasher.int(u64::from(*quantum_shift));
        hasher.byte(u8::from(*performance_aware));
        hasher.optional_int(*spread_seed);
        hasher.int(u64::from(*default_output_tokens));
        hasher.int(u64::from(default_rate.milli_tps));
        hasher.optional_int(*default_first_token_us);
        hasher.int(*stale_after_us);
        hasher.int(u64::from(*session_capacity));
        for weight in [admission, model_load, first_token, prefill, decode] {
            hasher.int(u64::from(*weight));
        }
        // Younger than the first hashes: they stand where it is off.
        if *pool_backlog > 0 {
            hasher.int(u64::from(*pool_backlog));
        }
        hasher.finish()
    }
}
