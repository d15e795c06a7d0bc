//! How evenly a run kept its promise to its users.
//!
//! Jain's index, `(Σx)² / (n · Σx²)`: all alike is 1, one of `n` alone served is `1/n`. What is compared is the share of
//! a user's requests that kept the promise: tokens a second would call a user of short answers badly served, and times
//! one of long answers.

use std::collections::BTreeMap;

use super::permille;
use crate::simulate::request::Request;

/// Whose requests are compared with whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Session(u32),
    Priority(u8),
}

/// Jain's index over the sessions, in 1/1000; where no request has a session, over the priorities that occur.
///
/// A trace without sessions says nothing of users, and each request as a user of its own would be the goodput again.
/// Priorities are meant to differ: there the index says by how much. None of fewer than two groups, and where no promise
/// was kept at all: nothing was shared out.
pub(super) fn fairness_permille<'r>(requests: impl Iterator<Item = (&'r Request, bool)> + Clone) -> Option<u64> {
    let has_sessions = requests.clone().any(|(asked, _)| asked.session.is_some());
    let mut groups: BTreeMap<Group, (u64, u64)> = BTreeMap::new();
    for (asked, is_kept) in requests {
        let group = match asked.session {
            Some(session) => Group::Session(session),
            None if has_sessions => continue,
            None => Group::Priority(asked.priority as u8),
        };
        let (kept, all) = groups.entry(group).or_default();
        *kept += u64::from(is_kept);
        *all += 1;
    }
    jain_permille(groups.values().map(|&(kept, all)| permille(kept, all)))
}

/// Over shares of at most 1000 each.
fn jain_permille(shares: impl Iterator<Item = u64>) -> Option<u64> {
    let add = |(count, sum, squares): (u128, u128, u128), share: u64| {
        let share = u128::from(share);
        (count + 1, sum + share, squares + share * share)
    };
    let (count, sum, squares) = shares.fold((0, 0, 0), add);
    if count < 2 {
        return None;
    }
    u64::try_from((sum * sum * 1000).checked_div(count * squares)?).ok()
}

#[cfg(test)]
mod tests {
    use orchestrator_core::Priority;

    use super::*;

    fn asked(session: Option<u32>, priority: Priority) -> Request {
        Request { session, priority, ..Request::plain() }
    }

    fn fairness(requests: &[(Request, bool)]) -> Option<u64> {
        fairness_permille(requests.iter().map(|(asked, is_kept)| (asked, *is_kept)))
    }

    #[test]
    fn the_index() {
        let jain = |shares: &[u64]| jain_permille(shares.iter().copied());
        assert_eq!(jain(&[700, 700, 700]), Some(1000));
        // One of four has it all.
        assert_eq!(jain(&[0, 1000, 0, 0]), Some(250));
        // (1 + 2 + 3)² / (3 · 14), rounded down.
        assert_eq!(jain(&[1, 2, 3]), Some(857));
        assert_eq!((jain(&[]), jain(&[9]), jain(&[0, 0])), (None, None, None));
    }

    #[test]
    fn sessions_else_priorities() {
        use Priority::{Batch, Interactive};
        let of = |session| asked(Some(session), Batch);
        let alone = (asked(None, Interactive), false);
        // Session 1 half, session 2 all: 1500² / (2 · (500² + 1000²)); what has no session is not compared.
        let sessions = [(of(1), true), (of(1), false), (of(2), true)];
        assert_eq!(fairness(&sessions), Some(900));
        assert_eq!(fairness(&[&sessions[..], std::slice::from_ref(&alone)].concat()), Some(900));
        assert_eq!(fairness(&[(asked(None, Batch), true), alone.clone()]), Some(500));
        assert_eq!(fairness(&[alone.clone(), alone]), None);
    }
}
