//! The close look at a pair: its words, by the core's functions, and whether its key leads.

use orchestrator_core::hash::spread_value;
use orchestrator_core::rule::key::Key;
use orchestrator_core::rule::lane::{
    end_us, first_word, saturated_end_us, second_word, third_word, tokens_us, waiting_end_us,
};

use super::bound::{Arithmetic, Tokens};
use super::pool::{Hot, Ties, Waits};
use crate::launch::Ends;
use crate::records::JobLanes;
use crate::tables::View;

/// What of a pool is read only where a look needs it.
pub(crate) trait Closer {
    fn ties(&self) -> Ties;
    fn waits(&self) -> Waits;
    /// The job's; 0 under a policy that does not spread.
    fn spread_hash(&self) -> u64;
}

/// A pool in the tables, for a job in its table.
pub(crate) struct InTables<'a> {
    pub(crate) view: &'a View<'a>,
    pub(crate) rank: u32,
    pub(crate) job: Option<&'a JobLanes>,
}

impl Closer for InTables<'_> {
    #[inline(always)] // Once per close look.
    fn ties(&self) -> Ties {
        self.view.ties(self.rank)
    }

    #[inline(always)] // As above.
    fn waits(&self) -> Waits {
        self.view.waits(self.rank)
    }

    #[inline(always)] // As above.
    fn spread_hash(&self) -> u64 {
        self.job.map_or(0, |job| job.spread_hash)
    }
}

/// A pool that a job fits, looked at closely.
pub(crate) struct Pair<'a, C> {
    pub(crate) hot: &'a Hot,
    pub(crate) closer: C,
    pub(crate) rank: u32,
    pub(crate) kv_bytes: u64,
    pub(crate) tokens: Tokens,
    pub(crate) key_1: u64,
    pub(crate) quantum_shift: u32,
    pub(crate) spreads: bool,
}

impl<C: Closer> Pair<'_, C> {
    /// The pair's key, if its first word is not above `bar`.
    #[inline(always)] // Once per close look.
    pub(crate) fn key_up_to<E: Arithmetic>(&self, bar: u64) -> Option<Key> {
        let word_0 = self.first_word::<E>();
        (word_0 <= bar).then(|| self.complete::<E>(word_0))
    }

    /// The pair's key.
    #[inline(always)] // At each new leader.
    pub(crate) fn key<E: Arithmetic>(&self) -> Key {
        self.complete::<E>(self.first_word::<E>())
    }

    #[inline(always)] // As above.
    fn first_word<E: Arithmetic>(&self) -> u64 {
        let Hot { base, decode_q10, prefill_q10, low_bits, .. } = *self.hot;
        let Tokens { prompt, output } = self.tokens;
        let end_us = match E::ENDS {
            Ends::Plain => end_us(base >> 10, decode_q10, prefill_q10, output, prompt),
            Ends::Saturating => saturated_end_us(base >> 10, tokens_us(decode_q10, prefill_q10, output, prompt)),
            Ends::Waiting => {
                let waits = self.closer.waits();
                let tokens_us = tokens_us(waits.decode_q10, waits.prefill_q10, output, prompt);
                waiting_end_us(waits.base_us, waits.start_us, waits.first_token_us, waits.waves, tokens_us)
            }
            Ends::Static => return base | self.key_1,
        };
        first_word(end_us, self.quantum_shift, low_bits) | self.key_1
    }

    #[inline(always)] // As above.
    fn complete<E: Arithmetic>(&self, word_0: u64) -> Key {
        if matches!(E::ENDS, Ends::Static) {
            return Key::from_words([word_0, 0, 0], self.rank);
        }
        let ties = self.closer.ties();
        let spread = if self.spreads { spread_value(ties.spread_hash, self.closer.spread_hash()) } else { 0 };
        let word_1 = second_word(self.hot.slots_free, ties.spare_bytes, self.kv_bytes);
        Key::from_words([word_0, word_1, third_word(self.hot.milli_tps, spread)], self.rank)
    }
}
