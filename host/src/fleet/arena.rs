//! The lists of one kind, one behind the other, each in a room that may be larger than the list.
//!
//! A list that changes is written where it was, if it fits into its room; else it moves to the end, into twice the room.
//! Rooms left behind are counted, and squeezed out when they are more than half: so an arena has at most twice the
//! entries of its rooms, and a list that keeps its shape moves nothing and allocates nothing.

use orchestrator_core::limits::RESIDENT_MODELS_MAX;
use orchestrator_core::rows::{NameId, PoolLists, Span};

/// Lists of entries of type `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arena<T> {
    entries: Vec<T>,
    /// Entries of rooms that no list has any more.
    abandoned: usize,
    /// Memory for the next squeeze, so that it need not ask for any.
    spare: Vec<T>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), abandoned: 0, spare: Vec::new() }
    }
}

impl<T: Copy> Arena<T> {
    pub(super) fn entries(&self) -> &[T] {
        &self.entries
    }

    pub(super) fn entries_mut(&mut self) -> &mut [T] {
        &mut self.entries
    }

    /// Whether a list of `len` entries can be written: positions have 32 bits.
    pub(super) fn can_take(&self, len: usize) -> bool {
        // A new room is less than twice its list.
        self.entries.len().saturating_add(len.saturating_mul(2)) <= u32::MAX as usize
    }

    /// Writes a list in place of the one at `span`, in the same room of `capacity` or in a new one.
    pub(super) fn write(&mut self, span: &mut Span, capacity: &mut u32, list: &[T]) {
        let len = position(list.len());
        span.len = len;
        // An empty list needs no room, and has no entry to fill one with.
        let Some(&filler) = list.first() else { return };
        if len > *capacity {
            let room = len.max(capacity.saturating_mul(2));
            span.start = self.open_room(*capacity, room, filler);
            *capacity = room;
        }
        let start = span.start as usize;
        self.entries[start..start + list.len()].copy_from_slice(list);
    }

    /// Moves the list at `span` into a room of `larger`, the rest of it filled with `filler`.
    fn widen(&mut self, span: &mut Span, capacity: &mut u32, larger: u32, filler: T) {
        let list = span.start as usize..span.start as usize + span.len as usize;
        let start = self.open_room(*capacity, larger, filler);
        self.entries.copy_within(list, start as usize);
        (span.start, *capacity) = (start, larger);
    }

    /// A list is gone, and leaves its room behind.
    pub(super) const fn abandon(&mut self, capacity: u32) {
        self.abandoned += capacity as usize;
    }

    /// A room that was left behind has a list again.
    pub(super) const fn reclaim(&mut self, capacity: u32) {
        self.abandoned -= capacity as usize;
    }

    /// Whether more than half of the entries are in rooms left behind.
    pub(super) const fn is_wasteful(&self) -> bool {
        self.abandoned > self.entries.len() / 2
    }

    /// Moves all rooms together; they are given as the spans of their lists and their capacities. O(entries).
    pub(super) fn squeeze<'a>(&mut self, rooms: impl Iterator<Item = (&'a mut Span, u32)>) {
        self.spare.clear();
        for (span, capacity) in rooms {
            let room = Span { start: span.start, len: capacity };
            span.start = position(self.spare.len());
            self.spare.extend_from_slice(room.of(&self.entries));
        }
        std::mem::swap(&mut self.entries, &mut self.spare);
        self.abandoned = 0;
    }

    fn open_room(&mut self, left: u32, capacity: u32, filler: T) -> u32 {
        self.abandon(left);
        let start = self.entries.len();
        self.entries.resize(start + capacity as usize, filler);
        position(start)
    }
}

impl Arena<NameId> {
    /// Makes room for one more resident model of a pool, unless it has room or as many as may be. COMMIT-4.
    pub(super) fn make_room_for_resident(&mut self, lists: &mut PoolLists) {
        let len = lists.residents.len;
        let full = len >= lists.residents_capacity;
        if full && (len as usize) < RESIDENT_MODELS_MAX && self.can_take(RESIDENT_MODELS_MAX) {
            self.widen(&mut lists.residents, &mut lists.residents_capacity, (len * 2).max(4), NameId::NONE);
        }
    }
}

/// Owners ask [`Arena::can_take`] first, so a position has 32 bits.
pub(super) fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<T> Arena<T> {
        /// How much memory it holds, in entries.
        pub(in crate::fleet) fn capacity(&self) -> usize {
            self.entries.capacity() + self.spare.capacity()
        }
    }

    fn write(arena: &mut Arena<u32>, room: &mut (Span, u32), list: &[u32]) {
        arena.write(&mut room.0, &mut room.1, list);
        assert_eq!(room.0.of(arena.entries()), list);
    }

    #[test]
    fn a_list_that_fits_its_room_stays_where_it_is() {
        let (mut arena, mut first, mut second) = (Arena::default(), (Span::EMPTY, 0), (Span::EMPTY, 0));
        write(&mut arena, &mut first, &[1, 2, 3]);
        write(&mut arena, &mut second, &[4]);
        assert_eq!((first.0.start, first.1, second.0.start, second.1), (0, 3, 3, 1));
        for list in [&[7, 8, 9][..], &[], &[5], &[6, 7, 8]] {
            write(&mut arena, &mut first, list);
            assert_eq!((first.0.start, first.1, arena.entries().len(), arena.abandoned), (0, 3, 4, 0));
        }
        write(&mut arena, &mut first, &[1, 2, 3, 4]);
        assert_eq!((first.0.start, first.1, arena.entries().len(), arena.abandoned), (4, 6, 10, 3));
        assert_eq!(second.0.of(arena.entries()), [4]);
    }

    #[test]
    fn a_squeeze_keeps_every_list_and_its_room() {
        let (mut arena, mut first, mut second) = (Arena::default(), (Span::EMPTY, 0), (Span::EMPTY, 0));
        write(&mut arena, &mut first, &[1, 2]);
        write(&mut arena, &mut second, &[3, 4, 5]);
        arena.widen(&mut first.0, &mut first.1, 4, 0);
        assert!(!arena.is_wasteful());
        arena.abandon(second.1);
        assert!(arena.is_wasteful());
        arena.squeeze([(&mut first.0, first.1)].into_iter());
        assert_eq!((first.0, first.1, arena.entries().len()), (Span { start: 0, len: 2 }, 4, 4));
        assert_eq!(first.0.of(arena.entries()), [1, 2]);
        assert!(!arena.is_wasteful());
    }

    /// Entries of no size take no memory, however many.
    #[test]
    fn positions_have_32_bits() {
        let mut arena = Arena::default();
        let (mut span, mut capacity) = (Span::EMPTY, 0);
        assert!(arena.can_take(u32::MAX as usize / 2));
        assert!(!arena.can_take(u32::MAX as usize / 2 + 1));
        arena.write(&mut span, &mut capacity, &[(); 5]);
        arena.widen(&mut span, &mut capacity, u32::MAX - 9, ());
        assert_eq!(arena.entries().len(), u32::MAX as usize - 4);
        assert!(arena.can_take(2));
        assert!(!arena.can_take(3));
    }
}
