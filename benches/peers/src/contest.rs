//! What everybody decides on.

use anyhow::Result;
use orchestrator_core::rows::{Hints, JobFlags, JobQuery, JobRow, NameId};
use orchestrator_core::{Policy, PolicySpec, ResolvedJob};
use orchestrator_host::batch::World;
use orchestrator_host::bench::{Size, world};
use orchestrator_host::fleet::Fleet;
use serde::Serialize;

use crate::open_world;

/// Which fleet and jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Those of `orchestrator bench`, so that its digests must come out here too: several models and engines, pools
    /// that are full, sessions, lists of pools.
    Mixed,
    /// Every pool can take every job.
    Open,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Mixed, Self::Open];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Open => "open",
        }
    }
}

/// A fleet, and jobs looked up in it.
pub(crate) struct Contest {
    fleet: Fleet,
    policy: Policy,
    exact_policy: Policy,
    jobs: Vec<ResolvedJob>,
}

impl Contest {
    pub(crate) fn new(kind: Kind, size: Size) -> Result<Self> {
        let policy = Policy::default();
        let exact_policy = PolicySpec { quantum_shift: 0, ..PolicySpec::default() }.validate()?;
        let fleet = match kind {
            Kind::Mixed => world::fleet(size.pools),
            Kind::Open => open_world::fleet(size.pools)?,
        };
        let jobs = match kind {
            Kind::Mixed => world::jobs(size.jobs, &fleet, &policy),
            Kind::Open => open_world::jobs(size.jobs, &fleet, &policy)?,
        };
        Ok(Self { fleet, policy, exact_policy, jobs })
    }

    pub(crate) fn world(&self) -> World<'_> {
        World { table: self.fleet.table(), policy: &self.policy }
    }

    /// The same, but ends count to the microsecond: then hardly two pools share the first word of a key.
    pub(crate) fn exact_world(&self) -> World<'_> {
        World { policy: &self.exact_policy, ..self.world() }
    }

    /// The jobs as they come: in the mixed world a third with sessions, a tenth with lists of pools.
    pub(crate) fn queries(&self) -> Vec<JobQuery<'_>> {
        self.jobs.iter().map(|job| job.query(None)).collect()
    }

    /// The same jobs without sessions and lists of pools: then columns alone say what each pool is to each job.
    pub(crate) fn plain_rows(&self) -> Vec<JobRow> {
        self.jobs.iter().map(|job| plain(*job.row())).collect()
    }
}

fn plain(mut row: JobRow) -> JobRow {
    row.session = NameId::NONE;
    for flag in [JobFlags::PIN, JobFlags::PREFER, JobFlags::NO_FALLBACK] {
        row.flags.set(flag, false);
    }
    row
}

/// A job without lists of pools.
pub(crate) fn plain_query(row: &JobRow) -> JobQuery<'_> {
    JobQuery { row, hints: Hints::default(), session: None }
}
