//! The choice between processor and device, batch by batch: a device is worth its way only for many pairs.
//!
//! A device is opened when the first batch is large enough, so that small runs neither wait for a driver nor need one.
//! Where it cannot be opened, or fails, the processor answers that batch and all that follow.
//!
//! Invariant: the choice depends on the batch's size alone, and no answer depends on the choice.

use orchestrator_core::Shortlist;
use orchestrator_core::rows::JobQuery;

use super::backend::{Backend, BackendError, BackendName, World};
use super::choice::{BackendOptions, open};
use super::scalar::Scalar;

/// Batches of at least so many pairs of pool and job go to a device. An estimate, not measured on a GPU yet: vector units
/// need some milliseconds for so many, a device's transfers and launches well under one.
const DEVICE_PAIRS_MIN: usize = 1 << 24;

/// The processor for small batches, a device for large ones.
#[derive(Debug)]
pub(super) struct Auto {
    options: BackendOptions,
    processor: Box<dyn Backend>,
    device: Device,
    /// Who answered last.
    last: BackendName,
    /// How many batches each of them answered.
    processor_batches: u64,
    device_batches: u64,
}

#[derive(Debug)]
enum Device {
    /// No batch was large enough.
    NotNeeded,
    Open(Box<dyn Backend>),
    /// It is not used any more, and why.
    GivenUp(String),
}

impl Auto {
    pub(super) fn new(options: &BackendOptions) -> Self {
        let processor = open(BackendName::Simd, options).unwrap_or_else(|_| Box::new(Scalar));
        let last = processor.name();
        let device = Device::NotNeeded;
        Self { options: options.clone(), processor, device, last, processor_batches: 0, device_batches: 0 }
    }

    /// The device, opened if need be.
    fn device(&mut self) -> Option<&mut Box<dyn Backend>> {
        if matches!(self.device, Device::NotNeeded) {
            match open(BackendName::Cuda, &self.options) {
                Ok(device) => self.device = Device::Open(device),
                Err(why) => self.give_up(why.to_string()),
            }
        }
        match &mut self.device {
            Device::Open(device) => Some(device),
            Device::NotNeeded | Device::GivenUp(_) => None,
        }
    }

    fn give_up(&mut self, why: String) {
        tracing::warn!(%why, "no device: the processor decides");
        self.device = Device::GivenUp(why);
    }

    /// Whether the device answered.
    fn ask_device(&mut self, world: &World<'_>, jobs: &[JobQuery<'_>], lists: &mut [Shortlist]) -> bool {
        let Some(device) = self.device() else { return false };
        match device.shortlists(world, jobs, lists) {
            Ok(()) => true,
            Err(error) => {
                self.give_up(error.to_string());
                false
            }
        }
    }
}

impl Backend for Auto {
    /// Which one answered last.
    fn name(&self) -> BackendName {
        self.last
    }

    fn description(&self) -> String {
        let processor = self.processor.description();
        let Self { processor_batches, device_batches, .. } = self;
        match &self.device {
            Device::NotNeeded => processor,
            Device::GivenUp(why) if *device_batches == 0 => format!("{processor}; {why}"),
            Device::GivenUp(why) => format!("{processor}; {device_batches} batches on a device, until {why}"),
            Device::Open(device) => format!(
                "{device_batches} batches on {}, {processor_batches} small ones on {processor}",
                device.description()
            ),
        }
    }

    fn snapshot_changed(&mut self) {
        self.processor.snapshot_changed();
        if let Device::Open(device) = &mut self.device {
            device.snapshot_changed();
        }
    }

    fn pool_changed(&mut self, rank: u32) {
        self.processor.pool_changed(rank);
        if let Device::Open(device) = &mut self.device {
            device.pool_changed(rank);
        }
    }

    /// The device is one; the processor is all that is left.
    fn give_up_part(&mut self, why: &str) -> bool {
        if self.last != BackendName::Cuda {
            return false;
        }
        self.give_up(why.to_owned());
        // Its last batch is not its own any more.
        (self.last, self.device_batches) = (self.processor.name(), self.device_batches.saturating_sub(1));
        true
    }

