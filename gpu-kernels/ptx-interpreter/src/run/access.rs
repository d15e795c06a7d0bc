//! Loads, stores and atomics of a thread, in whatever state space they land.

use super::Step;
use super::context::Context;
use super::thread::Thread;
use crate::fault::{FaultKind, MemorySpace};
use crate::memory::region::Refusal;
use crate::memory::shared::SharedRefusal;
use crate::memory::windows::resolve;
use crate::program::{Address, AtomicAccess, Load, Space, Store, Strength};
use crate::value::{arithmetic, convert};

/// Bytes of a state space that an access is about.
#[derive(Debug, Clone, Copy)]
struct Target {
    space: MemorySpace,
    address: u64,
    bytes: usize,
}

impl Target {
    /// The element that many places further on.
    fn element(self, index: usize) -> Self {
        Self { address: self.address + (index * self.bytes) as u64, ..self }
    }

    #[cold]
    fn refused(self, refusal: Refusal) -> Box<FaultKind> {
        let Self { space, address, bytes } = self;
        Box::new(match refusal {
            Refusal::Stray => FaultKind::Stray { space, address, bytes },
            Refusal::Unwritten => FaultKind::Unwritten { space, address, bytes },
            Refusal::Fresh => FaultKind::NonCoherent { address, bytes },
        })
    }

    #[cold]
    fn refused_shared(self, refusal: SharedRefusal) -> Box<FaultKind> {
        match refusal {
            SharedRefusal::Memory(refusal) => self.refused(refusal),
            SharedRefusal::Race { other } => {
                Box::new(FaultKind::Race { address: self.address, bytes: self.bytes, other })
            }
        }
    }
}

impl Thread {
    /// Where an access lands; its address must be a multiple of its whole size.
    fn target(
        &self,
        space: Space,
        address: &Address,
        bytes: usize,
        count: usize,
        context: &Context<'_>,
    ) -> Step<Target> {
        let given = self.read(address.base, context)?.wrapping_add(address.offset);
        let (space, address) = if space == Space::Generic { resolve(given) } else { (space, given) };
        let space = match space {
            Space::Generic | Space::Global => MemorySpace::Global,
            Space::Shared => MemorySpace::Shared,
            Space::Local => MemorySpace::Local,
            Space::Const => MemorySpace::Const,
            Space::Param => MemorySpace::Param,
        };
        let whole = bytes * count;
        if address % whole as u64 != 0 {
            return Err(Box::new(FaultKind::Misaligned { space, address, bytes: whole }));
        }
        Ok(Target { space, address, bytes })
    }

    pub(super) fn load(&mut self, load: &Load, context: &mut Context<'_>) -> Step<()> {
        let count = load.into.len();
        let target = self.target(load.space, &load.address, load.kind.width.bytes(), count, context)?;
        for (index, into) in load.into.iter().enumerate() {
            let value = self.load_one(target.element(index), load.strength, load.non_coherent, context)?;
            if let Some((register, width)) = into {
                self.set(*register, convert::extend(load.kind, value, *width));
            }
        }
        context.tally.global_loads += u64::from(target.space == MemorySpace::Global);
        Ok(())
    }

    fn load_one(&self, target: Target, strength: Strength, non_coherent: bool, context: &mut Context<'_>) -> Step<u64> {
        let Target { space, address, bytes } = target;
        let loaded = match space {
            MemorySpace::Global if non_coherent => context.memory.load_settled(address, bytes),
            MemorySpace::Global => context.memory.load(address, bytes),
            MemorySpace::Shared => {
                let loaded = context.shared.load(address, bytes, self.moment(), strength);
                return loaded.map_err(|refusal| target.refused_shared(refusal));
            }
            MemorySpace::Local => self.local.load(address, bytes),
            MemorySpace::Const => context.constants.load(address, bytes),
            MemorySpace::Param => self.params().load(address, bytes),
        };
        loaded.map_err(|refusal| target.refused(refusal))
    }

    pub(super) fn store(&mut self, store: &Store, context: &mut Context<'_>) -> Step<()> {
        let target = self.target(store.space, &store.address, store.width.bytes(), store.from.len(), context)?;
        for (index, from) in store.from.iter().enumerate() {
            let value = self.read(*from, context)? & store.width.mask();
            self.store_one(target.element(index), value, store.strength, context)?;
        }
        context.tally.global_stores += u64::from(target.space == MemorySpace::Global);
        Ok(())
    }

    fn store_one(&mut self, target: Target, value: u64, strength: Strength, context: &mut Context<'_>) -> Step<()> {
        let Target { space, address, bytes } = target;
        let stored = match space {
            MemorySpace::Global => context.memory.store(address, bytes, value),
            MemorySpace::Shared => {
                let stored = context.shared.store(address, bytes, value, self.moment(), strength);
                return stored.map_err(|refusal| target.refused_shared(refusal));
            }
            MemorySpace::Local => self.local.store(address, bytes, value),
            MemorySpace::Const => return Err(Box::new(FaultKind::ReadOnly(space))),
            MemorySpace::Param => self.params_mut().store(address, bytes, value),
        };
        stored.map_err(|refusal| target.refused(refusal))
    }

    pub(super) fn atomic(&mut self, access: &AtomicAccess, context: &mut Context<'_>) -> Step<()> {
        let target = self.target(access.space, &access.address, access.kind.width.bytes(), 1, context)?;
        if !matches!(target.space, MemorySpace::Global | MemorySpace::Shared) {
            return Err(target.refused(Refusal::Stray));
        }
        let operand = self.read(access.operand, context)?;
        let swap = access.swap.map_or(Ok(0), |swap| self.read(swap, context))?;
        let old = self.load_one(target, Strength::Strong, false, context)?;
        let new = arithmetic::atomic(access.operation, access.kind, old, operand, swap);
        self.store_one(target, new, Strength::Strong, context)?;
        if let Some(into) = access.into {
            self.set(into, old);
        }
        context.tally.global_atomics += u64::from(target.space == MemorySpace::Global);
        Ok(())
    }
}
