//! Several backends of one kind as one: each answers a share of a batch's jobs, all at the same time.
//!
//! A backend that fails is asked no more, and one of the others answers for it; only when all have failed the batch has no
//! answer. Whoever is asked keeps tables of the whole fleet, so that no share depends on another.
//!
//! Invariant: an answer does not depend on how a batch is shared.

use std::panic::resume_unwind;
use std::thread;

use orchestrator_core::Shortlist;
use orchestrator_core::rows::JobQuery;

use super::backend::{Backend, BackendError, BackendName, World};

/// Backends that share batches.
#[derive(Debug)]
pub(super) struct Several {
    backends: Vec<Box<dyn Backend>>,
    name: BackendName,
    /// Jobs of a share, at least: fewer are not worth another backend.
    share_min: usize,
    /// Why the last one that failed did.
    failure: Option<BackendError>,
}

/// Jobs, and where their lists go.
type Share<'s, 'j, 'q> = (&'j [JobQuery<'q>], &'s mut [Shortlist]);

impl Several {
    /// One of `backends`, which are all of this name, for every `share_min` jobs.
    pub(super) fn new(name: BackendName, backends: Vec<Box<dyn Backend>>, share_min: usize) -> Self {
        Self { backends, name, share_min: share_min.max(1), failure: None }
    }

    /// Has a batch answered in shares; returns those that are left without an answer. Whoever failed is gone.
    fn ask<'s, 'j, 'q>(&mut self, world: &World<'_>, (jobs, lists): Share<'s, 'j, 'q>) -> Vec<Share<'s, 'j, 'q>> {
        let shares = jobs.len().div_ceil(self.share_min).clamp(1, self.backends.len());
        let len = jobs.len().div_ceil(shares).max(1);
        let shares = jobs.chunks(len).zip(lists.chunks_mut(len));
        let answers = answers(&mut self.backends, world, shares);
        let mut unanswered = Vec::new();
        // From the last on, so that the places of the others stay.
        for (place, (answer, share)) in answers.into_iter().enumerate().rev() {
            if let Err(error) = answer {
                tracing::warn!(%error, "one of several backends is asked no more");
                self.backends.remove(place);
                self.failure = Some(error);
                unanswered.push(share);
            }
        }
        unanswered
    }

    /// Why nobody answers.
    fn failure(&self) -> BackendError {
        let none = || BackendError::Failed { backend: self.name, why: "there is none".to_owned() };
        self.failure.clone().unwrap_or_else(none)
    }
}

/// What the first backends say to a share each: the first on this thread, the others on threads of their own.
fn answers<'s, 'j, 'q>(
    backends: &mut [Box<dyn Backend>],
    world: &World<'_>,
    shares: impl Iterator<Item = Share<'s, 'j, 'q>>,
) -> Vec<(Result<(), BackendError>, Share<'s, 'j, 'q>)> {
    thread::scope(|scope| {
        let mut asked = backends
            .iter_mut()
            .zip(shares)
            .map(|(backend, (jobs, lists))| move || (backend.shortlists(world, jobs, lists), (jobs, lists)));
        let first = asked.next();
        let others: Vec<_> = asked.map(|ask| scope.spawn(ask)).collect();
        let first = first.map(|ask| ask());
        // A panic goes on where it would have without a thread.
        let others = others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        first.into_iter().chain(others).collect()
    })
}

impl Backend for Several {
    fn name(&self) -> BackendName {
        self.name
    }

    fn description(&self) -> String {
        let each: Vec<_> = self.backends.iter().map(|backend| backend.description()).collect();
        match &each[..] {
            [] => self.failure().to_string(),
            [one] => one.clone(),
            all => format!("{} at once: {}", all.len(), all.join("; ")),
        }
    }

    fn snapshot_changed(&mut self) {
        self.backends.iter_mut().for_each(|backend| backend.snapshot_changed());
    }

    fn pool_changed(&mut self, rank: u32) {
        self.backends.iter_mut().for_each(|backend| backend.pool_changed(rank));
    }

