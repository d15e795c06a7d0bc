//! The simulator against theory, conservation laws, and policies that are as bad as they look.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_arithmetic,
    reason = "a test may fail, and theory is in real numbers"
)]

use std::fs;

use orchestrator_core::Priority;
use orchestrator_host::daemon::Sizes;
use orchestrator_host::input::{Policies, Warnings};
use orchestrator_host::simulate::faults::{Fault, ScheduledFault};
use orchestrator_host::simulate::fleet::{EngineModel, FleetRows, SimFleet};
use orchestrator_host::simulate::policy::{Ours, OursMemory, OursOptions, PolicyName, World};
use orchestrator_host::simulate::request::{Arrival, End, Outcome, Request, Run, Trace};
use orchestrator_host::simulate::run::{RunOptions, run};

/// An engine that serves each request in its own time, whatever else it does.
const UNDISTURBED: EngineModel =
    EngineModel { spread_permille: 0, contention_permille: 0, beside_prefill_permille: 1000, kv_bytes_per_token: 1 };

/// Reports that are true when they arrive. A late one holds room for requests that have ended meanwhile, until the next
/// (LEASE-3), which no theory of queues knows.
fn prompt_reports() -> RunOptions {
    RunOptions { report_delay_us: 0, ..RunOptions::default() }
}

/// Numbers that are as good as random: SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        -mean * (1.0 - uniform).ln()
    }
}

