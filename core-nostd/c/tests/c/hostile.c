// Calls as nobody should make them. Every one has its code; nothing is read or written beyond what was given (memory ends
// at a page that may not be touched), and nothing leaks (the sanitizers, and the allocator's own count).

#define _DEFAULT_SOURCE

#include <malloc.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "orchestrator_core.h"

static int failures = 0;
static int checks = 0;

#define EXPECT(expected, call)                                                                      \
    do {                                                                                            \
        long long expected_ = (long long)(expected), got_ = (long long)(call);                      \
        checks++;                                                                                   \
        if (expected_ != got_) {                                                                    \
            failures++;                                                                             \
            printf("%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #call, got_, expected_);    \
        }                                                                                           \
    } while (0)

#define EXPECT_TEXT(expected, text)                                                                 \
    do {                                                                                            \
        oc_text text_ = (text);                                                                     \
        checks++;                                                                                   \
        if (text_.bytes != strlen(expected) || memcmp(text_.data, (expected), text_.bytes) != 0) {  \
            failures++;                                                                             \
            printf("%s:%d: %s is not %s\n", __FILE__, __LINE__, #text, (expected));                 \
        }                                                                                           \
    } while (0)

static size_t rounded(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

// Memory whose end is the end of a page, before a page that may not be touched.
static void *guarded(size_t bytes) {
    size_t room = rounded(bytes);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *start = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + room, page, PROT_NONE) != 0) {
        perror("mmap");
        exit(EXIT_FAILURE);
    }
    return start + room - bytes;
}

static void give_back(void *memory, size_t bytes) {
    size_t room = rounded(bytes);
    munmap((char *)memory + bytes - room, room + (size_t)sysconf(_SC_PAGESIZE));
}

// An engine in guarded memory.
struct world {
    void *memory;
    size_t bytes;
    oc_engine *engine;
    uint64_t now_us;
};

static struct world world_of(const oc_config *config) {
    struct world world = {0};
    EXPECT(OC_OK, oc_memory_bytes(config, &world.bytes));
    world.memory = guarded(world.bytes);
    EXPECT(OC_OK, oc_init(world.memory, world.bytes, config, NULL, &world.engine));
    return world;
}

static struct world small_world(void) {
    oc_config config = {.struct_bytes = sizeof config, .waiting_jobs = 2, .running_jobs = 2, .sessions = 2};
    return world_of(&config);
}

static void end(struct world *world) {
    give_back(world->memory, world->bytes);
}

static int actions(oc_engine *engine) {
    oc_action action = {.struct_bytes = sizeof action};
    int count = 0;
    while (oc_next_action(engine, &action) == OC_OK) {
        count++;
    }
    return count;
}

static oc_pool pool_named(oc_text id) {
    return (oc_pool){
        .struct_bytes = sizeof(oc_pool),
        .id = id,
        .engine = OC_TEXT("vllm"),
        .slots_total = 8,
        .slots_free = 8,
        .vram_total_bytes = 80LL << 30,
        .vram_free_bytes = 60LL << 30,
    };
}

static oc_job job_named(oc_text id) {
    return (oc_job){
        .struct_bytes = sizeof(oc_job),
        .id = id,
        .engine = OC_TEXT("vllm"),
        .model_id = OC_TEXT("m"),
    };
}

static oc_code upsert(struct world *world, const oc_pool *pool) {
    oc_code code = oc_upsert_pool(world->engine, world->now_us, pool);
    actions(world->engine);
    return code;
}

static oc_code submit(struct world *world, const oc_job *job, int *what_to_do) {
    oc_code code = oc_submit(world->engine, world->now_us, job, NULL);
    int count = actions(world->engine);
    if (what_to_do != NULL) {
        *what_to_do = count;
    }
    return code;
}

static oc_problem last_problem(oc_engine *engine) {
    oc_problem problem = {.struct_bytes = sizeof problem};
    EXPECT(OC_OK, oc_last_problem(engine, &problem));
    return problem;
}

// ---- Handles and memory

// What every call answers to a handle that is none.
static void every_call(oc_engine *engine, oc_code expected) {
    oc_text id = OC_TEXT("x");
    oc_pool pool = pool_named(id);
    oc_job job = job_named(id);
    oc_action action = {.struct_bytes = sizeof action};
    oc_problem problem = {.struct_bytes = sizeof problem};
    oc_status status = {.struct_bytes = sizeof status};
    oc_explanation explanation = {.struct_bytes = sizeof explanation};
    uint64_t at_us;
    size_t needed;
    EXPECT(expected, oc_upsert_pool(engine, 0, &pool));
    EXPECT(expected, oc_remove_pool(engine, 0, id, id));
    EXPECT(expected, oc_drain_pool(engine, 0, id, id, 1));
    EXPECT(expected, oc_submit(engine, 0, &job, NULL));
    EXPECT(expected, oc_started(engine, 0, id));
    EXPECT(expected, oc_first_token(engine, 0, id));
    EXPECT(expected, oc_progress(engine, 0, id, 1));
    EXPECT(expected, oc_finished(engine, 0, id, 1));
    EXPECT(expected, oc_failed(engine, 0, id, 0, 1));
    EXPECT(expected, oc_cancel(engine, 0, id, 0));
    EXPECT(expected, oc_end_session(engine, 0, id));
    EXPECT(expected, oc_set_policies(engine, 0, NULL, NULL));
    EXPECT(expected, oc_tick(engine, 0));
    EXPECT(expected, oc_next_action(engine, &action));
    EXPECT(expected, oc_next_wakeup(engine, &at_us));
    EXPECT(expected, oc_get_status(engine, &status));
    EXPECT(expected, oc_last_problem(engine, &problem));
    EXPECT(expected, oc_explain(engine, &job, &explanation));
    EXPECT(expected, oc_explain_text(engine, &job, NULL, 0, &needed));
    EXPECT(expected, oc_export_state(engine, NULL, 0, &needed));
    EXPECT(expected, oc_import_state(engine, 0, NULL, 0, NULL, NULL, NULL));
}

static void handles(void) {
    every_call(NULL, OC_NULL_POINTER);

    char *zeros = guarded(4096);
    every_call((oc_engine *)(void *)zeros, OC_NOT_INITIALISED);
    every_call((oc_engine *)(void *)(zeros + 1), OC_MISALIGNED);
    memset(zeros, 0xFF, 4096);
    every_call((oc_engine *)(void *)zeros, OC_NOT_INITIALISED);
    // No more than a seal is read of what is no engine.
    size_t seal = oc_memory_align() > 16 ? oc_memory_align() : 16;
    every_call((oc_engine *)(void *)(zeros + 4096 - seal), OC_NOT_INITIALISED);
    give_back(zeros, 4096);

    struct world world = small_world();
    void *elsewhere = guarded(world.bytes);
    memcpy(elsewhere, world.memory, world.bytes);
    every_call(elsewhere, OC_NOT_INITIALISED);
    give_back(elsewhere, world.bytes);
    // Again in the same memory: the former engine is gone.
    oc_pool pool = pool_named(OC_TEXT("a"));
    EXPECT(OC_OK, upsert(&world, &pool));
    oc_config config = {.struct_bytes = sizeof config, .waiting_jobs = 2, .running_jobs = 2, .sessions = 2};
    EXPECT(OC_OK, oc_init(world.memory, world.bytes, &config, NULL, &world.engine));
    EXPECT(OC_UNKNOWN_POOL, oc_drain_pool(world.engine, 0, OC_TEXT("a"), OC_TEXT(""), 1));
    memset(world.memory, 0, 16);
    every_call(world.engine, OC_NOT_INITIALISED);
    end(&world);
}

static void memory(void) {
    oc_config config = {.struct_bytes = sizeof config};
    oc_engine *engine = (oc_engine *)(void *)&config;
    size_t bytes = 0;
    EXPECT(OC_OK, oc_memory_bytes(NULL, &bytes));
    EXPECT(OC_NULL_POINTER, oc_memory_bytes(NULL, NULL));
    EXPECT(OC_MISALIGNED, oc_memory_bytes(NULL, (size_t *)(void *)((char *)&bytes + 1)));
    EXPECT(0, bytes % oc_memory_align());
    char *memory = guarded(bytes);
    EXPECT(OC_NULL_POINTER, oc_init(memory, bytes, NULL, NULL, NULL));
    EXPECT(OC_NULL_POINTER, oc_init(NULL, bytes, NULL, NULL, &engine));
    EXPECT(1, engine == NULL);
    EXPECT(OC_MISALIGNED, oc_init(memory + 1, bytes - 1, NULL, NULL, &engine));
    EXPECT(OC_TOO_LITTLE_MEMORY, oc_init(memory, bytes - 1, NULL, NULL, &engine));
    EXPECT(OC_TOO_LITTLE_MEMORY, oc_init(memory, 0, NULL, NULL, &engine));
    EXPECT(OC_OK, oc_init(memory, bytes, NULL, NULL, &engine));
    EXPECT(1, engine == (void *)memory);

    oc_problem problem = {.struct_bytes = sizeof problem};
    config.job_bytes = 1 << 20;
    EXPECT(OC_BAD_VALUE, oc_init(memory, bytes, &config, &problem, &engine));
    EXPECT(1, engine == NULL);
    EXPECT_TEXT("job_bytes", problem.field);
    EXPECT(OC_PROBLEM_TOO_LARGE, problem.kind);
    EXPECT(65537, problem.limit);
    EXPECT(OC_BAD_VALUE, problem.code);
    config.job_bytes = 65537;
    config.waiting_jobs = UINT32_MAX;
    EXPECT(OC_BAD_VALUE, oc_memory_bytes(&config, &bytes));
    problem.struct_bytes = 3;
    EXPECT(OC_STRUCT_SIZE, oc_init(memory, bytes, NULL, &problem, &engine));
    give_back(memory, bytes);
}

static void policies(void) {
    oc_scheduler_policy scheduler = {.struct_bytes = sizeof scheduler};
    oc_placement_policy placement = {.struct_bytes = sizeof placement};
    EXPECT(OC_OK, oc_scheduler_policy_default(&scheduler));
    EXPECT(OC_OK, oc_placement_policy_default(&placement));
    EXPECT(sizeof scheduler, scheduler.struct_bytes);
    EXPECT(256, scheduler.scan_limit);
    EXPECT(10, placement.quantum_shift);
    EXPECT(OC_NULL_POINTER, oc_scheduler_policy_default(NULL));
    EXPECT(OC_NULL_POINTER, oc_placement_policy_default(NULL));

    struct world world = small_world();
    EXPECT(OC_OK, oc_set_policies(world.engine, 0, &placement, &scheduler));
    actions(world.engine);
    placement.quantum_shift = 47;
    EXPECT(OC_BAD_VALUE, oc_set_policies(world.engine, 0, &placement, NULL));
    oc_problem problem = last_problem(world.engine);
    EXPECT_TEXT("quantum_shift", problem.field);
    EXPECT(46, problem.limit);
    scheduler.wall_limit_ms = -1.0;
    EXPECT(OC_BAD_VALUE, oc_set_policies(world.engine, 0, NULL, &scheduler));
    EXPECT_TEXT("lease.wall_limit_ms", last_problem(world.engine).field);
    EXPECT(OC_PROBLEM_NEGATIVE, last_problem(world.engine).kind);

    oc_config config = {.struct_bytes = sizeof config, .placement = &placement};
    oc_problem refused = {.struct_bytes = sizeof refused};
    EXPECT(OC_BAD_VALUE, oc_init(world.memory, world.bytes, &config, &refused, &world.engine));
    EXPECT_TEXT("quantum_shift", refused.field);
    placement.struct_bytes = 1;
    EXPECT(OC_STRUCT_SIZE, oc_init(world.memory, world.bytes, &config, &refused, &world.engine));
    end(&world);
}

// ---- Prices

static oc_price price(const char *engine, const char *model, uint32_t micros) {
    return (oc_price){
        .engine = {engine, engine == NULL ? 0 : strlen(engine)},
        .model_id = {model, model == NULL ? 0 : strlen(model)},
        .micros_per_1000_tokens = micros,
    };
}

// What `oc_init` answers to a list of prices.
static oc_code init_with_prices(struct world *world, const oc_price *prices, size_t count, oc_problem *problem) {
    oc_config config = {.struct_bytes = sizeof config, .prices = prices, .price_count = count};
    oc_engine *engine = NULL;
    return oc_init(world->memory, world->bytes, &config, problem, &engine);
}

static void bad_prices(void) {
    oc_price three[3] = {price(NULL, NULL, 1), price("a", "m", 2), price("b", NULL, 3)};
    oc_config config = {.struct_bytes = sizeof config, .prices = three, .price_count = 3};
    struct world world = world_of(&config);
    oc_problem problem = {.struct_bytes = sizeof problem};

    three[2] = price("a", NULL, 3);
    EXPECT(OC_BAD_VALUE, init_with_prices(&world, three, 3, &problem));
    EXPECT_TEXT("prices", problem.field);
    EXPECT(OC_PROBLEM_MALFORMED, problem.kind);
    // The engine's case does not tell prices apart.
    three[2] = price("A", "m", 3);
    EXPECT(OC_BAD_VALUE, init_with_prices(&world, three, 3, &problem));
    EXPECT(OC_PROBLEM_REPEATED, problem.kind);
    three[2] = price("b", "", 3);
    EXPECT(OC_BAD_VALUE, init_with_prices(&world, three, 3, &problem));
    EXPECT_TEXT("prices.model", problem.field);
    EXPECT(OC_PROBLEM_EMPTY, problem.kind);
    three[2] = price("\xFF", NULL, 3);
    EXPECT(OC_NOT_UTF8, init_with_prices(&world, three, 3, &problem));
    EXPECT_TEXT("prices.engine", problem.field);
    EXPECT(OC_NULL_POINTER, init_with_prices(&world, NULL, 1, &problem));
    EXPECT_TEXT("prices", problem.field);
    EXPECT(OC_MISALIGNED, init_with_prices(&world, (oc_price *)(void *)((char *)three + 1), 1, &problem));
    EXPECT(OC_BAD_VALUE, init_with_prices(&world, three, SIZE_MAX, &problem));
    EXPECT(OC_PROBLEM_TOO_MANY, problem.kind);
    EXPECT(65536, problem.limit);
    // A refused list leaves the engine as it was.
    EXPECT(OC_OK, oc_tick(world.engine, 0));

    // Every price has its place; one more has none.
    three[2] = price("b", NULL, 3);
    EXPECT(OC_OK, init_with_prices(&world, three, 3, &problem));
    oc_price four[4] = {three[0], three[1], three[2], price("c", NULL, 4)};
    EXPECT(OC_TOO_LITTLE_MEMORY, init_with_prices(&world, four, 4, &problem));
    end(&world);
}

// Whether a job of 1,500 tokens is within its budget.
static oc_code submit_for(struct world *world, const char *engine, const char *model, int64_t budget_cost_micros) {
    static unsigned number = 0;
    char name[16];
    oc_job job = job_named(OC_TEXT(""));
    job.id = (oc_text){name, (size_t)snprintf(name, sizeof name, "priced%u", number++)};
    job.session_id = job.id;
    job.engine = (oc_text){engine, strlen(engine)};
    job.model_id = (oc_text){model, strlen(model)};
    job.flags = OC_JOB_HAS_BUDGET_COST | OC_JOB_HAS_EXPECTED_TOKENS;
    job.prompt_tokens = 1000;
    job.expected_tokens = 500;
    job.budget_cost_micros = budget_cost_micros;
    oc_code code = oc_submit(world->engine, world->now_us, &job, NULL);
    oc_problem problem = last_problem(world->engine);
    if (code == OC_REFUSED) {
        EXPECT_TEXT("budget.cost_micros", problem.field);
    }
    actions(world->engine);
    return code;
}

static void prices(void) {
    // At the end of memory, and gone after the call: nothing is kept of them.
    size_t bytes = 4 * sizeof(oc_price);
    oc_price *list = guarded(bytes);
    list[0] = price(NULL, NULL, 1);
    list[1] = price(NULL, "m", 20);
    list[2] = price("vllm", NULL, 300);
    list[3] = price("VLLM", "m", 4001);
    oc_config config = {.struct_bytes = sizeof config, .prices = list, .price_count = 4};
    struct world world = world_of(&config);
    give_back(list, bytes);
    static const struct {
        const char *engine, *model;
        int64_t cost;
    } cases[] = {{"vllm", "m", 6002}, {"vLLM", "n", 450}, {"other", "m", 30}, {"other", "n", 2}};
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        oc_pool pool = pool_named(OC_TEXT("a"));
        pool.engine = (oc_text){cases[at].engine, strlen(cases[at].engine)};
        EXPECT(OC_OK, upsert(&world, &pool));
        EXPECT(OC_REFUSED, submit_for(&world, cases[at].engine, cases[at].model, cases[at].cost - 1));
        EXPECT(OC_OK, submit_for(&world, cases[at].engine, cases[at].model, cases[at].cost));
    }
    end(&world);

    // An older caller, who knows of no prices, has none.
    config.struct_bytes = offsetof(oc_config, prices);
    world = world_of(&config);
    oc_pool pool = pool_named(OC_TEXT("a"));
    EXPECT(OC_OK, upsert(&world, &pool));
    EXPECT(OC_OK, submit_for(&world, "vllm", "m", 0));
    end(&world);
    config.struct_bytes = offsetof(oc_config, prices) - 1;
    EXPECT(OC_STRUCT_SIZE, oc_memory_bytes(&config, &bytes));
}

// ---- Structures

struct newer_job {
    oc_job job;
    uint64_t unheard_of;
};

static void struct_sizes(void) {
    struct world world = small_world();
    static const uint32_t wrong[] = {0, 1, 4, 8, sizeof(oc_job) - 1, 4097, UINT32_MAX};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        // As many bytes as a size has, and not one more, where the size is small.
        uint32_t *only_the_size = guarded(sizeof(uint32_t) * 2);
        only_the_size[0] = wrong[at];
        EXPECT(OC_STRUCT_SIZE, oc_submit(world.engine, 0, (oc_job *)(void *)only_the_size, NULL));
        EXPECT(OC_STRUCT_SIZE, oc_explain(world.engine, (oc_job *)(void *)only_the_size,
                                          &(oc_explanation){.struct_bytes = sizeof(oc_explanation)}));
        give_back(only_the_size, sizeof(uint32_t) * 2);
    }
    uint32_t *too_small = guarded(sizeof(uint32_t) * 2);
    too_small[0] = 8;
    void *pointer = too_small;
    oc_job job = job_named(OC_TEXT("j"));
    EXPECT(OC_STRUCT_SIZE, oc_upsert_pool(world.engine, 0, pointer));
    EXPECT(OC_STRUCT_SIZE, oc_next_action(world.engine, pointer));
    EXPECT(OC_STRUCT_SIZE, oc_submit(world.engine, 0, &job, pointer));
    EXPECT(OC_STRUCT_SIZE, oc_get_status(world.engine, pointer));
    EXPECT(OC_STRUCT_SIZE, oc_get_limits(pointer));
    EXPECT(OC_STRUCT_SIZE, oc_last_problem(world.engine, pointer));
    EXPECT(OC_STRUCT_SIZE, oc_explain(world.engine, &job, pointer));
    EXPECT(OC_STRUCT_SIZE, oc_set_policies(world.engine, 0, pointer, NULL));
    EXPECT(OC_STRUCT_SIZE, oc_set_policies(world.engine, 0, NULL, pointer));
    EXPECT(OC_STRUCT_SIZE, oc_placement_policy_default(pointer));
    EXPECT(OC_STRUCT_SIZE, oc_scheduler_policy_default(pointer));
    EXPECT(OC_STRUCT_SIZE, oc_memory_bytes(pointer, &world.bytes));
    void *misaligned = (char *)pointer + 1;
    EXPECT(OC_MISALIGNED, oc_upsert_pool(world.engine, 0, misaligned));
    EXPECT(OC_MISALIGNED, oc_next_action(world.engine, misaligned));
    EXPECT(OC_MISALIGNED, oc_submit(world.engine, 0, &job, misaligned));
    give_back(too_small, sizeof(uint32_t) * 2);

    // A refused answer means that the job was not taken in.
    EXPECT(OC_UNKNOWN_JOB, oc_cancel(world.engine, 0, OC_TEXT("j"), 0));
    actions(world.engine);

    struct newer_job newer = {.job = job, .unheard_of = 0};
    newer.job.struct_bytes = sizeof newer;
    oc_pool pool = pool_named(OC_TEXT("a"));
    EXPECT(OC_OK, upsert(&world, &pool));
    EXPECT(OC_OK, submit(&world, &newer.job, NULL));
    newer.job.id = OC_TEXT("k");
    newer.unheard_of = 1;
    EXPECT(OC_STRUCT_SIZE, submit(&world, &newer.job, NULL));

    // At the end of memory.
    oc_job *last = guarded(sizeof *last);
    *last = job_named(OC_TEXT("l"));
    EXPECT(OC_OK, submit(&world, last, NULL));
    give_back(last, sizeof *last);
    oc_action *action = guarded(sizeof *action);
    action->struct_bytes = sizeof *action;
    EXPECT(OC_NOTHING, oc_next_action(world.engine, action));
    EXPECT(OC_ACTION_NONE, action->kind);
    give_back(action, sizeof *action);
    end(&world);
}

static void null_pointers(void) {
    struct world world = small_world();
    oc_job job = job_named(OC_TEXT("j"));
    size_t needed;
    EXPECT(OC_NULL_POINTER, oc_upsert_pool(world.engine, 0, NULL));
    EXPECT(OC_NULL_POINTER, oc_submit(world.engine, 0, NULL, NULL));
    EXPECT(OC_NULL_POINTER, oc_next_action(world.engine, NULL));
    EXPECT(OC_NULL_POINTER, oc_next_wakeup(world.engine, NULL));
    EXPECT(OC_NULL_POINTER, oc_get_status(world.engine, NULL));
    EXPECT(OC_NULL_POINTER, oc_get_limits(NULL));
    EXPECT(OC_NULL_POINTER, oc_last_problem(world.engine, NULL));
    EXPECT(OC_NULL_POINTER, oc_explain(world.engine, NULL, NULL));
    EXPECT(OC_NULL_POINTER, oc_explain(world.engine, &job, NULL));
    EXPECT(OC_NULL_POINTER, oc_explain_text(world.engine, NULL, NULL, 0, &needed));
    EXPECT(OC_NULL_POINTER, oc_explain_text(world.engine, &job, NULL, 0, NULL));
    EXPECT(OC_NULL_POINTER, oc_explain_text(world.engine, &job, NULL, 8, &needed));
    EXPECT(OC_NULL_POINTER, oc_export_state(world.engine, NULL, 0, NULL));
    EXPECT(OC_NULL_POINTER, oc_export_state(world.engine, NULL, 8, &needed));
    EXPECT(OC_NULL_POINTER, oc_import_state(world.engine, 0, NULL, 8, NULL, NULL, NULL));
    EXPECT(OC_NULL_POINTER, oc_import_state(world.engine, 0, (const uint8_t *)"", 1, NULL, NULL, NULL));
    EXPECT_TEXT("act", last_problem(world.engine).field);
    EXPECT(OC_NULL_POINTER, oc_started(world.engine, 0, (oc_text){NULL, 1}));
    EXPECT_TEXT("job_id", last_problem(world.engine).field);
    job.session_id = (oc_text){NULL, 4};
    EXPECT(OC_NULL_POINTER, oc_submit(world.engine, 0, &job, NULL));
    EXPECT_TEXT("session_id", last_problem(world.engine).field);
    job = job_named(OC_TEXT("j"));
    job.prefer_pools = (oc_texts){NULL, 2};
    EXPECT(OC_NULL_POINTER, oc_submit(world.engine, 0, &job, NULL));
    EXPECT_TEXT("placement.prefer_pools", last_problem(world.engine).field);
    oc_pool pool = pool_named(OC_TEXT("a"));
    pool.device_count = 1;
    EXPECT(OC_NULL_POINTER, oc_upsert_pool(world.engine, 0, &pool));
    EXPECT_TEXT("devices", last_problem(world.engine).field);
    pool = pool_named(OC_TEXT("a"));
    pool.warm_session_count = 1;
    EXPECT(OC_NULL_POINTER, oc_upsert_pool(world.engine, 0, &pool));
    EXPECT_TEXT("warm_sessions", last_problem(world.engine).field);
    // Absent texts that are required are the core's to refuse.
    pool = pool_named((oc_text){NULL, 0});
    EXPECT(OC_BAD_SNAPSHOT, upsert(&world, &pool));
    EXPECT(OC_UNKNOWN_JOB, oc_started(world.engine, 0, (oc_text){NULL, 0}));
    actions(world.engine);
    end(&world);
}

// ---- Values

static void texts(void) {
    struct world world = small_world();
    static const char *bad[] = {"\xFF", "a\xC3", "\xED\xA0\x80", "\xF8\x88\x80\x80\x80", "\xC0\x80"};
    for (size_t at = 0; at < sizeof bad / sizeof *bad; at++) {
        oc_job job = job_named((oc_text){bad[at], strlen(bad[at])});
        EXPECT(OC_NOT_UTF8, oc_submit(world.engine, 0, &job, NULL));
        EXPECT_TEXT("id", last_problem(world.engine).field);
        oc_text model = {bad[at], strlen(bad[at])};
        oc_pool pool = pool_named(OC_TEXT("a"));
        pool.flags = OC_POOL_HAS_MODELS;
        pool.models = (oc_texts){&model, 1};
        EXPECT(OC_NOT_UTF8, oc_upsert_pool(world.engine, 0, &pool));
        EXPECT_TEXT("supports.models", last_problem(world.engine).field);
    }
    char *long_text = guarded(5000);
    memset(long_text, 'x', 5000);
    oc_job job = job_named((oc_text){long_text + 5000 - 64, 64});
    oc_pool pool = pool_named(OC_TEXT("a"));
    EXPECT(OC_OK, upsert(&world, &pool));
    EXPECT(OC_OK, submit(&world, &job, NULL));
    job.id = (oc_text){long_text + 5000 - 65, 65};
    EXPECT(OC_REFUSED, submit(&world, &job, NULL));
    EXPECT(OC_NOTHING, oc_next_action(world.engine, &(oc_action){.struct_bytes = sizeof(oc_action)}));
    oc_answer answer = {.struct_bytes = sizeof answer};
    EXPECT(OC_REFUSED, oc_submit(world.engine, 0, &job, &answer));
    EXPECT_TEXT("id", last_problem(world.engine).field);
    EXPECT(OC_PROBLEM_TOO_LONG, last_problem(world.engine).kind);
    EXPECT(64, last_problem(world.engine).limit);
    EXPECT(OC_REFUSAL_INVALID_PARAMS, answer.refusal.code);
    EXPECT_TEXT("INVALID_PARAMS", answer.refusal.code_name);
    EXPECT_TEXT("id", answer.refusal.field);
    actions(world.engine);
    job.id = (oc_text){long_text, 5000};
    EXPECT(OC_BAD_VALUE, oc_submit(world.engine, 0, &job, NULL));
    EXPECT(4096, last_problem(world.engine).limit);
    // Refused unread: there are not as many bytes.
    job.id = (oc_text){long_text, SIZE_MAX};
    EXPECT(OC_BAD_VALUE, oc_submit(world.engine, 0, &job, NULL));
    give_back(long_text, 5000);
    // A null byte is a byte.
    job.id = (oc_text){"a\0b", 3};
    EXPECT(OC_OK, submit(&world, &job, NULL));
    EXPECT(OC_UNKNOWN_JOB, oc_cancel(world.engine, 0, OC_TEXT("a"), 0));
    actions(world.engine);
    EXPECT(OC_OK, oc_cancel(world.engine, 0, (oc_text){"a\0b", 3}, 0));
    actions(world.engine);
    end(&world);
}

static void lists(void) {
    struct world world = small_world();
    oc_text names[300];
    for (size_t at = 0; at < 300; at++) {
        names[at] = OC_TEXT("n");
    }
    oc_job job = job_named(OC_TEXT("j"));
    job.prefer_pools = (oc_texts){names, 65};
    EXPECT(OC_BAD_VALUE, oc_submit(world.engine, 0, &job, NULL));
    EXPECT(OC_PROBLEM_TOO_MANY, last_problem(world.engine).kind);
    EXPECT(64, last_problem(world.engine).limit);
    job.prefer_pools.count = SIZE_MAX;
    EXPECT(OC_BAD_VALUE, oc_submit(world.engine, 0, &job, NULL));
    job.prefer_pools = (oc_texts){(oc_text *)(void *)((char *)names + 1), 2};
    EXPECT(OC_MISALIGNED, oc_submit(world.engine, 0, &job, NULL));
    oc_limits limits = {.struct_bytes = sizeof limits};
    EXPECT(OC_OK, oc_get_limits(&limits));
    EXPECT(OC_API_VERSION, limits.api_version);
    oc_pool pool = pool_named(OC_TEXT("a"));
    pool.quantizations = (oc_texts){names, limits.list_entries + 1};
    EXPECT(OC_BAD_VALUE, oc_upsert_pool(world.engine, 0, &pool));
    EXPECT(limits.list_entries, last_problem(world.engine).limit);
    pool.quantizations.count = limits.list_entries;
    EXPECT(OC_OK, upsert(&world, &pool));
    oc_label label = {OC_TEXT("k"), OC_TEXT("v")};
    oc_label labels[2] = {label, label};
    pool.labels = (oc_labels){labels, 2};
    EXPECT(OC_BAD_SNAPSHOT, upsert(&world, &pool));
    EXPECT(OC_OK, upsert(&world, &(oc_pool){.struct_bytes = sizeof(oc_pool), .id = OC_TEXT("a"), .engine = OC_TEXT("e")}));
    end(&world);
}

static void numbers(void) {
    struct world world = small_world();
    oc_text id = OC_TEXT("j");
    oc_job job = job_named(id);
    job.priority = 2;
    EXPECT(OC_BAD_VALUE, oc_submit(world.engine, 0, &job, NULL));
    EXPECT_TEXT("priority", last_problem(world.engine).field);
    job = job_named(id);
    job.kv_hint = UINT32_MAX;
    EXPECT(OC_BAD_VALUE, oc_submit(world.engine, 0, &job, NULL));
    job = job_named(id);
    job.placement_mode = 4;
    EXPECT(OC_BAD_VALUE, oc_submit(world.engine, 0, &job, NULL));
    job = job_named(id);
    job.flags = 2048;
    EXPECT(OC_BAD_VALUE, oc_submit(world.engine, 0, &job, NULL));
    EXPECT_TEXT("flags", last_problem(world.engine).field);
    EXPECT(OC_BAD_VALUE, oc_failed(world.engine, 0, id, 3, 0));
    EXPECT_TEXT("cause", last_problem(world.engine).field);
    EXPECT(OC_BAD_VALUE, oc_cancel(world.engine, 0, id, 4));
    EXPECT(OC_BAD_VALUE, oc_drain_pool(world.engine, 0, id, id, 2));
    EXPECT_TEXT("draining", last_problem(world.engine).field);
    oc_pool pool = pool_named(OC_TEXT("a"));
    pool.flags = 256;
    EXPECT(OC_BAD_VALUE, oc_upsert_pool(world.engine, 0, &pool));

    pool = pool_named(OC_TEXT("a"));
    pool.slots_total = -1;
    EXPECT(OC_BAD_SNAPSHOT, upsert(&world, &pool));
    pool = pool_named(OC_TEXT("a"));
    pool.vram_total_bytes = INT64_MAX;
    EXPECT(OC_BAD_SNAPSHOT, oc_upsert_pool(world.engine, 0, &pool));
    EXPECT_TEXT("vram_total_bytes", last_problem(world.engine).field);
    EXPECT((1LL << 48) - 1, last_problem(world.engine).limit);
    // Looking does not change it.
    EXPECT(OC_BAD_SNAPSHOT, last_problem(world.engine).code);
    actions(world.engine);
    pool = pool_named(OC_TEXT("a"));
    pool.flags = OC_POOL_HAS_FIRST_TOKEN;
    pool.first_token_ms = NAN;
    EXPECT(OC_BAD_SNAPSHOT, oc_upsert_pool(world.engine, 0, &pool));
    EXPECT(OC_PROBLEM_NOT_FINITE, last_problem(world.engine).kind);
    actions(world.engine);
    EXPECT(OC_PROBLEM_NONE, last_problem(world.engine).kind);
    end(&world);
}

static void code_texts(void) {
    EXPECT(0, strcmp("ok", oc_code_text(OC_OK)));
    EXPECT(0, strcmp("no such code", oc_code_text(-1)));
    for (oc_code code = -2; code < 200; code++) {
        EXPECT(1, strlen(oc_code_text(code)) > 1);
    }
    EXPECT(0, strcmp("no such code", oc_code_text(INT32_MIN)));
    for (uint32_t kind = 0; kind < 20; kind++) {
        EXPECT(1, strlen(oc_problem_kind_text(kind)) > 1);
    }
    EXPECT(0, strcmp("no such kind", oc_problem_kind_text(UINT32_MAX)));
}

// ---- Full tables

static oc_text numbered(char name[16], unsigned number) {
    int bytes = snprintf(name, 16, "n%u", number);
    return (oc_text){name, (size_t)bytes};
}

static void full_fleet(void) {
    struct world world = small_world();
    oc_limits limits = {.struct_bytes = sizeof limits};
    EXPECT(OC_OK, oc_get_limits(&limits));
    char name[16];
    for (unsigned at = 0; at < limits.pools; at++) {
        oc_pool pool = pool_named(numbered(name, at));
        EXPECT(OC_OK, upsert(&world, &pool));
    }
    oc_pool pool = pool_named(OC_TEXT("one more"));
    EXPECT(OC_BAD_SNAPSHOT, oc_upsert_pool(world.engine, 0, &pool));
    EXPECT(OC_PROBLEM_STORAGE_FULL, last_problem(world.engine).kind);
    EXPECT(limits.pools, last_problem(world.engine).limit);
    actions(world.engine);
    EXPECT(OC_OK, oc_remove_pool(world.engine, 0, numbered(name, 0), OC_TEXT("")));
    actions(world.engine);
    EXPECT(OC_OK, upsert(&world, &pool));

    // Names: one list after the other, until they are used up.
    static char texts[64][16];
    oc_text models[64];
    oc_code code = OC_OK;
    unsigned next = 1000;
    for (unsigned at = 1; at <= limits.pools && code == OC_OK; at++) {
        pool = pool_named(at < limits.pools ? numbered(name, at) : OC_TEXT("one more"));
        pool.flags = OC_POOL_HAS_MODELS;
        size_t count = limits.list_entries < 64 ? limits.list_entries : 64;
        for (size_t model = 0; model < count; model++) {
            models[model] = numbered(texts[model], next++);
        }
        pool.models = (oc_texts){models, count};
        code = oc_upsert_pool(world.engine, 0, &pool);
        oc_problem problem = last_problem(world.engine);
        if (code != OC_OK) {
            EXPECT(OC_PROBLEM_STORAGE_FULL, problem.kind);
            EXPECT_TEXT("supports.models", problem.field);
        }
        actions(world.engine);
    }
    // All these names and one engine.
    EXPECT(limits.pools * limits.list_entries >= limits.names, code == OC_BAD_SNAPSHOT);
    end(&world);
}

static void full_queue(void) {
    struct world world = small_world();
    oc_pool pool = pool_named(OC_TEXT("a"));
    EXPECT(OC_OK, upsert(&world, &pool));
    // Two run, two wait, then there is no room.
    char name[16];
    for (unsigned at = 0; at < 4; at++) {
        oc_job job = job_named(numbered(name, at));
        int what_to_do = -1;
        EXPECT(OC_OK, submit(&world, &job, &what_to_do));
        EXPECT(at < 2, what_to_do);
    }
    oc_job job = job_named(OC_TEXT("late"));
    oc_answer answer = {.struct_bytes = sizeof answer};
    EXPECT(OC_REFUSED, oc_submit(world.engine, 0, &job, &answer));
    EXPECT(OC_REFUSAL_ADMISSION_REJECT, answer.refusal.code);
    EXPECT(OC_REFUSAL_HAS_RETRY_AFTER, answer.refusal.flags & OC_REFUSAL_HAS_RETRY_AFTER);
    actions(world.engine);
    // A place is free again.
    EXPECT(OC_OK, oc_finished(world.engine, 0, numbered(name, 0), 1));
    EXPECT(1, actions(world.engine));
    EXPECT(OC_OK, submit(&world, &job, NULL));
    // A job larger than its room.
    oc_text names[64];
    for (size_t at = 0; at < 64; at++) {
        names[at] = OC_TEXT("a-pool-with-a-rather-long-name");
    }
    job = job_named(OC_TEXT("large"));
    job.avoid_pools = (oc_texts){names, 64};
    EXPECT(OC_REFUSED, oc_submit(world.engine, 0, &job, &answer));
    EXPECT_TEXT("job", answer.refusal.field);
    actions(world.engine);
    end(&world);
}

static void full_sessions(void) {
    struct world world = small_world();
    oc_pool pool = pool_named(OC_TEXT("a"));
    EXPECT(OC_OK, upsert(&world, &pool));
    char name[16], session[16];
    for (unsigned at = 0; at < 3; at++) {
        oc_job job = job_named(numbered(name, at));
        job.session_id = numbered(session, 100 + at);
        oc_answer answer = {.struct_bytes = sizeof answer};
        EXPECT(at < 2 ? OC_OK : OC_REFUSED, oc_submit(world.engine, 0, &job, &answer));
        actions(world.engine);
    }
    EXPECT(OC_OK, oc_end_session(world.engine, 0, OC_TEXT("n100")));
    actions(world.engine);
    EXPECT(OC_UNKNOWN_SESSION, oc_end_session(world.engine, 0, OC_TEXT("n100")));
    actions(world.engine);
    end(&world);
}

// ---- Lives of jobs

static void lives(void) {
    struct world world = small_world();
    oc_engine *engine = world.engine;
    oc_pool pool = pool_named(OC_TEXT("a"));
    pool.slots_total = 1;
    EXPECT(OC_OK, upsert(&world, &pool));
    oc_text first = OC_TEXT("first"), second = OC_TEXT("second");
    oc_job job = job_named(first);
    EXPECT(OC_OK, oc_submit(engine, 5, &job, NULL));
    // Nothing happens before it is said what is to be done.
    EXPECT(OC_ACTIONS_PENDING, oc_tick(engine, 5));
    EXPECT(OC_ACTIONS_PENDING, oc_submit(engine, 5, &job, NULL));
    EXPECT(OC_ACTIONS_PENDING, oc_export_state(engine, NULL, 0, &(size_t){0}));
    oc_action action = {.struct_bytes = sizeof action};
    EXPECT(OC_OK, oc_next_action(engine, &action));
    EXPECT(OC_ACTION_DISPATCH, action.kind);
    EXPECT_TEXT("first", action.job_id);
    EXPECT_TEXT("a", action.pool_id);
    EXPECT_TEXT("", action.replica_id);
    EXPECT(OC_NOTHING, oc_next_action(engine, &action));
    EXPECT(OC_NOTHING, oc_next_action(engine, &action));

    EXPECT(OC_TIME_WENT_BACK, oc_tick(engine, 4));
    EXPECT(OC_NOTHING, oc_next_action(engine, &action));
    EXPECT(OC_DUPLICATE_JOB, oc_submit(engine, 5, &job, NULL));
    actions(engine);
    job = job_named(second);
    EXPECT(OC_OK, oc_submit(engine, 6, &job, NULL));
    EXPECT(0, actions(engine));
    EXPECT(OC_NOT_DISPATCHED, oc_started(engine, 6, second));
    actions(engine);
    EXPECT(OC_OK, oc_started(engine, 7, first));
    actions(engine);
    EXPECT(OC_REPEATED, oc_started(engine, 7, first));
    actions(engine);
    EXPECT(OC_UNKNOWN_JOB, oc_first_token(engine, 7, OC_TEXT("nobody")));
    actions(engine);

    // Canceled twice.
    EXPECT(OC_OK, oc_cancel(engine, 8, second, OC_CANCEL_DISCONNECT));
    EXPECT(0, actions(engine));
    EXPECT(OC_UNKNOWN_JOB, oc_cancel(engine, 8, second, OC_CANCEL_DISCONNECT));
    EXPECT(0, actions(engine));
    EXPECT(OC_OK, oc_cancel(engine, 9, first, OC_CANCEL_ADMIN));
    EXPECT(OC_OK, oc_next_action(engine, &action));
    EXPECT(OC_ACTION_ABORT, action.kind);
    EXPECT(OC_CANCEL_ADMIN, action.cause);
    EXPECT(OC_NOTHING, oc_next_action(engine, &action));
    EXPECT(OC_UNKNOWN_JOB, oc_cancel(engine, 9, first, OC_CANCEL_ADMIN));
    actions(engine);
    EXPECT(OC_UNKNOWN_JOB, oc_finished(engine, 9, first, 3));
    actions(engine);
    EXPECT(OC_UNKNOWN_POOL, oc_remove_pool(engine, 9, OC_TEXT("b"), OC_TEXT("")));
    actions(engine);
    EXPECT(OC_OK, oc_tick(engine, UINT64_MAX));
    actions(engine);
    EXPECT(OC_TIME_WENT_BACK, oc_tick(engine, 10));
    uint64_t at_us = 0;
    oc_code wakeup = oc_next_wakeup(engine, &at_us);
    EXPECT(1, wakeup == OC_OK || wakeup == OC_NOTHING);
    end(&world);
}

// ---- Buffers and states

static void buffers(void) {
    struct world world = small_world();
    oc_pool pool = pool_named((oc_text){"p\xC3\xB6\xC3\xB6l", 6});
    EXPECT(OC_OK, upsert(&world, &pool));
    oc_job job = job_named(OC_TEXT("j"));
    char whole[512];
    size_t needed = 0;
    EXPECT(OC_OK, oc_explain_text(world.engine, &job, whole, sizeof whole, &needed));
    EXPECT(needed, strlen(whole));
    EXPECT(OC_BUFFER_TOO_SMALL, oc_explain_text(world.engine, &job, NULL, 0, &needed));
    EXPECT(strlen(whole), needed);
    for (size_t bytes = 1; bytes <= needed + 1; bytes++) {
        char *buffer = guarded(bytes);
        size_t again = 0;
        EXPECT(bytes > needed ? OC_OK : OC_BUFFER_TOO_SMALL, oc_explain_text(world.engine, &job, buffer, bytes, &again));
        EXPECT(needed, again);
        EXPECT(0, strncmp(whole, buffer, strlen(buffer)));
        give_back(buffer, bytes);
    }
    oc_explanation explanation = {.struct_bytes = sizeof explanation};
    EXPECT(OC_OK, oc_explain(world.engine, &job, &explanation));
    EXPECT(1, explanation.feasible);
    EXPECT(OC_KEY_ONLY_CANDIDATE, explanation.decided_by);
    EXPECT_TEXT("p\xC3\xB6\xC3\xB6l", explanation.winner.pool_id);
    EXPECT(0, explanation.runner_up.flags);
    job.engine = OC_TEXT("other");
    EXPECT(OC_OK, oc_explain(world.engine, &job, &explanation));
    EXPECT(0, explanation.feasible);
    EXPECT(1, explanation.rejections[5]);
    EXPECT(OC_EXPLANATION_HAS_NEAREST_MISS, explanation.flags);
    job.id = OC_TEXT("");
    EXPECT(OC_BAD_VALUE, oc_explain(world.engine, &job, &explanation));
    EXPECT(OC_PROBLEM_EMPTY, last_problem(world.engine).kind);
    end(&world);
}

struct told {
    oc_engine *engine;
    int actions;
};

// Calls back into the engine that is in use.
static void act(void *user, const oc_action *action) {
    struct told *told = user;
    told->actions++;
    EXPECT(OC_ACTION_ABORT, action->kind);
    EXPECT(OC_ABORT_POOL_LOST, action->cause);
    every_call(told->engine, OC_BUSY);
}

static void states(void) {
    struct world world = small_world();
    oc_pool pool = pool_named(OC_TEXT("a"));
    pool.slots_total = 1;
    EXPECT(OC_OK, upsert(&world, &pool));
    oc_job runs = job_named(OC_TEXT("runs")), waits = job_named(OC_TEXT("waits"));
    EXPECT(OC_OK, submit(&world, &runs, NULL));
    EXPECT(OC_OK, submit(&world, &waits, NULL));
    size_t needed = 0;
    EXPECT(OC_BUFFER_TOO_SMALL, oc_export_state(world.engine, NULL, 0, &needed));
    uint8_t *state = guarded(needed);
    EXPECT(OC_BUFFER_TOO_SMALL, oc_export_state(world.engine, state + 1, needed - 1, &needed));
    EXPECT(OC_OK, oc_export_state(world.engine, state, needed, &needed));
    struct told told = {world.engine, 0};
    EXPECT(OC_BAD_STATE, oc_import_state(world.engine, 0, state, needed, act, &told, NULL));
    EXPECT(OC_PROBLEM_CONTRADICTION, last_problem(world.engine).kind);

    struct world after = small_world();
    told.engine = after.engine;
    oc_imported imported = {.struct_bytes = sizeof imported};
    for (size_t bytes = 0; bytes < needed; bytes++) {
        EXPECT(OC_BAD_STATE, oc_import_state(after.engine, 5, state, bytes, act, &told, &imported));
    }
    for (size_t at = 0; at < needed; at++) {
        state[at] ^= 0x10;
        EXPECT(OC_BAD_STATE, oc_import_state(after.engine, 5, state, needed, act, &told, &imported));
        state[at] ^= 0x10;
    }
    EXPECT(0, told.actions);
    EXPECT(OC_OK, oc_import_state(after.engine, 5, state, needed, act, &told, &imported));
    // Its pool is not there: one job is aborted, one waits.
    EXPECT(1, told.actions);
    EXPECT(1, imported.lost_jobs);
    EXPECT(1, imported.waiting_jobs);
    EXPECT(1, imported.same_policies);
    EXPECT(OC_OK, oc_cancel(after.engine, 5, OC_TEXT("waits"), 0));
    actions(after.engine);
    give_back(state, needed);
    end(&after);
    end(&world);
}

// ---- Anything at all

static uint64_t seed = 88172645463325252ULL;

static uint64_t random_number(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static oc_text random_text(void) {
    static const char *texts[] = {"", "a", "b", "vllm", "m", "0,1", "9.0", "\xFF", "\xC3\xA9", "x\0y"};
    uint64_t which = random_number() % 12;
    if (which == 10) {
        return (oc_text){NULL, random_number() % 2};
    }
    if (which == 11) {
        return (oc_text){"0123456789012345678901234567890123456789012345678901234567890123456789", 70};
    }
    return (oc_text){texts[which], strlen(texts[which])};
}

static int64_t random_integer(void) {
    static const int64_t integers[] = {0, 1, 2, 8, -1, 1 << 15, 1LL << 24, 1LL << 48, INT64_MAX, INT64_MIN};
    return integers[random_number() % 10];
}

static double random_real(void) {
    static const double reals[] = {0.0, -0.0, 1.0, 50.0, -1.0, 1e300, 1e-300, 1e12};
    return reals[random_number() % 8];
}

static oc_texts random_texts(oc_text items[8]) {
    for (size_t at = 0; at < 8; at++) {
        items[at] = random_text();
    }
    return (oc_texts){random_number() % 8 == 0 ? NULL : items, random_number() % 9};
}

static oc_pool random_pool(oc_text items[3][8], oc_device devices[2], oc_warm_session sessions[2]) {
    for (size_t at = 0; at < 2; at++) {
        devices[at] = (oc_device){random_integer(), random_integer(), random_text()};
        sessions[at] = (oc_warm_session){random_text(), random_integer()};
    }
    oc_pool pool = {
        .struct_bytes = random_number() % 16 == 0 ? (uint32_t)random_number() % 5000 : sizeof pool,
        .flags = (uint32_t)(random_number() % 512),
        .id = random_text(),
        .replica_id = random_text(),
        .engine = OC_TEXT("vllm"),
        .compute_capability = random_text(),
        .device_mask = random_number() % 2 == 0 ? OC_TEXT("0,1") : random_text(),
        .slots_total = random_number() % 2 == 0 ? 8 : random_integer(),
        .slots_free = random_number() % 2 == 0 ? 8 : random_integer(),
        .vram_total_bytes = random_integer(),
        .vram_free_bytes = random_integer(),
        .queue_depth = random_integer(),
        .ctx_max = random_integer(),
        .perf_tokens_per_s = random_real(),
        .first_token_ms = random_real(),
        .age_ms = random_real(),
        .models = random_texts(items[0]),
        .resident_models = random_texts(items[1]),
        .quantizations = random_texts(items[2]),
        .devices = devices,
        .device_count = random_number() % 3,
        .warm_sessions = sessions,
        .warm_session_count = random_number() % 3,
    };
    // A wrong size must not be larger than what there is.
    if (pool.struct_bytes > sizeof pool) {
        pool.struct_bytes = 5000;
    }
    return pool;
}

static oc_job random_job(oc_text items[2][8]) {
    return (oc_job){
        .struct_bytes = sizeof(oc_job),
        .flags = (uint32_t)(random_number() % 2048),
        .priority = (uint32_t)(random_number() % 3),
        .kv_hint = (uint32_t)(random_number() % 3),
        .placement_mode = random_number() % 2 == 0 ? 0 : (uint32_t)(random_number() % 5),
        .split_degree = (uint32_t)(random_number() % 18),
        .id = random_text(),
        .engine = OC_TEXT("vllm"),
        .model_id = random_text(),
        .session_id = random_text(),
        .tenant_id = random_text(),
        .prompt_tokens = random_integer(),
        .expected_tokens = random_integer(),
        .max_tokens = random_integer(),
        .required_ctx = random_integer(),
        .est_kv_bytes = random_integer(),
        .deadline_ms = random_real(),
        .min_vram_bytes = random_integer(),
        .prefer_pools = random_texts(items[0]),
        .avoid_pools = random_texts(items[1]),
        .budget_tokens = random_integer(),
        .budget_time_ms = random_real(),
        .budget_cost_micros = random_integer(),
    };
}

static void random_call(struct world *world) {
    oc_engine *engine = world->engine;
    oc_text items[3][8];
    oc_device devices[2];
    oc_warm_session sessions[2];
    world->now_us += random_number() % 3 == 0 ? random_number() % 1000000 : 0;
    uint64_t now_us = random_number() % 32 == 0 ? random_number() : world->now_us;
    // The far future would be the end of it.
    now_us = now_us > world->now_us ? world->now_us : now_us;
    oc_text id = random_text();
    uint32_t number = (uint32_t)(random_number() % 5);
    switch (random_number() % 14) {
    case 0: case 1: {
        oc_pool pool = random_pool(items, devices, sessions);
        oc_upsert_pool(engine, now_us, &pool);
        break;
    }
    case 2: case 3: case 4: {
        oc_job job = random_job(items);
        oc_answer answer = {.struct_bytes = sizeof answer};
        oc_submit(engine, now_us, &job, &answer);
        break;
    }
    case 5: {
        oc_job job = random_job(items);
        oc_explanation explanation = {.struct_bytes = sizeof explanation};
        oc_explain(engine, &job, &explanation);
        break;
    }
    case 6: oc_started(engine, now_us, id); break;
    case 7: oc_first_token(engine, now_us, id); break;
    case 8: oc_progress(engine, now_us, id, number); break;
    case 9: oc_finished(engine, now_us, id, number); break;
    case 10: oc_failed(engine, now_us, id, number, number); break;
    case 11: oc_cancel(engine, now_us, id, number); break;
    case 12: oc_drain_pool(engine, now_us, id, random_text(), number % 3); break;
    default: oc_tick(engine, now_us);
    }
    // Now and then nobody asks what is to be done.
    if (random_number() % 8 != 0) {
        actions(engine);
    }
}

static void anything(void) {
    struct world world = small_world();
    for (int call = 0; call < 200000; call++) {
        random_call(&world);
    }
    oc_status status = {.struct_bytes = sizeof status};
    EXPECT(OC_OK, oc_get_status(world.engine, &status));
    EXPECT(1, status.inputs > 10000);
    end(&world);
}

int main(void) {
    // The first text that is printed takes a buffer; it must not count.
    printf("hostile calls\n");
    struct mallinfo2 before = mallinfo2();
    handles();
    memory();
    policies();
    bad_prices();
    prices();
    struct_sizes();
    null_pointers();
    texts();
    lists();
    numbers();
    code_texts();
    full_fleet();
    full_queue();
    full_sessions();
    lives();
    buffers();
    states();
    anything();
    struct mallinfo2 after = mallinfo2();
    EXPECT(before.uordblks, after.uordblks);
    EXPECT(before.arena, after.arena);
    printf("%d checks, %d failures\n", checks, failures);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
