//! The decision digest from the lines alone: what stands on standard output is what was hashed. HASH-4.

use serde_json::Value;

use super::support::{Desk, Ran, fleet_of, job, lines_of, pool, repository_text, with};
use super::xxh64::xxh64;

/// The encoding of HASH-1.
struct Encoder(Vec<u8>);

impl Encoder {
    fn int(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    fn flag(&mut self, value: &Value) {
        self.0.push(u8::from(value.as_bool().unwrap()));
    }

    fn text(&mut self, text: &str) {
        self.int(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn begin(&mut self, outcome: u8, job_id: &Value) {
        self.0.push(outcome);
        self.0.push(u8::from(job_id.is_string()));
        if let Some(id) = job_id.as_str() {
            self.text(id);
        }
    }

    fn line(&mut self, line: &Value) {
        let text = |key: &str| line[key].as_str().unwrap();
        match text("outcome") {
            "assigned" => {
                self.begin(0, &line["job_id"]);
                self.text(text("pool_id"));
                self.text(text("replica_id"));
                let devices = line["devices"].as_array().unwrap();
                self.int(devices.iter().fold(0, |mask, device| mask | 1 << device.as_u64().unwrap()));
                self.int(line["predicted_start_us"].as_u64().unwrap());
                self.int(line["predicted_end_us"].as_u64().unwrap_or(1 << 46));
                self.flag(&line["warm"]);
                self.flag(&line["fallback"]);
            }
            "no_capacity" => {
                self.begin(1, &line["job_id"]);
                self.int(line["stage"].as_u64().unwrap());
                self.text(text("detail"));
                self.flag(&line["retryable"]);
                self.text(text("code"));
            }
            "refused" => {
                self.begin(2, &line["job_id"]);
                self.text(text("field"));
            }
            other => panic!("{other}"),
        }
    }
}

#[track_caller]
fn check(ran: &Ran) {
    let mut encoder = Encoder(Vec::new());
    encoder.text("decisions");
    encoder.int(1);
    ran.lines().iter().for_each(|line| encoder.line(line));
    assert_eq!(format!("{:016x}", xxh64(&encoder.0, 0)), ran.said("decision digest:"));
}

// HASH-4: every outcome, devices of a split, warm and fallback, an unknown end, a line without an id.
#[test]
fn follows_from_the_lines() {
    let desk = Desk::new();
    let fleet = repository_text("examples/fleet.json");
    for mode in ["sequential", "independent"] {
        for jobs in ["examples/jobs.jsonl", "examples/mixed-jobs.jsonl"] {
            check(&desk.place(&fleet, repository_text(jobs), &["--mode", mode]).expect(0));
        }
    }
    let jobs = lines_of([
        job("j").to_string(),
        "no job".to_owned(),
        with(&job("é"), "prompt_tokens", "-1"),
        with(&job("k"), "engine", "\"other\""),
    ]);
    check(&desk.place(fleet_of([with(&pool("p"), "perf_tokens_per_s", "null")]), &jobs, &[]).expect(1));
    check(&desk.place(fleet_of::<&str>([]), &jobs, &[]).expect(1));
    check(&desk.place(&fleet, "", &[]).expect(0));
}
