//! A case as rows of files, and the fleet and jobs that the readers of those files make of it.
//!
//! Rows instead of snapshots: a case that was written to files and read back cannot differ from the one that was run.

use std::path::Path;

use orchestrator_core::rows::SessionEntry;
use orchestrator_core::{JobSpec, Policy, ResolvedJob};
use serde_json::Value;

use crate::fleet::{Fleet, FleetBuilder, FleetLimit, Sessions};
use crate::input::{PolicyFileError, PoolText, Warnings, parse_policy, read_job};

/// A world: rows of a fleet file, lines of a job file, lines of a policy file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Case {
    /// The pools; rows that break a rule make no pool.
    pub pools: Vec<Value>,
    /// The jobs; lines that break a rule make no job.
    pub jobs: Vec<Value>,
    /// The policy; without lines the defaults stand.
    pub policy: Vec<String>,
}

/// A case that makes no world.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Its policy.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// Its fleet.
    #[error(transparent)]
    Fleet(#[from] FleetLimit),
}

/// What a case makes.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) fleet: Fleet,
    pub(super) policy: Policy,
    pub(super) sessions: Sessions,
    jobs: Vec<String>,
}

/// A job, looked up in the fleet as it is now.
pub(super) struct LookedUp {
    pub(super) job: ResolvedJob,
    pub(super) session_id: Option<String>,
    pub(super) session: Option<SessionEntry>,
    pub(super) model_id: String,
}

impl Case {
    pub(super) fn build(&self) -> Result<Setup, VerifyError> {
        let policy = self.read_policy()?;
        let mut builder = FleetBuilder::default();
        for (line, pool) in (1..).zip(&self.pools) {
            add_pool(&mut builder, line, &pool.to_string())?;
        }
        let mut fleet = builder.finish().fleet;
        fleet.prepare_for(&policy);
        let sessions = Sessions::with_capacity(policy.session_capacity() as usize);
        Ok(Setup { fleet, sessions, policy, jobs: self.jobs.iter().map(Value::to_string).collect() })
    }

    fn read_policy(&self) -> Result<Policy, PolicyFileError> {
        if self.policy.is_empty() {
            return Ok(Policy::default());
        }
        parse_policy(&self.policy.join("\n"), Path::new("policy.toml"))
    }
}

fn add_pool(builder: &mut FleetBuilder, line: u64, text: &str) -> Result<(), FleetLimit> {
    let pool = match PoolText::read(text, &mut Warnings::default()) {
        Ok(pool) => pool,
        Err(refused) => {
            // A refused row keeps others of its ids out too. POOL-1.
            refused.identity().map(|(id, replica_id)| builder.claim(id, replica_id));
            return Ok(());
        }
    };
    pool.with_snapshot(|snapshot| match snapshot.validate() {
        Ok(valid) => builder.add(line, &valid),
        Err(_) => {
            builder.claim(snapshot.id, snapshot.replica_id);
            Ok(())
        }
    })
}

impl Setup {
    /// Looks all jobs up: names that a commit made known are found from then on.
    pub(super) fn look_up(&self) -> Vec<LookedUp> {
        let read = |text: &String| read_job(text, &mut Warnings::default(), |spec| self.look_up_one(spec));
        self.jobs.iter().filter_map(|text| read(text).ok().flatten()).collect()
    }

    fn look_up_one(&self, spec: &JobSpec<'_>) -> Option<LookedUp> {
        Some(LookedUp {
            job: spec.validate(&self.policy, None).ok()?.resolve(&self.fleet),
            session_id: spec.session_id.map(str::to_owned),
            session: spec.session_id.and_then(|id| self.sessions.get(id)),
            model_id: spec.model_id.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Case;

    /// POOL-1: as `place` reads them, so that a case is the fleet that it shows.
    #[test]
    fn a_refused_row_keeps_others_of_its_ids_out() {
        let pool = |slots_free: i64| {
            json!({
                "id": "a", "engine": "vllm", "slots_total": 8, "slots_free": slots_free,
                "vram_total_bytes": 1u64 << 36, "vram_free_bytes": 1u64 << 36,
            })
        };
        let broken = json!({ "id": "a", "engine": 7 });
        let pools = |rows: &[serde_json::Value]| {
            let case = Case { pools: rows.to_vec(), ..Case::default() };
            case.build().expect("a world").fleet.len()
        };
        assert_eq!(pools(&[pool(8)]), 1);
        assert_eq!(pools(&[pool(8), pool(-1)]), 0, "a value that breaks a rule");
        assert_eq!(pools(&[pool(8), broken]), 0, "a row that cannot be read");
    }
}
