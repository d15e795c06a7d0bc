//! Random values of everything that can be recorded. Texts and lists are leaked: they are small, and tests end.

use orchestrator_core::rule::rejection::Rejection;
use orchestrator_core::scheduler::*;
use orchestrator_core::{
    Assignment, Budget, DeterminismSpec, DeviceMask, DeviceSnapshot, FieldError, FleetError, Id, JobSpec, KvHint,
    ModelRequirements, Order, PlacementHints, PlacementMode, Policy, PolicySpec, PoolFacts, PoolSnapshot, PoolSupports,
    Priority, Problem, WarmSession, WeightsSpec,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

pub(super) fn text() -> BoxedStrategy<&'static str> {
    prop_oneof![
        4 => select(&["", "a", "b", "vllm", "gpu-0"][..]),
        2 => "\\PC{0,12}".prop_map(|text| &*text.leak()),
        1 => (120usize..140).prop_map(|length| &*"ü".repeat(length).leak()),
    ]
    .boxed()
}

fn int() -> BoxedStrategy<i64> {
    prop_oneof![-70i64..70, any::<i64>(), select(&[0, 1, i64::MIN, i64::MAX][..])].boxed()
}

fn number() -> BoxedStrategy<u64> {
    prop_oneof![0u64..300, any::<u64>(), (0u32..64).prop_map(|bit| 1 << bit), Just(u64::MAX)].boxed()
}

fn small() -> BoxedStrategy<u32> {
    prop_oneof![0u32..300, any::<u32>()].boxed()
}

fn float() -> BoxedStrategy<f64> {
    prop_oneof![any::<f64>(), Just(0.0), Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(30_000.0)].boxed()
}

fn list<T: Clone + std::fmt::Debug + 'static>(item: impl Strategy<Value = T> + 'static) -> BoxedStrategy<&'static [T]> {
    vec(item, 0..5).prop_map(|items| &*items.leak()).boxed()
}

fn texts() -> BoxedStrategy<&'static [&'static str]> {
    list(text()).boxed()
}

fn labels() -> BoxedStrategy<&'static [(&'static str, &'static str)]> {
    list((text(), text())).boxed()
}

pub(super) fn priority() -> BoxedStrategy<Priority> {
    select(&[Priority::Interactive, Priority::Batch][..]).boxed()
}

pub(super) fn job() -> BoxedStrategy<JobSpec<'static>> {
    let names = (text(), text(), text(), of(text()), of(text()));
    let counts = (int(), of(int()), of(int()), of(int()), of(int()));
    let service = (priority(), select(&[KvHint::Reuse, KvHint::Cold][..]), of(float()));
    (names, counts, service, requirements(), determinism(), hints(), budget())
        .prop_map(|(names, counts, service, requirements, determinism, placement, budget)| JobSpec {
            id: names.0,
            engine: names.1,
            model_id: names.2,
            session_id: names.3,
            tenant_id: names.4,
            prompt_tokens: counts.0,
            expected_tokens: counts.1,
            max_tokens: counts.2,
            required_ctx: counts.3,
            est_kv_bytes: counts.4,
            priority: service.0,
            kv_hint: service.1,
            deadline_ms: service.2,
            requirements,
            determinism,
            placement,
            budget,
        })
        .boxed()
}

fn requirements() -> BoxedStrategy<ModelRequirements<'static>> {
    (int(), of(text()), of(text()), of(text()), texts(), of(int()))
        .prop_map(|(min_vram_bytes, quantization, min_compute_cap, device_mask, required_extensions, split_degree)| {
            ModelRequirements {
                min_vram_bytes,
                quantization,
                min_compute_cap,
                device_mask,
                required_extensions,
                split_degree,
            }
        })
        .boxed()
}

fn determinism() -> BoxedStrategy<DeterminismSpec<'static>> {
    (of(int()), of(text()), of(text()), of(text()))
        .prop_map(|(seed, sampler_profile_version, engine_version, model_digest)| DeterminismSpec {
            seed,
            sampler_profile_version,
            engine_version,
            model_digest,
        })
        .boxed()
}

fn hints() -> BoxedStrategy<PlacementHints<'static>> {
    let mode = of(select(&[PlacementMode::Auto, PlacementMode::Pin, PlacementMode::Prefer][..]));
    (mode, of(text()), texts(), texts(), of(text()), any::<bool>(), labels())
        .prop_map(
            |(mode, pin_pool_id, prefer_pools, avoid_pools, require_device_mask, allow_fallback, require_labels)| {
                PlacementHints {
                    mode,
                    pin_pool_id,
                    prefer_pools,
                    avoid_pools,
                    require_device_mask,
                    allow_fallback,
                    require_labels,
                }
            },
        )
        .boxed()
}

