// The C interface of orchestrator-core: which pool takes an LLM inference job, and when; deterministically.
//
// Made from the Rust sources by `cargo test -p orchestrator-core-c`; do not edit.
//
// WHAT EVERY CALL ASKS OF ITS CALLER
//
// - Pointers are null where that is allowed, or point to as much memory as their type, their `struct_bytes` or the number
//   beside them says. Null pointers, misaligned ones and sizes that cannot be are answered with a code; a wrong address or a
//   wrong number cannot be seen.
// - What is pointed to belongs to the caller and is read during the call only. Nothing is kept but what is copied into the
//   memory of `oc_init`. Nothing is allocated, so nothing is freed.
// - A handle is used by one thread at a time; different handles are independent. Calls from a signal handler or from
//   `oc_act` into a handle that is in use are answered with OC_BUSY.
// - A handle is valid until its memory is used for something else. Memory that was copied elsewhere is no handle.
// - Times `now_us` are microseconds on a clock of the caller's that does not go back; the library has no clock.
//
// WHAT EVERY CALL ANSWERS
//
// - An `oc_code`. After one of the codes of misuse (10 to 18) nothing has changed. `oc_last_problem` says which value was
//   refused, and its limit.
// - After an input, `oc_next_action` says what is to be done, until OC_NOTHING.
//
// STRUCTURES begin with their size, `struct_bytes`: set it to `sizeof` the structure. What an older caller does not know has
// its default; what a newer one knows and this library does not must be zero. Zeros are the defaults of `oc_pool`, `oc_job`
// and `oc_config`; policies are filled by `oc_..._policy_default`. Structures without `struct_bytes` never change.


#ifndef ORCHESTRATOR_CORE_H
#define ORCHESTRATOR_CORE_H

#include <stddef.h>
#include <stdint.h>

// A text from a literal.
#define OC_TEXT(literal) ((oc_text){(literal), sizeof(literal) - 1})


// The version of this interface. It is raised when something is added; what was there keeps its meaning.
#define OC_API_VERSION 2

// What the library has no number for yet.
#define OC_UNNAMED 4294967295

// Flag of `oc_placement_policy`: measured rates and times count. On by default.
#define OC_POLICY_PERFORMANCE_AWARE 1

// Flag of `oc_placement_policy`: equal pools are spread by `spread_seed`.
#define OC_POLICY_HAS_SPREAD_SEED 2

// Flag of `oc_placement_policy`: pools without a decode rate have `default_tokens_per_s`.
#define OC_POLICY_HAS_DEFAULT_TOKENS_PER_S 4

// Flag of `oc_placement_policy`: pools without a first-token time have `default_first_token_ms`.
#define OC_POLICY_HAS_DEFAULT_FIRST_TOKEN 8

// Flag of `oc_scheduler_policy`: a batch newcomer may evict an interactive job.
#define OC_POLICY_STRICT_UPSTREAM 1

// Flag of `oc_scheduler_policy`: classes are served by weight; without it interactive jobs always go first.
#define OC_POLICY_HAS_CLASS_WEIGHTS 2

// Flag of `oc_scheduler_policy`: a job that waited `promote_after_ms` goes before all others.
#define OC_POLICY_HAS_PROMOTE_AFTER 4

// The alignment, in bytes, that the memory of an engine needs: as what `malloc` gives on most machines of 64 bits.
#define OC_MEMORY_ALIGN 16

// Flag of `oc_pool`: `perf_tokens_per_s` is known.
#define OC_POOL_HAS_PERF_TOKENS_PER_S 1

// Flag of `oc_pool`: `first_token_ms` is known.
#define OC_POOL_HAS_FIRST_TOKEN 2

// Flag of `oc_pool`: `prefill_tokens_per_s` is known; without it prefill is inside `first_token_ms`.
#define OC_POOL_HAS_PREFILL_TOKENS_PER_S 4

// Flag of `oc_pool`: `ctx_max` is known.
#define OC_POOL_HAS_CTX_MAX 8

// Flag of `oc_pool`: the pool serves the models of `models` only; without it, any.
#define OC_POOL_HAS_MODELS 16

// Flag of `oc_pool`: `resident_models` are those that are loaded; without it every model counts as loaded.
#define OC_POOL_HAS_RESIDENT_MODELS 32

// Flag of `oc_pool`: it takes no work now.
#define OC_POOL_NOT_READY 64

// Flag of `oc_pool`: it only finishes what it has.
#define OC_POOL_DRAINING 128

// Flag of `oc_job`: `expected_tokens` is known.
#define OC_JOB_HAS_EXPECTED_TOKENS 1

// Flag of `oc_job`: `max_tokens` is known.
#define OC_JOB_HAS_MAX_TOKENS 2

// Flag of `oc_job`: `required_ctx` is given; without it the context is prompt plus output tokens.
#define OC_JOB_HAS_REQUIRED_CTX 4

// Flag of `oc_job`: `est_kv_bytes` is given; without it, 0.
#define OC_JOB_HAS_EST_KV_BYTES 8

// Flag of `oc_job`: `deadline_ms` is given.
#define OC_JOB_HAS_DEADLINE 16

// Flag of `oc_job`: it is split over `split_degree` devices.
#define OC_JOB_HAS_SPLIT 32

// Flag of `oc_job`: `seed` is given.
#define OC_JOB_HAS_SEED 64

// Flag of `oc_job`: only preferred pools may serve.
#define OC_JOB_NO_FALLBACK 128

// Flag of `oc_job`: `budget_tokens` is given.
#define OC_JOB_HAS_BUDGET_TOKENS 256

// Flag of `oc_job`: `budget_time_ms` is given.
#define OC_JOB_HAS_BUDGET_TIME 512

// Flag of `oc_job`: `budget_cost_micros` is given.
#define OC_JOB_HAS_BUDGET_COST 1024

