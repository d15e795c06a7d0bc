//! Worlds from seeds: random ones with features that rules meet over, and planted ones for the edges of lanes and blocks.
//!
//! A world has the feature that is its turn, and each other one with a chance of a quarter, so that every feature also
//! meets every other. A planted world has equal pools, except where one must win.
//!
//! ```
//! use orchestrator_host::verify::Plan;
//!
//! let plan = Plan { seed: 7, cases: 2, pools: Some(65), jobs: None };
//! assert_eq!(plan.cases().next(), plan.cases().next());
//! assert!(plan.cases().all(|case| case.pools.len() == 65));
//! ```

mod features;
mod jobs;
mod planted;
mod policies;
mod pools;

use serde_json::Value;

use super::case::Case;
use crate::random::Random;
use features::Features;

/// Sizes at which lanes, blocks and tiles begin and end.
const EDGE_SIZES: [usize; 16] = [0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 192, 255];
/// The same, of fleets that are too large for every world.
const LARGE_SIZES: [usize; 4] = [513, 1023, 1024, 1025];
/// One world in so many is planted.
const PLANTED: u64 = 4;

/// Which worlds a run makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Where all numbers come from.
    pub seed: u64,
    /// How many worlds.
    pub cases: u64,
    /// Pools of every world; `None` is few in most worlds, and a thousand in some.
    pub pools: Option<usize>,
    /// Jobs of every world; `None` is a few.
    pub jobs: Option<usize>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 1, cases: 512, pools: None, jobs: None }
    }
}

impl Plan {
    /// The worlds, made one by one.
    pub fn cases(&self) -> impl Iterator<Item = Case> + use<> {
        let plan = *self;
        (0..plan.cases).map(move |world| plan.case(world))
    }

    fn case(&self, world: u64) -> Case {
        let mut random = Random::of(self.seed, world);
        if world % PLANTED == PLANTED - 1 {
            return planted::case(&mut random, world / PLANTED, self.pools, self.jobs);
        }
        let features = Features::of(&mut random, world);
        let size = self.pools.unwrap_or_else(|| size(&mut random));
        let job_count = self.jobs.unwrap_or(1 + *random.pick(&[0, 1, 6, 15, 23, 31]));
        let names = pools::Names::of(&mut random, features, size);
        Case {
            pools: (0..size).map(|place| pools::pool(&mut random, features, &names, place)).collect(),
            jobs: (0..job_count).map(|place| jobs::job(&mut random, features, &names, place)).collect(),
            policy: policies::policy(&mut random, features),
        }
    }
}

fn size(random: &mut Random) -> usize {
    match random.below(16) {
        0 => *random.pick(&LARGE_SIZES),
        1..6 => usize::try_from(random.below(200)).unwrap_or_default(),
        _ => *random.pick(&EDGE_SIZES),
    }
}

/// Sets a field of a row.
fn set(row: &mut Value, field: &str, value: impl Into<Value>) {
    row[field] = value.into();
}

#[cfg(test)]
mod tests {
    use super::{Case, Plan};

    /// A row that is refused compares nothing.
    #[test]
    fn every_row_makes_a_pool_or_a_job() {
        for case in (Plan { cases: 200, ..Plan::default() }).cases() {
            let setup = case.build().expect("a world");
            assert_eq!(setup.fleet.len(), case.pools.len(), "{:?}", case.pools);
            assert_eq!(setup.look_up().len(), case.jobs.len(), "{:?}", case.jobs);
        }
    }

    #[test]
    fn some_world_has_many_classes_and_every_seed_is_another_world() {
        let plan = Plan { cases: 48, ..Plan::default() };
        let classes = |case: Case| case.build().map_or(0, |setup| setup.fleet.class_count());
        assert!(plan.cases().map(classes).max() > Some(64));
        assert_ne!(plan.cases().next(), Plan { seed: 2, ..plan }.cases().next());
    }
}
