//! The threads of one block: who runs, who waits for what, and when a wait is over.
//!
//! A barrier is over when every thread that has not exited is there; what lanes of a warp do together, when every member
//! that has not exited is there with the same request.

use super::context::Context;
use super::order::Order;
use super::thread::{BarrierWait, Pause, Request, Thread, WarpWait};
use super::warp::{shuffle_source, vote};
use crate::fault::FaultKind;

const LANES: usize = 32;
const BARRIERS: usize = 16;

/// What a thread is about.
#[derive(Debug, Clone, Copy)]
enum State {
    Ready,
    Barrier(BarrierWait),
    Warp(WarpWait),
    Exited,
}

/// A fault and the thread it belongs to.
#[derive(Debug)]
pub(super) struct BlockFault {
    pub(super) thread: usize,
    pub(super) kind: Box<FaultKind>,
}

type Done<T> = Result<T, BlockFault>;

/// A block under way.
pub(super) struct Block {
    pub(super) threads: Vec<Thread>,
    states: Vec<State>,
    ready: Vec<usize>,
    alive: usize,
    arrived: [usize; BARRIERS],
    /// Barriers passed, of the block and of single warps together.
    passed: u32,
}

impl Block {
    pub(super) fn new(threads: Vec<Thread>) -> Self {
        let count = threads.len();
        Self {
            threads,
            states: vec![State::Ready; count],
            ready: (0..count).collect(),
            alive: count,
            arrived: [0; BARRIERS],
            passed: 0,
        }
    }

    /// Runs all threads to their end.
    pub(super) fn run(&mut self, context: &mut Context<'_>, order: &mut Order) -> Done<()> {
        while !self.ready.is_empty() {
            let thread = self.ready.swap_remove(order.below(self.ready.len()));
            let pause = self.threads[thread].run(context).map_err(|kind| BlockFault { thread, kind })?;
            match pause {
                Pause::Turn => self.ready.push(thread),
                Pause::Exited => self.exit(thread, context)?,
                Pause::Barrier(wait) => self.arrive(thread, wait, context)?,
                Pause::Warp(wait) => {
                    self.states[thread] = State::Warp(wait);
                    self.meet(thread)?;
                }
            }
        }
        let waiting = self.states.iter().position(|state| !matches!(state, State::Exited));
        match waiting {
            None => Ok(()),
            Some(thread) => Err(self.fault(thread, FaultKind::Deadlock { waiting: self.alive })),
        }
    }

    /// A fault at the instruction that a thread waits at.
    fn fault(&mut self, thread: usize, kind: FaultKind) -> BlockFault {
        self.threads[thread].next -= 1;
        BlockFault { thread, kind: Box::new(kind) }
    }

    fn wake(&mut self, thread: usize) {
        self.states[thread] = State::Ready;
        self.ready.push(thread);
    }

    /// An exit may be what others were waiting for.
    fn exit(&mut self, thread: usize, context: &Context<'_>) -> Done<()> {
        self.states[thread] = State::Exited;
        self.alive -= 1;
        for id in 0..BARRIERS {
            self.release_if_complete(id, context)?;
        }
        for lane in warp_of(thread, self.threads.len()) {
            if matches!(self.states[lane], State::Warp(_)) {
                self.meet(lane)?;
            }
        }
        Ok(())
    }

    fn arrive(&mut self, thread: usize, wait: BarrierWait, context: &Context<'_>) -> Done<()> {
        let count = wait.count.unwrap_or(0);
        let sane = wait.count.is_none_or(|count| count > 0 && count.is_multiple_of(LANES as u32));
        let same = self.waiting_at(wait.id as usize).next().is_none_or(|(_, other)| other.count == wait.count);
        self.states[thread] = State::Barrier(wait);
        if !sane || !same || wait.id as usize >= BARRIERS {
            return Err(self.fault(thread, FaultKind::BarrierCount { id: wait.id, count }));
        }
        self.arrived[wait.id as usize] += 1;
        self.release_if_complete(wait.id as usize, context)
    }

