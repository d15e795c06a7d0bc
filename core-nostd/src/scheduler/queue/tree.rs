//! An ordered tree through the slots of a table: insert, remove and rank in O(log n), walked in order, no storage of its
//! own.
//!
//! It is balanced by weight (Hirai and Yamamoto's parameters 3 and 2): the subtree sizes that answer "how many are
//! before this one" also keep it balanced, without randomness that a stranger could guess. A heap would not do, because
//! a pass walks the order without taking anything out.
//!
//! Invariants: keys differ, and do not change while their node is in the tree; every size is that of its subtree; of two
//! siblings neither weighs (size + 1) more than three times the other.

use core::marker::PhantomData;

use crate::storage::SlotNumber;
use crate::storage::list::NONE;

/// One place in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    left: SlotNumber,
    right: SlotNumber,
    parent: SlotNumber,
    /// Nodes of the subtree, no more than slots; 0 outside a tree.
    size: SlotNumber,
}

impl Node {
    pub(super) const OUT: Self =
        Self { left: SlotNumber::NONE, right: SlotNumber::NONE, parent: SlotNumber::NONE, size: SlotNumber::ZERO };

    pub(super) fn is_in_tree(&self) -> bool {
        self.size != SlotNumber::ZERO
    }

    fn left(&self) -> u32 {
        self.left.get()
    }

    fn right(&self) -> u32 {
        self.right.get()
    }

    fn parent(&self) -> u32 {
        self.parent.get()
    }
}

/// Where a kind of tree has its nodes and keys in `S`.
pub(super) trait Ordered<S> {
    type Key: Ord;
    fn node(store: &S, at: u32) -> Option<&Node>;
    fn node_mut(store: &mut S, at: u32) -> Option<&mut Node>;
    fn key(store: &S, at: u32) -> Option<Self::Key>;
}

/// A tree of one kind.
#[derive(Debug)]
pub(super) struct Tree<K> {
    root: u32,
    /// The node with the least key.
    first: u32,
    kind: PhantomData<K>,
}

