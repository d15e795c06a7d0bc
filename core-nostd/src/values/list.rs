//! Insertion into and removal from fixed-capacity lists, without the asserts of their own methods.
//!
//! heapless' `insert`, `remove`, `extend` and `collect` panic where an index or a length is off. Here the same is a
//! value, so that the proof in `tests/freestanding` holds: nothing on the decision path can panic.

use core::mem::swap;

use heapless::{LenType, Vec};

/// Inserts `item` at `place`; gives it back when the list is full. A place behind the end is the end.
pub(crate) fn insert_at<T, const N: usize, L: LenType>(
    list: &mut Vec<T, N, L>,
    place: usize,
    item: T,
) -> Result<(), T> {
    list.push(item)?;
    last_to_front(list.get_mut(place..).unwrap_or_default());
    Ok(())
}

/// Inserts `item` in order, once; gives it back when the list is full.
pub(crate) fn insert_sorted<T: Ord, const N: usize>(list: &mut Vec<T, N>, item: T) -> Result<(), T> {
    match list.binary_search(&item) {
        Ok(_) => Ok(()),
        Err(place) => insert_at(list, place, item),
    }
}

/// Removes what stands at `place`, if anything does.
pub(crate) fn remove_at<T, const N: usize>(list: &mut Vec<T, N>, place: usize) -> Option<T> {
    let (last, others) = list.get_mut(place..)?.split_last_mut()?;
    for item in others.iter_mut().rev() {
        swap(item, last);
    }
    list.pop()
}

/// Moves the last item to the front and all others up by one: `rotate_right(1)`, which has an assert.
pub(crate) fn last_to_front<T>(items: &mut [T]) {
    if let Some((last, others)) = items.split_last_mut() {
        for item in others {
            swap(item, last);
        }
    }
}

/// The first items of an iterator, as many as fit.
pub(crate) fn collect_up_to<T, const N: usize, L: LenType>(items: impl Iterator<Item = T>) -> Vec<T, N, L> {
    let mut list = Vec::new();
    for item in items {
        if list.push(item).is_err() {
            break;
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserts_and_removes_in_place() {
        let mut list: Vec<u32, 3> = Vec::new();
        assert_eq!(insert_at(&mut list, 0, 2), Ok(()));
        assert_eq!(insert_at(&mut list, 0, 1), Ok(()));
        assert_eq!(insert_at(&mut list, 9, 4), Ok(()));
        assert_eq!(insert_at(&mut list, 1, 3), Err(3));
        assert_eq!(list, [1, 2, 4]);
        assert_eq!((remove_at(&mut list, 1), remove_at(&mut list, 7)), (Some(2), None));
        assert_eq!(insert_sorted(&mut list, 3), Ok(()));
        assert_eq!(insert_sorted(&mut list, 3), Ok(()));
        assert_eq!(list, [1, 3, 4]);
        assert_eq!(insert_sorted(&mut list, 2), Err(2));
        assert_eq!(collect_up_to::<_, 2, usize>(5..9), [5, 6]);
    }
}
