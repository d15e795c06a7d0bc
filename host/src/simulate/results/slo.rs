//! What a user is promised, and whether a request kept it.

use std::fmt;
use std::str::FromStr;

use orchestrator_core::limits::TIME_MAX_US;

use crate::simulate::request::{End, Outcome};

/// The promise: both limits hold, and a deadline where the request has one.
///
/// ```
/// use orchestrator_host::simulate::results::Slo;
///
/// let slo: Slo = "ttft_ms=500,tpot_ms=50".parse()?;
/// assert_eq!((slo.ttft_us, slo.tpot_us), (500_000, 50_000));
/// # Ok::<(), orchestrator_host::simulate::results::SloError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slo {
    /// From arrival to the first token.
    pub ttft_us: u64,
    /// From the first token to the last, per further token, rounded down.
    pub tpot_us: u64,
}

impl Default for Slo {
    /// A first token within two seconds, then ten tokens a second.
    fn default() -> Self {
        Self { ttft_us: 2_000_000, tpot_us: 100_000 }
    }
}

impl Slo {
    /// Whether a request ended as promised. `output_tokens` are those that came.
    #[must_use]
    pub fn holds(&self, outcome: &Outcome, output_tokens: u32, deadline_us: Option<u64>) -> bool {
        let Outcome { arrived_us, ended_us, .. } = *outcome;
        let Some(first_us) = outcome.first_token_us else {
            return false;
        };
        let further = u64::from(output_tokens.saturating_sub(1)).max(1);
        outcome.end == End::Finished
            && first_us.saturating_sub(arrived_us) <= self.ttft_us
            && ended_us.saturating_sub(first_us) / further <= self.tpot_us
            && deadline_us.is_none_or(|deadline| ended_us.saturating_sub(arrived_us) <= deadline)
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "first token within {} ms, then {} ms a token", self.ttft_us / 1000, self.tpot_us / 1000)
    }
}

/// A text that states no promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SloError {
    /// A part that cannot be read.
    #[error("`{part}` is no part of an SLO; write ttft_ms=2000,tpot_ms=100, each a whole number")]
    Unknown {
        /// The part.
        part: String,
    },
    /// A part that says what another has said.
    #[error("`{part}` stands behind another {key}")]
    Repeated {
        /// The part.
        part: String,
        /// Its key.
        key: &'static str,
    },
}

impl FromStr for Slo {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, SloError> {
        let (mut ttft_us, mut tpot_us) = (None, None);
        for part in text.split(',') {
            let unknown = || SloError::Unknown { part: part.to_owned() };
            let (key, value) = part.split_once('=').ok_or_else(unknown)?;
            let millis: u64 = value.trim().parse().map_err(|_| unknown())?;
            let micros = millis.checked_mul(1000).filter(|micros| *micros <= TIME_MAX_US).ok_or_else(unknown)?;
            let (key, own) = match key.trim() {
                "ttft_ms" => ("ttft_ms", &mut ttft_us),
                "tpot_ms" => ("tpot_ms", &mut tpot_us),
                _ => return Err(unknown()),
            };
            if own.replace(micros).is_some() {
                return Err(SloError::Repeated { part: part.to_owned(), key });
            }
        }
        let otherwise = Self::default();
        Ok(Self { ttft_us: ttft_us.unwrap_or(otherwise.ttft_us), tpot_us: tpot_us.unwrap_or(otherwise.tpot_us) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let slo = |ttft_us, tpot_us| Ok(Slo { ttft_us, tpot_us });
        assert_eq!("ttft_ms=5".parse(), slo(5000, 100_000));
        assert_eq!("tpot_ms=7, ttft_ms=0".parse(), slo(0, 7000));
        for (text, part) in
            [("", ""), ("ttft_ms", "ttft_ms"), ("ttft_ms=1,e2e=3", "e2e=3"), ("ttft_ms=-1", "ttft_ms=-1")]
        {
            assert_eq!(text.parse::<Slo>(), Err(SloError::Unknown { part: part.to_owned() }));
        }
        let repeated = SloError::Repeated { part: " tpot_ms=1".to_owned(), key: "tpot_ms" };
        assert_eq!("tpot_ms=1,ttft_ms=1, tpot_ms=1".parse::<Slo>(), Err(repeated));
        assert!("ttft_ms=18446744073709551615".parse::<Slo>().is_err());
        assert_eq!(Slo::default().to_string(), "first token within 2000 ms, then 100 ms a token");
    }

    #[test]
    fn each_limit_at_its_edge() {
        let slo = Slo { ttft_us: 100, tpot_us: 10 };
        let good = Outcome {
            arrived_us: 1000,
            end: End::Finished,
            pool: Some(0),
            dispatched_us: Some(1000),
            started_us: Some(1000),
            first_token_us: Some(1100),
            // Four further tokens in 43 µs: 10 each.
            ended_us: 1143,
            predicted_start_us: None,
            predicted_end_us: None,
            cached_tokens: 0,
        };
        assert!(slo.holds(&good, 5, None) && slo.holds(&good, 5, Some(143)));
        assert!(!slo.holds(&good, 5, Some(142)));
        assert!(!slo.holds(&good, 4, None));
        assert!(!slo.holds(&Outcome { first_token_us: Some(1101), ..good.clone() }, 5, None));
        assert!(!slo.holds(&Outcome { first_token_us: None, ..good.clone() }, 5, None));
        assert!(!slo.holds(&Outcome { end: End::Canceled, ..good.clone() }, 5, None));
        // One token, or none, has none behind it.
        assert!(slo.holds(&Outcome { ended_us: 1100, ..good.clone() }, 1, None));
        assert!(slo.holds(&Outcome { ended_us: 1110, ..good }, 0, None));
    }
}
