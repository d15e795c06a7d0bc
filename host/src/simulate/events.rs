//! What happens when: the earliest first, and what was said first where times are equal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events in the order in which they happen.
#[derive(Debug)]
pub(super) struct Events<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    /// How many were said.
    said: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at_us: u64,
    order: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at_us, self.order) == (other.at_us, other.order)
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.order).cmp(&(other.at_us, other.order))
    }
}

impl<E> Default for Events<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), said: 0 }
    }
}

impl<E> Events<E> {
    /// Something will happen. O(log events).
    pub(super) fn push(&mut self, at_us: u64, event: E) {
        self.heap.push(Reverse(Entry { at_us, order: self.said, event }));
        self.said += 1;
    }

    /// The next thing that happens, and when. O(log events).
    pub(super) fn pop(&mut self) -> Option<(u64, E)> {
        self.heap.pop().map(|Reverse(Entry { at_us, event, .. })| (at_us, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_time_then_as_said() {
        let mut events = Events::default();
        for (at_us, event) in [(5, "a"), (3, "b"), (5, "c"), (0, "d"), (3, "e")] {
            events.push(at_us, event);
        }
        let order: Vec<_> = std::iter::from_fn(|| events.pop()).collect();
        assert_eq!(order, [(0, "d"), (3, "b"), (3, "e"), (5, "a"), (5, "c")]);
    }
}
