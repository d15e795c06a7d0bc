//! The fleet of a simulation: what pools say of themselves, and what their engines truly do.
//!
//! A pool's file row is what its scheduler sees. Its engine is as the row says, but for a factor of its own that nobody is
//! told: a fleet whose published rates were exact would make every prediction right.
//!
//! Invariant: the same rows and seed give the same engines.

use std::path::Path;

use orchestrator_core::rows::PoolRow;
use orchestrator_core::{FieldError, PoolSnapshot};

use super::engine::EngineSpec;
use super::residents::Residents;
use crate::input::{FleetFileError, FleetReader, PoolText, Warnings};
use crate::random::Random;
use crate::report::printable;

/// A pool that publishes no rate decodes 30 tokens a second.
const UNPUBLISHED_STEP_Q10: u64 = 1_024_000_000 / 30;
/// One that publishes no time to the first token takes 100 ms.
const UNPUBLISHED_FIRST_TOKEN_US: u64 = 100_000;

/// How engines differ from what their pools publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineModel {
    /// Rates and times are off by at most this, in 1/1000: below 1000.
    pub spread_permille: u64,
    /// By how much a step is longer when all slots decode than with one request alone, in 1/1000.
    pub contention_permille: u64,
    /// How fast steps are beside a prefill, in 1/1000: 1 to 1000.
    pub beside_prefill_permille: u64,
    /// Bytes of KV cache of a token.
    pub kv_bytes_per_token: u64,
}

impl Default for EngineModel {
    fn default() -> Self {
        // KV cache of Llama 3 8B: 32 layers, 8 heads of 128, keys and values, 2 bytes each.
        Self {
            spread_permille: 200,
            contention_permille: 600,
            beside_prefill_permille: 500,
            kv_bytes_per_token: 131_072,
        }
    }
}

/// A fleet that cannot be simulated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// The file as a whole cannot be used.
    #[error(transparent)]
    File(#[from] FleetFileError),
    /// A row cannot be used: a simulation of half a fleet says nothing about the whole.
    #[error("line {line}: {why}")]
    Row {
        /// The row's line.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// There is none.
    #[error("the fleet has no pools")]
    NoPools,
    /// Two rows are of one pool. POOL-1.
    #[error("line {line}: id: another row is `{}` with replica `{}` too", printable(id), printable(replica_id))]
    NamedTwice {
        /// The line of one of them.
        line: u64,
        /// Its id.
        id: String,
        /// And its replica's.
        replica_id: String,
    },
}

/// The rows of a fleet file, as text.
#[derive(Debug)]
pub struct FleetRows(Vec<(u64, String)>);

impl FleetRows {
    /// Reads all rows.
    ///
    /// # Errors
    /// A file that cannot be read, or a row that is no row.
    pub fn read(path: &Path, warnings: &mut Warnings) -> Result<Self, FleetError> {
        let mut reader = FleetReader::open(path)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row(warnings)? {
            let line = row.line;
            let text = row.text.map_err(|refused| FleetError::Row { line, why: refused.error.to_string() })?;
            rows.push((line, text.to_owned()));
        }
        Ok(Self(rows))
    }

    /// Pools by id, engine and slots, with nothing else of note, for tests.
    #[cfg(test)]
    pub(super) fn plain(pools: &[(&str, &str, u32)]) -> Self {
        let row = |&(id, engine, slots): &(&str, &str, u32)| {
            serde_json::json!({
                "id": id, "engine": engine, "slots_total": slots, "slots_free": slots,
                "vram_total_bytes": 9, "vram_free_bytes": 9,
            })
            .to_string()
        };
        Self((1..).zip(pools.iter().map(row)).collect())
    }
}

/// One pool.
#[derive(Debug)]
pub struct SimPool<'t> {
    text: PoolText<'t>,
    /// What it really is.
    pub spec: EngineSpec,
    /// Which of [`SimFleet::class_names`] it is of.
    pub class: u32,
}

impl SimPool<'_> {
    /// Lends what the pool publishes.
    pub fn with_snapshot<R>(&self, then: impl FnOnce(&PoolSnapshot<'_>) -> R) -> R {
        self.text.with_snapshot(then)
    }

    /// Id and replica.
    #[must_use]
    pub fn identity(&self) -> (&str, &str) {
        identity(&self.text)
    }

    /// The most tokens of a prompt and its answer that it takes: its limit, if it has one, and what its KV cache holds.
    #[must_use]
    pub fn context_tokens_max(&self) -> u64 {
        let published = self.with_snapshot(|pool| pool.supports.ctx_max);
        published.map_or(u64::MAX, |tokens| u64::try_from(tokens).unwrap_or(0)).min(self.spec.kv_tokens)
    }

    /// What its engine has loaded when it starts, of these models.
    #[must_use]
    pub fn residents(&self, models: &[String]) -> Residents {
        self.with_snapshot(|pool| match pool.resident_models {
            None => Residents::ALL,
            Some(names) => {
                let has = |model: &&String| names.contains(&model.as_str());
                let numbered = (0..).zip(models).filter(|(_, model)| has(model));
                Residents::starting_with(numbered.map(|(number, _)| number).collect())
            }
        })
    }

    /// Whether its engine serves a model.
    #[must_use]
    pub fn serves(&self, engine: &str, model: &str) -> bool {
        self.with_snapshot(|pool| {
            pool.engine.eq_ignore_ascii_case(engine)
                && pool.supports.models.is_none_or(|models| models.contains(&model))
        })
    }
}