/// Pools of so many slots each, 1000 tokens a second, no time to the first token.
fn rows(slots: &[u32]) -> FleetRows {
    let pool = |(number, slots): (usize, &u32)| {
        format!(
            r#"{{"id":"pool-{number:02}","engine":"vllm","slots_total":{slots},"slots_free":{slots},
            "vram_total_bytes":100000000,"vram_free_bytes":100000000,"perf_tokens_per_s":1000.0,"first_token_ms":0.0}}"#
        )
    };
    let pools: Vec<_> = slots.iter().enumerate().map(pool).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.json");
    fs::write(&path, format!(r#"{{"version":1,"pools":[{}]}}"#, pools.join(","))).unwrap();
    FleetRows::read(&path, &mut Warnings::default()).unwrap()
}

fn request(at_us: u64, output_tokens: u32) -> Request {
    Request {
        arrival: Arrival::At { at_us },
        model: 0,
        session: None,
        priority: Priority::Batch,
        prompt_tokens: 1,
        output_tokens,
        predicted_output_tokens: Some(output_tokens),
        output_tokens_max: None,
        prefix_blocks: 0..0,
        deadline_us: None,
        is_cold: false,
    }
}

/// Poisson arrivals, with output lengths by `length`, whose first token is free.
fn poisson(requests: usize, mean_us: f64, mut length: impl FnMut(&mut Numbers) -> u32) -> Trace {
    let (mut numbers, mut at_us) = (Numbers(7), 0.0);
    let requests = (0..requests).map(|_| {
        at_us += numbers.exponential(mean_us);
        request(at_us as u64, 1 + length(&mut numbers))
    });
    Trace { models: vec!["m".to_owned()], requests: requests.collect(), blocks: Vec::new(), block_tokens: 16 }
}

fn simulate(slots: &[u32], model: EngineModel, trace: &Trace, policy: PolicyName, options: &RunOptions) -> Run {
    let (rows, mut warnings) = (rows(slots), Warnings::default());
    let fleet = SimFleet::new(&rows, model, 1, &mut warnings).unwrap();
    let engines = vec!["vllm".to_owned(); trace.models.len()];
    let world = World { fleet: &fleet, trace, engines: &engines };
    if let Some(mut policy_at_work) = policy.baseline(world, 1) {
        return run(&world, policy.name(), &mut *policy_at_work, options, &mut |_, _| ()).unwrap();
    }
    let sizes = Sizes { waiting: 20_000, ..Sizes::default() };
    let ours = OursOptions { policies: Policies::default(), sizes };
    let mut memory = OursMemory::new(&ours).unwrap();
    let mut policy_at_work = Ours::new(world, &ours, &mut memory, None).unwrap();
    run(&world, policy.name(), &mut policy_at_work, options, &mut |_, _| ()).unwrap()
}

/// Means of batches, and their mean with the half width of its 99 % confidence interval: batches are long enough to be as
/// good as independent.
fn mean_wait_us(outcomes: &[Outcome], wait: impl Fn(&Outcome) -> f64) -> (f64, f64) {
    const BATCHES: usize = 20;
    let settled = &outcomes[outcomes.len() / 10..];
    let means: Vec<f64> = settled
        .chunks(settled.len() / BATCHES)
        .take(BATCHES)
        .map(|batch| batch.iter().map(&wait).sum::<f64>() / batch.len() as f64)
        .collect();
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    let variance = means.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (means.len() - 1) as f64;
    // Student's t for 19 degrees of freedom.
    (mean, 2.861 * (variance / means.len() as f64).sqrt())
}

/// From its arrival to its slot: the first token takes no time here.
fn wait_us(outcome: &Outcome) -> f64 {
    assert_eq!(outcome.end, End::Finished);
    (outcome.first_token_us.unwrap() - outcome.arrived_us) as f64
}

/// Erlang's C formula: the mean wait of M/M/c.
fn erlang_c_wait_us(servers: u32, mean_service_us: f64, mean_arrival_us: f64) -> f64 {
    let offered = mean_service_us / mean_arrival_us;
    let servers_f = f64::from(servers);
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..servers {
        term *= offered / f64::from(k);
        sum += term;
    }
    let last = term * offered / servers_f * servers_f / (servers_f - offered);
    let waits = last / (sum + last);
    waits * mean_service_us / (servers_f - offered)
}

#[test]
fn waits_of_m_m_c() {
    for (servers, load) in [(1, 0.7), (4, 0.8)] {
        let mean_service_us = 100_000.0;
        let mean_arrival_us = mean_service_us / (f64::from(servers) * load);
        let trace = poisson(200_000, mean_arrival_us, |numbers| numbers.exponential(100.0).round() as u32);
        // Lengths are whole numbers of tokens: their own mean and not the intended one.
        let tokens: f64 = trace.requests.iter().map(|asked| f64::from(asked.output_tokens - 1)).sum();
        let service_us = 1000.0 * tokens / trace.requests.len() as f64;
        let expected = erlang_c_wait_us(servers, service_us, mean_arrival_us);
        for policy in [PolicyName::LeastLoaded, PolicyName::Ours] {
            let run = simulate(&[servers], UNDISTURBED, &trace, policy, &prompt_reports());
            let (mean, half_width) = mean_wait_us(&run.outcomes, wait_us);
            assert!(
                (mean - expected).abs() < half_width,
                "{policy}, {servers}: {mean} ± {half_width}, {expected} by theory"
            );
            assert!(half_width < expected / 5.0, "the test could not fail: ± {half_width} of {expected}");
        }
    }
}

#[test]
fn waits_of_m_d_1() {
    let (service_us, load) = (100_000.0, 0.8);
    let trace = poisson(200_000, service_us / load, |_| 100);
    let run = simulate(&[1], UNDISTURBED, &trace, PolicyName::Ours, &prompt_reports());
    let (mean, half_width) = mean_wait_us(&run.outcomes, wait_us);
    // Pollaczek and Khinchine.
    let expected = load * service_us / (2.0 * (1.0 - load));
    assert!((mean - expected).abs() < half_width, "{mean} ± {half_width}, {expected} by theory");
    assert!(half_width < expected / 5.0, "the test could not fail: ± {half_width} of {expected}");
}

/// However long a run takes, its samples are few and at equal intervals.
#[test]
fn samples_are_bounded() {
    let trace = Trace { models: vec!["m".to_owned()], requests: vec![request(0, 60_000)], ..Trace::default() };
    let options = RunOptions { sample_every_us: 1000, ..prompt_reports() };
    let run = simulate(&[1], UNDISTURBED, &trace, PolicyName::LeastLoaded, &options);
    // A minute, or 60,000 times as long as the interval: doubled three times.
    let times: Vec<_> = run.samples.iter().map(|sample| sample.at_us).collect();
    assert_eq!(times.len(), 60_000 / 8);
    assert!((0..).zip(&times).all(|(place, &at_us)| at_us == place * 8000), "{times:?}");
}

/// Every request ends once; times ascend; slots are never exceeded; what is sampled adds up; the same twice.
#[test]
fn nothing_is_lost_and_everything_repeats() {
    let mut trace = poisson(20_000, 6_000.0, |numbers| (numbers.next() % 400) as u32);
    for (index, asked) in trace.requests.iter_mut().enumerate().skip(1) {
        asked.session = (index % 3 == 0).then_some(index as u32 % 50);
        asked.prompt_tokens = 1 + index as u32 % 700;
        if index % 5 == 0 {
            asked.arrival = Arrival::After { request: index as u32 - 1, think_us: 5_000 };
        }
    }
    let slots = [8, 3, 16, 1];
    let options = RunOptions { sample_every_us: 50_000, ..RunOptions::default() };
    for policy in PolicyName::ALL {
        let model = EngineModel { kv_bytes_per_token: 10_000, ..EngineModel::default() };
        let run = simulate(&slots, model, &trace, policy, &options);
        assert_eq!(run.outcomes.len(), trace.requests.len());
        for (asked, outcome) in trace.requests.iter().zip(&run.outcomes) {
            assert!(outcome.arrived_us <= outcome.ended_us);
            if outcome.end == End::Finished {
                let (sent_us, token_us) = (outcome.dispatched_us.unwrap(), outcome.first_token_us.unwrap());
                assert!(outcome.arrived_us <= sent_us && sent_us <= token_us && token_us <= outcome.ended_us);
                assert!(outcome.cached_tokens < asked.prompt_tokens);
            }
            if let Arrival::After { request, think_us } = asked.arrival {
                assert_eq!(outcome.arrived_us, run.outcomes[request as usize].ended_us + think_us);
            }
        }
        let in_slot_us = |outcome: &Outcome| outcome.started_us.map_or(0, |started_us| outcome.ended_us - started_us);
        let in_slots_us: u64 = run.outcomes.iter().map(in_slot_us).sum();
        assert_eq!(run.busy_slot_us_by_class.iter().sum::<u128>(), in_slots_us.into(), "{policy}");
        for sample in &run.samples {
            assert_eq!(sample.busy_slots_by_class.iter().sum::<u32>(), sample.running);
            assert!(sample.running <= slots.iter().sum());
            let at = |outcome: &&Outcome| outcome.arrived_us < sample.at_us && outcome.ended_us > sample.at_us;
            let inside = run.outcomes.iter().filter(at).count() as u32;
            let touched = |outcome: &&Outcome| outcome.arrived_us == sample.at_us || outcome.ended_us == sample.at_us;
            let unsure = run.outcomes.iter().filter(touched).count() as u32;
            assert!((inside..=inside + unsure).contains(&(sample.waiting + sample.running)), "{policy}: {sample:?}");
        }
        assert_eq!(simulate(&slots, model, &trace, policy, &options).digest, run.digest, "{policy}");
    }
}

/// A night without requests, a user who comes back after hours, a pool that comes back, an answer that takes hours: the run
/// goes on for what is still to come.
#[test]
fn a_long_quiet_time_ends_no_run() {
    const HOUR_US: u64 = 3_600_000_000;
    let mut trace = poisson(0, 1.0, |_| 0);
    trace.requests = [0, 3 * HOUR_US].map(|at_us| request(at_us, 1001)).to_vec();
    trace.requests.push(Request { arrival: Arrival::After { request: 1, think_us: 2 * HOUR_US }, ..request(0, 1001) });
    // Nearly three hours of answer, at 1000 tokens a second.
    trace.requests.push(request(9 * HOUR_US, 10_000_001));
    trace.requests.push(request(20 * HOUR_US, 1001));
    let fault = |hour, fault| ScheduledFault { at_us: hour * HOUR_US, pool: 0, fault };
    let faults = vec![fault(15, Fault::Vanish), fault(18, Fault::Return)];
    let options = RunOptions { faults, report_every_us: 10_000_000, ..RunOptions::default() };
    for policy in PolicyName::ALL {
        let run = simulate(&[2], UNDISTURBED, &trace, policy, &options);
        for (index, outcome) in run.outcomes.iter().enumerate() {
            // Ours ends what takes too long (LEASE-5): the lease's wall limit.
            let end = if (policy, index) == (PolicyName::Ours, 3) {
                End::Expired { cause: "wall_limit" }
            } else {
                End::Finished
            };
            assert_eq!(outcome.end, end, "{policy} {index}");
        }
        assert_eq!(run.outcomes[2].arrived_us, run.outcomes[1].ended_us + 2 * HOUR_US);
    }
}

/// However late reports are, what they say is never taken for news: later than all time is never.
#[test]
fn reports_that_are_late_for_ever_are_silence() {
    let trace = poisson(2_000, 5_000.0, |numbers| (numbers.next() % 300) as u32);
    let digest = |policy, fault| {
        let faults = vec![ScheduledFault { at_us: 500_000, pool: 0, fault }];
        simulate(&[8, 8], UNDISTURBED, &trace, policy, &RunOptions { faults, ..RunOptions::default() }).digest
    };
    for policy in [PolicyName::Ours, PolicyName::LeastLoaded] {
        let silent = digest(policy, Fault::Silence);
        assert_eq!(digest(policy, Fault::Delay { delay_ms: u64::MAX }), silent, "{policy}");
        assert_ne!(digest(policy, Fault::Delay { delay_ms: 50 }), silent, "{policy}");
    }
}

/// A recording is as long as its run: it is written as it comes.
#[test]
fn a_recording_is_not_kept_until_the_end() {
    let (rows, mut warnings) = (rows(&[4]), Warnings::default());
    let fleet = SimFleet::new(&rows, UNDISTURBED, 1, &mut warnings).unwrap();
    let trace = poisson(1000, 5_000.0, |_| 10);
    let world = World { fleet: &fleet, trace: &trace, engines: &["vllm".to_owned()] };
    let ours = OursOptions { policies: Policies::default(), sizes: Sizes { waiting: 2_000, ..Sizes::default() } };
    let mut memory = OursMemory::new(&ours).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.rec");
    let length = || fs::metadata(&path).unwrap().len();
    let mut at_work = Ours::new(world, &ours, &mut memory, Some(&path)).unwrap();
    let at_first = length();
    assert!(at_first > 0);
    run(&world, "ours", &mut at_work, &RunOptions::default(), &mut |_, _| ()).unwrap();
    // All but what is held back to write more at once.
    let in_run = length();
    at_work.finish_recording().unwrap();
    assert!(in_run > at_first && length() - in_run < 1 << 17, "{at_first}, {in_run}, {}", length());
}

fn mean_end_to_end_us(run: &Run) -> f64 {
    let times = run.outcomes.iter().map(|outcome| (outcome.ended_us - outcome.arrived_us) as f64);
    times.sum::<f64>() / run.outcomes.len() as f64
}

/// Pools of very different sizes: whoever does not look at them makes users wait.
#[test]
fn bad_policies_look_bad() {
    let trace = poisson(20_000, 4_000.0, |numbers| (numbers.next() % 200) as u32);
    let slots = [32, 1, 1, 1];
    let time = |policy| mean_end_to_end_us(&simulate(&slots, UNDISTURBED, &trace, policy, &RunOptions::default()));
    let (ours, turns, luck) = (time(PolicyName::Ours), time(PolicyName::RoundRobin), time(PolicyName::Random));
    assert!(10.0 * ours < turns && 10.0 * ours < luck, "{ours} {turns} {luck}");
}

/// Pools vanish and return, drain, slow down, fall silent and are late: each request has one end, and the recording of it
/// all replays.
#[test]
fn faults_lose_nobody() {
    let trace = poisson(30_000, 5_000.0, |numbers| (numbers.next() % 300) as u32);
    let mut numbers = Numbers(3);
    let mut faults = Vec::new();
    for at_us in (0..150_000_000).step_by(700_000) {
        let fault = match numbers.next() % 8 {
            0 => Fault::Vanish,
            1 => Fault::Return,
            2 => Fault::Drain,
            3 => Fault::Undrain,
            4 => Fault::Slow { permille: 500 + numbers.next() % 3000 },
            5 => Fault::Silence,
            6 => Fault::Speak,
            _ => Fault::Delay { delay_ms: numbers.next() % 5000 },
        };
        faults.push(ScheduledFault { at_us, pool: (numbers.next() % 4) as u32, fault });
    }
    let options = RunOptions { faults, ..RunOptions::default() };
    for policy in PolicyName::ALL {
        let run = simulate(
            &[8, 8, 8, 8],
            EngineModel { kv_bytes_per_token: 1, ..EngineModel::default() },
            &trace,
            policy,
            &options,
        );
        let count = |wanted: fn(&End) -> bool| run.outcomes.iter().filter(|outcome| wanted(&outcome.end)).count();
        let (lost, finished) = (count(|end| matches!(end, End::Lost)), count(|end| matches!(end, End::Finished)));
        assert!(lost > 0 && finished > 1000, "{policy}: {lost} lost, {finished} finished");
        assert_eq!(run.outcomes.len(), trace.requests.len());
    }
}