impl<K> Default for Tree<K> {
    fn default() -> Self {
        Self { root: NONE, first: NONE, kind: PhantomData }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    const fn opposite(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

impl<K> Tree<K> {
    /// The node with the least key, or [`NONE`]. O(1).
    pub(super) const fn first(&self) -> u32 {
        self.first
    }

    pub(super) fn insert<S>(&mut self, store: &mut S, at: u32)
    where
        K: Ordered<S>,
    {
        let key = K::key(store, at);
        let (mut parent, mut side, mut is_first) = (NONE, Side::Left, true);
        let mut below = self.root;
        while below != NONE {
            side = if key < K::key(store, below) { Side::Left } else { Side::Right };
            is_first &= side == Side::Left;
            parent = below;
            below = child(store, below, side, PhantomData::<K>);
        }
        if let Some(node) = K::node_mut(store, at) {
            *node = Node { parent: parent.into(), size: 1.into(), ..Node::OUT };
        }
        match parent {
            NONE => self.root = at,
            parent => set_child::<S, K>(store, parent, side, at),
        }
        if is_first {
            self.first = at;
        }
        self.rebalance_from(store, parent);
    }

    pub(super) fn remove<S>(&mut self, store: &mut S, at: u32)
    where
        K: Ordered<S>,
    {
        let Some(&node) = K::node(store, at) else { return };
        if !node.is_in_tree() {
            return;
        }
        let (left, right, parent) = (node.left(), node.right(), node.parent());
        if self.first == at {
            self.first = next::<S, K>(store, at);
        }
        let mut changed = parent;
        if left == NONE || right == NONE {
            self.replace(store, parent, at, if left == NONE { right } else { left });
        } else {
            // The next node takes its place: it has nothing on its left.
            let heir = leftmost::<S, K>(store, right);
            let (heir_parent, heir_right) =
                K::node(store, heir).map_or((at, NONE), |node| (node.parent(), node.right()));
            changed = heir;
            if heir_parent != at {
                changed = heir_parent;
                self.replace(store, heir_parent, heir, heir_right);
                set_child::<S, K>(store, heir, Side::Right, right);
            }
            set_child::<S, K>(store, heir, Side::Left, left);
            self.replace(store, parent, at, heir);
        }
        if let Some(node) = K::node_mut(store, at) {
            *node = Node::OUT;
        }
        self.rebalance_from(store, changed);
    }

    /// Puts `new` (possibly nothing) below `parent` in the place of `old`.
    fn replace<S>(&mut self, store: &mut S, parent: u32, old: u32, new: u32)
    where
        K: Ordered<S>,
    {
        match K::node(store, parent).map(|node| node.left() == old) {
            None => {
                self.root = new;
                if let Some(node) = K::node_mut(store, new) {
                    node.parent = SlotNumber::NONE;
                }
            }
            Some(true) => set_child::<S, K>(store, parent, Side::Left, new),
            Some(false) => set_child::<S, K>(store, parent, Side::Right, new),
        }
    }

    /// Corrects sizes and balance from a node up to the root.
    fn rebalance_from<S>(&mut self, store: &mut S, start: u32)
    where
        K: Ordered<S>,
    {
        let mut at = start;
        while at != NONE {
            resize::<S, K>(store, at);
            let (left, right) =
                (child(store, at, Side::Left, PhantomData::<K>), child(store, at, Side::Right, PhantomData::<K>));
            let (left_weight, right_weight) = (weight::<S, K>(store, left), weight::<S, K>(store, right));
            let top = if left_weight > right_weight.saturating_mul(3) {
                self.lighten(store, at, Side::Left)
            } else if right_weight > left_weight.saturating_mul(3) {
                self.lighten(store, at, Side::Right)
            } else {
                at
            };
            at = K::node(store, top).map_or(NONE, Node::parent);
        }
    }

    /// Rotates a node whose child on `side` is too heavy; returns what stands in its place.
    fn lighten<S>(&mut self, store: &mut S, at: u32, side: Side) -> u32
    where
        K: Ordered<S>,
    {
        let heavy = child(store, at, side, PhantomData::<K>);
        let outer = weight::<S, K>(store, child(store, heavy, side, PhantomData::<K>));
        let inner = weight::<S, K>(store, child(store, heavy, side.opposite(), PhantomData::<K>));
        if inner >= outer.saturating_mul(2) {
            self.rotate_up(store, heavy, side.opposite());
        }
        self.rotate_up(store, at, side)
    }

    /// Puts the child on `side` in its parent's place, and the parent below it.
    fn rotate_up<S>(&mut self, store: &mut S, at: u32, side: Side) -> u32
    where
        K: Ordered<S>,
    {
        let parent = K::node(store, at).map_or(NONE, Node::parent);
        let top = child(store, at, side, PhantomData::<K>);
        let between = child(store, top, side.opposite(), PhantomData::<K>);
        self.replace(store, parent, at, top);
        set_child::<S, K>(store, at, side, between);
        set_child::<S, K>(store, top, side.opposite(), at);
        resize::<S, K>(store, at);
        resize::<S, K>(store, top);
        top
    }
}

/// How many nodes have a lesser key. O(log n).
pub(super) fn rank<S, K: Ordered<S>>(store: &S, at: u32) -> u32 {
    let mut before = K::node(store, at).map_or(0, |node| size::<S, K>(store, node.left()));
    let mut below = at;
    while let Some(above) = K::node(store, below).map(Node::parent)
        && let Some(node) = K::node(store, above)
    {
        if node.right() == below {
            before = before.saturating_add(size::<S, K>(store, node.left())).saturating_add(1);
        }
        below = above;
    }
    before
}

/// The node with the next key, or [`NONE`]. O(log n), and O(1) in the mean of a walk.
pub(super) fn next<S, K: Ordered<S>>(store: &S, at: u32) -> u32 {
    let Some(node) = K::node(store, at) else { return NONE };
    if node.right() != NONE {
        return leftmost::<S, K>(store, node.right());
    }
    let (mut below, mut above) = (at, node.parent());
    while let Some(node) = K::node(store, above)
        && node.right() == below
    {
        below = above;
        above = node.parent();
    }
    above
}

fn leftmost<S, K: Ordered<S>>(store: &S, mut at: u32) -> u32 {
    while let Some(node) = K::node(store, at)
        && node.left() != NONE
    {
        at = node.left();
    }
    at
}

fn child<S, K: Ordered<S>>(store: &S, at: u32, side: Side, _: PhantomData<K>) -> u32 {
    K::node(store, at).map_or(NONE, |node| match side {
        Side::Left => node.left(),
        Side::Right => node.right(),
    })
}

/// Links both ways.
fn set_child<S, K: Ordered<S>>(store: &mut S, parent: u32, side: Side, new: u32) {
    if let Some(node) = K::node_mut(store, parent) {
        match side {
            Side::Left => node.left = new.into(),
            Side::Right => node.right = new.into(),
        }
    }
    if let Some(node) = K::node_mut(store, new) {
        node.parent = parent.into();
    }
}

fn size<S, K: Ordered<S>>(store: &S, at: u32) -> u32 {
    K::node(store, at).map_or(0, |node| node.size.get())
}

/// At most 2^32, so that three times it fits.
fn weight<S, K: Ordered<S>>(store: &S, at: u32) -> u64 {
    u64::from(size::<S, K>(store, at)).saturating_add(1)
}

fn resize<S, K: Ordered<S>>(store: &mut S, at: u32) {
    let Some(&node) = K::node(store, at) else { return };
    let (left, right) = (node.left(), node.right());
    let both = size::<S, K>(store, left).saturating_add(size::<S, K>(store, right));
    if let Some(node) = K::node_mut(store, at) {
        node.size = both.saturating_add(1).into();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    struct ByKey;

    impl Ordered<Vec<(u32, Node)>> for ByKey {
        type Key = u32;

        fn node(store: &Vec<(u32, Node)>, at: u32) -> Option<&Node> {
            store.get(at as usize).map(|(_, node)| node)
        }

        fn node_mut(store: &mut Vec<(u32, Node)>, at: u32) -> Option<&mut Node> {
            store.get_mut(at as usize).map(|(_, node)| node)
        }

        fn key(store: &Vec<(u32, Node)>, at: u32) -> Option<u32> {
            store.get(at as usize).map(|&(key, _)| key)
        }
    }

    /// Checks the invariants of a subtree; returns its size.
    fn check(store: &Vec<(u32, Node)>, at: u32, parent: u32) -> u32 {
        let Some(&node) = ByKey::node(store, at) else { return 0 };
        let (left, right, above, size) = (node.left(), node.right(), node.parent(), node.size.get());
        let (lefts, rights) = (check(store, left, at), check(store, right, at));
        assert_eq!((above, size), (parent, lefts + rights + 1));
        assert!((lefts + 1) * 3 > rights && (rights + 1) * 3 > lefts, "{lefts} beside {rights}");
        size
    }

    fn agree(store: &Vec<(u32, Node)>, tree: &Tree<ByKey>, model: &BTreeSet<(u32, u32)>) {
        assert_eq!(check(store, tree.root, NONE) as usize, model.len());
        let mut at = tree.first();
        for (place, &(_, expected)) in model.iter().enumerate() {
            assert_eq!(at, expected);
            assert_eq!(rank::<_, ByKey>(store, at) as usize, place);
            at = next::<_, ByKey>(store, at);
        }
        assert_eq!(at, NONE);
    }

    /// QUEUE-9: ordered, counted and balanced after every change.
    #[test]
    fn stays_balanced_when_keys_come_in_order() {
        for is_rising in [true, false] {
            let key = |at: u32| if is_rising { at } else { 1_000 - at };
            let mut store: Vec<_> = (0..1_000).map(|at| (key(at), Node::OUT)).collect();
            let (mut tree, mut model) = (Tree::<ByKey>::default(), BTreeSet::new());
            for at in 0..1_000 {
                tree.insert(&mut store, at);
                model.insert((key(at), at));
            }
            agree(&store, &tree, &model);
            for at in 0..900 {
                tree.remove(&mut store, at);
                model.remove(&(key(at), at));
                check(&store, tree.root, NONE);
            }
            agree(&store, &tree, &model);
        }
    }

    proptest! {
        /// QUEUE-9, QUEUE-10: a set in order, whatever is inserted and removed.
        #[test]
        fn behaves_like_a_set(toggles in proptest::collection::vec((0u32..40, 0u32..1_000), 0..300)) {
            let mut store = vec![(0, Node::OUT); 40];
            let (mut tree, mut model) = (Tree::<ByKey>::default(), BTreeSet::new());
            for (at, key) in toggles {
                let held = store[at as usize].0;
                if model.remove(&(held, at)) {
                    tree.remove(&mut store, at);
                    tree.remove(&mut store, at); // a second time changes nothing
                } else {
                    // Keys differ by the slot in their last digits.
                    store[at as usize].0 = key * 40 + at;
                    tree.insert(&mut store, at);
                    model.insert((key * 40 + at, at));
                }
                agree(&store, &tree, &model);
            }
        }
    }
}