fn budget() -> BoxedStrategy<Budget> {
    (of(int()), of(float()), of(int()))
        .prop_map(|(tokens, time_ms, cost_micros)| Budget { tokens, time_ms, cost_micros })
        .boxed()
}

pub(super) fn snapshot() -> BoxedStrategy<PoolSnapshot<'static>> {
    let names = (text(), text(), text(), of(text()), of(text()), of(text()), of(text()));
    let counts = (int(), int(), int(), int(), int());
    let times = (of(float()), of(float()), of(float()), float(), float(), float());
    let devices = list((int(), int(), of(text()))).prop_map(|devices| {
        let device = |&(vram_total_bytes, vram_free_bytes, compute_capability): &_| DeviceSnapshot {
            vram_total_bytes,
            vram_free_bytes,
            compute_capability,
        };
        &*devices.iter().map(device).collect::<Vec<_>>().leak()
    });
    let warm = list((text(), int())).prop_map(|sessions| {
        let session = |&(session_id, cached_tokens): &_| WarmSession { session_id, cached_tokens };
        &*sessions.iter().map(session).collect::<Vec<_>>().leak()
    });
    let lists = (of(texts()), devices, labels(), warm);
    (names, counts, times, supports(), lists, any::<bool>(), any::<bool>())
        .prop_map(|(names, counts, times, supports, lists, ready, draining)| PoolSnapshot {
            id: names.0,
            replica_id: names.1,
            engine: names.2,
            engine_version: names.3,
            sampler_profile_version: names.4,
            compute_capability: names.5,
            device_mask: names.6,
            slots_total: counts.0,
            slots_free: counts.1,
            vram_total_bytes: counts.2,
            vram_free_bytes: counts.3,
            queue_depth: counts.4,
            perf_tokens_per_s: times.0,
            first_token_ms: times.1,
            prefill_tokens_per_s: times.2,
            admission_latency_ms: times.3,
            model_load_ms: times.4,
            age_ms: times.5,
            supports,
            resident_models: lists.0,
            devices: lists.1,
            labels: lists.2,
            warm_sessions: lists.3,
            ready,
            draining,
        })
        .boxed()
}

fn supports() -> BoxedStrategy<PoolSupports<'static>> {
    (texts(), texts(), of(texts()), texts(), of(int()), of(text()))
        .prop_map(|(quantizations, extensions, models, model_digests, ctx_max, min_compute_cap)| PoolSupports {
            quantizations,
            extensions,
            models,
            model_digests,
            ctx_max,
            min_compute_cap,
        })
        .boxed()
}

fn ms() -> BoxedStrategy<f64> {
    prop_oneof![0.0..1e6f64, Just(0.0), Just(70_368_744_177.663)].boxed()
}

pub(super) fn policy() -> BoxedStrategy<Policy> {
    let shape = (select(&Order::ALL[..]), 0i64..=46, any::<bool>(), of(any::<u64>()), 0i64..1 << 24);
    let defaults = (of(0.0..4e6f64), of(ms()), ms(), 0i64..=1 << 24, 0i64..=1000);
    let weights = (0.0..=16.0f64, 0.0..=16.0f64, 0.0..=16.0f64, 0.0..=16.0f64, 0.0..=16.0f64);
    (shape, defaults, weights)
        .prop_map(|(shape, defaults, weights)| {
            let spec = PolicySpec {
                order: shape.0,
                quantum_shift: shape.1,
                performance_aware: shape.2,
                spread_seed: shape.3,
                default_output_tokens: shape.4,
                default_tokens_per_s: defaults.0,
                default_first_token_ms: defaults.1,
                stale_after_ms: defaults.2,
                session_capacity: defaults.3,
                pool_backlog: defaults.4,
                weights: WeightsSpec {
                    admission: weights.0,
                    model_load: weights.1,
                    first_token: weights.2,
                    prefill: weights.3,
                    decode: weights.4,
                },
            };
            spec.validate().unwrap()
        })
        .boxed()
}

fn limit() -> BoxedStrategy<WaitLimit> {
    (small(), 0u64..1 << 48).prop_map(|(jobs, tokens)| WaitLimit { jobs, tokens }).boxed()
}

