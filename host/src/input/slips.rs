//! Values that look like a slipped unit: warned about, used as written. POOL-4.
//!
//! A threshold stands where no real value is expected but a common mistake lands: gigabytes or mebibytes for bytes,
//! seconds or microseconds for milliseconds, a point in time for a duration, thousands of tokens for tokens. A value
//! that could be real is never warned about, so not every slip is found.
//!
//! ```text
//! "vram_total_bytes": 80          80 GB          below 1 MiB
//! "first_token_ms": 0.2           0.2 s          below 1 ms
//! "age_ms": 1700000000            epoch seconds  above 11 days
//! "supports.ctx_max": 128         128 Ki tokens  below 512
//! ```
//!
//! Invariant: the answer depends on the one value only; zero means "none" and never warns.

use orchestrator_core::{JobSpec, PoolSnapshot};

use super::warnings::Concern;

/// A range outside of which a value looks slipped.
struct Usual<T> {
    field: &'static str,
    least: T,
    low: &'static str,
    most: T,
    high: &'static str,
}

impl<T: PartialOrd + Default + Copy> Usual<T> {
    fn check(&self, value: T, notes: &mut Vec<Concern>) {
        // Zero is no measurement; a negative or NaN value is refused later.
        let hint = if value > T::default() && value < self.least {
            self.low
        } else if value > self.most {
            self.high
        } else {
            return;
        };
        notes.push(Concern::SlippedUnit { field: self.field, hint });
    }
}

const MIB: i64 = 1 << 20;
const HOUR_MS: f64 = 3_600_000.0;
const DAY_MS: f64 = 24.0 * HOUR_MS;
/// 11.6 days: a snapshot, a deadline or a budget that long is rather a point in time (epoch seconds are 1.7e9).
const POINT_IN_TIME_MS: f64 = 1e9;

/// Bytes of VRAM. No GPU has less than a mebibyte; more than 2^48 is refused.
const fn vram(field: &'static str) -> Usual<i64> {
    Usual { field, least: MIB, low: "is below 1 MiB; bytes are meant", most: i64::MAX, high: "" }
}

/// Tokens per second of one request. Below 0.2385 a rate counts as unknown (UNIT-2); more than a million is none of
/// this world's engines, but thousandths of a token per second would be.
const fn rate(field: &'static str) -> Usual<f64> {
    Usual {
        field,
        least: 0.2385,
        low: "is so low that it counts as unknown; tokens per second are meant",
        most: 1e6,
        high: "is above 1,000,000; tokens per second are meant",
    }
}

/// A time that is never below a millisecond unless it is 0, and never above `most`.
const fn time(field: &'static str, most: f64, high: &'static str) -> Usual<f64> {
    Usual { field, least: 1.0, low: "is below 1 ms; milliseconds are meant", most, high }
}

const LONGER_THAN_AN_HOUR: &str = "is above an hour; milliseconds are meant";
const LONGER_THAN_A_DAY: &str = "is above a day; milliseconds are meant";
const A_DURATION: &str = "is above 11 days; milliseconds of a duration are meant, not a point in time";

/// A time that may be as short as it likes: an age, a latency of admission.
const fn short_time(field: &'static str, most: f64, high: &'static str) -> Usual<f64> {
    Usual { field, least: 0.0, low: "", most, high }
}

/// Notes the slipped units of a pool.
pub(super) fn check_pool(pool: &PoolSnapshot<'_>, notes: &mut Vec<Concern>) {
    vram("vram_total_bytes").check(pool.vram_total_bytes, notes);
    // Free VRAM may be anything down to 0: only totals tell.
    for device in pool.devices {
        vram("devices.vram_total_bytes").check(device.vram_total_bytes, notes);
    }
    // The first models had contexts of 512 tokens.
    let context = Usual {
        field: "supports.ctx_max",
        least: 512,
        low: "is below 512; tokens are meant, not thousands",
        most: i64::MAX,
        high: "",
    };
    context.check(pool.supports.ctx_max.unwrap_or(0), notes);
    rate("perf_tokens_per_s").check(pool.perf_tokens_per_s.unwrap_or(0.0), notes);
    rate("prefill_tokens_per_s").check(pool.prefill_tokens_per_s.unwrap_or(0.0), notes);
    time("first_token_ms", HOUR_MS, LONGER_THAN_AN_HOUR).check(pool.first_token_ms.unwrap_or(0.0), notes);
    short_time("admission_latency_ms", HOUR_MS, LONGER_THAN_AN_HOUR).check(pool.admission_latency_ms, notes);
    time("model_load_ms", DAY_MS, LONGER_THAN_A_DAY).check(pool.model_load_ms, notes);
    short_time("age_ms", POINT_IN_TIME_MS, A_DURATION).check(pool.age_ms, notes);
}

