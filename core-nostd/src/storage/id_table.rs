//! A table of entries with unique ids: found by id in O(1) expected, by ticket in O(1), never by accident.
//!
//! Jobs, leases and sessions are told apart by ids that strangers choose. Whoever holds an entry for longer keeps its
//! [`Ticket`]: slot and generation, so that a ticket of an entry that left finds nothing, however often its slot was
//! used since (QUEUE-1).
//!
//! ```
//! use orchestrator_core::storage::{IdSlot, IdTable, InsertError};
//!
//! let (mut slots, mut buckets, mut ids) = ([const { IdSlot::EMPTY }; 2], [0; 2], [0; 2 * 8]);
//! let mut table = IdTable::new(&mut slots, &mut buckets, &mut ids);
//! let first = table.insert("a", 1).unwrap();
//! assert_eq!(table.insert("a", 2), Err(InsertError::Duplicate(first)));
//! assert_eq!(table.find("a"), Some(first));
//! assert_eq!(table.remove(first), Some(1));
//! let second = table.insert("b", 3).unwrap();
//! assert_eq!((table.get(first), table.get(second)), (None, Some(&3)));
//! // 8 bytes for each id: one is its length.
//! assert_eq!(table.insert("eight of", 4), Err(InsertError::BadId));
//! ```
//!
//! Invariants: every slot is either free, in the list of free slots, or used, in the chain of exactly one bucket; no two
//! used slots have one id; hash buckets speed the search up and never show in a result.

use core::mem::replace;

use super::buckets::{Buckets, END, Link};
use super::slot_number::{NONE, ROWS_MAX, SlotNumber};
use super::texts::Texts;
use crate::error::Problem;
use crate::limits::ID_BYTES_MAX;
use crate::values::hash::xxh64;
use crate::values::index::{index, position};
use crate::values::kept::Kept32;

/// One entry of an [`IdTable`], for as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ticket {
    slot: u32,
    generation: u32,
}

impl Ticket {
    /// The entry's slot: below the table's capacity, and no other entry's at the same time.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.slot
    }
}

/// A ticket or none, in as many bytes as a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct MaybeTicket {
    slot: SlotNumber,
    generation: Kept32,
}

impl MaybeTicket {
    pub(crate) fn get(self) -> Option<Ticket> {
        let ticket = Ticket { slot: self.slot.get(), generation: self.generation.get() };
        if ticket.slot == NONE { None } else { Some(ticket) }
    }
}

impl From<Option<Ticket>> for MaybeTicket {
    fn from(ticket: Option<Ticket>) -> Self {
        let Ticket { slot, generation } = ticket.unwrap_or(Ticket { slot: NONE, generation: 0 });
        Self { slot: slot.into(), generation: Kept32::new(generation) }
    }
}

/// Why an entry was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum InsertError {
    /// An entry has this id already.
    Duplicate(Ticket),
    /// Every slot is used.
    Full,
    /// The id is empty, or longer than the table [has room for](IdTable::id_room).
    BadId,
}

/// Storage for one entry.
#[derive(Debug, Clone)]
pub struct IdSlot<T> {
    generation: u32,
    /// The next slot in the same bucket, or the next free one: a [`Link`].
    next: SlotNumber,
    value: Option<T>,
}

impl<T> IdSlot<T> {
    /// An unused slot.
    pub const EMPTY: Self = Self { generation: 0, next: SlotNumber::ZERO, value: None };
}

/// Entries with unique ids over borrowed storage: slots, about as many hash buckets, of which with `small_tables` two fit in a
/// word, and an equal stretch of bytes for the id of each: one for its length, and at most 64.
#[derive(Debug)]
pub struct IdTable<'a, T> {
    slots: &'a mut [IdSlot<T>],
    buckets: Buckets<'a>,
    ids: Texts<'a>,
    free: Link,
    /// Slots from here on were never used.
    untouched: u32,
    len: u32,
    hash_seed: u64,
}

