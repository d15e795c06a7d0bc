//! Engines that do what a scheduler says, and report it: what came of a trace as a file of events.
//!
//! ```text
//! submits ─┐
//!          ├─▶ next event ─▶ Driver ─▶ dispatch ─▶ started, first_token, progress, finished ─┐
//! reports ─┘       ▲                   refresh_snapshot ─▶ snapshot                          │
//!                  └────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A job starts 1 ms after its dispatch, has its first token after the pool's first-token time and then one token after
//! the other at the pool's rate. Nothing is random and no clock is read. The events that were played give a scheduler
//! of the same sizes and policies the same outcomes again: that is what the tests look at.

use std::collections::BTreeMap;

use orchestrator_core::PoolRegistry;
use orchestrator_core::scheduler::Action;
use orchestrator_core::units::micros_from_millis;
use orchestrator_host::daemon::{Driver, HostStorage, Said, Sizes, Tally};
use orchestrator_host::fleet::LiveFleet;
use orchestrator_host::input::{LineReader, Policies, Warnings, read_event_line};
use serde_json::{Value, json};

const MS: u64 = 1000;
/// An engine says at least so often that it is there.
const PROGRESS_US: u64 = 20_000 * MS;

/// What was played.
pub(crate) struct Played {
    /// All events, as JSON Lines.
    pub(crate) events: String,
    /// The digest of the outcomes.
    pub(crate) digest: u64,
    /// What happened.
    pub(crate) tally: Tally,
}

type PoolName = (String, String);

/// What will happen.
enum Planned {
    /// A line that is there already.
    Line(String),
    /// A report of a job on a pool.
    Report { job_id: String, event: &'static str, tokens_out: Option<u64> },
    /// The state of a pool.
    Snapshot(PoolName),
}

struct Engines {
    rows: BTreeMap<PoolName, Value>,
    running: BTreeMap<String, PoolName>,
    tokens: BTreeMap<String, u64>,
    planned: BTreeMap<(u64, u64), Planned>,
    sequence: u64,
}

impl Engines {
    fn plan(&mut self, at_us: u64, planned: Planned) {
        self.sequence += 1;
        self.planned.insert((at_us, self.sequence), planned);
    }

    fn report(&mut self, at_us: u64, job_id: &str, event: &'static str, tokens_out: Option<u64>) {
        self.plan(at_us, Planned::Report { job_id: job_id.to_owned(), event, tokens_out });
    }

    fn act(&mut self, now_us: u64, action: &Action) {
        match action {
            Action::Dispatch { job_id, pool_id, replica_id, .. } => {
                self.run(now_us, job_id, (pool_id.to_string(), replica_id.to_string()));
            }
            // Its reports come too late.
            Action::Abort { job_id, .. } => drop(self.running.remove(job_id.as_str())),
            Action::RefreshSnapshot { pool_id, replica_id, .. } => {
                self.plan(now_us + MS, Planned::Snapshot((pool_id.to_string(), replica_id.to_string())));
            }
            _ => {}
        }
    }

    fn run(&mut self, now_us: u64, job_id: &str, pool: PoolName) {
        let row = &self.rows[&pool];
        let first_token_us = micros_from_millis(row["first_token_ms"].as_f64().unwrap_or(100.0)).unwrap();
        // Thousandths of tokens per second.
        let milli_tps = micros_from_millis(row["perf_tokens_per_s"].as_f64().unwrap_or(20.0)).unwrap();
        let tokens = self.tokens[job_id];
        let started_us = now_us + MS;
        let first_us = started_us + first_token_us;
        let end_us = first_us + tokens * 1_000_000_000 / milli_tps;
        self.report(started_us, job_id, "started", None);
        self.report(first_us, job_id, "first_token", None);
        let mut progress_us = first_us + PROGRESS_US;
        while progress_us < end_us {
            let so_far = tokens * (progress_us - first_us) / (end_us - first_us);
            self.report(progress_us, job_id, "progress", Some(so_far));
            progress_us += PROGRESS_US;
        }
        self.report(end_us, job_id, "finished", Some(tokens));
        self.running.insert(job_id.to_owned(), pool);
    }

