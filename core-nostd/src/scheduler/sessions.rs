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
//! let (mut slots, mut buckets) = ([const { IdSlot::EMPTY }; 1], [0; 1]);
//! let mut sessions = Sessions::new(SessionStorage { slots: &mut slots, buckets: &mut buckets }, 0);
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
use crate::error::FieldError;
use crate::fleet::PoolHandle;
use crate::input::BudgetLimits;
use crate::limits::TOKENS_MAX;
use crate::rows::SessionEntry;
use crate::storage::{IdSlot, IdTable, Ticket};
use crate::values::text::{Id, check_id};

/// Memory for sessions: a slot for each, and about as many hash buckets. Without buckets there is no room.
#[derive(Debug)]
pub struct SessionStorage<'a> {
    /// A slot for each session.
    pub slots: &'a mut [IdSlot<Session>],
    /// Hash buckets.
    pub buckets: &'a mut [u32],
}

/// What is remembered of one session. SESSION-1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The pool that holds its KV cache, once one does. SESSION-2.
    pub pool: Option<PoolHandle>,
    /// Tokens that this pool holds: below 2^24.
    pub cached_tokens: u32,
    /// Jobs that were dispatched; stays at 2^32 - 1.
    pub turns: u32,
    /// When a job of it was last admitted, dispatched, reached its first token or ended, in µs.
    pub last_used_us: u64,
    /// Jobs that wait or have a lease: above 0 the session is in use.
    pub jobs: u32,
    /// Its budget.
    pub ledger: Ledger,
    /// The idle session used just before, and just after.
    pub(super) older: Option<Ticket>,
    pub(super) newer: Option<Ticket>,
}

/// A session that takes one job more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
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
    table: IdTable<'a, Session>,
    /// The ends of the list of idle sessions.
    oldest: Option<Ticket>,
    newest: Option<Ticket>,
}

impl<'a> Sessions<'a> {
    /// No sessions yet; whatever the storage held is dropped. O(storage).
    ///
    /// `hash_seed` keeps strangers from filling one bucket, where they cannot know it. No answer depends on it.
    #[must_use]
    pub fn new(storage: SessionStorage<'a>, hash_seed: u64) -> Self {
        let table = IdTable::with_hash_seed(storage.slots, storage.buckets, hash_seed);
        Self { table, oldest: None, newest: None }
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
        core::iter::successors(self.oldest, |&session| self.get(session)?.newer)
    }

    /// What a decision is told of the session: its pool's rank and warm tokens, while `rank_of` knows the pool.
    /// SESSION-2. A pool that is gone took the cache with it.
    pub fn entry(&self, session: Ticket, rank_of: impl FnOnce(PoolHandle) -> Option<u32>) -> Option<SessionEntry> {
        let session = self.get(session)?;
        Some(SessionEntry { pool: rank_of(session.pool?)?, cached_tokens: session.cached_tokens })
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
        let jobs = session.jobs.checked_add(1).ok_or(SessionRefusal::Full)?;
        if session.jobs == 0 {
            self.unlink(ticket);
        }
        self.update(ticket, now_us, |session| {
            session.ledger = ledger;
            session.jobs = jobs;
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
        check_id(session_id).map_err(|problem| FieldError::new("session_id", problem))?;
        let mut ledger = Ledger::new(limits);
        ledger.reserve(wanted)?;
        let evicted = if self.table.is_full() { Some(self.evict_oldest().ok_or(SessionRefusal::Full)?) } else { None };
        let session = Session {
            pool: None,
            cached_tokens: 0,
            turns: 0,
            last_used_us: now_us,
            jobs: 1,
            ledger,
            older: None,
            newer: None,
        };
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
            session.turns = session.turns.saturating_add(1);
            if let Some(run_us) = predicted_run_us {
                holds = session.ledger.reserve_time(held, run_us);
            }
        });
        holds
    }

    /// A job of the session reached its first token, or its end, on this pool, which therefore holds the KV cache of
    /// so many tokens (at most 2^24 - 1 count); says whether the session is still there. SESSION-2. O(1).
    pub fn kv_written(&mut self, session: Ticket, pool: PoolHandle, cached_tokens: u32, now_us: u64) -> bool {
        self.update(session, now_us, |session| {
            session.pool = Some(pool);
            session.cached_tokens = cached_tokens.min(TOKENS_MAX);
        })
    }

    /// A job of the session ended, wherever it was: what it `held` is released and what it `used` is spent; says whether
    /// the session is still there and the job was of it. BUDGET-2. O(1).
    pub fn job_ended(&mut self, session: Ticket, held: BudgetAmounts, used: BudgetAmounts, now_us: u64) -> bool {
        let Some(jobs) = self.get(session).and_then(|session| session.jobs.checked_sub(1)) else { return false };
        self.update(session, now_us, |session| {
            session.ledger.settle(held, used);
            session.jobs = jobs;
        });
        if jobs == 0 {
            self.link_as_newest(session);
        }
        true
    }

    /// Ends a session on request, in use or not; its id, if it was there. SESSION-1. O(1) expected.
    pub fn end(&mut self, session: Ticket) -> Option<Id> {
        if self.get(session)?.jobs == 0 {
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
        self.get(self.oldest?)?.last_used_us.checked_add(ttl_us)
    }

    fn evict_oldest(&mut self) -> Option<Id> {
        let oldest = self.oldest?;
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
        session.last_used_us = now_us;
        change(session);
        true
    }

    fn link_as_newest(&mut self, session: Ticket) {
        let older = self.newest.replace(session);
        match older.and_then(|older| self.table.get_mut(older)) {
            Some(neighbour) => neighbour.newer = Some(session),
            None => self.oldest = Some(session),
        }
        if let Some(linked) = self.table.get_mut(session) {
            linked.older = older;
        }
    }

    fn unlink(&mut self, session: Ticket) {
        let Some(linked) = self.table.get_mut(session) else { return };
        let (older, newer) = (linked.older.take(), linked.newer.take());
        match older.and_then(|older| self.table.get_mut(older)) {
            Some(neighbour) => neighbour.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.table.get_mut(newer)) {
            Some(neighbour) => neighbour.older = older,
            None => self.newest = older,
        }
    }
}
