//! What the lanes of a warp do together: who reads whom in a shuffle, what a vote comes to.

use crate::program::{Shuffle, Vote};

/// The lane that a lane reads in a shuffle, and whether its own request was in range; out of range it reads itself.
pub(super) fn shuffle_source(mode: Shuffle, lane: u32, operand: u32, clamp: u32) -> (u32, bool) {
    let operand = (operand & 31) as i32;
    let (segment, clamp) = (clamp >> 8 & 31, clamp & 31);
    let limit = (lane & segment | clamp & !segment) as i32;
    let first = (lane & segment) as i32;
    let own = lane as i32;
    let source = match mode {
        Shuffle::Up => own - operand,
        Shuffle::Down => own + operand,
        Shuffle::Butterfly => own ^ operand,
        Shuffle::Index => first | operand & !(segment as i32),
    };
    let in_range = if mode == Shuffle::Up { source >= limit } else { source <= limit };
    (if in_range { source as u32 } else { lane }, in_range)
}

/// What every participant gets: `who` are the lanes that take part, `yes` those of them whose condition holds.
pub(super) fn vote(mode: Vote, who: u32, yes: u32) -> u64 {
    match mode {
        Vote::All => u64::from(yes == who),
        Vote::Any => u64::from(yes != 0),
        Vote::Uniform => u64::from(yes == who || yes == 0),
        Vote::Ballot => u64::from(yes),
    }
}
