//! What passes between the interrupt and the main program: small, and without borrowed parts.

use heapless::spsc::Queue;

/// A queue takes one message less than its size.
pub const INGRESS_DEPTH: usize = 16;
/// As many as one input can call for before the main program waits for the interrupt again.
pub const EGRESS_DEPTH: usize = 16;

/// From the wire to the agent.
pub type Ingress = Queue<Message, INGRESS_DEPTH>;
/// From the agent to the wire.
pub type Egress = Queue<Order, EGRESS_DEPTH>;

/// Something happened at a time, in µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// When.
    pub at_us: u64,
    /// What.
    pub what: What,
}

/// What a wire says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A pool's state.
    Pool {
        /// Which one.
        number: u8,
        /// Its free slots.
        slots_free: u8,
        /// Its speed, in steps.
        speed: u8,
    },
    /// A request.
    Request {
        /// Its number.
        job: u16,
        /// Its session, if it has one.
        session: Option<u8>,
        /// Tokens of its prompt.
        prompt_tokens: u16,
        /// Whether nobody waits for it.
        batch: bool,
    },
    /// An engine took a job.
    Started(u16),
    /// It produced its first token.
    FirstToken(u16),
    /// It is done.
    Finished(u16),
    /// Its caller went away.
    Canceled(u16),
    /// Nothing but time.
    Tick,
}

/// What an engine is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Run a job.
    Run {
        /// The job.
        job: u16,
        /// Its pool.
        pool: u8,
    },
    /// Stop it.
    Stop(u16),
}
