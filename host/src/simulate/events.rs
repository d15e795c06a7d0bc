//! What happens when: the earliest first, and what was said first where times are equal.
//!
//! A run has three kinds of events. All arrivals of an open loop are known before it, and need to be sorted once. A timer
//! has a number, and of all that was said of it only the last counts, so it has one place that is overwritten. The rest
//! comes and goes in a heap, which stays small without the others.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events in the order in which they happen.
#[derive(Debug)]
pub(super) struct Events<E> {
    /// Those that were known at first, the next one last.
    known: Vec<Entry<E>>,
    heap: BinaryHeap<Reverse<Entry<E>>>,
    timers: Timers,
    /// How many were said.
    said: u64,
}

/// Something that happens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due<E> {
    /// What was said.
    Event(E),
    /// The timer of this number, which is off now.
    Timer(u32),
}

#[derive(Debug)]
struct Entry<E> {
    at: At,
    event: E,
}

/// When, and behind what of the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    us: u64,
    order: u64,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
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
        self.at.cmp(&other.at)
    }
}

impl<E> Events<E> {
    /// No events yet, and so many timers, all off.
    pub(super) fn with_timers(count: usize) -> Self {
        Self { known: Vec::new(), heap: BinaryHeap::new(), timers: Timers::new(count), said: 0 }
    }

    /// These will happen, said in this order, and are all that is known. Says how many. O(events), if their times ascend.
    pub(super) fn know(&mut self, events: impl IntoIterator<Item = (u64, E)>) -> u64 {
        let entries = events.into_iter().map(|(at_us, event)| Entry { at: self.say(at_us), event });
        self.known = entries.collect();
        self.known.sort();
        self.known.reverse();
        self.known.len() as u64
    }

    /// Whether any timer is on. O(1).
    pub(super) fn has_timer(&self) -> bool {
        self.timers.first().is_some()
    }

    /// Something will happen. O(log events).
    pub(super) fn push(&mut self, at_us: u64, event: E) {
        let entry = Entry { at: self.say(at_us), event };
        self.heap.push(Reverse(entry));
    }

    /// A timer is set anew, or off. O(log timers).
    pub(super) fn set_timer(&mut self, number: u32, at_us: Option<u64>) {
        let at = at_us.map(|at_us| self.say(at_us));
        self.timers.set(number, at);
    }

    /// The next thing that happens, and when. O(log events).
    pub(super) fn pop(&mut self) -> Option<(u64, Due<E>)> {
        let known = self.known.last().map(|entry| entry.at);
        let said = self.heap.peek().map(|Reverse(entry)| entry.at);
        let timer = self.timers.first();
        let at = [known, said, timer.map(|(at, _)| at)].into_iter().flatten().min()?;
        let due = if let Some((_, number)) = timer.filter(|&(own, _)| own == at) {
            self.timers.set(number, None);
            Due::Timer(number)
        } else if known == Some(at) {
            Due::Event(self.known.pop()?.event)
        } else {
            Due::Event(self.heap.pop()?.0.event)
        };
        Some((at.us, due))
    }

    fn say(&mut self, us: u64) -> At {
        let order = self.said;
        self.said += 1;
        At { us, order }
    }
}

/// Timers by number, with the first of each pair, of each four and so on above them.
#[derive(Debug)]
struct Timers {
    /// The root at 1, the children of `n` at `2n` and `2n + 1`; the second half are the timers. 0 is not used.
    tree: Vec<Option<(At, u32)>>,
}

impl Timers {
    fn new(count: usize) -> Self {
        Self { tree: vec![None; 2 * count.next_power_of_two()] }
    }

    fn first(&self) -> Option<(At, u32)> {
        self.tree[1]
    }

    fn set(&mut self, number: u32, at: Option<At>) {
        let mut place = self.tree.len() / 2 + number as usize;
        self.tree[place] = at.map(|at| (at, number));
        while place > 1 {
            let (one, other) = (self.tree[place], self.tree[place ^ 1]);
            place /= 2;
            self.tree[place] = match (one, other) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rest<E>(mut events: Events<E>) -> Vec<(u64, Due<E>)> {
        std::iter::from_fn(|| events.pop()).collect()
    }

    #[test]
    fn by_time_then_as_said() {
        let mut events = Events::with_timers(3);
        events.push(5, "a");
        events.know([(3, "b"), (5, "c"), (0, "d")]);
        events.set_timer(2, Some(5));
        events.push(3, "e");
        events.set_timer(0, Some(3));
        events.set_timer(1, Some(1));
        // What was said of them before does not count.
        events.set_timer(1, None);
        events.set_timer(0, Some(4));
        let due = [(0, "d"), (3, "b"), (3, "e"), (5, "a"), (5, "c")].map(|(at_us, event)| (at_us, Due::Event(event)));
        let mut expected = Vec::from(due);
        expected.insert(3, (4, Due::Timer(0)));
        expected.push((5, Due::Timer(2)));
        assert_eq!(rest(events), expected);
        assert_eq!(rest(Events::<()>::with_timers(0)), []);
    }

    proptest! {
        /// Like a list that is searched, whatever is said in between.
        #[test]
        fn like_a_list(known in prop::collection::vec(0_u64..20, 0..20), said in prop::collection::vec(
            (0_u64..20, prop::option::of(0_u32..5), any::<bool>(), 0..3), 0..60)) {
            let mut events = Events::with_timers(5);
            events.know((0..).zip(&known).map(|(number, &at_us)| (at_us, number)));
            // Times with what is due; the first of the earliest is next.
            let mut list: Vec<(u64, Due<u32>)> =
                (0..).zip(&known).map(|(number, &at_us)| (at_us, Due::Event(number))).collect();
            let pop = |list: &mut Vec<(u64, Due<u32>)>| {
                let first = list.iter().enumerate().min_by_key(|(place, (at_us, _))| (*at_us, *place))?.0;
                Some(list.remove(first))
            };
            for (number, (at_us, timer, is_set, pops)) in (1000..).zip(said) {
                match timer {
                    Some(timer) => {
                        list.retain(|(_, due)| *due != Due::Timer(timer));
                        if is_set {
                            list.push((at_us, Due::Timer(timer)));
                        }
                        events.set_timer(timer, is_set.then_some(at_us));
                    }
                    None => {
                        list.push((at_us, Due::Event(number)));
                        events.push(at_us, number);
                    }
                }
                for _ in 0..pops {
                    prop_assert_eq!(events.pop(), pop(&mut list));
                }
            }
            prop_assert_eq!(rest(events), std::iter::from_fn(|| pop(&mut list)).collect::<Vec<_>>());
        }
    }
}
