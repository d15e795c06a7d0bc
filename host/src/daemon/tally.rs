//! What happened in a run: inputs, answers by name, jobs by how they ended.

use std::collections::BTreeMap;
use std::fmt;

use orchestrator_core::scheduler::{Answer, Event, Observer};

/// Counts of a run. EVENT-1: every job that was submitted ends once, waits or runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    inputs: u64,
    ticks: u64,
    answers: BTreeMap<&'static str, u64>,
    ended: BTreeMap<&'static str, u64>,
    enqueued: u64,
    dispatched: u64,
}

impl Tally {
    /// Inputs, those for timers among them.
    #[must_use]
    pub const fn inputs(&self) -> u64 {
        self.inputs
    }

    /// Dispatches.
    #[must_use]
    pub const fn dispatched(&self) -> u64 {
        self.dispatched
    }

    /// Jobs that ended with an event of this name.
    #[must_use]
    pub fn ended(&self, event: &str) -> u64 {
        self.ended.get(event).copied().unwrap_or(0)
    }

    /// Answers of this name.
    #[must_use]
    pub fn answers(&self, name: &str) -> u64 {
        self.answers.get(name).copied().unwrap_or(0)
    }

    /// Counts an input by its answer.
    pub(super) fn answered(&mut self, answer: &Answer) {
        self.inputs += 1;
        *self.answers.entry(answer.name()).or_default() += 1;
    }

    /// Counts an input that a timer made.
    pub(super) const fn ticked(&mut self) {
        self.ticks += 1;
    }

    /// Jobs that have not ended: they wait or run.
    fn left(&self) -> u64 {
        let ended: u64 = self.ended.values().sum();
        self.enqueued.saturating_sub(ended - self.ended("job_refused"))
    }
}

/// EVENT-2
impl Observer for Tally {
    fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
        if event.terminal_job().is_some() {
            *self.ended.entry(event.name()).or_default() += 1;
        }
        self.enqueued += u64::from(matches!(event, Event::JobEnqueued { .. }));
        self.dispatched += u64::from(matches!(event, Event::JobDispatched { .. }));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inputs, ticks, answers, ended, dispatched, .. } = self;
        write!(f, "inputs: {inputs}, of which {ticks} by timers")?;
        let mut before = "\nanswers: ";
        for (name, count) in answers {
            write!(f, "{before}{count} {name}")?;
            before = ", ";
        }
        let left = self.left();
        write!(f, "\njobs: {} = ", ended.values().sum::<u64>() + left)?;
        for (name, count) in ended {
            write!(f, "{count} {} + ", name.strip_prefix("job_").unwrap_or(name))?;
        }
        write!(f, "{left} that wait or run; {dispatched} dispatched")
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::PoolFacts;
    use orchestrator_core::scheduler::{JobFacts, Refusal, RefusalCode, UsageFacts, WaitForecast};

    use super::*;

    // EVENT-1: what came is what ended and what is left.
    #[test]
    fn jobs_add_up() {
        let mut tally = Tally::default();
        assert_eq!(tally.to_string(), "inputs: 0, of which 0 by timers\njobs: 0 = 0 that wait or run; 0 dispatched");
        let (job, pool) = (JobFacts::default(), PoolFacts::default());
        let code = RefusalCode::AdmissionReject;
        let refusal = Refusal { code, field: None, policy_label: None, rejection: None, retry_after_ms: None };
        let usage = UsageFacts::default();
        for event in [
            Event::JobEnqueued { job, forecast: WaitForecast::default() },
            Event::JobEnqueued { job, forecast: WaitForecast::default() },
            Event::JobEnqueued { job, forecast: WaitForecast::default() },
            Event::JobRefused { job, refusal },
            Event::JobEvicted { job, refusal, waited_us: 1 },
            Event::JobFinished { job, pool, usage },
        ] {
            tally.observe(0, &event);
        }
        for answer in [Answer::Done, Answer::Done, Answer::Late] {
            tally.answered(&answer);
        }
        tally.ticked();
        assert_eq!(
            tally.to_string(),
            "inputs: 3, of which 1 by timers\nanswers: 2 done, 1 late\n\
             jobs: 4 = 1 evicted + 1 finished + 1 refused + 1 that wait or run; 0 dispatched"
        );
    }
}
