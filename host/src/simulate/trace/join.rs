//! The parts of several files as one trace: by arrival, then file, then row.

use indexmap::IndexSet;

use super::error::TraceError;
use super::part::{Part, Served, index_of};
use crate::simulate::request::{Arrival, Request, Trace};

/// The trace, and the engine of each of its models.
pub(super) fn join(parts: Vec<Part<'_>>) -> Result<(Trace, Vec<String>), TraceError> {
    let mut served = IndexSet::new();
    let mut all =
        Joined { trace: Trace { block_tokens: common_block(&parts), ..Trace::default() }, ..Joined::default() };
    for part in parts {
        all.add(part, &mut served)?;
    }
    let mut trace = all.trace;
    trace.requests = in_order(trace.requests)?;
    let (engines, models) = served.into_iter().unzip();
    trace.models = models;
    Ok((trace, engines))
}

/// The largest block that all files' blocks consist of.
fn common_block(parts: &[Part<'_>]) -> u32 {
    let common = |mut a: u32, mut b: u32| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    parts.iter().map(|part| part.block_tokens).fold(0, common)
}

#[derive(Default)]
struct Joined {
    trace: Trace,
    sessions: u32,
    block_ids: u32,
}

impl Joined {
    fn add(&mut self, part: Part<'_>, served: &mut IndexSet<Served>) -> Result<(), TraceError> {
        let first_request = index_of(self.trace.requests.len(), "requests")?;
        index_of(self.trace.requests.len() + part.requests.len(), "requests")?;
        let models: Vec<u32> = part
            .served
            .into_iter()
            .map(|pair| index_of(served.insert_full(pair).0, "models"))
            .collect::<Result<_, _>>()?;
        // A block of the file is so many of the trace's; of a file without blocks there is none.
        let pieces = part.block_tokens.checked_div(self.trace.block_tokens).unwrap_or(0);
        let first_block = index_of(self.trace.blocks.len(), "blocks")?;
        for id in part.blocks {
            let start = u64::from(self.block_ids) + u64::from(id) * u64::from(pieces);
            for piece in 0..u64::from(pieces) {
                self.trace.blocks.push(narrow(start + piece, "blocks")?);
            }
        }
        index_of(self.trace.blocks.len(), "blocks")?;
        for mut request in part.requests {
            request.model = models[request.model as usize];
            request.session = request.session.map(|session| session + self.sessions);
            let blocks = request.prefix_blocks;
            request.prefix_blocks = first_block + blocks.start * pieces..first_block + blocks.end * pieces;
            if let Arrival::After { request, .. } = &mut request.arrival {
                *request += first_request;
            }
            self.trace.requests.push(request);
        }
        let too_many = |what| TraceError::TooMany { what };
        self.sessions = self.sessions.checked_add(part.sessions).ok_or_else(|| too_many("sessions"))?;
        self.block_ids = narrow(u64::from(self.block_ids) + u64::from(part.block_ids) * u64::from(pieces), "blocks")?;
        Ok(())
    }
}

fn narrow(value: u64, what: &'static str) -> Result<u32, TraceError> {
    u32::try_from(value).map_err(|_| TraceError::TooMany { what })
}

/// By the time at which a request or the first of its chain arrives, then as they stand.
fn in_order(requests: Vec<Request>) -> Result<Vec<Request>, TraceError> {
    let mut starts: Vec<u64> = Vec::with_capacity(requests.len());
    for request in &requests {
        starts.push(match request.arrival {
            Arrival::At { at_us } => at_us,
            // A predecessor stands before, so that its start is known.
            Arrival::After { request, .. } => starts[request as usize],
        });
    }
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|&place| starts[place]);
    let mut new_place = vec![0_u32; requests.len()];
    for (new, &old) in order.iter().enumerate() {
        new_place[old] = index_of(new, "requests")?;
    }
    let mut requests: Vec<Option<Request>> = requests.into_iter().map(Some).collect();
    let moved = order.iter().filter_map(|&old| requests[old].take()).map(|mut moved| {
        if let Arrival::After { request, .. } = &mut moved.arrival {
            *request = new_place[*request as usize];
        }
        moved
    });
    Ok(moved.collect())
}