impl<'a, T> IdTable<'a, T> {
    /// An empty table over this storage; whatever entries it held are dropped. O(slots + buckets).
    ///
    /// Without buckets the table has no room.
    #[must_use]
    pub fn new(slots: &'a mut [IdSlot<T>], buckets: &'a mut [u32], ids: &'a mut [u8]) -> Self {
        Self::with_hash_seed(slots, buckets, ids, 0)
    }

    /// An empty table whose buckets depend on `hash_seed`: where ids come from strangers, a seed that they cannot know
    /// keeps them from filling one bucket. No answer depends on it.
    #[must_use]
    pub fn with_hash_seed(
        slots: &'a mut [IdSlot<T>],
        buckets: &'a mut [u32],
        ids: &'a mut [u8],
        hash_seed: u64,
    ) -> Self {
        for slot in slots.iter_mut() {
            slot.value = None;
        }
        let ids = Texts::new(ids, position(slots.len()), ID_BYTES_MAX);
        Self { slots, buckets: Buckets::new(buckets), ids, free: END, untouched: 0, len: 0, hash_seed }
    }

    /// Bytes that an id may have: below 65.
    #[must_use]
    pub const fn id_room(&self) -> usize {
        self.ids.room()
    }

    /// The number of entries.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of entries that fit.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        if self.buckets.is_empty() { 0 } else { position(self.slots.len()).min(ROWS_MAX) }
    }

    /// Whether every slot is used.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len >= self.capacity()
    }

    /// Whether an id is as short as there is room for; a table without slots has room for no entry, and any id.
    pub(crate) fn check_fits(&self, id: &str) -> Result<(), Problem> {
        let max_bytes = if self.capacity() == 0 { ID_BYTES_MAX } else { self.id_room() };
        if id.len() > max_bytes { Err(Problem::TooLong { max_bytes }) } else { Ok(()) }
    }

    /// The entry with this id. O(1) expected.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Ticket> {
        self.find_in(self.bucket_of(id.as_bytes())?, id)
    }

    fn find_in(&self, bucket: u32, id: &str) -> Option<Ticket> {
        let mut link = self.buckets.head(bucket);
        while let Some(slot) = self.slot(link) {
            let at = link.saturating_sub(1);
            if self.ids.is(at, id) {
                return Some(Ticket { slot: at, generation: slot.generation });
            }
            link = slot.next.get();
        }
        None
    }

    /// An entry, if it is still there. O(1).
    #[must_use]
    pub fn get(&self, ticket: Ticket) -> Option<&T> {
        self.held(ticket)?.value.as_ref()
    }

    /// An entry to change, if it is still there. O(1).
    #[must_use]
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let slot = self.slots.get_mut(index(ticket.slot))?;
        if slot.generation == ticket.generation { slot.value.as_mut() } else { None }
    }

    /// The id of an entry. O(1).
    #[must_use]
    pub fn id(&self, ticket: Ticket) -> Option<&str> {
        self.held(ticket).map(|_| self.ids.get(ticket.slot))
    }

    /// The entry in a slot, if one is there: for lists that link slots.
    #[must_use]
    pub fn at(&self, slot: u32) -> Option<Ticket> {
        let entry = self.slots.get(index(slot)).filter(|entry| entry.value.is_some())?;
        Some(Ticket { slot, generation: entry.generation })
    }

    /// What is in a slot: for lists and trees that link slots of entries that are there. O(1).
    #[must_use]
    pub(crate) fn in_slot(&self, slot: u32) -> Option<&T> {
        self.slots.get(index(slot))?.value.as_ref()
    }

    /// The same, to change.
    #[must_use]
    pub(crate) fn in_slot_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(index(slot))?.value.as_mut()
    }

    /// All entries in the order of their slots. O(capacity).
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> {
        (0..self.untouched).filter_map(|slot| self.at(slot))
    }

    /// Takes an entry in. O(1) expected.
    ///
    /// # Errors
    /// The id is there already, is none, or every slot is used; nothing changes.
    pub fn insert(&mut self, id: &str, value: T) -> Result<Ticket, InsertError> {
        self.insert_or_return(id, value).map_err(|(error, _)| error)
    }

    /// The same; what was not taken in comes back. O(1) expected.
    pub(crate) fn insert_or_return(&mut self, id: &str, value: T) -> Result<Ticket, (InsertError, T)> {
        if id.is_empty() || self.check_fits(id).is_err() {
            return Err((InsertError::BadId, value));
        }
        // Without buckets there is no room.
        let Some(bucket) = self.bucket_of(id.as_bytes()) else { return Err((InsertError::Full, value)) };
        if let Some(ticket) = self.find_in(bucket, id) {
            return Err((InsertError::Duplicate(ticket), value));
        }
        let Some(link) = self.take_free_slot() else { return Err((InsertError::Full, value)) };
        let chained = self.buckets.head(bucket);
        self.buckets.set_head(bucket, link);
        let Some(slot) = self.slot_mut(link) else { return Err((InsertError::Full, value)) };
        slot.next = chained.into();
        slot.value = Some(value);
        let ticket = Ticket { slot: link.saturating_sub(1), generation: slot.generation };
        self.ids.put(ticket.slot, id);
        self.len = self.len.saturating_add(1);
        Ok(ticket)
    }

    /// Takes an entry out, if it is still there. O(1) expected.
    pub fn remove(&mut self, ticket: Ticket) -> Option<T> {
        self.held(ticket)?;
        let link = ticket.slot.saturating_add(1);
        self.unchain(link);
        let free = self.free;
        let slot = self.slot_mut(link)?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next = free.into();
        let value = slot.value.take();
        self.free = link;
        self.len = self.len.saturating_sub(1);
        value
    }

    /// Takes all entries out: their tickets find nothing any more. O(slots + buckets).
    pub(crate) fn clear(&mut self) {
        self.buckets.clear();
        for slot in self.slots.iter_mut() {
            if slot.value.take().is_some() {
                slot.generation = slot.generation.wrapping_add(1);
            }
        }
        (self.free, self.untouched, self.len) = (END, 0, 0);
    }

    fn held(&self, ticket: Ticket) -> Option<&IdSlot<T>> {
        self.slots.get(index(ticket.slot)).filter(|slot| slot.generation == ticket.generation && slot.value.is_some())
    }

    /// A slot that was given back, else one that was never used.
    fn take_free_slot(&mut self) -> Option<Link> {
        if let Some(slot) = self.slot(self.free) {
            let next = slot.next.get();
            return Some(replace(&mut self.free, next));
        }
        if self.untouched >= self.capacity() {
            return None;
        }
        self.untouched = self.untouched.saturating_add(1);
        Some(self.untouched)
    }

    /// Takes a used slot out of its bucket's chain.
    fn unchain(&mut self, link: Link) {
        let Some(next) = self.slot(link).map(|slot| slot.next.get()) else { return };
        let Some(bucket) = self.bucket_of(self.ids.bytes_of(link.saturating_sub(1))) else { return };
        let mut previous = self.buckets.head(bucket);
        if previous == link {
            self.buckets.set_head(bucket, next);
            return;
        }
        while let Some(slot) = self.slot_mut(previous) {
            if slot.next.get() == link {
                slot.next = next.into();
                return;
            }
            previous = slot.next.get();
        }
    }

    fn bucket_of(&self, id: &[u8]) -> Option<u32> {
        self.buckets.of(xxh64(self.hash_seed, id))
    }

    fn slot(&self, link: Link) -> Option<&IdSlot<T>> {
        self.slots.get(index(link.checked_sub(1)?))
    }

    fn slot_mut(&mut self, link: Link) -> Option<&mut IdSlot<T>> {
        self.slots.get_mut(index(link.checked_sub(1)?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::format;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// For ids as `id-11`.
    const ID_STRIDE: usize = 6;

    #[derive(Debug, Clone)]
    enum Operation {
        Insert(u8),
        Remove(u8),
        RemoveStale(u8),
        Clear,
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let operation = prop_oneof![
            (0u8..12).prop_map(Operation::Insert),
            (0u8..12).prop_map(Operation::Remove),
            any::<u8>().prop_map(Operation::RemoveStale),
            Just(Operation::Clear),
        ];
        proptest::collection::vec(operation, 0..200)
    }

    proptest! {
        /// QUEUE-1: the table behaves like a map of ids, and a ticket never finds another entry than its own.
        #[test]
        fn behaves_like_a_map(capacity in 0usize..8, buckets in 0usize..6, seed in any::<u64>(), operations in operations()) {
            let mut slots = vec![IdSlot::EMPTY; capacity];
            let (mut heads, mut ids) = (vec![7; buckets], vec![0xff; capacity * ID_STRIDE]);
            let mut table = IdTable::with_hash_seed(&mut slots, &mut heads, &mut ids, seed);
            let room = if buckets == 0 { 0 } else { capacity };
            let mut model: HashMap<String, (Ticket, usize)> = HashMap::new();
            let mut gone: Vec<Ticket> = Vec::new();
            for (step, operation) in operations.into_iter().enumerate() {
                match operation {
                    Operation::Insert(name) => {
                        let id = format!("id-{name}");
                        let expected = match model.get(&id) {
                            Some(&(ticket, _)) => Err(InsertError::Duplicate(ticket)),
                            None if model.len() >= room => Err(InsertError::Full),
                            None => Ok(()),
                        };
                        let inserted = table.insert(&id, step);
                        prop_assert_eq!(inserted.map(|_| ()), expected);
                        if let Ok(ticket) = inserted {
                            prop_assert!(!gone.contains(&ticket));
                            model.insert(id, (ticket, step));
                        }
                    }
                    Operation::Remove(name) => {
                        let id = format!("id-{name}");
                        let found = table.find(&id);
                        prop_assert_eq!(found, model.get(&id).map(|&(ticket, _)| ticket));
                        if let Some(ticket) = found {
                            prop_assert_eq!(table.remove(ticket), model.remove(&id).map(|(_, value)| value));
                            gone.push(ticket);
                        }
                    }
                    Operation::Clear => {
                        table.clear();
                        gone.extend(model.drain().map(|(_, (ticket, _))| ticket));
                    }
                    Operation::RemoveStale(pick) => {
                        if let Some(&ticket) = gone.get(usize::from(pick) % gone.len().max(1)) {
                            prop_assert_eq!(table.remove(ticket), None);
                            prop_assert_eq!(table.get(ticket), None);
                        }
                    }
                }
                prop_assert_eq!(table.len() as usize, model.len());
                prop_assert_eq!(table.is_full(), model.len() >= room);
                for (id, &(ticket, value)) in &model {
                    prop_assert_eq!(table.find(id), Some(ticket));
                    prop_assert_eq!(table.get(ticket), Some(&value));
                    prop_assert_eq!(table.id(ticket), Some(id.as_str()));
                    prop_assert_eq!(table.at(ticket.slot()), Some(ticket));
                }
                prop_assert_eq!(table.tickets().count(), model.len());
            }
        }
    }

    #[test]
    fn refuses_what_is_no_id() {
        let (mut slots, mut buckets, mut ids) = ([const { IdSlot::EMPTY }; 1], [0; 1], [0; 100]);
        let mut table = IdTable::new(&mut slots, &mut buckets, &mut ids);
        assert_eq!(table.insert("", 1), Err(InsertError::BadId));
        assert_eq!(table.insert(&"x".repeat(65), 1), Err(InsertError::BadId));
        assert!(table.insert(&"x".repeat(64), 1).is_ok());
    }

    #[test]
    fn ids_are_as_long_as_there_is_room() {
        let (mut slots, mut buckets, mut ids) = ([const { IdSlot::EMPTY }; 2], [0; 2], [0; 11]);
        let mut table = IdTable::new(&mut slots, &mut buckets, &mut ids);
        assert_eq!(table.id_room(), 4);
        assert_eq!(table.insert("fives", 1), Err(InsertError::BadId));
        let (four, more) = (table.insert("four", 1).unwrap(), table.insert("more", 2).unwrap());
        assert_eq!((table.id(four), table.id(more), table.find("fives")), (Some("four"), Some("more"), None));
        assert_eq!((table.remove(four), table.find("four"), table.find("more")), (Some(1), None, Some(more)));
    }
}
