//! One engine alone with its requests: when each of them gets its first token, and its last one.

use super::Asked;
use crate::simulate::engine::{Engine, EngineSpec, Happened, Work};
use crate::simulate::prefix_cache::Prefix;
use crate::simulate::residents::Residents;

/// When something came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The engine began with it.
    pub started_us: u64,
    /// Its first token came.
    pub first_token_us: u64,
    /// Its last token came.
    pub ended_us: u64,
}

impl Times {
    /// From the start to the first token.
    pub(super) const fn prefill_us(&self) -> u64 {
        self.first_token_us.saturating_sub(self.started_us)
    }
}

/// Sends all requests to an engine when they arrive; the times of the first `watched` ones, in their order. `None` of a
/// request that never ends, as in an engine without slots.
#[must_use]
pub fn replay(spec: EngineSpec, asked: &[Asked], watched: usize) -> Vec<Option<Times>> {
    let mut engine = Engine::new(spec, 1, Residents::ALL);
    let mut arrivals: Vec<(u64, u32)> = asked.iter().map(|one| one.arrived_us).zip(0..).collect();
    arrivals.sort_unstable();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut lives = vec![Times { started_us: 0, first_token_us: 0, ended_us: 0 }; asked.len()];
    let mut times = vec![None; watched.min(asked.len())];
    let (mut open, mut now_us, mut happened) = (times.len(), 0, Vec::new());
    while open > 0 {
        let arrival_us = arrivals.peek().map(|&(at_us, _)| at_us);
        let Some(next_us) = arrival_us.into_iter().chain(engine.next_event_us()).min() else { break };
        now_us = next_us.max(now_us);
        // What ends now makes room for what comes now.
        engine.advance(now_us, &[], &mut happened);
        while let Some((_, request)) = arrivals.next_if(|&(at_us, _)| at_us <= now_us) {
            engine.enqueue(work(request, &asked[request as usize]));
        }
        engine.advance(now_us, &[], &mut happened);
        for one in happened.drain(..) {
            match one {
                Happened::Started { request, .. } => lives[request as usize].started_us = now_us,
                Happened::FirstToken { request } => lives[request as usize].first_token_us = now_us,
                Happened::Finished { request } => {
                    if let Some(own) = times.get_mut(request as usize) {
                        *own = Some(Times { ended_us: now_us, ..lives[request as usize] });
                        open -= 1;
                    }
                }
            }
        }
    }
    times
}

const fn work(request: u32, asked: &Asked) -> Work {
    let Asked { prompt_tokens, output_tokens, .. } = *asked;
    Work { request, model: 0, prompt_tokens, output_tokens, prefix: Prefix::None }
}
