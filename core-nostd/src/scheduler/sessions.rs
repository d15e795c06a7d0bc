//! Sessions: where a conversation's KV cache lies, and what it may still use.
//!
//! ```text
//!             admit                     job_ended, the last one
//!   ─────▶ in use (waiting or leased jobs) ─────▶ idle ─────▶ gone: expired, or evicted by a new session
//!                       ▲         admit             │
//!                       └───────────────────────────┘          (end: from both, on request)
//! ```
//!
//! Rules: SESSION-1 to SESSION-3, BUDGET-1. The idle sessions are a list in the order of their last use, so that the
//! next to expire and the next to evict is its first; a session in use is in no list and is neither.
//!
//! ```
//! use orchestrator_core::scheduler::{BudgetAmounts, SessionRefusal, SessionStorage, Sessions};
//! use orchestrator_core::storage::IdSlot;
//! use orchestrator_core::{BudgetLimits, PoolHandle};
//!
//! let (mut slots, mut buckets, mut ids) = ([const { IdSlot::EMPTY }; 1], [0; 1], [0; 65]);
//! let mut sessions = Sessions::new(SessionStorage { slots: &mut slots, buckets: &mut buckets, ids: &mut ids }, 0);
//! let (unlimited, held) = (BudgetLimits::default(), BudgetAmounts::at_admission(100, 20, 0));
//!
//! let chat = sessions.admit("chat", unlimited, held, 0)?.ticket;
//! assert_eq!(sessions.admit("other", unlimited, held, 1), Err(SessionRefusal::Full)); // "chat" is in use
//! let pool = PoolHandle { slot: 3, generation: 0 };
//! sessions.kv_written(chat, pool, 120, 2);
//! sessions.job_ended(chat, held, held, 3);
//! assert_eq!(sessions.entry(chat, |_| Some(7)).map(|entry| (entry.pool, entry.cached_tokens)), Some((7, 120)));
//!
//! let admitted = sessions.admit("other", unlimited, held, 4)?; // now "chat" makes room
//! assert_eq!(admitted.evicted.as_deref(), Some("chat"));
//! # Ok::<(), SessionRefusal>(())
//! ```
//!
//! Invariants: a session is in the list of idle ones exactly while no job of it waits or has a lease; the list is in
//! the order of last uses, as long as `now_us` never goes back.

use super::budget::{BudgetAmounts, Ledger};
use crate::error::{FieldError, Problem};
use crate::fleet::{KeptHandle, PoolHandle};
use crate::input::BudgetLimits;
use crate::limits::TOKENS_MAX;
use crate::rows::SessionEntry;
use crate::storage::list::{self, Linked, Links, List, NONE};
use crate::storage::{IdSlot, IdTable, Ticket};
use crate::values::kept::{Kept32, Kept48};
use crate::values::text::{Id, check_id};

/// Memory for sessions: a slot for each, and about as many hash buckets. Without buckets there is no room.
#[derive(Debug)]
pub struct SessionStorage<'a> {
    /// A slot for each session.
    pub slots: &'a mut [IdSlot<Session>],
    /// Hash buckets.
    pub buckets: &'a mut [u32],
    /// Ids: an equal stretch of up to 65 bytes for each, one of them for its length.
    pub ids: &'a mut [u8],
}

/// What is remembered of one session. SESSION-1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Session {
    /// None until one holds its KV cache.
    pool: KeptHandle,
    cached_tokens: Kept32,
    turns: Kept32,
    last_used_us: Kept48,
    jobs: Kept32,
    /// Its budget.
    pub ledger: Ledger,
    /// Among the idle sessions, in the order of their last uses.
    idle: Links,
}

impl Session {
    /// A session without jobs and turns, last used at this time.
    pub(super) const fn new(ledger: Ledger, last_used_us: u64) -> Self {
        Self {
            pool: KeptHandle::NONE,
            cached_tokens: Kept32::new(0),
            turns: Kept32::new(0),
            last_used_us: Kept48::at_most(last_used_us),
            jobs: Kept32::new(0),
            ledger,
            idle: Links::OUT,
        }
    }

    /// The same after so many turns, with so many tokens that no pool holds any more. STATE-1.
    pub(super) fn restored(self, turns: u32, cached_tokens: u32) -> Self {
        Self { turns: Kept32::new(turns), cached_tokens: counted_tokens(cached_tokens), ..self }
    }

    /// The pool that holds its KV cache, once one does. SESSION-2.
    #[must_use]
    pub fn pool(&self) -> Option<PoolHandle> {
        if self.pool.is_none() { None } else { Some(self.pool.get()) }
    }

    /// Tokens that this pool holds: below 2^24.
    #[must_use]
    pub const fn cached_tokens(&self) -> u32 {
        self.cached_tokens.get()
    }

    /// Jobs that were dispatched; stays at 2^32 - 1.
    #[must_use]
    pub const fn turns(&self) -> u32 {
        self.turns.get()
    }

    /// When a job of it was last admitted, dispatched, reached its first token or ended, in µs.
    #[must_use]
    pub const fn last_used_us(&self) -> u64 {
        self.last_used_us.get()
    }