    fn shortlists(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        let is_large = jobs.len().saturating_mul(world.table.len()) >= DEVICE_PAIRS_MIN;
        if is_large && self.ask_device(world, jobs, lists) {
            (self.last, self.device_batches) = (BackendName::Cuda, self.device_batches + 1);
            return Ok(());
        }
        (self.last, self.processor_batches) = (self.processor.name(), self.processor_batches + 1);
        self.processor.shortlists(world, jobs, lists)
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::{JobSpec, Policy, PoolSnapshot};

    use super::*;
    use crate::batch::cross_check::{CrossCheck, Guarded};
    use crate::batch::fake::{Fake, planted};
    use crate::fleet::FleetBuilder;

    /// A device that finds nothing, so that its answers show, or fails.
    fn fake(name: BackendName, fails: bool) -> Box<dyn Backend> {
        Fake::boxed(name, move |_, _, _| if fails { Err(planted(name)) } else { Ok(()) })
    }

    /// The feasible count of the last job of a batch of so many jobs on 4096 pools.
    fn ask(auto: &mut dyn Backend, jobs: usize) -> u32 {
        let mut builder = FleetBuilder::default();
        for line in 1..=4096 {
            let id = format!("pool-{line}");
            builder.add(line, &PoolSnapshot::new(&id, "vllm", 8, 8, 1 << 36, 1 << 36).validate().unwrap()).unwrap();
        }
        let (fleet, policy) = (builder.finish().fleet, Policy::default());
        let job = JobSpec::new("job", "vllm", "some/model").validate(&policy, None).unwrap().resolve(&fleet);
        let mut lists = vec![Shortlist::new(2); jobs];
        let world = World { table: fleet.table(), policy: &policy };
        auto.snapshot_changed();
        auto.shortlists(&world, &vec![job.query(None); jobs], &mut lists).unwrap();
        lists.last().map_or(0, Shortlist::feasible)
    }

    #[test]
    fn only_a_large_batch_goes_to_the_device() {
        let mut auto = Auto::new(&BackendOptions::threads(1));
        auto.device = Device::Open(fake(BackendName::Cuda, false));
        assert_eq!((ask(&mut auto, 10), auto.name()), (4096, BackendName::Simd));
        assert_eq!((ask(&mut auto, 4096), auto.name()), (0, BackendName::Cuda));
        assert!(auto.description().starts_with("1 batches on a fake, 1 small ones on "), "{}", auto.description());
    }

    #[test]
    fn a_device_that_fails_is_given_up_and_the_batch_is_answered() {
        let mut auto = Auto::new(&BackendOptions::threads(1));
        auto.device = Device::Open(fake(BackendName::Cuda, true));
        assert_eq!((ask(&mut auto, 4096), auto.name()), (4096, BackendName::Simd));
        assert!(auto.description().ends_with("; cuda: planted"), "{}", auto.description());
        assert!(matches!(auto.device, Device::GivenUp(_)));
    }

    #[test]
    fn a_device_that_answers_wrongly_is_given_up_and_the_processor_goes_on() {
        let mut auto = Auto::new(&BackendOptions::threads(1));
        auto.device = Device::Open(fake(BackendName::Cuda, false));
        let mut guarded = Guarded::new(Box::new(auto), CrossCheck::Full);
        assert_eq!(ask(&mut guarded, 4096), 4096);
        let incident = guarded.take_incident().expect("nothing is found where all pools are feasible");
        assert!(incident.to_string().starts_with("divergence: cuda: job 0 "), "{incident}");
        for _ in 0..2 {
            assert_eq!((guarded.name(), guarded.is_quarantined()), (BackendName::Simd, false));
            assert_eq!(ask(&mut guarded, 4096), 4096);
            assert_eq!(guarded.take_incident(), None);
        }
        let description = guarded.description();
        assert!(description.contains("; divergence: cuda: ") && !description.contains("batches on"), "{description}");
    }

    #[test]
    fn a_processor_that_answers_wrongly_leaves_the_oracle() {
        let mut auto = Auto::new(&BackendOptions::threads(1));
        auto.processor = fake(BackendName::Simd, false);
        let mut guarded = Guarded::new(Box::new(auto), CrossCheck::Full);
        assert_eq!(ask(&mut guarded, 10), 4096);
        assert_eq!((guarded.name(), guarded.is_quarantined()), (BackendName::Scalar, true));
    }
}
