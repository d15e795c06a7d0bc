//! Policy files: knobs, ranges, messages.

use orchestrator_core::scheduler::{ClassWeights, Discipline, FullPolicy, SchedulerPolicySpec, WaitLimit};
use orchestrator_core::{Order, PolicySpec, WeightsSpec};

use super::*;

fn parse(text: &str) -> Result<Policy, String> {
    parse_policy(text, Path::new("p.toml")).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_is_the_default_policy() {
    assert_eq!(parse(""), Ok(Policy::default()));
    assert_eq!(parse("\u{feff}version = 1\n[weights]\n"), Ok(Policy::default()));
}

// POLICY-1: every knob.
#[test]
fn every_knob() {
    let text = "version = 1\norder = 'vram-first'\nquantum_shift = 46.0\nperformance_aware = false\n\
        spread_seed = '0xffffffffffffffff'\ndefault_output_tokens = 7\ndefault_tokens_per_s = 50\n\
        default_first_token_ms = 0.5\nstale_after_ms = 1\nsession_capacity = 16_777_216\n\
        pool_backlog = 9\n\
        [weights]\nadmission = 0\nmodel_load = 16\nfirst_token = 0.5\nprefill = 2\ndecode = 1.5\n";
    let spec = PolicySpec {
        order: Order::VramFirst,
        quantum_shift: 46,
        performance_aware: false,
        spread_seed: Some(u64::MAX),
        default_output_tokens: 7,
        default_tokens_per_s: Some(50.0),
        default_first_token_ms: Some(0.5),
        stale_after_ms: 1.0,
        session_capacity: 1 << 24,
        pool_backlog: 9,
        weights: WeightsSpec { admission: 0.0, model_load: 16.0, first_token: 0.5, prefill: 2.0, decode: 1.5 },
    };
    assert_eq!(parse(text), Ok(spec.validate().unwrap()));
}

#[test]
fn seeds() {
    let seed = |text: &str| parse(&format!("spread_seed = {text}")).map(|policy| policy.spread_seed());
    for (text, value) in [
        ("0", 0),
        ("9223372036854775807", i64::MAX.unsigned_abs()),
        ("'18446744073709551615'", u64::MAX),
        ("0x10", 16),
        ("'0X1f'", 31),
    ] {
        assert_eq!(seed(text), Ok(Some(value)), "{text}");
    }
    for text in ["-1", "'-1'", "'+1'", "'0x+1'", "''", "'0x'", "'18446744073709551616'", "true", "1.5"] {
        let why = seed(text).unwrap_err();
        assert!(why.starts_with("p.toml: `spread_seed` cannot be ") && why.contains("64 bits"), "{why}");
    }
}

#[test]
fn errors_name_file_key_and_range() {
    let table = [
        ("quantum_shift = 47", "p.toml: `quantum_shift` cannot be 47; it takes an integer from 0 to 46"),
        ("quantum_shift = -1", "p.toml: `quantum_shift` cannot be -1; it takes an integer from 0 to 46"),
        ("quantum_shift = 1.5", "p.toml: `quantum_shift` cannot be 1.5; it takes an integer from 0 to 46"),
        ("order = 'fastest'", "`order` cannot be \"fastest\"; it takes \"predicted-end\" or \"vram-first\""),
        ("performance_aware = 1", "`performance_aware` cannot be 1; it takes true or false"),
        ("default_output_tokens = 16777216", "it takes an integer from 0 to 16777215"),
        ("default_tokens_per_s = nan", "`default_tokens_per_s` cannot be NaN; it takes a number from 0 to 4294967.295"),
        ("default_tokens_per_s = 4294967.296", "it takes a number from 0 to 4294967.295"),
        ("default_first_token_ms = -1", "it takes milliseconds, a number from 0 to 70368744177.663"),
        ("stale_after_ms = '30s'", "it takes milliseconds, a number from 0 to 70368744177.663"),
        ("stale_after_ms = inf", "`stale_after_ms` cannot be inf"),
        ("session_capacity = 16777217", "it takes an integer from 0 to 16777216"),
        ("weights = 1", "`weights` cannot be 1; it takes a table of admission"),
        ("weights.decode = 16.1", "p.toml: `weights.decode` cannot be 16.1; it takes a number from 0 to 16"),
        ("weights.decode = true", "`weights.decode` cannot be true"),
        ("version = 2", "`version` cannot be 2; it takes 1"),
        ("quantum = 1", "p.toml: unknown key `quantum`; known are version, order, quantum_shift"),
        ("weights.decod = 1", "unknown key `weights.decod`; known are weights.admission"),
        ("[weight]\ndecode = 1", "unknown key `weight`"),
        ("order = ", "p.toml: TOML parse error at line 1"),
        ("order = 'vram-first'\norder = 'vram-first'", "line 2"),
    ];
    for (text, part) in table {
        let why = parse(text).unwrap_err();
        assert!(why.contains(part), "{text}: {why}");
    }
}

// The allowed ranges in messages are those of the core.
#[test]
fn ranges_end_where_they_say() {
    for text in [
        "quantum_shift = 0",
        "quantum_shift = 46",
        "default_output_tokens = 16777215",
        "default_tokens_per_s = 4294967.295",
        "default_first_token_ms = 70368744177.663",
        "stale_after_ms = 70368744177.663",
        "session_capacity = 0",
        "weights.prefill = 16",
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
    assert!(parse("stale_after_ms = 70368744177.664").is_err());
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    assert!(matches!(read_policy(&path), Err(PolicyFileError::Read { .. })));
    assert!(matches!(read_policy(folder.path()), Err(PolicyFileError::Read { .. })));
    std::fs::write(&path, "quantum_shift = 3").unwrap();
    assert_eq!(read_policy(&path).unwrap().quantum_shift(), 3);
    std::fs::write(&path, b"# \xff").unwrap();
    assert!(matches!(read_policy(&path), Err(PolicyFileError::Read { .. })));
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(matches!(read_policy(&path), Err(PolicyFileError::TooLong { .. })));
}

fn scheduler(text: &str) -> Result<SchedulerPolicy, String> {
    let parsed = parse_policies(text, Path::new("p.toml"));
    parsed.map(|policies| policies.scheduler).map_err(|error| error.to_string())
}

// QUEUE-3, ADMIT-2, LEASE-5, SESSION-1, REFRESH-1: every knob of the scheduler.
#[test]
fn every_knob_of_the_scheduler() {
    let text = "[queue]\nmax_jobs = 7\nmax_tokens = 281_474_976_710_655\npolicy = 'drop-lru'\nstrict_upstream = true\n\
        shed_above_percent = 50\ndiscipline = 'fair-tenants'\ntenant_quantum_tokens = 9\npromote_after_ms = 300_000\n\
        ttl_ms = 0\nscan_limit = 65535.0\novertakes_max = 4294967295\n\
        [queue.interactive]\nmax_jobs = 0\nmax_tokens = 1\n[queue.batch]\nmax_jobs = 4294967295\nmax_tokens = 3\n\
        [queue.class_weights]\ninteractive = 65535\n\
        [admission]\nmax_job_tokens = 1\nmax_context_tokens = 33554430\nretry_floor_ms = 5\nretry_cap_ms = 86400000\n\
        [lease]\nstart_timeout_ms = 1.5\nwall_limit_ms = 2\nidle_limit_ms = 3\nprefill_weight = 17\n[session]\nttl_ms = 4\n\
        [refresh]\nafter_ms = 5\nbase_ms = 6\ncap_ms = 7\n";
    let spec = SchedulerPolicySpec {
        queue_total: WaitLimit { jobs: 7, tokens: (1 << 48) - 1 },
        queue_interactive: WaitLimit { jobs: 0, tokens: 1 },
        queue_batch: WaitLimit { jobs: u32::MAX, tokens: 3 },
        full: FullPolicy::DropLru,
        strict_upstream: true,
        shed_above_percent: 50,
        discipline: Discipline::FairTenants,
        class_weights: Some(ClassWeights { interactive: 65_535, batch: 1 }),
        tenant_quantum_tokens: 9,
        promote_after_ms: Some(300_000.0),
        queue_ttl_ms: 0.0,
        scan_limit: 65_535,
        overtakes_max: u32::MAX.into(),
        max_job_tokens: 1,
        max_context_tokens: 33_554_430,
        retry_floor_ms: 5,
        retry_cap_ms: 86_400_000,
        start_timeout_ms: 1.5,
        wall_limit_ms: 2.0,
        idle_limit_ms: 3.0,
        prefill_weight: 17,
        session_ttl_ms: 4.0,
        refresh_after_ms: 5.0,
        refresh_base_ms: 6.0,
        refresh_cap_ms: 7.0,
    };
    assert_eq!(scheduler(text), Ok(spec.validate().unwrap()));
    // The placement part does not see it, and the other way round.
    assert_eq!(parse(text), Ok(Policy::default()));
    assert_eq!(scheduler("quantum_shift = 3"), Ok(SchedulerPolicy::default()));
    let empty = "[queue]\n[queue.interactive]\n[queue.batch]\n[admission]\n[lease]\n[session]\n[refresh]\n";
    assert_eq!(scheduler(empty), Ok(SchedulerPolicy::default()));
    assert_eq!(
        scheduler("[queue.class_weights]").map(|policy| policy.queue.class_weights),
        Ok(Some(ClassWeights::default()))
    );
}

#[test]
fn errors_of_the_scheduler_name_file_key_and_range() {
    let table = [
        ("queue = 1", "p.toml: `queue` cannot be 1; it takes a table of knobs such as max_jobs"),
        ("[[queue]]", "p.toml: `queue` cannot be a list; it takes a table"),
        ("[queue]\nmax = 1", "unknown key `queue.max`; known are queue.max_jobs, queue.max_tokens, queue.policy"),
        ("[queue.interactive]\nttl_ms = 1", "known are queue.interactive.max_jobs, queue.interactive.max_tokens"),
        ("[queue.background]", "unknown key `queue.background`"),
        ("queue.max_jobs = -1", "`queue.max_jobs` cannot be -1; it takes an integer from 0 to 4294967295"),
        ("queue.max_jobs = 4294967296", "it takes an integer from 0 to 4294967295"),
        ("queue.batch.max_tokens = 281474976710656", "`queue.batch.max_tokens` cannot be 281474976710656; it takes"),
        ("queue.policy = 'drop'", "cannot be \"drop\"; it takes \"reject\", \"drop-lru\" or \"shed-low-priority\""),
        ("queue.discipline = 1", "it takes \"fifo\", \"earliest-deadline\" or \"fair-tenants\""),
        ("queue.scan_limit = 0", "`queue.scan_limit` cannot be 0; it takes an integer from 1 to 65535"),
        ("queue.overtakes_max = 0", "it takes an integer from 1 to 4294967295"),
        ("queue.tenant_quantum_tokens = 16777216", "it takes an integer from 1 to 16777215"),
        ("queue.shed_above_percent = 101", "it takes an integer from 0 to 100"),
        (
            "queue.class_weights.batch = 0",
            "`queue.class_weights.batch` cannot be 0; it takes an integer from 1 to 65535",
        ),
        (
            "queue.class_weights = [8, 1]",
            "`queue.class_weights` cannot be a list; it takes a table of interactive, batch",
        ),
        ("queue.ttl_ms = 'x'", "`queue.ttl_ms` cannot be \"x\"; it takes milliseconds"),
        ("admission.max_job_tokens = 33554431", "it takes an integer from 0 to 33554430"),
        ("admission.retry_cap_ms = 999", "cannot be 999; it takes an integer from 0 to 86400000, not below admission."),
        (
            "admission.retry_floor_ms = 60001",
            "`admission.retry_cap_ms` cannot be absent; it takes an integer from 0 to",
        ),
        ("admission.retry_floor_ms = 86400001", "`admission.retry_floor_ms` cannot be 86400001"),
        ("lease.wall_limit_ms = inf", "`lease.wall_limit_ms` cannot be inf; it takes milliseconds"),
        ("lease.wall_ms = 1", "known are lease.start_timeout_ms, lease.wall_limit_ms, lease.idle_limit_ms"),
        ("session.ttl_ms = -1", "`session.ttl_ms` cannot be -1"),
        ("refresh.cap_ms = 999", "`refresh.cap_ms` cannot be 999; it takes milliseconds, a number from 0 to"),
    ];
    for (text, part) in table {
        let why = scheduler(text).unwrap_err();
        assert!(why.contains(part), "{text}: {why}");
        // A policy file is whole or not at all, whoever reads it.
        assert_eq!(parse(text), Err(why));
    }
}

fn prices(text: &str) -> Result<Vec<Price>, String> {
    let parsed = parse_policies(text, Path::new("p.toml"));
    parsed.map(|policies| policies.prices).map_err(|error| error.to_string())
}

// BUDGET-2: prices by engine and model, each pair once.
#[test]
fn prices_are_a_list() {
    let text = "[[price]]\nengine = 'vllm'\nmodel = 'm'\nmicros_per_1000_tokens = 4294967295\n\
        [[price]]\nengine = 'vllm'\nmicros_per_1000_tokens = 2.0\n[[price]]\nmicros_per_1000_tokens = 0\n";
    let price = |engine: Option<&str>, model: Option<&str>, micros| Price {
        engine: engine.map(str::to_owned),
        model: model.map(str::to_owned),
        micros_per_1000_tokens: micros,
    };
    let expected = vec![price(Some("vllm"), Some("m"), u32::MAX), price(Some("vllm"), None, 2), price(None, None, 0)];
    assert_eq!(prices(text), Ok(expected));
    assert_eq!(prices("price = []"), Ok(vec![]));
    let long = format!("[[price]]\nmicros_per_1000_tokens = 1\nmodel = '{}'", "x".repeat(129));
    let table = [
        ("[price]\nengine = 'a'", "`price` cannot be a table; it takes a list of tables, [[price]]"),
        ("price = [1]", "`price` cannot be 1; it takes a list of tables"),
        ("[[price]]\nengine = 'a'", "`price.micros_per_1000_tokens` cannot be absent; it takes an integer"),
        ("[[price]]\nmicros_per_1000_tokens = -1", "`price.micros_per_1000_tokens` cannot be -1"),
        ("[[price]]\nmicros_per_1000_tokens = 4294967296", "cannot be 4294967296"),
        (
            "[[price]]\nmicros_per_1000_tokens = 1\nengine = ''",
            "`price.engine` cannot be \"\"; it takes a text of 1 to",
        ),
        ("[[price]]\nmicros_per_1000_tokens = 1\nengine = 3", "`price.engine` cannot be 3"),
        (&*long, "`price.model` cannot be "),
        ("[[price]]\nper_token = 1", "unknown key `price.per_token`; known are price.engine, price.model"),
        (
            "[[price]]\nengine = 'a'\nmicros_per_1000_tokens = 1\n[[price]]\nengine = 'A'\nmicros_per_1000_tokens = 2",
            "`price` cannot be a list; it takes a list of tables, [[price]], of engine, model, micros_per_1000_tokens; an engine and model once",
        ),
    ];
    for (text, part) in table {
        let why = prices(text).unwrap_err();
        assert!(why.contains(part), "{text}: {why}");
    }
}

// The example shows every knob there is, at its default where it is not commented out.
#[test]
fn the_example_is_the_default() {
    let text = include_str!("../../../../examples/policy.toml");
    assert_eq!(parse_policies(text, Path::new("p.toml")).unwrap(), Policies::default());
    for (knob, _) in knobs::KNOBS {
        let name = knob.rsplit('.').next().unwrap();
        let is_shown = |line: &str| {
            let line = line.trim_start_matches("# ");
            line.starts_with(&format!("{name} = ")) || line == format!("[{knob}]") || line == format!("[[{knob}]]")
        };
        assert!(knob == "version" || text.lines().any(is_shown), "{knob}");
    }
    // With the comments gone, it is still a policy file.
    let is_knob = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase() || first == '[');
    let bare: Vec<_> = text.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).filter(is_knob).collect();
    let bare: Vec<_> = bare.into_iter().filter(|line| line.contains(" = ") || line.starts_with('[')).collect();
    let policies = parse_policies(&bare.join("\n"), Path::new("p.toml")).unwrap();
    assert!(policies.prices.len() == 1 && policies.scheduler.queue.class_weights.is_some());
}