// Flag of `oc_refusal`: `retry_after_ms` is set; without it trying again cannot help.
#define OC_REFUSAL_HAS_RETRY_AFTER 1

// Flag of `oc_refusal`: `rejection` is set.
#define OC_REFUSAL_HAS_REJECTION 2

// Flag of `oc_answer`: `predicted_start_us` is set.
#define OC_ANSWER_HAS_PREDICTED_START 1

// Flag of `oc_action`: `predicted_end_us` is set.
#define OC_ACTION_HAS_PREDICTED_END 1

// Flag of `oc_action`: `seed` is set.
#define OC_ACTION_HAS_SEED 2

// Flag of `oc_action`: `on_time_permille` is set.
#define OC_ACTION_HAS_ON_TIME 4

// Flag of `oc_action`: none of the preferred pools took the job.
#define OC_ACTION_FALLBACK 8

// Flag of `oc_action`: the session's KV cache is in the pool.
#define OC_ACTION_KV_WARM 16

// How many rules a pool can fail: FEAS-1 to FEAS-23 of `docs/spec.md`.
#define OC_REJECTIONS 23

// Flag of `oc_standing`: there is such a pool.
#define OC_STANDING_IS_THERE 1

// Flag of `oc_standing`: `predicted_end_us` is set.
#define OC_STANDING_HAS_PREDICTED_END 2

// Flag of `oc_standing`: the model is loaded.
#define OC_STANDING_RESIDENT 4

// Flag of `oc_explanation`: `margin` is set.
#define OC_EXPLANATION_HAS_MARGIN 1

// Flag of `oc_explanation`: there are pools that cannot take the job, and `nearest_…` is set.
#define OC_EXPLANATION_HAS_NEAREST_MISS 2

// A scheduler in the caller's memory. The handle is the memory's address; there is nothing to free but the memory.
typedef struct oc_engine oc_engine;

// How a call went: one of `OC_OK`, `OC_NOTHING`, …
typedef int32_t oc_code;

// What is wrong with a value.
typedef uint32_t oc_problem_kind;

// A text: a pointer and a number of bytes, without a null byte at the end. UTF-8. A null pointer with 0 bytes is an
// absent text. Texts that the library gives out may be followed by anything.
typedef struct oc_text {
    // The first byte.
    const char *data;
    // How many bytes: at most 4096.
    size_t bytes;
} oc_text;

// What was wrong with the last call.
typedef struct oc_problem {
    // `sizeof(oc_problem)`, set by the caller.
    uint32_t struct_bytes;
    // What the call returned.
    oc_code code;
    // What is wrong with the value; `OC_PROBLEM_NONE` where no single value was at fault.
    oc_problem_kind kind;
    // How many units of `limit` make one unit of the field: 1000 for a limit in µs of a field in ms.
    uint32_t limit_per_unit;
    // The most that is accepted, or is left; 0 where the kind has no limit.
    uint64_t limit;
    // The field's path, as `docs/spec.md` names it, such as `supports.ctx_max`. Lives for ever.
    struct oc_text field;
} oc_problem;

// Which order ranks the pools that can take a job.
typedef uint32_t oc_order;

// How pools are chosen. `oc_placement_policy_default` fills it.
typedef struct oc_placement_policy {
    // `sizeof(oc_placement_policy)`, set by the caller.
    uint32_t struct_bytes;
    // `OC_POLICY_…`.
    uint32_t flags;
    // Which order ranks the pools.
    oc_order order;
    // Jobs that may wait in a pool without free slots: 0 (off) to 65535.
    uint32_t pool_backlog;
    // Ends within the same 2^shift µs are equal: 0 to 46.
    int64_t quantum_shift;
    // With `OC_POLICY_HAS_SPREAD_SEED`.
    uint64_t spread_seed;
    // Output tokens of a job that says nothing about them: below 2^24.
    int64_t default_output_tokens;
    // With `OC_POLICY_HAS_DEFAULT_TOKENS_PER_S`: tokens per second.
    double default_tokens_per_s;
    // With `OC_POLICY_HAS_DEFAULT_FIRST_TOKEN`: milliseconds.
    double default_first_token_ms;
    // Snapshots older than this are stale: milliseconds.
    double stale_after_ms;
    // Weight of the admission latency in the score: 0 to 16, as the following.
    double weight_admission;
    // Weight of a model's load time.
    double weight_model_load;
    // Weight of the first-token time.
    double weight_first_token;
    // Weight of the prefill.
    double weight_prefill;
    // Weight of the decode.
    double weight_decode;
} oc_placement_policy;

// What happens when the queue is full.
typedef uint32_t oc_full_policy;

// In which order a class is served.
typedef uint32_t oc_discipline;