pub(super) fn scheduler_policy() -> BoxedStrategy<SchedulerPolicy> {
    let limits = (limit(), limit(), limit());
    let full = (select(&FullPolicy::ALL[..]), any::<bool>(), 0i64..=100, select(&Discipline::ALL[..]));
    let weights =
        of((1u16.., 1u16..)).prop_map(|pair| pair.map(|(interactive, batch)| ClassWeights { interactive, batch }));
    let passes = (weights, 1i64..1 << 24, of(ms()), ms(), 1i64..=65_535, 1i64..1 << 32);
    let admission = (0i64..1 << 25, 0i64..1 << 25, 0i64..=40_000_000, 0i64..=40_000_000);
    let times = (ms(), ms(), ms(), ms(), ms(), 0.0..1e9f64, 0.0..1e9f64, 0i64..=255);
    (limits, full, passes, admission, times)
        .prop_map(|(limits, full, passes, admission, times)| {
            let spec = SchedulerPolicySpec {
                queue_total: limits.0,
                queue_interactive: limits.1,
                queue_batch: limits.2,
                full: full.0,
                strict_upstream: full.1,
                shed_above_percent: full.2,
                discipline: full.3,
                class_weights: passes.0,
                tenant_quantum_tokens: passes.1,
                promote_after_ms: passes.2,
                queue_ttl_ms: passes.3,
                scan_limit: passes.4,
                overtakes_max: passes.5,
                max_job_tokens: admission.0.min((1 << 25) - 2),
                max_context_tokens: admission.1.min((1 << 25) - 2),
                retry_floor_ms: admission.2,
                retry_cap_ms: admission.2 + admission.3,
                start_timeout_ms: times.0,
                wall_limit_ms: times.1,
                idle_limit_ms: times.2,
                session_ttl_ms: times.3,
                refresh_after_ms: times.4,
                refresh_base_ms: times.5,
                refresh_cap_ms: times.5 + times.6,
                prefill_weight: times.7,
            };
            spec.validate().unwrap()
        })
        .boxed()
}

fn failure() -> BoxedStrategy<FailureCause> {
    select(&FailureCause::ALL[..]).boxed()
}

fn cancel() -> BoxedStrategy<CancelCause> {
    select(&CancelCause::ALL[..]).boxed()
}

fn expiry() -> BoxedStrategy<ExpiryCause> {
    select(&ExpiryCause::ALL[..]).boxed()
}

pub(super) fn input() -> BoxedStrategy<Input<'static>> {
    prop_oneof![
        3 => snapshot().prop_map(|snapshot| Input::Snapshot(Box::leak(Box::new(snapshot)))),
        1 => (text(), text()).prop_map(|(id, replica_id)| Input::RemovePool { id, replica_id }),
        1 => (text(), text(), any::<bool>())
            .prop_map(|(id, replica_id, draining)| Input::Drain { id, replica_id, draining }),
        3 => job().prop_map(|job| Input::Submit(Box::leak(Box::new(job)))),
        1 => text().prop_map(|job_id| Input::Started { job_id }),
        1 => text().prop_map(|job_id| Input::FirstToken { job_id }),
        1 => (text(), small()).prop_map(|(job_id, tokens_out)| Input::Progress { job_id, tokens_out }),
        1 => (text(), small()).prop_map(|(job_id, tokens_out)| Input::Finished { job_id, tokens_out }),
        1 => (text(), failure(), small())
            .prop_map(|(job_id, cause, tokens_out)| Input::Failed { job_id, cause, tokens_out }),
        1 => (text(), cancel()).prop_map(|(job_id, cause)| Input::Cancel { job_id, cause }),
        1 => text().prop_map(|session_id| Input::EndSession { session_id }),
        1 => (policy(), scheduler_policy()).prop_map(|(placement, scheduler)| Input::SetPolicies {
            placement: Box::leak(Box::new(placement)),
            scheduler: Box::leak(Box::new(scheduler)),
        }),
        1 => Just(Input::Tick),
    ]
    .boxed()
}