    fn line(&mut self, at_us: u64, planned: Planned) -> String {
        let event = match planned {
            Planned::Line(line) => return line,
            Planned::Report { job_id, event, tokens_out } => {
                if event == "finished" {
                    self.running.remove(&job_id);
                }
                let mut report = json!({ "event": event, "at_ms": at_ms(at_us), "job_id": job_id });
                if let Some(tokens) = tokens_out {
                    report["tokens_out"] = tokens.into();
                }
                report
            }
            Planned::Snapshot(pool) => {
                let active = self.running.values().filter(|&other| *other == pool).count() as u64;
                let mut row = self.rows[&pool].clone();
                row["slots_free"] = row["slots_free"].as_u64().unwrap().saturating_sub(active).into();
                row["age_ms"] = 0.into();
                json!({ "event": "snapshot", "at_ms": at_ms(at_us), "pool": row })
            }
        };
        event.to_string()
    }
}

#[expect(clippy::cast_precision_loss, reason = "times are below 2^46")]
fn at_ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// Plays `submits`, events of `import events`, on the pools of a fleet file.
pub(crate) fn play(fleet: &Value, policies: &Policies, sizes: Sizes, submits: &str) -> Played {
    let name = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        (text("id"), text("replica_id"))
    };
    let pools = fleet["pools"].as_array().expect("a fleet");
    let mut engines = Engines {
        rows: pools.iter().map(|row| (name(row), row.clone())).collect(),
        running: BTreeMap::new(),
        tokens: BTreeMap::new(),
        planned: BTreeMap::new(),
        sequence: 0,
    };
    for row in pools {
        let line = json!({ "event": "snapshot", "at_ms": 0, "pool": row });
        engines.plan(0, Planned::Line(line.to_string()));
    }
    for line in submits.lines() {
        let event: Value = serde_json::from_str(line).expect("an event");
        let job = &event["job"];
        engines.tokens.insert(job["id"].as_str().unwrap().to_owned(), job["expected_tokens"].as_u64().unwrap());
        let at_us = micros_from_millis(event["at_ms"].as_f64().unwrap()).unwrap();
        engines.plan(at_us, Planned::Line(line.to_owned()));
    }
    play_planned(engines, policies, sizes)
}

fn play_planned(mut engines: Engines, policies: &Policies, sizes: Sizes) -> Played {
    let mut storage = HostStorage::new(&sizes, &policies.prices).unwrap();
    let fleet = LiveFleet::with_capacity(sizes.pools);
    let mut driver = Driver::new(fleet, storage.storage(), policies, None, ());
    let (mut events, mut actions) = (String::new(), Vec::new());
    let (pools, submits) = (engines.rows.len(), engines.tokens.len() as u64);
    loop {
        let mut keep = |said: Said<'_>| {
            if let Said::Action { now_us, action } = said {
                actions.push((now_us, action.clone()));
            }
        };
        let Some((&(at_us, _), _)) = engines.planned.first_key_value() else { break };
        if let Some(due_us) = driver.next_timer_us().filter(|&due_us| due_us <= at_us) {
            driver.tick(due_us, &mut keep);
        } else {
            let ((at_us, _), planned) = engines.planned.pop_first().unwrap();
            let line = engines.line(at_us, planned) + "\n";
            let mut lines = LineReader::new(line.as_bytes());
            let read = lines.next_line().unwrap().unwrap();
            let answer = read_event_line(&read, &mut Warnings::default(), |said_us, input| {
                assert_eq!(said_us, Some(at_us), "{line}");
                driver.drive(&input, at_us, &mut keep)
            });
            let _ = answer.unwrap_or_else(|refused| panic!("{refused}: {line}"));
            events.push_str(&line);
        }
        for (now_us, action) in actions.drain(..) {
            engines.act(now_us, &action);
        }
        // With every job ended only refreshes are left: they would never end.
        let tally = driver.tally();
        let ended = ["refused", "evicted", "timed_out", "canceled", "finished", "failed", "expired"];
        if ended.iter().map(|end| tally.ended(&format!("job_{end}"))).sum::<u64>() == submits {
            break;
        }
    }
    assert_eq!(driver.scheduler().fleet().len() as usize, pools);
    Played { events, digest: driver.digest(), tally: driver.tally().clone() }
}