// How jobs wait, run and end. `oc_scheduler_policy_default` fills it. Times are in milliseconds.
typedef struct oc_scheduler_policy {
    // `sizeof(oc_scheduler_policy)`, set by the caller.
    uint32_t struct_bytes;
    // `OC_POLICY_…`.
    uint32_t flags;
    // What happens when the queue is full.
    oc_full_policy full;
    // In which order a class is served.
    oc_discipline discipline;
    // Jobs that may wait in all; the queue's own room is a limit beside it.
    uint32_t queue_jobs;
    // Interactive ones among them.
    uint32_t queue_interactive_jobs;
    // Batch ones among them.
    uint32_t queue_batch_jobs;
    // With `OC_POLICY_HAS_CLASS_WEIGHTS`: 1 to 65535.
    uint32_t weight_interactive;
    // With `OC_POLICY_HAS_CLASS_WEIGHTS`: 1 to 65535.
    uint32_t weight_batch;
    // From how full a queue on batch jobs are shed: percent, 0 to 100.
    uint32_t shed_above_percent;
    // Their tokens in all: below 2^48, as the following two.
    uint64_t queue_tokens;
    // Tokens of the interactive ones.
    uint64_t queue_interactive_tokens;
    // Tokens of the batch ones.
    uint64_t queue_batch_tokens;
    // Tokens of one tenant's turn: 1 to 2^24 - 1.
    int64_t tenant_quantum_tokens;
    // With `OC_POLICY_HAS_PROMOTE_AFTER`.
    double promote_after_ms;
    // A job waits no longer; 0 is no limit.
    double queue_ttl_ms;
    // Jobs that one pass over the queue may pass over: 1 to 65535.
    int64_t scan_limit;
    // How often a job may be overtaken: 1 to 2^32 - 1.
    int64_t overtakes_max;
    // Tokens of one job.
    int64_t max_job_tokens;
    // Context of one job, in tokens.
    int64_t max_context_tokens;
    // The shortest time to try again after, in milliseconds.
    int64_t retry_floor_ms;
    // The longest.
    int64_t retry_cap_ms;
    // A job that is dispatched starts within it; 0 is no limit, as for the following two.
    double start_timeout_ms;
    // A job runs no longer.
    double wall_limit_ms;
    // A job is silent no longer.
    double idle_limit_ms;
    // A session without jobs is kept as long; 0 is no limit.
    double session_ttl_ms;
    // A pool that said nothing for as long is asked for its state.
    double refresh_after_ms;
    // The second time after as long, then twice as long each time.
    double refresh_base_ms;
    // But no longer than this.
    double refresh_cap_ms;
    // How much a pending prefill counts against its pool: 0 (not at all) to 255.
    int64_t prefill_weight;
} oc_scheduler_policy;

// What the tokens of a model on an engine cost. Part of a list: it never grows.
//
// The price of both names counts, else that of the engine with any model, else that of the model on any engine, else that
// of any; without one, tokens are free.
typedef struct oc_price {
    // The engine, in any case; absent is any. In a list any comes first, then names in ascending order of their bytes, in
    // lower case.
    struct oc_text engine;
    // The model; absent is any. Where the engine is the same, any comes first, then names in ascending order of their bytes.
    struct oc_text model_id;
    // Millionths of the currency for 1,000 tokens.
    uint32_t micros_per_1000_tokens;
} oc_price;

// The sizes of a scheduler. A structure of zeros with `struct_bytes` has all defaults: a size of 0 is its default. Pools
// and names are counted when the library is built: `oc_limits`.
typedef struct oc_config {
    // `sizeof(oc_config)`.
    uint32_t struct_bytes;
    // Jobs that may wait: at most 2^22, as the following counts. Default 64.
    uint32_t waiting_jobs;
    // Bytes that each of them may take: at most 65537. Default 512; most need 150 to 200.
    uint32_t job_bytes;
    // Jobs that may run. Default 64.
    uint32_t running_jobs;
    // Sessions that are remembered. Default 64.
    uint32_t sessions;
    // Tenants with a turn of their own. Default 16.
    uint32_t tenants;
    // Where ids come from strangers: a number that they cannot know. No answer depends on it.
    uint64_t hash_seed;
    // How pools are chosen; null is the default. Read by `oc_init` only.
    const struct oc_placement_policy *placement;
    // How jobs wait, run and end; null is the default. Read by `oc_init` only.
    const struct oc_scheduler_policy *scheduler;
    // What tokens cost, in ascending order: at most 65536 prices. Null, with a count of 0, where everything is free. Read by
    // `oc_init` only.
    const struct oc_price *prices;
    // How many they are.
    size_t price_count;
} oc_config;

// A list of texts.
typedef struct oc_texts {
    // The first; may be null where there are none.
    const struct oc_text *items;
    // How many.
    size_t count;
} oc_texts;

// A label: a name and its value.
typedef struct oc_label {
    // The name.
    struct oc_text key;
    // Its value.
    struct oc_text value;
} oc_label;

// A list of labels.
typedef struct oc_labels {
    // The first; may be null where there are none.
    const struct oc_label *items;
    // How many.
    size_t count;
} oc_labels;

// One device of a pool.
typedef struct oc_device {
    // VRAM in bytes: below 2^48.
    int64_t vram_total_bytes;
    // Free VRAM in bytes; more than the total counts as the total.
    int64_t vram_free_bytes;
    // Its compute capability, such as `9.0`, where it differs from the pool's.
    struct oc_text compute_capability;
} oc_device;

// A session whose KV cache a pool holds.
typedef struct oc_warm_session {
    // The session: 1 to 64 bytes.
    struct oc_text session_id;
    // Tokens of it that need no prefill: below 2^24.
    int64_t cached_tokens;
} oc_warm_session;