fn problem() -> BoxedStrategy<Problem> {
    prop_oneof![
        Just(Problem::Missing),
        text().prop_map(|expected| Problem::WrongType { expected }),
        Just(Problem::Negative),
        Just(Problem::NotFinite),
        number().prop_map(|max| Problem::TooLarge { max }),
        (number(), any::<u16>()).prop_map(|(max, per)| Problem::TooLargeScaled { max, per }),
        Just(Problem::Empty),
        any::<usize>().prop_map(|max_bytes| Problem::TooLong { max_bytes }),
        any::<usize>().prop_map(|max| Problem::TooMany { max }),
        Just(Problem::Repeated),
        text().prop_map(|expected| Problem::Malformed { expected }),
        text().prop_map(|why| Problem::Contradiction { why }),
        (number(), any::<u16>()).prop_map(|(left, per)| Problem::OverBudget { left, per }),
        any::<usize>().prop_map(|capacity| Problem::StorageFull { capacity }),
    ]
    .boxed()
}

fn field_error() -> BoxedStrategy<FieldError> {
    (text(), problem()).prop_map(|(field, problem)| FieldError { field, problem }).boxed()
}

fn refusal() -> BoxedStrategy<Refusal> {
    let label = prop_oneof![3 => select(&FullPolicy::ALL[..]).prop_map(FullPolicy::label), 1 => text()];
    let code = select(&RefusalCode::ALL[..]);
    (code, of(field_error()), of(label), of(select(&Rejection::ALL[..])), of(number()))
        .prop_map(|(code, field, policy_label, rejection, retry_after_ms)| Refusal {
            code,
            field,
            policy_label,
            rejection,
            retry_after_ms,
        })
        .boxed()
}

fn forecast() -> BoxedStrategy<WaitForecast> {
    (small(), small(), of(number()))
        .prop_map(|(queue_position, class_position, predicted_start_us)| WaitForecast {
            queue_position,
            class_position,
            predicted_start_us,
        })
        .boxed()
}

pub(super) fn answer() -> BoxedStrategy<Answer> {
    prop_oneof![
        select(
            &[
                Answer::Done,
                Answer::DuplicateJob,
                Answer::UnknownJob,
                Answer::Repeated,
                Answer::NotDispatched,
                Answer::UnknownPool,
                Answer::UnknownSession,
                Answer::Late,
            ][..]
        ),
        forecast().prop_map(Answer::Accepted),
        refusal().prop_map(Answer::Refused),
        field_error().prop_map(|error| Answer::BadSnapshot(FleetError::Field(error))),
        any::<usize>().prop_map(|capacity| Answer::BadSnapshot(FleetError::Full { capacity })),
        number().prop_map(|last_us| Answer::TimeWentBack { last_us }),
        number().prop_map(|max_us| Answer::TimeTooLate { max_us }),
    ]
    .boxed()
}

fn dispatch() -> BoxedStrategy<DispatchFacts> {
    let flags = (any::<bool>(), any::<bool>(), of(any::<bool>()), any::<bool>(), any::<bool>());
    let assignment = (small(), number(), number(), of(number()));
    (assignment, flags, number(), of(int()), of(any::<u16>()))
        .prop_map(
            |(
                (rank, devices, start_us, end_us),
                (warm, fallback, on_time, kv_warm, kv_migrated),
                waited_us,
                seed,
                permille,
            )| {
                let devices = DeviceMask::from_bits(devices);
                DispatchFacts {
                    assignment: Assignment { rank, devices, start_us, end_us, warm, fallback, on_time },
                    waited_us,
                    kv_warm,
                    kv_migrated,
                    seed,
                    on_time_permille: permille,
                }
            },
        )
        .boxed()
}

fn id() -> BoxedStrategy<Id> {
    prop_oneof![
        select(&["", "a", "pool-1", "ü"][..]).prop_map(|id| Id::try_from(id).unwrap()),
        Just(Id::try_from("x".repeat(64).as_str()).unwrap()),
    ]
    .boxed()
}

pub(super) fn action() -> BoxedStrategy<Action> {
    let cause = prop_oneof![cancel().prop_map(AbortCause::Canceled), expiry().prop_map(AbortCause::Expired)];
    prop_oneof![
        (id(), id(), id(), dispatch()).prop_map(|(job_id, pool_id, replica_id, dispatch)| Action::Dispatch {
            job_id,
            pool_id,
            replica_id,
            dispatch
        }),
        (id(), id(), id(), cause).prop_map(|(job_id, pool_id, replica_id, cause)| Action::Abort {
            job_id,
            pool_id,
            replica_id,
            cause
        }),
        (id(), refusal()).prop_map(|(job_id, refusal)| Action::Drop { job_id, refusal }),
        (id(), id(), small(), number()).prop_map(|(pool_id, replica_id, attempt, not_before_us)| {
            Action::RefreshSnapshot { pool_id, replica_id, attempt, not_before_us }
        }),
    ]
    .boxed()
}

