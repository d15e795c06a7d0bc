//! A doubly linked list through the slots of a table: whatever is in it leaves in O(1), from any place.
//!
//! An entry may stand in several lists at once (a waiting job: arrivals of its class, its
//! tenant's jobs, what a pass asked; a lease: those of its pool, of its state, of last reports), so the links
//! are found by the kind of list. Invariant: what a list links is in the table.

use core::marker::PhantomData;

pub(crate) use super::slot_number::NONE;
use super::slot_number::SlotNumber;

/// The neighbours in one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Links {
    previous: SlotNumber,
    next: SlotNumber,
}

impl Links {
    pub(crate) const OUT: Self = Self { previous: SlotNumber::NONE, next: SlotNumber::NONE };

    pub(crate) fn previous(self) -> u32 {
        self.previous.get()
    }

    pub(crate) fn next(self) -> u32 {
        self.next.get()
    }
}

/// Where a kind of list has its links in `S`.
pub(crate) trait Linked<S> {
    fn links(store: &S, at: u32) -> Option<&Links>;
    fn links_mut(store: &mut S, at: u32) -> Option<&mut Links>;
}

/// A list of one kind.
#[derive(Debug)]
pub(crate) struct List<K> {
    pub(crate) first: u32,
    pub(crate) last: u32,
    kind: PhantomData<K>,
}

impl<K> Clone for List<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for List<K> {}

impl<K> Default for List<K> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<K> List<K> {
    pub(crate) const EMPTY: Self = Self { first: NONE, last: NONE, kind: PhantomData };

    pub(crate) const fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub(crate) fn push_back<S>(&mut self, store: &mut S, at: u32)
    where
        K: Linked<S>,
    {
        self.insert_after(store, self.last, at);
    }

    /// Behind an entry; behind [`NONE`] is in front of all.
    pub(crate) fn insert_after<S>(&mut self, store: &mut S, previous: u32, at: u32)
    where
        K: Linked<S>,
    {
        let next = K::links(store, previous).map_or(self.first, |links| links.next());
        if let Some(links) = K::links_mut(store, at) {
            *links = Links { previous: previous.into(), next: next.into() };
        }
        match K::links_mut(store, previous) {
            Some(links) => links.next = at.into(),
            None => self.first = at,
        }
        match K::links_mut(store, next) {
            Some(links) => links.previous = at.into(),
            None => self.last = at,
        }
    }

    pub(crate) fn unlink<S>(&mut self, store: &mut S, at: u32)
    where
        K: Linked<S>,
    {
        let Some(&links) = K::links(store, at) else { return };
        let (previous, next) = (links.previous(), links.next());
        match K::links_mut(store, previous) {
            Some(links) => links.next = next.into(),
            None => self.first = next,
        }
        match K::links_mut(store, next) {
            Some(links) => links.previous = previous.into(),
            None => self.last = previous,
        }
    }
}

/// A list as rows keep it.
#[derive(Debug)]
pub(crate) struct KeptList<K> {
    first: SlotNumber,
    last: SlotNumber,
    kind: PhantomData<K>,
}

impl<K> Clone for KeptList<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for KeptList<K> {}

impl<K> KeptList<K> {
    pub(crate) const EMPTY: Self = Self { first: SlotNumber::NONE, last: SlotNumber::NONE, kind: PhantomData };

    pub(crate) fn get(self) -> List<K> {
        List { first: self.first.get(), last: self.last.get(), kind: PhantomData }
    }
}

impl<K> From<List<K>> for KeptList<K> {
    fn from(list: List<K>) -> Self {
        Self { first: list.first.into(), last: list.last.into(), kind: PhantomData }
    }
}

/// What precedes in a list.
pub(crate) fn previous<S, K: Linked<S>>(store: &S, at: u32) -> u32 {
    K::links(store, at).map_or(NONE, |links| links.previous())
}

/// What follows in a list.
pub(crate) fn next<S, K: Linked<S>>(store: &S, at: u32) -> u32 {
    K::links(store, at).map_or(NONE, |links| links.next())
}