// A pool's state. A structure of zeros with `struct_bytes`, `id`, `engine`, slots and VRAM is a pool with all defaults.
// Every list has at most as many entries as `oc_limits` says, repeats counted.
typedef struct oc_pool {
    // `sizeof(oc_pool)`.
    uint32_t struct_bytes;
    // `OC_POOL_…`.
    uint32_t flags;
    // The pool's id: 1 to 64 bytes. Required.
    struct oc_text id;
    // Tells replicas of one id apart: 0 to 64 bytes.
    struct oc_text replica_id;
    // The engine, without regard to ASCII case: 1 to 128 bytes, as all names. Required.
    struct oc_text engine;
    // The engine's version; absent is unknown, as for the following four.
    struct oc_text engine_version;
    // The version of its sampler profile.
    struct oc_text sampler_profile_version;
    // Its compute capability, such as `9.0`.
    struct oc_text compute_capability;
    // The least capability that its adapter runs on.
    struct oc_text min_compute_cap;
    // Its device ids, such as `0,1`.
    struct oc_text device_mask;
    // Requests that it can run at once: below 2^15.
    int64_t slots_total;
    // Free ones; more than the total counts as the total.
    int64_t slots_free;
    // VRAM in bytes: below 2^48. Where devices are listed, their sums count.
    int64_t vram_total_bytes;
    // Free VRAM in bytes; more than the total counts as the total.
    int64_t vram_free_bytes;
    // Requests that wait in the pool: below 2^32.
    int64_t queue_depth;
    // With `OC_POOL_HAS_CTX_MAX`: the longest context in tokens, below 2^24.
    int64_t ctx_max;
    // With `OC_POOL_HAS_PERF_TOKENS_PER_S`: decode rate of one request, in tokens per second.
    double perf_tokens_per_s;
    // With `OC_POOL_HAS_FIRST_TOKEN`: time to the first token, in ms.
    double first_token_ms;
    // With `OC_POOL_HAS_PREFILL_TOKENS_PER_S`: prefill rate, in tokens per second.
    double prefill_tokens_per_s;
    // From placement to the start of work, in ms.
    double admission_latency_ms;
    // Time to load a model, in ms.
    double model_load_ms;
    // Age of this state, in ms.
    double age_ms;
    // Quantisations that it supports.
    struct oc_texts quantizations;
    // Extensions that it supports.
    struct oc_texts extensions;
    // With `OC_POOL_HAS_MODELS`: models that it serves.
    struct oc_texts models;
    // Digests of the models that it serves.
    struct oc_texts model_digests;
    // With `OC_POOL_HAS_RESIDENT_MODELS`: models that are loaded.
    struct oc_texts resident_models;
    // Labels: at most 16.
    struct oc_labels labels;
    // Devices, in the order of their ids: at most 16. May be null where there are none.
    const struct oc_device *devices;
    // How many.
    size_t device_count;
    // Sessions whose KV cache it holds. May be null where there are none.
    const struct oc_warm_session *warm_sessions;
    // How many.
    size_t warm_session_count;
} oc_pool;

// A job's class of service.
typedef uint32_t oc_priority;

// Whether a session's warm KV cache may be used.
typedef uint32_t oc_kv_hint;

// How the placement hints of a job are meant.
typedef uint32_t oc_placement_mode;

// A request. A structure of zeros with `struct_bytes`, `id`, `engine` and `model_id` is a job with all defaults.
// Tokens are below 2^24, bytes below 2^48. Lists have at most 64 entries.
typedef struct oc_job {
    // `sizeof(oc_job)`.
    uint32_t struct_bytes;
    // `OC_JOB_…`.
    uint32_t flags;
    // Its class of service.
    oc_priority priority;
    // Whether the session's warm KV cache may be used.
    oc_kv_hint kv_hint;
    // How the placement hints are meant.
    oc_placement_mode placement_mode;
    // With `OC_JOB_HAS_SPLIT`: 1 to 16.
    uint32_t split_degree;
    // The job's id: 1 to 64 bytes. Required.
    struct oc_text id;
    // The engine it needs. Required.
    struct oc_text engine;
    // The model it needs. Required.
    struct oc_text model_id;
    // The session it continues: 1 to 64 bytes, or absent.
    struct oc_text session_id;
    // On whose behalf: 1 to 64 bytes, or absent.
    struct oc_text tenant_id;
    // Tokens of the prompt.
    int64_t prompt_tokens;
    // With `OC_JOB_HAS_EXPECTED_TOKENS`: tokens it will probably produce.
    int64_t expected_tokens;
    // With `OC_JOB_HAS_MAX_TOKENS`: tokens it may produce.
    int64_t max_tokens;
    // With `OC_JOB_HAS_REQUIRED_CTX`: context it needs, in tokens.
    int64_t required_ctx;
    // With `OC_JOB_HAS_EST_KV_BYTES`: KV cache it needs, in bytes.
    int64_t est_kv_bytes;
    // With `OC_JOB_HAS_DEADLINE`: milliseconds from now.
    double deadline_ms;
    // VRAM for weights and workspace, in bytes.
    int64_t min_vram_bytes;
    // Quantisation it needs, or absent, as the following two.
    struct oc_text quantization;
    // The least compute capability, such as `8.0`.
    struct oc_text min_compute_cap;
    // Device ids it may use, such as `0,1`.
    struct oc_text device_mask;
    // Extensions that it needs, all of them.
    struct oc_texts required_extensions;
    // With `OC_JOB_HAS_SEED`: the sampling seed, handed on with the dispatch.
    int64_t seed;
    // The sampler profile it needs exactly, or absent, as the following two.
    struct oc_text sampler_profile_version;
    // The engine's version.
    struct oc_text engine_version;
    // The model's digest.
    struct oc_text model_digest;
    // The only pool to use, or absent.
    struct oc_text pin_pool_id;
    // Pools to use first.
    struct oc_texts prefer_pools;
    // Pools never to use.
    struct oc_texts avoid_pools;
    // The pool's device ids are exactly these, or absent.
    struct oc_text require_device_mask;
    // Labels that the pool has.
    struct oc_labels require_labels;
    // With `OC_JOB_HAS_BUDGET_TOKENS`: below 2^48.
    int64_t budget_tokens;
    // With `OC_JOB_HAS_BUDGET_TIME`: milliseconds.
    double budget_time_ms;
    // With `OC_JOB_HAS_BUDGET_COST`: millionths of the currency, below 2^48.
    int64_t budget_cost_micros;
} oc_job;

// Why a job was refused or lost its place: the code that answers its client.
typedef uint32_t oc_refusal_code;