    /// Jobs that wait or have a lease: above 0 the session is in use.
    #[must_use]
    pub const fn jobs(&self) -> u32 {
        self.jobs.get()
    }

    /// Its KV cache is in this pool: so many tokens, of which at most 2^24 - 1 count. SESSION-2.
    pub(super) fn keep_cache(&mut self, pool: PoolHandle, cached_tokens: u32) {
        self.pool = KeptHandle::of(pool);
        self.cached_tokens = counted_tokens(cached_tokens);
    }
}

/// SESSION-2.
fn counted_tokens(cached_tokens: u32) -> Kept32 {
    Kept32::new(cached_tokens.min(TOKENS_MAX))
}

/// The list of idle sessions.
#[derive(Debug)]
pub(super) struct Idle;

impl Linked<IdTable<'_, Session>> for Idle {
    fn links<'t>(table: &'t IdTable<'_, Session>, at: u32) -> Option<&'t Links> {
        table.in_slot(at).map(|session| &session.idle)
    }

    fn links_mut<'t>(table: &'t mut IdTable<'_, Session>, at: u32) -> Option<&'t mut Links> {
        table.in_slot_mut(at).map(|session| &mut session.idle)
    }
}

/// A session that takes one job more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AdmittedSession {
    /// The session, for as long as it is there.
    pub ticket: Ticket,
    /// The id of the one that made room for it.
    pub evicted: Option<Id>,
}

/// Why a session does not take a job. ADMIT-5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionRefusal {
    /// All places are taken by sessions in use.
    Full,
    /// The budget does not allow it, or the id is none. BUDGET-3.
    Field(FieldError),
}

impl From<FieldError> for SessionRefusal {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

/// All sessions, over borrowed storage.
#[derive(Debug)]
pub struct Sessions<'a> {
    pub(super) table: IdTable<'a, Session>,
    /// Least recently used first.
    idle: List<Idle>,
}

impl<'a> Sessions<'a> {
    /// No sessions yet; whatever the storage held is dropped. O(storage).
    ///
    /// `hash_seed` keeps strangers from filling one bucket, where they cannot know it. No answer depends on it.
    #[must_use]
    pub fn new(storage: SessionStorage<'a>, hash_seed: u64) -> Self {
        let table = IdTable::with_hash_seed(storage.slots, storage.buckets, storage.ids, hash_seed);
        Self { table, idle: List::EMPTY }
    }

