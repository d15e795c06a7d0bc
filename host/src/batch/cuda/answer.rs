//! What the device found for a job, into its list.
//!
//! Nothing is taken from a device that no kernel can have found, so that a wrong answer is a wrong decision at worst and
//! never an index out of a table.

use orchestrator_core::Shortlist;
use orchestrator_core::rule::key::Key;
use orchestrator_kernels::records::Found;

use super::fault::Fault;
use crate::batch::backend::DeviceFault;

/// Before every key.
pub(super) const FIRST: Key = Key::from_words([0; 3], 0);

/// Adds what was found among `pools` pools from the key `from` on. Returns where to go on, if the list wants more and
/// there may be more.
pub(super) fn take(found: &Found, from: Key, pools: u32, list: &mut Shortlist) -> Result<Option<Key>, Fault> {
    let keys = keys_of(found, from, pools).ok_or_else(|| impossible(found))?;
    if from == FIRST {
        list.count(found.feasible);
    }
    let room = usize::from(list.depth()) - list.keys().len();
    let expected = list.keys().len() + keys.len().min(room);
    keys.iter().for_each(|key| list.offer(*key));
    // A pool that was found before would be asked for again without end.
    if list.keys().len() != expected {
        return Err(impossible(found));
    }
    let is_full = list.keys().len() == usize::from(list.depth());
    let next = keys.get(found.keys.len() - 1).filter(|_| !is_full);
    // A rank is below 2^30.
    Ok(next.map(|last| Key::from_words(last.words(), last.rank() + 1)))
}

fn keys_of(found: &Found, from: Key, pools: u32) -> Option<&[Key]> {
    let keys = found.keys.get(..usize::try_from(found.keys_len).ok()?)?;
    let is_possible = found.feasible <= pools
        && found.keys_len <= found.feasible
        && keys
            .iter()
            .all(|key| *key >= from && key.rank() < pools && *key == Key::from_words(key.words(), key.rank()))
        && keys.is_sorted_by(|one, other| one < other);
    is_possible.then_some(keys)
}

fn impossible(found: &Found) -> Fault {
    let Found { keys_len, feasible, keys } = found;
    let ranks = keys.map(|key| key.rank());
    let status = format!("{keys_len} keys of ranks {ranks:?}, {feasible} feasible");
    Fault { kind: DeviceFault::ImpossibleAnswer, doing: "reading what was found", status }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keys: &[(u64, u32)], feasible: u32) -> Found {
        let mut all = Found::NONE.keys;
        for (own, &(word, rank)) in all.iter_mut().zip(keys) {
            *own = Key::from_words([word, 0, 0], rank);
        }
        Found { keys: all, keys_len: u32::try_from(keys.len()).unwrap(), feasible }
    }

    #[test]
    fn a_deep_list_goes_on_behind_its_last_key_and_counts_once() {
        let mut list = Shortlist::new(3);
        let next = take(&found(&[(5, 7), (6, 2)], 3), FIRST, 10, &mut list).unwrap().expect("it wants one more");
        assert_eq!(next, Key::from_words([6, 0, 0], 3));
        assert_eq!(take(&found(&[(6, 4)], 3), next, 10, &mut list), Ok(None));
        assert_eq!(list.keys().iter().map(Key::rank).collect::<Vec<_>>(), [7, 2, 4]);
        assert_eq!(list.feasible(), 3);
    }

    #[test]
    fn what_no_kernel_can_find_is_refused() {
        let possible = found(&[(5, 7), (6, 2)], 2);
        for wrong in [
            Found { keys_len: 3, feasible: 3, ..possible },
            Found { feasible: 1, ..possible },
            Found { feasible: 11, ..possible },
            found(&[(5, 10)], 1),
            found(&[(6, 2), (5, 7)], 2),
            found(&[(5, 7), (5, 7)], 2),
        ] {
            let refused = take(&wrong, FIRST, 10, &mut Shortlist::new(2)).unwrap_err();
            assert_eq!(refused.kind, DeviceFault::ImpossibleAnswer, "{wrong:?}");
        }
        let mut list = Shortlist::new(4);
        let next = take(&possible, FIRST, 10, &mut list).unwrap().expect("it wants two more");
        assert!(take(&found(&[(7, 2), (8, 7)], 2), next, 10, &mut list).is_err(), "pools that were found before");
        let from = Key::from_words([6, 0, 0], 0);
        assert!(take(&possible, from, 10, &mut Shortlist::new(4)).is_err());
        assert_eq!(take(&possible, FIRST, 10, &mut Shortlist::new(2)), Ok(None));
    }
}