// Why a job was refused or lost its place. Its texts live for ever. Part of other structures: it never grows.
typedef struct oc_refusal {
    // The code that answers the client; `OC_REFUSAL_NONE` where nothing was refused.
    oc_refusal_code code;
    // `OC_REFUSAL_HAS_…`.
    uint32_t flags;
    // With `OC_REFUSAL_HAS_RETRY_AFTER`: when to try again, in ms.
    uint64_t retry_after_ms;
    // With `OC_REFUSAL_HAS_REJECTION`: the rule that the furthest pool failed, 0 to 22 for FEAS-1 to FEAS-23.
    uint32_t rejection;
    // Its stage, 1 to 7; from 5 on waiting can help.
    uint32_t stage;
    // The code as the wire contract spells it, such as `POOL_UNREADY`.
    struct oc_text code_name;
    // The rule's name, such as `vram`.
    struct oc_text rejection_name;
    // The full policy that refused or evicted it.
    struct oc_text policy_label;
    // The field that was refused, where the job was at fault; `oc_last_problem` says more.
    struct oc_text field;
} oc_refusal;

// What became of a job that was submitted.
typedef struct oc_answer {
    // `sizeof(oc_answer)`, set by the caller.
    uint32_t struct_bytes;
    // `OC_ANSWER_…`.
    uint32_t flags;
    // With `OC_OK`: waiting jobs that are served before it.
    uint32_t queue_position;
    // The same within its class.
    uint32_t class_position;
    // With `OC_ANSWER_HAS_PREDICTED_START`: when it probably starts, in µs on the caller's clock.
    uint64_t predicted_start_us;
    // With `OC_REFUSED`: why.
    struct oc_refusal refusal;
} oc_answer;

// How a job failed.
typedef uint32_t oc_failure_cause;

// Who canceled a job.
typedef uint32_t oc_cancel_cause;

// What is to be done.
typedef uint32_t oc_action_kind;

// Why a job is stopped on its pool: an `oc_cancel_cause`, or one of these.
typedef uint32_t oc_abort_cause;

// One thing to do. Its texts are valid until the next call on the handle.
typedef struct oc_action {
    // `sizeof(oc_action)`, set by the caller.
    uint32_t struct_bytes;
    // What to do.
    oc_action_kind kind;
    // `OC_ACTION_…`.
    uint32_t flags;
    // Of an abort: why.
    oc_abort_cause cause;
    // Of a refresh: which attempt, from 1.
    uint32_t attempt;
    // With `OC_ACTION_HAS_ON_TIME`: the chance of meeting the deadline, in 1/1000.
    uint32_t on_time_permille;
    // The job; absent for a refresh.
    struct oc_text job_id;
    // The pool; absent for a drop, empty for an abort whose pool is gone.
    struct oc_text pool_id;
    // Which of its replicas.
    struct oc_text replica_id;
    // Of a dispatch: since the admission, in µs.
    uint64_t waited_us;
    // Of a dispatch: predicted start, in µs from now.
    uint64_t predicted_start_us;
    // With `OC_ACTION_HAS_PREDICTED_END`: predicted end, in µs from now.
    uint64_t predicted_end_us;
    // Of a dispatch: the devices of a split, one bit each; 0 without a split.
    uint64_t devices;
    // With `OC_ACTION_HAS_SEED`: the sampling seed to hand on.
    int64_t seed;
    // Of a refresh: not before this time, in µs on the caller's clock.
    uint64_t not_before_us;
    // Of a drop: why.
    struct oc_refusal refusal;
} oc_action;

// What the library was built with.
typedef struct oc_limits {
    // `sizeof(oc_limits)`, set by the caller.
    uint32_t struct_bytes;
    // `OC_API_VERSION` of the library; that of the header may be another.
    uint32_t api_version;
    // The version of the rules: with another one decisions can differ.
    uint32_t semantics_version;
    // Pools of one engine.
    uint32_t pools;
    // Entries of each list of a pool.
    uint32_t list_entries;
    // Names of all pools together; replacing a pool's state takes room for the names of one pool more.
    uint32_t names;
} oc_limits;

// How an engine stands.
typedef struct oc_status {
    // `sizeof(oc_status)`, set by the caller.
    uint32_t struct_bytes;
    // Pools that are there.
    uint32_t pools;
    // Jobs that wait.
    uint32_t waiting_jobs;
    // Jobs that run.
    uint32_t running_jobs;
    // The time of the last input, in µs.
    uint64_t now_us;
    // Inputs of which all actions were asked for.
    uint64_t inputs;
    // A digest of their answers, events and actions: two runs of the same inputs have the same, on every machine.
    uint64_t run_digest;
} oc_status;

// A part of the key by which one pool beats another.
typedef uint32_t oc_key_part;

// A pool that could take the job. Part of another structure: it never grows.
typedef struct oc_standing {
    // `OC_STANDING_…`.
    uint32_t flags;
    // Tokens of the prompt that need no prefill.
    uint32_t cached_tokens;
    // Its id.
    struct oc_text pool_id;
    // Which of its replicas.
    struct oc_text replica_id;
    // Predicted start, in µs from now.
    uint64_t predicted_start_us;
    // With `OC_STANDING_HAS_PREDICTED_END`: in µs from now.
    uint64_t predicted_end_us;
    // Leases that run there.
    uint32_t active_leases;
    // Free slots.
    uint32_t slots_free;
    // VRAM that would be left, in bytes.
    uint64_t residual_vram_bytes;
} oc_standing;

// What a shortfall is measured in.
typedef uint32_t oc_unit;

// Why a job would go where it goes, or nowhere. Its texts are valid until the next call on the handle.
typedef struct oc_explanation {
    // `sizeof(oc_explanation)`, set by the caller.
    uint32_t struct_bytes;
    // `OC_EXPLANATION_…`.
    uint32_t flags;
    // Pools that could take the job.
    uint32_t feasible;
    // What decides between the best and the second best.
    oc_key_part decided_by;
    // With `OC_EXPLANATION_HAS_MARGIN`: the better pool's value minus the other's, in the part's unit.
    int64_t margin;
    // The best pool.
    struct oc_standing winner;
    // The second best.
    struct oc_standing runner_up;
    // With `OC_EXPLANATION_HAS_NEAREST_MISS`: the rule that the closest others fail, 0 to 22.
    uint32_t nearest_rejection;
    // How many they are.
    uint32_t nearest_pools;
    // Their least shortfall; 0 where the rule has no measure.
    uint64_t nearest_shortfall;
    // Its unit.
    oc_unit nearest_unit;
    // Pools by the first rule that they fail, FEAS-1 first.
    uint32_t rejections[OC_REJECTIONS];
} oc_explanation;