/// All pools, in order of their identities.
#[derive(Debug)]
pub struct SimFleet<'t> {
    /// The pools: a pool's index is its rank.
    pub pools: Vec<SimPool<'t>>,
    /// Names of classes of pools: engine, slots, memory.
    pub class_names: Vec<String>,
    /// The model of their engines.
    pub model: EngineModel,
}

impl<'t> SimFleet<'t> {
    /// The engines behind the rows.
    ///
    /// # Errors
    /// A row that breaks a rule, two rows of one pool, or no row at all.
    pub fn new(
        rows: &'t FleetRows,
        model: EngineModel,
        seed: u64,
        warnings: &mut Warnings,
    ) -> Result<Self, FleetError> {
        let mut texts = Vec::with_capacity(rows.0.len());
        for (line, text) in &rows.0 {
            let refused = |why: String| FleetError::Row { line: *line, why };
            texts.push((*line, PoolText::read(text, warnings).map_err(|error| refused(error.error.to_string()))?));
        }
        texts.sort_by(|(_, one), (_, other)| identity(one).cmp(&identity(other)));
        if let Some(pair) = texts.windows(2).find(|pair| identity(&pair[0].1) == identity(&pair[1].1)) {
            let (line, (id, replica_id)) = (pair[1].0, identity(&pair[1].1));
            return Err(FleetError::NamedTwice { line, id: id.to_owned(), replica_id: replica_id.to_owned() });
        }
        let mut fleet = Self { pools: Vec::with_capacity(texts.len()), class_names: Vec::new(), model };
        for (number, (line, text)) in texts.into_iter().enumerate() {
            let refused = |error: FieldError| FleetError::Row { line, why: error.to_string() };
            let row = text.with_snapshot(|pool| pool.validate().map(|valid| *valid.row())).map_err(refused)?;
            let name = text.with_snapshot(class_name);
            let class = fleet.class(name);
            let spec = spec(&row, &model, &mut Random::of(seed, number as u64));
            fleet.pools.push(SimPool { text, spec, class });
        }
        if fleet.pools.is_empty() { Err(FleetError::NoPools) } else { Ok(fleet) }
    }

    fn class(&mut self, name: String) -> u32 {
        let known = self.class_names.iter().position(|own| *own == name);
        let class = known.unwrap_or_else(|| {
            self.class_names.push(name);
            self.class_names.len() - 1
        });
        // At most one for each pool.
        u32::try_from(class).unwrap_or(u32::MAX)
    }

    /// Slots of all pools of each class.
    #[must_use]
    pub fn slots_by_class(&self) -> Vec<u64> {
        let mut slots = vec![0; self.class_names.len()];
        for pool in &self.pools {
            slots[pool.class as usize] += u64::from(pool.spec.slots);
        }
        slots
    }

    /// The rank of a pool, which is likely this one: it is as long as no pool is missing where the rank was counted.
    pub(super) fn rank_of_likely(&self, rank: u32, id: &str, replica_id: &str) -> Option<u32> {
        let is_it = self.pools.get(rank as usize).is_some_and(|pool| pool.identity() == (id, replica_id));
        if is_it { Some(rank) } else { u32::try_from(self.rank_of(id, replica_id)?).ok() }
    }

    /// The rank of a pool.
    #[must_use]
    pub fn rank_of(&self, id: &str, replica_id: &str) -> Option<usize> {
        self.pools.binary_search_by(|pool| pool.identity().cmp(&(id, replica_id))).ok()
    }
}

fn identity<'p>(pool: &'p PoolText<'_>) -> (&'p str, &'p str) {
    (pool.id(), pool.replica_id())
}

fn class_name(pool: &PoolSnapshot<'_>) -> String {
    format!("{}, {} slots, {} GiB", pool.engine, pool.slots_total, pool.vram_total_bytes >> 30)
}

fn spec(row: &PoolRow, model: &EngineModel, random: &mut Random) -> EngineSpec {
    let spread = model.spread_permille.min(999);
    let mut off = |value: u64| value * (1000 - spread + random.below(2 * spread + 1)) / 1000;
    let first_token_us = if row.first_token_us == PoolRow::FIRST_TOKEN_UNKNOWN {
        UNPUBLISHED_FIRST_TOKEN_US
    } else {
        row.first_token_us
    };
    let step_q10 = if row.decode_q10 == 0 { UNPUBLISHED_STEP_Q10 } else { row.decode_q10.into() };
    // A published rate is that of an engine with half of its slots taken.
    let alone = |step_q10: u64| step_q10 * 2000 / (2000 + model.contention_permille);
    EngineSpec {
        slots: row.slots_total.into(),
        kv_tokens: row.vram_free_bytes / model.kv_bytes_per_token.max(1),
        first_token_us: off(first_token_us),
        prefill_q10: off(row.prefill_q10.into()),
        step_q10: alone(off(step_q10)),
        contention_permille: model.contention_permille,
        beside_prefill_permille: model.beside_prefill_permille,
        model_load_us: off(row.model_load_us),
    }
}