    /// The number of sessions.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.table.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The number of sessions that fit.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.table.capacity()
    }

    /// Whether a session's id is as short as there is room for.
    pub(super) fn check_id(&self, session_id: &str) -> Result<(), Problem> {
        self.table.check_fits(session_id)
    }

    /// The session with this id. O(1) expected.
    #[must_use]
    pub fn find(&self, session_id: &str) -> Option<Ticket> {
        self.table.find(session_id)
    }

    /// What is remembered of a session, if it is still there. O(1).
    #[must_use]
    pub fn get(&self, session: Ticket) -> Option<&Session> {
        self.table.get(session)
    }

    /// A session's id, if it is still there. O(1).
    #[must_use]
    pub fn id(&self, session: Ticket) -> Option<&str> {
        self.table.id(session)
    }

    /// All sessions, in no order that means anything. O(capacity).
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.table.tickets()
    }

    /// The idle sessions, least recently used first: the order in which they are evicted and expire.
    pub fn idle(&self) -> impl Iterator<Item = Ticket> {
        let mut at = self.idle.first;
        core::iter::from_fn(move || {
            let session = self.table.at(at)?;
            at = list::next::<_, Idle>(&self.table, at);
            Some(session)
        })
    }

    /// What a decision is told of the session: its pool's rank and warm tokens, while `rank_of` knows the pool.
    /// SESSION-2. A pool that is gone took the cache with it.
    pub fn entry(&self, session: Ticket, rank_of: impl FnOnce(PoolHandle) -> Option<u32>) -> Option<SessionEntry> {
        let session = self.get(session)?;
        Some(SessionEntry { pool: rank_of(session.pool()?)?, cached_tokens: session.cached_tokens() })
    }

    /// Takes a job into its session and reserves `wanted` of the budget, under the limits that the job names. A session
    /// that is not there begins, and where all places are taken the least recently used idle one is evicted for it.
    /// SESSION-1, BUDGET-1. O(1) expected.
    ///
    /// # Errors
    /// All sessions are in use, BUDGET-3, or no session can have this id. Nothing changes: no limit and no session.
    pub fn admit(
        &mut self,
        session_id: &str,
        limits: BudgetLimits,
        wanted: BudgetAmounts,
        now_us: u64,
    ) -> Result<AdmittedSession, SessionRefusal> {
        match self.find(session_id) {
            Some(ticket) => self.join(ticket, limits, wanted, now_us),
            None => self.begin(session_id, limits, wanted, now_us),
        }
    }

    fn join(
        &mut self,
        ticket: Ticket,
        limits: BudgetLimits,
        wanted: BudgetAmounts,
        now_us: u64,
    ) -> Result<AdmittedSession, SessionRefusal> {
        let session = self.table.get_mut(ticket).ok_or(SessionRefusal::Full)?;
        let mut ledger = session.ledger;
        ledger.set_limits(limits);
        ledger.reserve(wanted)?;
        // As many jobs as can be counted: storage for jobs ends first.
        let jobs = session.jobs().checked_add(1).ok_or(SessionRefusal::Full)?;
        if session.jobs() == 0 {
            self.unlink(ticket);
        }
        self.update(ticket, now_us, |session| {
            session.ledger = ledger;
            session.jobs = Kept32::new(jobs);
        });
        Ok(AdmittedSession { ticket, evicted: None })
    }

    fn begin(
        &mut self,
        session_id: &str,
        limits: BudgetLimits,
        wanted: BudgetAmounts,
        now_us: u64,
    ) -> Result<AdmittedSession, SessionRefusal> {
        check_id(session_id)
            .and_then(|()| self.check_id(session_id))
            .map_err(|problem| FieldError::new("session_id", problem))?;
        let mut ledger = Ledger::new(limits);
        ledger.reserve(wanted)?;
        let evicted = if self.table.is_full() { Some(self.evict_oldest().ok_or(SessionRefusal::Full)?) } else { None };
        let session = Session { jobs: Kept32::new(1), ..Session::new(ledger, now_us) };
        // There is room, and the id is one that was not there.
        let ticket = self.table.insert(session_id, session).map_err(|_| SessionRefusal::Full)?;
        Ok(AdmittedSession { ticket, evicted })
    }

    /// A job of the session was dispatched: a turn. Its predicted time from start to end, where known, is reserved in
    /// place of what it `held`; says what it holds now. BUDGET-2. O(1).
    #[must_use = "the job must settle what it holds now"]
    pub fn turn_started(
        &mut self,
        session: Ticket,
        held: BudgetAmounts,
        predicted_run_us: Option<u64>,
        now_us: u64,
    ) -> BudgetAmounts {
        let mut holds = held;
        self.update(session, now_us, |session| {
            session.turns = Kept32::new(session.turns().saturating_add(1));
            if let Some(run_us) = predicted_run_us {
                holds = session.ledger.reserve_time(held, run_us);
            }
        });
        holds
    }

    /// A job of the session reached its first token, or its end, on this pool, which therefore holds the KV cache of
    /// so many tokens (at most 2^24 - 1 count); says whether the session is still there. SESSION-2. O(1).
    pub fn kv_written(&mut self, session: Ticket, pool: PoolHandle, cached_tokens: u32, now_us: u64) -> bool {
        self.update(session, now_us, |session| session.keep_cache(pool, cached_tokens))
    }

    /// A job of the session ended, wherever it was: what it `held` is released and what it `used` is spent; says whether
    /// the session is still there and the job was of it. BUDGET-2. O(1).
    pub fn job_ended(&mut self, session: Ticket, held: BudgetAmounts, used: BudgetAmounts, now_us: u64) -> bool {
        let Some(jobs) = self.get(session).and_then(|session| session.jobs().checked_sub(1)) else { return false };
        self.update(session, now_us, |session| {
            session.ledger.settle(held, used);
            session.jobs = Kept32::new(jobs);
        });
        if jobs == 0 {
            self.link_as_newest(session);
        }
        true
    }

    /// Ends a session on request, in use or not; its id, if it was there. SESSION-1. O(1) expected.
    pub fn end(&mut self, session: Ticket) -> Option<Id> {
        if self.get(session)?.jobs() == 0 {
            self.unlink(session);
        }
        self.take_out(session)
    }

    /// Ends the least recently used idle session, if its last use is `ttl_us` or longer ago; its id. A `ttl_us` of 0 is
    /// for ever. SESSION-1. O(1) expected: a caller asks until there is none.
    pub fn next_expired(&mut self, now_us: u64, ttl_us: u64) -> Option<Id> {
        self.next_expiry_us(ttl_us).filter(|&expiry_us| expiry_us <= now_us)?;
        self.evict_oldest()
    }

    /// When the next session ends by itself, in µs, if nothing of it happens before. O(1).
    #[must_use]
    pub fn next_expiry_us(&self, ttl_us: u64) -> Option<u64> {
        if ttl_us == 0 {
            return None;
        }
        // A sum that does not fit is a time that does not come.
        self.table.in_slot(self.idle.first)?.last_used_us().checked_add(ttl_us)
    }

    /// Puts a session back; an idle one as the one used last. None where there is no room for it, or it was used before
    /// the one put back before it. STATE-1.
    pub(super) fn restore(&mut self, session_id: &str, session: Session, is_idle: bool) -> Option<Ticket> {
        let newest = self.table.in_slot(self.idle.last);
        if is_idle && newest.is_some_and(|newest| newest.last_used_us() > session.last_used_us()) {
            return None;
        }
        let ticket = self.table.insert(session_id, session).ok()?;
        if is_idle {
            self.link_as_newest(ticket);
        }
        Some(ticket)
    }

    /// Counts a job again that a session which is not idle took in, with what it holds; says whether it can have. STATE-1.
    pub(super) fn restore_job(&mut self, session: Ticket, held: BudgetAmounts) -> bool {
        let is_idle = self.is_idle(session);
        let Some(session) = self.table.get_mut(session).filter(|_| !is_idle) else { return false };
        let (Some(jobs), Ok(())) = (session.jobs().checked_add(1), session.ledger.reserve_again(held)) else {
            return false;
        };
        session.jobs = Kept32::new(jobs);
        true
    }

    /// Whether every session is idle or has jobs.
    pub(super) fn all_are_of_use(&self) -> bool {
        let has_jobs = |ticket| self.get(ticket).is_some_and(|session| session.jobs() > 0);
        self.tickets().all(|ticket| has_jobs(ticket) != self.is_idle(ticket))
    }

    /// Whether a session is in the list of idle ones.
    fn is_idle(&self, session: Ticket) -> bool {
        let is_behind_another = self.get(session).is_some_and(|session| session.idle.previous() != NONE);
        is_behind_another || self.table.at(self.idle.first) == Some(session)
    }

    /// Takes all sessions out. O(storage).
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.idle = List::EMPTY;
    }

    fn evict_oldest(&mut self) -> Option<Id> {
        let oldest = self.table.at(self.idle.first)?;
        self.unlink(oldest);
        self.take_out(oldest)
    }

    /// Takes a session out of the table that is in no list any more.
    fn take_out(&mut self, session: Ticket) -> Option<Id> {
        let id = Id::try_from(self.id(session)?).ok();
        self.table.remove(session);
        id
    }

    /// Changes a session at its use; says whether it is there.
    fn update(&mut self, session: Ticket, now_us: u64, change: impl FnOnce(&mut Session)) -> bool {
        let Some(session) = self.table.get_mut(session) else { return false };
        session.last_used_us = Kept48::at_most(now_us);
        change(session);
        true
    }

    fn link_as_newest(&mut self, session: Ticket) {
        self.idle.push_back(&mut self.table, session.slot());
    }

    fn unlink(&mut self, session: Ticket) {
        self.idle.unlink(&mut self.table, session.slot());
        if let Some(session) = self.table.get_mut(session) {
            session.idle = Links::OUT;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::{String, ToString};
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::error::Problem;
    use crate::fleet::{PoolRegistry, SmallFleet};
    use crate::input::{JobSpec, PoolSnapshot, WarmSession};
    use crate::policy::Policy;

    const UNLIMITED: BudgetLimits = BudgetLimits { tokens: None, time_us: None, cost_micros: None };
    const ZERO: BudgetAmounts = BudgetAmounts::ZERO;
    const POOL: PoolHandle = PoolHandle { slot: 1, generation: 2 };

    struct Storage {
        slots: Vec<IdSlot<Session>>,
        buckets: Vec<u32>,
        ids: Vec<u8>,
    }

    impl Storage {
        fn new(slots: usize, buckets: usize) -> Self {
            Self { slots: vec![IdSlot::EMPTY; slots], buckets: vec![9; buckets], ids: vec![9; slots * 65] }
        }

        fn sessions(&mut self) -> Sessions<'_> {
            let Self { slots, buckets, ids } = self;
            Sessions::new(SessionStorage { slots, buckets, ids }, 7)
        }
    }

    /// A job of `id` comes and goes without a trace but its use.
    fn used(sessions: &mut Sessions<'_>, id: &str, now_us: u64) -> Ticket {
        let ticket = sessions.admit(id, UNLIMITED, ZERO, now_us).unwrap().ticket;
        assert!(sessions.job_ended(ticket, ZERO, ZERO, now_us));
        ticket
    }

    fn idle_ids(sessions: &Sessions<'_>) -> Vec<String> {
        sessions.idle().map(|ticket| sessions.id(ticket).unwrap().to_string()).collect()
    }

    /// SESSION-1: the least recently used idle one makes room; sessions in use never do.
    #[test]
    fn a_full_table_evicts_the_least_recently_used_idle_session() {
        let mut storage = Storage::new(3, 2);
        let mut sessions = storage.sessions();
        let busy = sessions.admit("busy", UNLIMITED, ZERO, 0).unwrap().ticket;
        used(&mut sessions, "a", 1);
        used(&mut sessions, "b", 2);
        used(&mut sessions, "a", 3);
        assert_eq!(idle_ids(&sessions), ["b", "a"]);
        let admitted = sessions.admit("c", UNLIMITED, ZERO, 4).unwrap();
        assert_eq!(admitted.evicted.as_deref(), Some("b"));
        assert_eq!(sessions.admit("d", UNLIMITED, ZERO, 5).unwrap().evicted.as_deref(), Some("a"));
        assert_eq!(sessions.admit("e", UNLIMITED, ZERO, 6), Err(SessionRefusal::Full));
        assert_eq!(sessions.len(), 3);
        // The first of two jobs leaves it in use.
        assert_eq!(
            sessions.admit("busy", UNLIMITED, ZERO, 7).unwrap(),
            AdmittedSession { ticket: busy, evicted: None }
        );
        sessions.job_ended(busy, ZERO, ZERO, 8);
        assert_eq!(sessions.admit("e", UNLIMITED, ZERO, 9), Err(SessionRefusal::Full));
        sessions.job_ended(busy, ZERO, ZERO, 10);
        assert_eq!(sessions.admit("e", UNLIMITED, ZERO, 11).unwrap().evicted.as_deref(), Some("busy"));
        assert_eq!((sessions.find("busy"), sessions.get(busy)), (None, None));
    }

    /// SESSION-1: idle sessions end `session_ttl` after their last use, oldest first; 0 is never.
    #[test]
    fn idle_sessions_expire() {
        let mut storage = Storage::new(4, 4);
        let mut sessions = storage.sessions();
        assert_eq!((sessions.next_expiry_us(10), sessions.next_expired(u64::MAX, 10)), (None, None));
        sessions.admit("busy", UNLIMITED, ZERO, 0).unwrap();
        used(&mut sessions, "a", 1);
        used(&mut sessions, "b", 2);
        used(&mut sessions, "c", 2);
        assert_eq!((sessions.next_expiry_us(0), sessions.next_expired(u64::MAX, 0)), (None, None));
        assert_eq!((sessions.next_expiry_us(10), sessions.next_expired(10, 10)), (Some(11), None));
        assert_eq!(sessions.next_expired(11, 10).as_deref(), Some("a"));
        assert_eq!(sessions.next_expired(11, 10), None);
        assert_eq!(sessions.next_expired(50, 10).as_deref(), Some("b"));
        assert_eq!(sessions.next_expired(50, 10).as_deref(), Some("c"));
        assert_eq!((sessions.next_expired(50, 10), sessions.len()), (None, 1));
        assert_eq!(sessions.next_expiry_us(u64::MAX), None);
    }

    /// SESSION-1: a session ends on request, also in use; its jobs then belong to no session, not to the next of the id.
    #[test]
    fn a_session_ends_on_request() {
        let mut storage = Storage::new(2, 2);
        let mut sessions = storage.sessions();
        let held = BudgetAmounts::at_admission(10, 10, 0);
        let first = sessions.admit("s", UNLIMITED, held, 0).unwrap().ticket;
        assert_eq!(sessions.end(first).as_deref(), Some("s"));
        assert_eq!((sessions.end(first), sessions.is_empty()), (None, true));
        let second = sessions.admit("s", UNLIMITED, held, 1).unwrap().ticket;
        assert!(!sessions.job_ended(first, held, held, 2));
        assert!(!sessions.kv_written(first, POOL, 5, 2));
        assert_eq!(sessions.turn_started(first, held, Some(9), 2), held);
        assert_eq!(sessions.entry(first, |_| Some(0)), None);
        let session = sessions.get(second).unwrap();
        assert_eq!((session.jobs(), session.turns(), session.ledger.reserved()), (1, 0, held));
        assert!(sessions.job_ended(second, held, held, 3));
        // A job that ended twice is no job of it.
        assert!(!sessions.job_ended(second, held, held, 3));
        assert_eq!(sessions.get(second).unwrap().ledger.spent(), held);
        assert_eq!(sessions.end(second).as_deref(), Some("s"));
        assert!(sessions.idle.is_empty());
    }

    /// SESSION-1, BUDGET-1, BUDGET-3: a refused job begins and evicts no session, and sets no limit.
    #[test]
    fn a_refused_job_changes_nothing() {
        let mut storage = Storage::new(1, 1);
        let mut sessions = storage.sessions();
        let ticket = used(&mut sessions, "s", 5);
        let before = sessions.get(ticket).cloned();
        let ten = BudgetLimits { tokens: Some(10), ..UNLIMITED };
        let refused =
            |left| SessionRefusal::Field(FieldError::new("budget.tokens", Problem::OverBudget { left, per: 1 }));
        let eleven = BudgetAmounts { tokens: 11, ..ZERO };
        for id in ["s", "other"] {
            assert_eq!(sessions.admit(id, ten, eleven, 6), Err(refused(10)));
        }
        for (id, problem) in [("", Problem::Empty), (&*"x".repeat(65), Problem::TooLong { max_bytes: 64 })] {
            let refused = SessionRefusal::Field(FieldError::new("session_id", problem));
            assert_eq!(sessions.admit(id, UNLIMITED, ZERO, 6), Err(refused));
        }
        assert_eq!((sessions.get(ticket).cloned(), idle_ids(&sessions)), (before, vec!["s".to_string()]));
    }

    /// BUDGET-1: a limit of one job limits the next; what was spent stays spent.
    #[test]
    fn a_budget_limits_the_session_from_then_on() {
        let mut storage = Storage::new(1, 1);
        let mut sessions = storage.sessions();
        let (ten, held) = (BudgetLimits { tokens: Some(10), ..UNLIMITED }, BudgetAmounts { tokens: 6, ..ZERO });
        let ticket = sessions.admit("s", ten, held, 0).unwrap().ticket;
        assert!(sessions.admit("s", UNLIMITED, held, 0).is_err());
        sessions.job_ended(ticket, held, BudgetAmounts { tokens: 3, ..ZERO }, 1);
        sessions.admit("s", UNLIMITED, held, 2).unwrap();
        assert_eq!(sessions.get(ticket).unwrap().ledger.remaining().tokens, Some(1));
        let twelve = BudgetLimits { tokens: Some(12), ..UNLIMITED };
        sessions.admit("s", twelve, BudgetAmounts { tokens: 3, ..ZERO }, 2).unwrap();
        assert_eq!(sessions.get(ticket).unwrap().ledger.remaining().tokens, Some(0));
    }

    /// SESSION-2: no entry before the first token, then that pool's; the last report counts; none without the pool.
    #[test]
    fn the_pool_of_the_last_first_token_is_warm() {
        let mut storage = Storage::new(1, 1);
        let mut sessions = storage.sessions();
        let ticket = sessions.admit("s", UNLIMITED, ZERO, 0).unwrap().ticket;
        assert_eq!(sessions.turn_started(ticket, ZERO, None, 1), ZERO);
        assert_eq!(sessions.entry(ticket, |_| Some(4)), None);
        assert!(sessions.kv_written(ticket, POOL, 100, 2));
        let rank_of = |handle| (handle == POOL).then_some(4);
        assert_eq!(sessions.entry(ticket, rank_of), Some(SessionEntry { pool: 4, cached_tokens: 100 }));
        // A turn that fails before its first token elsewhere leaves it as it was.
        let _ = sessions.turn_started(ticket, ZERO, None, 3);
        sessions.job_ended(ticket, ZERO, ZERO, 4);
        assert_eq!(sessions.entry(ticket, rank_of), Some(SessionEntry { pool: 4, cached_tokens: 100 }));
        assert_eq!(sessions.entry(ticket, |_| None), None);
        let other = PoolHandle { slot: 1, generation: 3 };
        sessions.kv_written(ticket, other, u32::MAX, 5);
        assert_eq!(sessions.entry(ticket, rank_of), None);
        let session = sessions.get(ticket).unwrap();
        assert_eq!((session.pool(), session.cached_tokens(), session.turns()), (Some(other), TOKENS_MAX, 2));
    }

    /// SESSION-3: a dispatch elsewhere is as warm as the new pool says itself; the session's cache does not move along.
    #[test]
    fn caches_do_not_move() {
        let mut fleet: SmallFleet<2, 4, 16> = SmallFleet::new();
        let mut home = PoolSnapshot::new("a", "vllm", 1, 1, 100, 100);
        let mut away = PoolSnapshot::new("b", "vllm", 1, 1, 100, 100);
        fleet.upsert(&away).unwrap();
        let handle = PoolRegistry::upsert(&mut fleet, &home).unwrap();
        let mut storage = Storage::new(1, 1);
        let mut sessions = storage.sessions();
        let ticket = sessions.admit("s", UNLIMITED, ZERO, 0).unwrap().ticket;
        sessions.kv_written(ticket, handle, 50, 1);

        let policy = Policy::default();
        let job = JobSpec { session_id: Some("s"), ..JobSpec::new("j", "vllm", "m") }.validate(&policy, None).unwrap();
        let placed = |fleet: &SmallFleet<2, 4, 16>| {
            let entry = sessions.entry(ticket, |pool| PoolRegistry::rank_of(fleet, pool));
            let decision = PoolRegistry::decide(fleet, &job, &policy, entry);
            decision.assignment().map(|assignment| (assignment.rank, assignment.warm))
        };
        assert_eq!(placed(&fleet), Some((0, true)));
        home.slots_free = 0;
        fleet.upsert(&home).unwrap();
        assert_eq!(placed(&fleet), Some((1, false)));
        let published = [WarmSession { session_id: "s", cached_tokens: 9 }];
        away.warm_sessions = &published;
        fleet.upsert(&away).unwrap();
        assert_eq!(placed(&fleet), Some((1, true)));
        // SESSION-2: the pool goes, and with it what it held, even when it comes back.
        PoolRegistry::remove(&mut fleet, handle);
        away.warm_sessions = &[];
        fleet.upsert(&away).unwrap();
        home.slots_free = 1;
        fleet.upsert(&home).unwrap();
        assert_eq!(placed(&fleet), Some((0, false)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Admit { name: usize, tokens_limit: Option<u64>, tokens: u64 },
        TurnStarted { job: usize, run_us: Option<u64> },
        KvWritten { job: usize, pool: u32, tokens: u32 },
        JobEnded { job: usize, tokens: u64 },
        End { name: usize },
        Expire { ttl_us: u64 },
        Wait { us: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let (any, tokens) = (any::<usize>, 0u64..50);
        let step = prop_oneof![
            6 => (any(), proptest::option::weighted(0.3, 0u64..200), tokens.clone())
                .prop_map(|(name, tokens_limit, tokens)| Step::Admit { name, tokens_limit, tokens }),
            2 => (any(), proptest::option::of(0u64..90)).prop_map(|(job, run_us)| Step::TurnStarted { job, run_us }),
            2 => (any(), 0u32..3, 0u32..99).prop_map(|(job, pool, tokens)| Step::KvWritten { job, pool, tokens }),
            5 => (any(), tokens).prop_map(|(job, tokens)| Step::JobEnded { job, tokens }),
            1 => any().prop_map(|name| Step::End { name }),
            1 => (0u64..30).prop_map(|ttl_us| Step::Expire { ttl_us }),
            2 => (0u64..9).prop_map(|us| Step::Wait { us }),
        ];
        proptest::collection::vec(step, 0..250)
    }

    /// A session of the model: no lists, no tickets, tokens only.
    #[derive(Debug, Clone)]
    struct Plain {
        id: String,
        serial: usize,
        pool: Option<(u32, u32)>,
        turns: u32,
        used_us: u64,
        /// Orders uses at one time.
        used_step: usize,
        limit: Option<u64>,
        spent: u64,
    }

    /// A job of the model; its session may be gone.
    #[derive(Debug, Clone)]
    struct PlainJob {
        serial: usize,
        ticket: Ticket,
        held: BudgetAmounts,
    }

    #[derive(Debug, Default)]
    struct Model {
        sessions: Vec<Plain>,
        jobs: Vec<PlainJob>,
        begun: usize,
        now_us: u64,
        step: usize,
    }

    impl Model {
        fn in_use(&self, session: &Plain) -> bool {
            self.jobs.iter().any(|job| job.serial == session.serial)
        }

        fn reserved(&self, session: &Plain) -> u64 {
            self.jobs.iter().filter(|job| job.serial == session.serial).map(|job| job.held.tokens).sum()
        }

        /// The place of the least recently used idle session.
        fn least_recent(&self) -> Option<usize> {
            let idle = (0..self.sessions.len()).filter(|&at| !self.in_use(&self.sessions[at]));
            idle.min_by_key(|&at| self.sessions[at].used_step)
        }

        fn touch(&mut self, serial: usize) -> Option<&mut Plain> {
            let (now_us, step) = (self.now_us, self.step);
            let session = self.sessions.iter_mut().find(|session| session.serial == serial)?;
            (session.used_us, session.used_step) = (now_us, step);
            Some(session)
        }

        /// What an admission must answer: the evicted id, or the refused field.
        fn admit(
            &mut self,
            room: usize,
            id: &str,
            limit: Option<u64>,
            tokens: u64,
        ) -> Result<(usize, Option<String>), &'static str> {
            if let Some(at) = self.sessions.iter().position(|session| session.id == id) {
                let session = &self.sessions[at];
                let limit = limit.or(session.limit);
                let used = session.spent + self.reserved(session);
                if limit.is_some_and(|limit| used + tokens > limit) && (tokens > 0) {
                    return Err("budget.tokens");
                }
                let serial = session.serial;
                self.touch(serial).unwrap().limit = limit;
                return Ok((serial, None));
            }
            if limit.is_some_and(|limit| tokens > limit) {
                return Err("budget.tokens");
            }
            let mut evicted = None;
            if self.sessions.len() >= room {
                let at = self.least_recent().ok_or("full")?;
                evicted = Some(self.sessions.remove(at).id);
            }
            self.begun += 1;
            let (serial, used_us, used_step) = (self.begun, self.now_us, self.step);
            let id = id.to_string();
            self.sessions.push(Plain { id, serial, pool: None, turns: 0, used_us, used_step, limit, spent: 0 });
            Ok((serial, evicted))
        }
    }

    fn check(sessions: &Sessions<'_>, model: &Model) -> Result<(), TestCaseError> {
        prop_assert_eq!(sessions.len() as usize, model.sessions.len());
        prop_assert_eq!(sessions.tickets().count(), model.sessions.len());
        for plain in &model.sessions {
            let ticket = sessions.find(&plain.id).unwrap();
            let session = sessions.get(ticket).unwrap();
            let jobs: Vec<&PlainJob> = model.jobs.iter().filter(|job| job.serial == plain.serial).collect();
            prop_assert!(jobs.iter().all(|job| job.ticket == ticket));
            prop_assert_eq!(sessions.id(ticket), Some(plain.id.as_str()));
            prop_assert_eq!(session.jobs() as usize, jobs.len());
            prop_assert_eq!((session.turns(), session.last_used_us()), (plain.turns, plain.used_us));
            prop_assert_eq!(session.pool().map(|pool| (pool.slot, session.cached_tokens())), plain.pool);
            prop_assert_eq!(session.ledger.limits().tokens, plain.limit);
            prop_assert_eq!(session.ledger.spent().tokens, plain.spent);
            prop_assert_eq!(session.ledger.reserved().tokens, model.reserved(plain));
            prop_assert_eq!(session.ledger.reserved().time_us, jobs.iter().map(|job| job.held.time_us).sum::<u64>());
        }
        let mut idle: Vec<&Plain> = model.sessions.iter().filter(|session| !model.in_use(session)).collect();
        idle.sort_by_key(|session| session.used_step);
        let idle: Vec<String> = idle.into_iter().map(|session| session.id.clone()).collect();
        prop_assert_eq!(idle_ids(sessions), idle);
        Ok(())
    }

    proptest! {
        /// SESSION-1, SESSION-2: sessions behave like a list that is searched from end to end; those in use are never
        /// evicted and never expire; ids are unique; jobs of sessions that are gone change nothing.
        #[test]
        fn behaves_like_a_plain_list(
            capacity in prop_oneof![Just(0usize), Just(1), Just(2), Just(64)],
            buckets in prop_oneof![1 => Just(0usize), 8 => 1usize..9],
            filled in any::<bool>(),
            steps in steps(),
        ) {
            let mut storage = Storage::new(capacity, buckets);
            let mut sessions = storage.sessions();
            let room = if buckets == 0 { 0 } else { capacity };
            prop_assert_eq!(sessions.capacity() as usize, room);
            // Enough ids to overflow the table, few enough that sessions meet again.
            let id_of = |name: usize| format!("session-{}", name % (capacity + 3));
            let mut model = Model::default();
            // Else a large table would never be full.
            for name in 0..if filled { room } else { 0 } {
                model.step += 1;
                used(&mut sessions, &id_of(name), 0);
                prop_assert!(model.admit(room, &id_of(name), None, 0).is_ok());
            }
            for step in steps {
                model.step += 1;
                let now_us = model.now_us;
                let pick = |job: usize| job.checked_rem(model.jobs.len());
                match step {
                    Step::Admit { name, tokens_limit, tokens } => {
                        let id = id_of(name);
                        let limits = BudgetLimits { tokens: tokens_limit, ..UNLIMITED };
                        let held = BudgetAmounts { tokens, time_us: 1, cost_micros: 0 };
                        let admitted = sessions.admit(&id, limits, held, now_us);
                        let ticket = admitted.as_ref().ok().map(|admitted| admitted.ticket);
                        let answer = match admitted {
                            Ok(admitted) => Ok(admitted.evicted.map(|id| id.to_string())),
                            Err(SessionRefusal::Full) => Err("full"),
                            Err(SessionRefusal::Field(error)) => Err(error.field),
                        };
                        let expected = model.admit(room, &id, tokens_limit, tokens);
                        prop_assert_eq!(&answer, &expected.clone().map(|(_, evicted)| evicted));
                        if let (Some(ticket), Ok((serial, _))) = (ticket, expected) {
                            model.jobs.push(PlainJob { serial, ticket, held });
                        }
                    }
                    Step::TurnStarted { job, run_us } => {
                        let Some(job) = pick(job) else { continue };
                        let PlainJob { serial, ticket, held } = model.jobs[job].clone();
                        let holds = sessions.turn_started(ticket, held, run_us, now_us);
                        let there = model.touch(serial).map(|session| session.turns += 1).is_some();
                        let time_us = run_us.filter(|_| there).map_or(held.time_us, |run_us| run_us.max(1));
                        prop_assert_eq!(holds, BudgetAmounts { time_us, ..held });
                        model.jobs[job].held = holds;
                    }
                    Step::KvWritten { job, pool, tokens } => {
                        let Some(job) = pick(job) else { continue };
                        let PlainJob { serial, ticket, .. } = model.jobs[job].clone();
                        let handle = PoolHandle { slot: pool, generation: 0 };
                        let there = model.touch(serial).map(|session| session.pool = Some((pool, tokens))).is_some();
                        prop_assert_eq!(sessions.kv_written(ticket, handle, tokens, now_us), there);
                    }
                    Step::JobEnded { job, tokens } => {
                        let Some(job) = pick(job) else { continue };
                        let PlainJob { serial, ticket, held } = model.jobs.swap_remove(job);
                        let there = model.touch(serial).map(|session| session.spent += tokens).is_some();
                        let used = BudgetAmounts { tokens, ..ZERO };
                        prop_assert_eq!(sessions.job_ended(ticket, held, used, now_us), there);
                    }
                    Step::End { name } => {
                        let id = id_of(name);
                        let ended = sessions.find(&id).and_then(|ticket| sessions.end(ticket));
                        let there = model.sessions.iter().any(|session| session.id == id);
                        model.sessions.retain(|session| session.id != id);
                        prop_assert_eq!(ended.as_deref(), there.then_some(id.as_str()));
                    }
                    Step::Expire { ttl_us } => {
                        let next = model.least_recent().filter(|_| ttl_us > 0).map(|at| model.sessions[at].used_us + ttl_us);
                        prop_assert_eq!(sessions.next_expiry_us(ttl_us), next);
                        while let Some(id) = sessions.next_expired(now_us, ttl_us) {
                            let at = model.least_recent().unwrap();
                            let gone = model.sessions.remove(at);
                            prop_assert_eq!(gone.id.as_str(), id.as_str());
                            prop_assert!(ttl_us > 0 && now_us - gone.used_us >= ttl_us);
                        }
                        let due = |at: usize| now_us - model.sessions[at].used_us >= ttl_us;
                        prop_assert!(ttl_us == 0 || !model.least_recent().is_some_and(due));
                    }
                    Step::Wait { us } => model.now_us += us,
                }
                check(&sessions, &model)?;
            }
        }
    }
}