// Is told one thing to do. The action and its texts are valid until it returns. Calls on the same handle are answered with
// `OC_BUSY`.
typedef void (*oc_act)(void *user, const struct oc_action *action);

// What an import took in.
typedef struct oc_imported {
    // `sizeof(oc_imported)`, set by the caller.
    uint32_t struct_bytes;
    // Jobs that wait.
    uint32_t waiting_jobs;
    // Jobs that run on pools that are there.
    uint32_t running_jobs;
    // Jobs whose pools are not there: they ended.
    uint32_t lost_jobs;
    // Sessions.
    uint32_t sessions;
    // 1 where the policies are those that the state was made under, else 0.
    uint32_t same_policies;
} oc_imported;

// It took effect.
#define OC_OK 0

// There is nothing (more) of what was asked for: no action, no timer.
#define OC_NOTHING 1

// Misuse: a pointer is null that must not be.
#define OC_NULL_POINTER 10

// Misuse: a pointer does not have the alignment of its type, or the memory not that of `oc_memory_align`.
#define OC_MISALIGNED 11

// Misuse: the memory is smaller than `oc_memory_bytes` says.
#define OC_TOO_LITTLE_MEMORY 12

// Misuse: the handle was never initialised, or its memory was moved or overwritten.
#define OC_NOT_INITIALISED 13

// Misuse: another call on this handle has not returned yet.
#define OC_BUSY 14

// Misuse: `struct_bytes` is the size of no version of the structure, or a part is used that this library does not know.
#define OC_STRUCT_SIZE 15

// Misuse: a text is not UTF-8.
#define OC_NOT_UTF8 16

// Misuse: a value outside its range; `oc_last_problem` names it and its limit.
#define OC_BAD_VALUE 17

// The buffer is too small; the number of bytes that it needs was written.
#define OC_BUFFER_TOO_SMALL 18

// Answer: the job ends here; `oc_answer` says why.
#define OC_REFUSED 30

// Answer: a job with this id waits or runs already; the newcomer was not taken in.
#define OC_DUPLICATE_JOB 31

// Answer: no job with this id waits or runs: it never did, or it ended.
#define OC_UNKNOWN_JOB 32

// Answer: this was reported before, or something that comes after it.
#define OC_REPEATED 33

// Answer: the job still waits: nothing can be reported of it.
#define OC_NOT_DISPATCHED 34

// Answer: no pool has these ids.
#define OC_UNKNOWN_POOL 35

// Answer: no session has this id.
#define OC_UNKNOWN_SESSION 36

// Answer: the pool's state is newer than this snapshot.
#define OC_LATE 37

// Answer: the snapshot breaks a rule or does not fit; `oc_last_problem` says which. The pool is as before.
#define OC_BAD_SNAPSHOT 38

// Answer: actions of the last input were not asked for yet; nothing changed.
#define OC_ACTIONS_PENDING 39

// Answer: the time is before that of an earlier input; nothing changed.
#define OC_TIME_WENT_BACK 40

// The state was not taken in; `oc_last_problem` says why. Nothing changed.
#define OC_BAD_STATE 41

// An answer that this version of the interface has no number for.
#define OC_OTHER 99

// Nobody is waiting.
#define OC_PRIORITY_BATCH 0

// A person is waiting.
#define OC_PRIORITY_INTERACTIVE 1

// Prefer pools that hold it.
#define OC_KV_REUSE 0

// Treat every pool as cold.
#define OC_KV_COLD 1

// As the hints that are given imply.
#define OC_PLACEMENT_IMPLIED 0

// No pool is special.
#define OC_PLACEMENT_AUTO 1

// Only the pinned pool.
#define OC_PLACEMENT_PIN 2

// The preferred pools first.
#define OC_PLACEMENT_PREFER 3

// Earliest predicted end first.
#define OC_ORDER_PREDICTED_END 0

// Most free VRAM first.
#define OC_ORDER_VRAM_FIRST 1

// The newcomer is refused.
#define OC_FULL_REJECT 0

// The job that has waited longest may lose its place to it.
#define OC_FULL_DROP_LRU 1

// Batch jobs are refused before it is full.
#define OC_FULL_SHED_LOW_PRIORITY 2

// First in, first out.
#define OC_DISCIPLINE_FIFO 0

// Earliest deadline first.
#define OC_DISCIPLINE_EARLIEST_DEADLINE 1

// Tenants in turn.
#define OC_DISCIPLINE_FAIR_TENANTS 2

// The engine refused it or broke off.
#define OC_FAILURE_ENGINE 0

// The engine restarted.
#define OC_FAILURE_WORKER_RESET 1

// The engine gave up on time.
#define OC_FAILURE_DECODE_TIMEOUT 2

// The client asked for it.
#define OC_CANCEL_CLIENT_REQUEST 0

// The client went away.
#define OC_CANCEL_DISCONNECT 1

// A time limit of the caller's.
#define OC_CANCEL_TIMEOUT 2

// An operator.
#define OC_CANCEL_ADMIN 3

// Nothing.
#define OC_ACTION_NONE 0

// Send a job to its pool.
#define OC_ACTION_DISPATCH 1

// Stop a job on its pool, and send nothing of it any more.
#define OC_ACTION_ABORT 2

// Tell the client of a waiting job that it lost its place.
#define OC_ACTION_DROP 3