    fn waiting_at(&self, id: usize) -> impl Iterator<Item = (usize, BarrierWait)> + '_ {
        let waits = self.states.iter().enumerate().filter_map(|(thread, state)| match state {
            State::Barrier(wait) => Some((thread, *wait)),
            _ => None,
        });
        waits.filter(move |(_, wait)| wait.id as usize == id)
    }

    fn release_if_complete(&mut self, id: usize, context: &Context<'_>) -> Done<()> {
        if self.arrived[id] == 0 {
            return Ok(());
        }
        let due = self.waiting_at(id).next().and_then(|(_, wait)| wait.count);
        if self.arrived[id] < due.map_or(self.alive, |count| count as usize) {
            return Ok(());
        }
        let waiting: Vec<_> = self.waiting_at(id).collect();
        self.check_alignment(&waiting, context)?;
        self.arrived[id] = 0;
        self.passed += 1;
        for (thread, _) in waiting {
            self.threads[thread].block_barriers = self.passed;
            self.wake(thread);
        }
        Ok(())
    }

    /// At an aligned barrier the lanes of a warp wait at the same instruction.
    fn check_alignment(&mut self, waiting: &[(usize, BarrierWait)], context: &Context<'_>) -> Done<()> {
        for pair in waiting.windows(2) {
            let [(first, _), (second, wait)] = *pair else { continue };
            let (here, there) = (self.threads[second].next, self.threads[first].next);
            if wait.aligned && first / LANES == second / LANES && here != there {
                let other_line = context.program.code[there as usize - 1].line;
                let kind = FaultKind::DivergentBarrier { other: first as u32, other_line };
                return Err(self.fault(second, kind));
            }
        }
        Ok(())
    }

    /// Lets the members of a waiting lane go on if all of them are there.
    fn meet(&mut self, thread: usize) -> Done<()> {
        let State::Warp(WarpWait { members, request }) = self.states[thread] else { return Ok(()) };
        let warp = warp_of(thread, self.threads.len());
        let first = warp.start;
        let mut lanes = 0u32;
        for lane in warp.filter(|lane| members >> (lane % LANES) & 1 == 1) {
            match self.states[lane] {
                State::Exited => {}
                State::Warp(wait) if wait.members == members && wait.request.joins(request) => {
                    lanes |= 1 << (lane % LANES);
                }
                _ => return Ok(()),
            }
        }
        match request {
            Request::Barrier => self.pass(first, lanes),
            Request::Shuffle { .. } => self.shuffle(first, lanes, members)?,
            Request::Vote { mode, .. } => {
                let yes = each(lanes).filter(|lane| self.votes_yes(first + lane)).fold(0, |yes, lane| yes | 1 << lane);
                for lane in each(lanes) {
                    if let State::Warp(WarpWait { request: Request::Vote { into, .. }, .. }) = self.states[first + lane]
                    {
                        self.threads[first + lane].set(into, vote(mode, lanes, yes));
                    }
                }
            }
        }
        for lane in each(lanes) {
            self.wake(first + lane);
        }
        Ok(())
    }

    fn votes_yes(&self, thread: usize) -> bool {
        matches!(self.states[thread], State::Warp(WarpWait { request: Request::Vote { condition: true, .. }, .. }))
    }

    fn pass(&mut self, first: usize, lanes: u32) {
        self.passed += 1;
        for lane in each(lanes) {
            self.threads[first + lane].warp_barriers = self.passed;
        }
    }

    fn shuffle(&mut self, first: usize, lanes: u32, members: u32) -> Done<()> {
        let mut values = [0; LANES];
        for lane in each(lanes) {
            if let State::Warp(WarpWait { request: Request::Shuffle { value, .. }, .. }) = self.states[first + lane] {
                values[lane] = value;
            }
        }
        for number in each(lanes) {
            let State::Warp(WarpWait { request: Request::Shuffle { mode, lane, clamp, into, in_range, .. }, .. }) =
                self.states[first + number]
            else {
                continue;
            };
            let (from, valid) = shuffle_source(mode, number as u32, lane, clamp);
            if lanes >> from & 1 == 0 {
                let kind = FaultKind::ForeignLane { lane: number as u32, from, members };
                return Err(self.fault(first + number, kind));
            }
            let thread = &mut self.threads[first + number];
            thread.set(into, values[from as usize]);
            if let Some(in_range) = in_range {
                thread.set(in_range, u64::from(valid));
            }
        }
        Ok(())
    }
}

impl Request {
    /// Whether two lanes ask for the same thing.
    fn joins(self, other: Self) -> bool {
        match (self, other) {
            (Self::Barrier, Self::Barrier) => true,
            (Self::Shuffle { mode: one, .. }, Self::Shuffle { mode: other, .. }) => one == other,
            (Self::Vote { mode: one, .. }, Self::Vote { mode: other, .. }) => one == other,
            _ => false,
        }
    }
}

/// The threads of a thread's warp.
fn warp_of(thread: usize, threads: usize) -> std::ops::Range<usize> {
    let first = thread - thread % LANES;
    first..(first + LANES).min(threads)
}

/// The lanes of a mask.
fn each(lanes: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| lanes >> lane & 1 == 1)
}