    fn shortlists(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        world.check(jobs, lists, self.name)?;
        let mut waiting: Vec<Share<'_, '_, '_>> = vec![(jobs, lists)];
        while let Some(share) = waiting.pop() {
            if self.backends.is_empty() {
                return Err(self.failure());
            }
            for (jobs, lists) in self.ask(world, share) {
                // What was written before a failure is no answer.
                lists.iter_mut().for_each(|list| *list = Shortlist::new(list.depth()));
                waiting.push((jobs, lists));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use orchestrator_core::{JobSpec, Policy, PoolSnapshot, ResolvedJob};
    use proptest::prelude::*;

    use super::*;
    use crate::batch::fake::{Fake, planted};
    use crate::batch::scalar::Scalar;
    use crate::fleet::FleetBuilder;

    /// The oracle, which fails at its `fails_at`-th call from 1 on, with answers that are wrong by then; `answered` counts
    /// jobs.
    fn own(fails_at: Option<usize>, answered: Arc<AtomicUsize>) -> Box<dyn Backend> {
        let mut calls = 0;
        Fake::boxed(BackendName::Cuda, move |world, jobs, lists| {
            calls += 1;
            Scalar.shortlists(world, jobs, lists)?;
            if Some(calls) == fails_at {
                lists.iter_mut().for_each(|list| list.count(7));
                return Err(planted(BackendName::Cuda));
            }
            answered.fetch_add(jobs.len(), Ordering::Relaxed);
            Ok(())
        })
    }

    fn several(fails_at: &[Option<usize>], share_min: usize) -> (Several, Vec<Arc<AtomicUsize>>) {
        let counts: Vec<_> = fails_at.iter().map(|_| Arc::new(AtomicUsize::new(0))).collect();
        let backends = fails_at.iter().zip(&counts).map(|(&at, count)| own(at, Arc::clone(count)));
        (Several::new(BackendName::Cuda, backends.collect(), share_min), counts)
    }

    /// Three pools, and as many jobs, of which each is feasible in one pool more than the one before, in turn.
    fn with_world(jobs: usize, check: impl FnOnce(&World<'_>, &[JobQuery<'_>])) {
        let mut builder = FleetBuilder::default();
        for (line, id) in (1..).zip(["a", "b", "c"]) {
            let pool = PoolSnapshot::new(id, "vllm", 8, 8, 1 << 36, i64::from(line as u8) << 20);
            builder.add(line, &pool.validate().unwrap()).unwrap();
        }
        let (fleet, policy) = (builder.finish().fleet, Policy::default());
        let resolved: Vec<ResolvedJob> = (0..jobs)
            .map(|number| {
                let mut job = JobSpec::new("job", "vllm", "some/model");
                job.est_kv_bytes = Some((number as i64 % 3) << 20 | 1);
                job.validate(&policy, None).unwrap().resolve(&fleet)
            })
            .collect();
        let queries: Vec<_> = resolved.iter().map(|job| job.query(None)).collect();
        check(&World { table: fleet.table(), policy: &policy }, &queries);
    }

    proptest! {
        /// However it is shared and whoever fails when, the answers are the oracle's as long as one backend is left.
        #[test]
        fn answers_are_the_oracles_while_one_is_left(
            fails_at in prop::collection::vec(prop::option::of(1..4usize), 1..5),
            sizes in prop::collection::vec(0..30usize, 1..6),
            share_min in 1..12usize,
        ) {
            let (mut own, _) = several(&fails_at, share_min);
            for size in sizes {
                with_world(size, |world, jobs| {
                    let mut expected = vec![Shortlist::new(2); size];
                    Scalar.shortlists(world, jobs, &mut expected).unwrap();
                    let mut found = vec![Shortlist::new(2); size];
                    match own.shortlists(world, jobs, &mut found) {
                        Ok(()) => assert_eq!(found, expected),
                        Err(error) => {
                            assert!(own.backends.is_empty() && fails_at.iter().all(Option::is_some), "{error}");
                            assert!(error.to_string().contains("planted"), "{error}");
                        }
                    }
                });
            }
            let never = fails_at.iter().filter(|at| at.is_none()).count();
            prop_assert!((never..=fails_at.len()).contains(&own.backends.len()));
        }
    }

    #[test]
    fn a_batch_is_shared_among_all() {
        let (mut own, counts) = several(&[None; 3], 4);
        let asked = |own: &mut Several, size: usize| {
            let before: Vec<_> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
            with_world(size, |world, jobs| own.shortlists(world, jobs, &mut vec![Shortlist::new(1); size]).unwrap());
            counts.iter().zip(before).map(|(count, before)| count.load(Ordering::Relaxed) - before).collect::<Vec<_>>()
        };
        assert_eq!(asked(&mut own, 12), [4, 4, 4]);
        assert_eq!(asked(&mut own, 100), [34, 34, 32]);
        // Too few for all.
        assert_eq!(asked(&mut own, 8), [4, 4, 0]);
        assert_eq!(asked(&mut own, 3), [3, 0, 0]);
        assert_eq!(own.description(), "3 at once: a fake; a fake; a fake");
    }

    #[test]
    fn one_that_failed_is_asked_no_more() {
        let (mut own, counts) = several(&[None, Some(1)], 1);
        for _ in 0..2 {
            with_world(10, |world, jobs| own.shortlists(world, jobs, &mut vec![Shortlist::new(1); 10]).unwrap());
        }
        assert_eq!(own.backends.len(), 1);
        assert_eq!(counts.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>(), [20, 0]);
    }
}