// Ask a pool for its state.
#define OC_ACTION_REFRESH_SNAPSHOT 4

// It was not started in time.
#define OC_ABORT_NOT_STARTED 16

// It ran too long.
#define OC_ABORT_WALL_LIMIT 17

// It said nothing for too long.
#define OC_ABORT_IDLE_LIMIT 18

// Its pool was removed.
#define OC_ABORT_POOL_LOST 19

// It was not refused.
#define OC_REFUSAL_NONE 0

// No room: ADMISSION_REJECT, 429.
#define OC_REFUSAL_ADMISSION_REJECT 1

// No room, or evicted by a newcomer: QUEUE_FULL_DROP_LRU, 429.
#define OC_REFUSAL_QUEUE_FULL_DROP_LRU 2

// The request itself is at fault: INVALID_PARAMS, 400.
#define OC_REFUSAL_INVALID_PARAMS 3

// The deadline cannot be met: DEADLINE_UNMET, 400.
#define OC_REFUSAL_DEADLINE_UNMET 4

// No pool is ready: POOL_UNREADY, 503.
#define OC_REFUSAL_POOL_UNREADY 5

// No pool can serve this: POOL_UNAVAILABLE, 503.
#define OC_REFUSAL_POOL_UNAVAILABLE 6

// Every pool is full: REPLICA_EXHAUSTED, 503.
#define OC_REFUSAL_REPLICA_EXHAUSTED 7

// It waited too long: QUEUE_TIMEOUT, 503.
#define OC_REFUSAL_QUEUE_TIMEOUT 8

// There is no winner.
#define OC_KEY_NONE 0

// There was no other pool.
#define OC_KEY_ONLY_CANDIDATE 1

// It is a preferred pool.
#define OC_KEY_PREFERRED 2

// Predicted end, in µs.
#define OC_KEY_PREDICTED_END 3

// It holds the session's KV cache.
#define OC_KEY_WARM 4

// Leases that run.
#define OC_KEY_ACTIVE_LEASES 5

// Free slots.
#define OC_KEY_SLOTS_FREE 6

// VRAM that is left, in bytes.
#define OC_KEY_RESIDUAL_VRAM 7

// Decode rate, in tokens per 1000 s.
#define OC_KEY_TOKENS_PER_S 8

// The spread of equal pools.
#define OC_KEY_SPREAD 9

// The pools' ids.
#define OC_KEY_POOL_ID 10

// Free VRAM, in bytes.
#define OC_KEY_VRAM_FREE 11

// It has no measure.
#define OC_UNIT_NONE 0

// Bytes of VRAM.
#define OC_UNIT_BYTES 1

// Tokens of context.
#define OC_UNIT_TOKENS 2

// Devices of a split.
#define OC_UNIT_DEVICES 3

// Slots.
#define OC_UNIT_SLOTS 4

// Microseconds of age.
#define OC_UNIT_MICROS 5

// Nothing.
#define OC_PROBLEM_NONE 0

// It is required, but absent.
#define OC_PROBLEM_MISSING 1

// It is negative.
#define OC_PROBLEM_NEGATIVE 2

// It is NaN or infinite.
#define OC_PROBLEM_NOT_FINITE 3

// It is above its limit.
#define OC_PROBLEM_TOO_LARGE 4

// It is empty.
#define OC_PROBLEM_EMPTY 5

// It has more bytes than its limit.
#define OC_PROBLEM_TOO_LONG 6

// It has more entries than its limit.
#define OC_PROBLEM_TOO_MANY 7

// An entry stands in it twice.
#define OC_PROBLEM_REPEATED 8

// It does not have the form that it must have.
#define OC_PROBLEM_MALFORMED 9

// It contradicts another value.
#define OC_PROBLEM_CONTRADICTION 10

// It needs more than what is left of a budget.
#define OC_PROBLEM_OVER_BUDGET 11

// The room for it, which was chosen at build or at `oc_init`, is used up.
#define OC_PROBLEM_STORAGE_FULL 12

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What a code means, in English: a text that ends with a null byte and lives for ever, for any number.
const char *oc_code_text(oc_code code);

// What was wrong with the last call on this handle; this one does not count, and keeps it.
oc_code oc_last_problem(const struct oc_engine *engine, struct oc_problem *problem);

// What a kind of problem means, in English: a text that ends with a null byte and lives for ever, for any number.
const char *oc_problem_kind_text(oc_problem_kind kind);

// Fills a policy, of which the caller has set `struct_bytes`, with the defaults.
oc_code oc_placement_policy_default(struct oc_placement_policy *policy);

// Fills a policy, of which the caller has set `struct_bytes`, with the defaults.
oc_code oc_scheduler_policy_default(struct oc_scheduler_policy *policy);

// `OC_MEMORY_ALIGN` of the library; that of the header may be another.
size_t oc_memory_align(void);

// How much memory an engine of these sizes needs, in bytes; a null `config` is all defaults.
oc_code oc_memory_bytes(const struct oc_config *config, size_t *bytes);

// Makes an engine in the caller's memory, which belongs to it until the caller uses the memory for something else: there
// is no call that ends it. Memory that an engine is in may be initialised again; the former engine is gone.
//
// `memory` is aligned to `oc_memory_align()` and has at least as many bytes as `oc_memory_bytes` says. `config` may be null:
// all defaults. `problem` may be null; else it says which value of `config` or of its policies was refused. `engine`
// receives the handle, or null.
oc_code oc_init(void *memory,
                size_t memory_bytes,
                const struct oc_config *config,
                struct oc_problem *problem,
                struct oc_engine **engine);

// Tells what a pool's state is, `age_ms` old at `now_us`: the pool is new, or its state replaces the former one.
//
// Answers: `OC_OK`, `OC_LATE`, `OC_BAD_SNAPSHOT`, `OC_ACTIONS_PENDING`, `OC_TIME_WENT_BACK`; the last two of all inputs.
oc_code oc_upsert_pool(struct oc_engine *engine,
                       uint64_t now_us,
                       const struct oc_pool *pool);