fn job_facts() -> BoxedStrategy<JobFacts<'static>> {
    (text(), of(text()), text(), text(), priority(), small(), small())
        .prop_map(|(id, session_id, engine, model_id, priority, prompt_tokens, output_tokens)| JobFacts {
            id,
            session_id,
            engine,
            model_id,
            priority,
            prompt_tokens,
            output_tokens,
        })
        .boxed()
}

fn pool_facts() -> BoxedStrategy<PoolFacts<'static>> {
    (text(), text(), text(), of(text()))
        .prop_map(|(id, replica_id, engine, engine_version)| PoolFacts { id, replica_id, engine, engine_version })
        .boxed()
}

fn usage() -> BoxedStrategy<UsageFacts> {
    let time = || prop_oneof![1 => Just(0), 4 => 0u64..20_000_000, 1 => number()];
    (small(), small(), time(), time())
        .prop_map(|(tokens_in, tokens_out, run_us, decode_us)| UsageFacts { tokens_in, tokens_out, run_us, decode_us })
        .boxed()
}

pub(super) fn event() -> BoxedStrategy<Event<'static>> {
    let (job, pool) = (job_facts, pool_facts);
    let decision = (any::<bool>(), any::<bool>(), any::<bool>(), small())
        .prop_map(|(assigned, pinned, fallback, candidates)| DecisionFacts { assigned, pinned, fallback, candidates });
    let of_pools = prop_oneof![
        (pool(), small(), number()).prop_map(|(pool, credited, vram_used_bytes)| Event::PoolUpdated {
            pool,
            credited,
            vram_used_bytes
        }),
        pool().prop_map(|pool| Event::PoolRemoved { pool }),
        (pool(), any::<bool>()).prop_map(|(pool, draining)| Event::PoolDraining { pool, draining }),
        (pool(), small()).prop_map(|(pool, attempt)| Event::RefreshRequested { pool, attempt }),
    ];
    let waiting = prop_oneof![
        (job(), refusal()).prop_map(|(job, refusal)| Event::JobRefused { job, refusal }),
        (job(), forecast()).prop_map(|(job, forecast)| Event::JobEnqueued { job, forecast }),
        (job(), refusal(), number()).prop_map(|(job, refusal, waited_us)| Event::JobEvicted {
            job,
            refusal,
            waited_us
        }),
        (job(), refusal(), number()).prop_map(|(job, refusal, waited_us)| Event::JobTimedOut {
            job,
            refusal,
            waited_us
        }),
        (job(), decision).prop_map(|(job, decision)| Event::PlacementDecided { job, decision }),
        (priority(), text(), small(), number()).prop_map(|(priority, engine, jobs, tokens)| Event::QueueDepth {
            priority,
            engine,
            jobs,
            tokens
        }),
    ];
    let since = prop_oneof![4 => 0u64..5_000_000, 1 => number()];
    let running = prop_oneof![
        (job(), pool(), dispatch()).prop_map(|(job, pool, dispatch)| Event::JobDispatched { job, pool, dispatch }),
        (job(), pool()).prop_map(|(job, pool)| Event::JobStarted { job, pool }),
        (job(), pool(), since).prop_map(|(job, pool, since_admission_us)| Event::JobFirstToken {
            job,
            pool,
            since_admission_us
        }),
        (job(), pool(), usage()).prop_map(|(job, pool, usage)| Event::JobFinished { job, pool, usage }),
        (job(), pool(), failure(), usage()).prop_map(|(job, pool, cause, usage)| Event::JobFailed {
            job,
            pool,
            cause,
            usage
        }),
        (job(), of(pool()), cancel(), usage()).prop_map(|(job, pool, cause, usage)| Event::JobCanceled {
            job,
            pool,
            cause,
            usage
        }),
        (job(), pool(), expiry(), usage()).prop_map(|(job, pool, cause, usage)| Event::JobExpired {
            job,
            pool,
            cause,
            usage
        }),
    ];
    let ends = select(&[SessionEnd::Requested, SessionEnd::Expired, SessionEnd::Evicted][..]);
    let others = prop_oneof![
        (text(), ends).prop_map(|(session_id, cause)| Event::SessionEnded { session_id, cause }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(placement_hash, scheduler_hash)| Event::PoliciesChanged { placement_hash, scheduler_hash }),
    ];
    prop_oneof![4 => of_pools, 6 => waiting, 7 => running, 2 => others].boxed()
}
