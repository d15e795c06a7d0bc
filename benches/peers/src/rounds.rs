//! Taking turns: in every round each contestant works for a while, so that a busy neighbour disturbs all of them alike.
//! Turns are short and rounds many, so that some turns are not disturbed at all: the least is theirs.

use std::time::{Duration, Instant};

use anyhow::Result;

/// A look at the clock takes a few ten nanoseconds: there is time between two of them.
const BETWEEN_LOOKS: Duration = Duration::from_micros(20);

/// How long contestants are measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Rounds that count.
    pub(crate) rounds: usize,
    /// The time of each contestant in each round.
    pub(crate) turn: Duration,
}

/// One contestant: it works for about the time that it is given, and says how many seconds its unit of work took.
pub(crate) type Turn<'a> = Box<dyn FnMut(Duration) -> Result<f64> + 'a>;

/// The seconds of all rounds, ascending; there is at least one.
pub(crate) struct Seconds(Vec<f64>);

impl Seconds {
    pub(crate) fn least(&self) -> f64 {
        self.0[0]
    }

    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

/// Lets all contestants take a turn in each of so many rounds, after one that does not count.
pub(crate) fn take_turns(turns: &mut [Turn<'_>], pace: Pace) -> Result<Vec<Seconds>> {
    let mut seconds = vec![vec![]; turns.len()];
    for round in 0..=pace.rounds.max(1) {
        for (turn, seconds) in turns.iter_mut().zip(&mut seconds) {
            let mean = turn(pace.turn)?;
            if round > 0 {
                seconds.push(mean);
            }
        }
    }
    let ascending = |mut seconds: Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        Seconds(seconds)
    };
    Ok(seconds.into_iter().map(ascending).collect())
}

/// A turn of single decisions: decides job after job, from the one behind the last of the turn before, over and over.
pub(crate) fn one_by_one<'a>(jobs: usize, mut decide: impl FnMut(usize) -> Result<()> + 'a) -> Turn<'a> {
    let (mut next, mut at_once) = ((0..jobs).cycle(), 1);
    Box::new(move |budget| {
        let (start, mut elapsed, mut decisions) = (Instant::now(), Duration::ZERO, 0usize);
        while elapsed < budget {
            for job in next.by_ref().take(at_once) {
                decide(job)?;
            }
            decisions += at_once;
            let before = std::mem::replace(&mut elapsed, start.elapsed());
            if elapsed - before < BETWEEN_LOOKS {
                at_once *= 2;
            }
        }
        Ok(elapsed.as_secs_f64() / decisions as f64)
    })
}

/// A turn of whole batches.
pub(crate) fn batches<'a>(mut decide_all: impl FnMut() -> Result<()> + 'a) -> Turn<'a> {
    Box::new(move |budget| {
        let (start, mut batches) = (Instant::now(), 0usize);
        while batches == 0 || start.elapsed() < budget {
            decide_all()?;
            batches += 1;
        }
        Ok(start.elapsed().as_secs_f64() / batches as f64)
    })
}