/// Notes the slipped units of a job.
pub(super) fn check_job(job: &JobSpec<'_>, notes: &mut Vec<Concern>) {
    // One token of the smallest models takes some KiB.
    let kv = Usual { field: "est_kv_bytes", least: 1024, low: "is below 1 KiB; bytes are meant", ..vram("") };
    kv.check(job.est_kv_bytes.unwrap_or(0), notes);
    vram("requirements.min_vram_bytes").check(job.requirements.min_vram_bytes, notes);
    time("deadline_ms", POINT_IN_TIME_MS, A_DURATION).check(job.deadline_ms.unwrap_or(0.0), notes);
    short_time("budget.time_ms", POINT_IN_TIME_MS, A_DURATION).check(job.budget.time_ms.unwrap_or(0.0), notes);
}

#[cfg(test)]
mod tests {
    use orchestrator_core::DeviceSnapshot;

    use super::*;

    fn pool_fields(change: impl FnOnce(&mut PoolSnapshot<'static>)) -> Vec<&'static str> {
        let mut pool = PoolSnapshot::new("a", "e", 1, 1, 80 << 30, 0);
        change(&mut pool);
        let mut notes = Vec::new();
        check_pool(&pool, &mut notes);
        fields(&notes)
    }

    fn job_fields(change: impl FnOnce(&mut JobSpec<'static>)) -> Vec<&'static str> {
        let mut job = JobSpec::new("j", "e", "m");
        change(&mut job);
        let mut notes = Vec::new();
        check_job(&job, &mut notes);
        fields(&notes)
    }

    fn fields(notes: &[Concern]) -> Vec<&'static str> {
        let field = |concern: &Concern| match concern {
            Concern::SlippedUnit { field, .. } => Some(*field),
            _ => None,
        };
        notes.iter().filter_map(field).collect()
    }

    // POOL-4: both sides of every threshold.
    #[test]
    fn pools() {
        static SMALL: [DeviceSnapshot<'static>; 1] =
            [DeviceSnapshot { vram_total_bytes: 80, vram_free_bytes: 1, compute_capability: None }];
        let none: [&str; 0] = [];
        assert_eq!(pool_fields(|_| {}), none);
        assert_eq!(pool_fields(|pool| pool.vram_total_bytes = MIB), none);
        assert_eq!(pool_fields(|pool| pool.vram_total_bytes = MIB - 1), ["vram_total_bytes"]);
        assert_eq!(pool_fields(|pool| pool.vram_total_bytes = 0), none);
        assert_eq!(pool_fields(|pool| pool.vram_total_bytes = -5), none);
        assert_eq!(pool_fields(|pool| pool.devices = &SMALL), ["devices.vram_total_bytes"]);
        assert_eq!(pool_fields(|pool| pool.supports.ctx_max = Some(511)), ["supports.ctx_max"]);
        assert_eq!(pool_fields(|pool| pool.supports.ctx_max = Some(512)), none);
        assert_eq!(pool_fields(|pool| pool.perf_tokens_per_s = Some(0.2)), ["perf_tokens_per_s"]);
        assert_eq!(pool_fields(|pool| pool.perf_tokens_per_s = Some(1e6)), none);
        assert_eq!(pool_fields(|pool| pool.prefill_tokens_per_s = Some(1.1e6)), ["prefill_tokens_per_s"]);
        assert_eq!(pool_fields(|pool| pool.first_token_ms = Some(0.2)), ["first_token_ms"]);
        assert_eq!(pool_fields(|pool| pool.first_token_ms = Some(1.0)), none);
        assert_eq!(pool_fields(|pool| pool.first_token_ms = Some(HOUR_MS + 1.0)), ["first_token_ms"]);
        assert_eq!(pool_fields(|pool| pool.admission_latency_ms = 0.01), none);
        assert_eq!(pool_fields(|pool| pool.admission_latency_ms = 1e7), ["admission_latency_ms"]);
        assert_eq!(pool_fields(|pool| pool.model_load_ms = 0.5), ["model_load_ms"]);
        assert_eq!(pool_fields(|pool| pool.model_load_ms = 1e8), ["model_load_ms"]);
        assert_eq!(pool_fields(|pool| pool.age_ms = 1.7e9), ["age_ms"]);
        assert_eq!(pool_fields(|pool| pool.age_ms = f64::NAN), none);
    }

    #[test]
    fn jobs() {
        let none: [&str; 0] = [];
        assert_eq!(job_fields(|_| {}), none);
        assert_eq!(job_fields(|job| job.est_kv_bytes = Some(1023)), ["est_kv_bytes"]);
        assert_eq!(job_fields(|job| job.est_kv_bytes = Some(1024)), none);
        assert_eq!(job_fields(|job| job.requirements.min_vram_bytes = 16), ["requirements.min_vram_bytes"]);
        assert_eq!(job_fields(|job| job.deadline_ms = Some(0.5)), ["deadline_ms"]);
        assert_eq!(job_fields(|job| job.deadline_ms = Some(1.7e9)), ["deadline_ms"]);
        assert_eq!(job_fields(|job| job.deadline_ms = Some(60_000.0)), none);
        assert_eq!(job_fields(|job| job.budget.time_ms = Some(1.7e12)), ["budget.time_ms"]);
    }
}