// Tells that a pool is gone: its jobs are aborted. Answers: `OC_OK`, `OC_UNKNOWN_POOL`.
oc_code oc_remove_pool(struct oc_engine *engine,
                       uint64_t now_us,
                       struct oc_text pool_id,
                       struct oc_text replica_id);

// Tells that a pool takes no new work (`draining` is 1), or takes it again (0). Answers: `OC_OK`, `OC_UNKNOWN_POOL`.
oc_code oc_drain_pool(struct oc_engine *engine,
                      uint64_t now_us,
                      struct oc_text pool_id,
                      struct oc_text replica_id,
                      uint32_t draining);

// Asks for a place for a job. With `OC_OK` it waits, or one of the next actions dispatches it. `answer` may be null.
//
// Answers: `OC_OK`, `OC_REFUSED`, `OC_DUPLICATE_JOB`.
oc_code oc_submit(struct oc_engine *engine,
                  uint64_t now_us,
                  const struct oc_job *job,
                  struct oc_answer *answer);

// Reports that the engine took a dispatched job. Answers, of all reports: `OC_OK`, `OC_UNKNOWN_JOB`, `OC_REPEATED`,
// `OC_NOT_DISPATCHED`.
oc_code oc_started(struct oc_engine *engine,
                   uint64_t now_us,
                   struct oc_text job_id);

// Reports a job's first token.
oc_code oc_first_token(struct oc_engine *engine, uint64_t now_us, struct oc_text job_id);

// Reports that a job goes on, with the tokens that it has produced so far.
oc_code oc_progress(struct oc_engine *engine,
                    uint64_t now_us,
                    struct oc_text job_id,
                    uint32_t tokens_out);

// Reports that a job ended well, with the tokens that it produced in all.
oc_code oc_finished(struct oc_engine *engine,
                    uint64_t now_us,
                    struct oc_text job_id,
                    uint32_t tokens_out);

// Reports that a job ended badly, with the tokens that it produced until then.
oc_code oc_failed(struct oc_engine *engine,
                  uint64_t now_us,
                  struct oc_text job_id,
                  oc_failure_cause cause,
                  uint32_t tokens_out);

// Tells that nobody wants a job any more. Answers: `OC_OK`, `OC_UNKNOWN_JOB`; the second of two is `OC_UNKNOWN_JOB`.
oc_code oc_cancel(struct oc_engine *engine,
                  uint64_t now_us,
                  struct oc_text job_id,
                  oc_cancel_cause cause);

// Tells that a session is over. Answers: `OC_OK`, `OC_UNKNOWN_SESSION`.
oc_code oc_end_session(struct oc_engine *engine, uint64_t now_us, struct oc_text session_id);

// Puts other policies in force; a null pointer keeps the one that is.
oc_code oc_set_policies(struct oc_engine *engine,
                        uint64_t now_us,
                        const struct oc_placement_policy *placement,
                        const struct oc_scheduler_policy *scheduler);

// Tells that time has passed. Call it no later than `oc_next_wakeup` says.
oc_code oc_tick(struct oc_engine *engine, uint64_t now_us);

// The next thing to do of the last input: `OC_OK`, or `OC_NOTHING` when there is nothing more. Until then further inputs
// are answered with `OC_ACTIONS_PENDING`, so that no action can be lost.
oc_code oc_next_action(struct oc_engine *engine,
                       struct oc_action *action);

// What the library was built with.
oc_code oc_get_limits(struct oc_limits *limits);

// How the engine stands.
oc_code oc_get_status(struct oc_engine *engine, struct oc_status *status);

// The earliest time at which something happens without an input, in µs: call `oc_tick` then. `OC_NOTHING` where nothing
// does. It can lie in the past: then at once.
oc_code oc_next_wakeup(struct oc_engine *engine,
                       uint64_t *at_us);

// Says why a job would go where it goes if it came now and nothing waited. Nothing changes. What pools publish of warm
// sessions counts, what the scheduler itself remembers of the job's session does not.
//
// `OC_BAD_VALUE` where the job breaks a rule.
oc_code oc_explain(struct oc_engine *engine,
                   const struct oc_job *job,
                   struct oc_explanation *explanation);

// The same in words, one fact a line: a text with a null byte behind it. `needed` receives its bytes without the null
// byte; where the buffer has no room for all of them it gets as much as fits, and the answer is `OC_BUFFER_TOO_SMALL`.
oc_code oc_explain_text(struct oc_engine *engine,
                        const struct oc_job *job,
                        char *buffer,
                        size_t buffer_bytes,
                        size_t *needed);

// Writes the state: waiting and running jobs, sessions, what was measured; not pools and policies. `needed` receives its
// size; where the buffer is smaller it gets a part that is of no use, and the answer is `OC_BUFFER_TOO_SMALL`.
// `OC_ACTIONS_PENDING` while there are actions.
oc_code oc_export_state(struct oc_engine *engine,
                        uint8_t *buffer,
                        size_t buffer_bytes,
                        size_t *needed);

// Takes in a state and goes on with it at `now_us`: all of it or nothing. Tell the engine about its pools first; it has no
// jobs and sessions of its own. What is to be done is told to `act` before this returns, with `user` handed on.
// `imported` may be null. The import is no input: the run digest does not cover it.
//
// Answers: `OC_OK`, `OC_BAD_STATE`, `OC_TIME_WENT_BACK`.
oc_code oc_import_state(struct oc_engine *engine,
                        uint64_t now_us,
                        const uint8_t *state,
                        size_t state_bytes,
                        oc_act act,
                        void *user,
                        struct oc_imported *imported);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ORCHESTRATOR_CORE_H */
