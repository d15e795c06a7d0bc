// A node agent: reads what happens from standard input, a line each, and prints what is to be done.
//
//   pool now_us id=… engine=… slots=TOTAL/FREE vram=TOTAL/FREE [replica=…] [rate=…] [first_token_ms=…] [prefill=…]
//        [load_ms=…] [age_ms=…] [ctx=…] [models=a,b] [resident=a,b] [labels=k:v,k:v] [warm=session:tokens,…] [not_ready]
//   submit now_us id=… engine=… model=… [interactive] [prompt=…] [expected=…] [max=…] [vram=…] [kv=…] [session=…]
//        [tenant=…] [deadline_ms=…] [pin=…] [prefer=a,b] [avoid=a,b] [seed=…]
//   started|first_token now_us id=…       progress|finished now_us id=… tokens=…
//   failed now_us id=… tokens=… cause=N   cancel now_us id=… [cause=N]
//   drain|undrain|remove now_us id=… [replica=…]
//   end_session now_us id=…               tick now_us
//   explain now_us (as submit)            status
//
// A real agent reads the clock and its engines instead, and calls `oc_tick` no later than `oc_next_wakeup` says.

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator_core.h"

enum { LINE_BYTES = 4096, FIELDS = 32, ITEMS = 16 };

// The fields of a line: `key=value`, or a key alone. They point into the line.
struct fields {
    const char *keys[FIELDS];
    char *values[FIELDS];
    size_t count;
};

// A field's value; null where it is absent.
static char *find(const struct fields *fields, const char *key) {
    for (size_t at = 0; at < fields->count; at++) {
        if (strcmp(fields->keys[at], key) == 0) {
            return fields->values[at];
        }
    }
    return NULL;
}

static oc_text text_of(const char *text) {
    return (oc_text){text, text == NULL ? 0 : strlen(text)};
}

static oc_text text(const struct fields *fields, const char *key) {
    return text_of(find(fields, key));
}

static int64_t integer(const struct fields *fields, const char *key) {
    const char *value = find(fields, key);
    return value == NULL ? 0 : strtoll(value, NULL, 10);
}

static uint32_t small(const struct fields *fields, const char *key) {
    const char *value = find(fields, key);
    return value == NULL ? 0 : (uint32_t)strtoul(value, NULL, 10);
}

static double real(const struct fields *fields, const char *key) {
    const char *value = find(fields, key);
    return value == NULL ? 0.0 : strtod(value, NULL);
}

static uint32_t flag_if(const struct fields *fields, const char *key, uint32_t flag) {
    return find(fields, key) == NULL ? 0 : flag;
}

// Cuts `a,b,c` into texts; what does not fit is left out.
static oc_texts list(const struct fields *fields, const char *key, oc_text items[ITEMS]) {
    size_t count = 0;
    char *rest = find(fields, key);
    while (rest != NULL && *rest != '\0' && count < ITEMS) {
        size_t bytes = strcspn(rest, ",");
        items[count++] = (oc_text){rest, bytes};
        rest += bytes + (rest[bytes] == ',');
    }
    return (oc_texts){items, count};
}

// Cuts an item in two at the first colon.
static oc_text cut(oc_text *item) {
    const char *colon = memchr(item->data, ':', item->bytes);
    size_t first = colon == NULL ? item->bytes : (size_t)(colon - item->data);
    oc_text second = {item->data + first, item->bytes - first};
    if (second.bytes > 0) {
        second.data++;
        second.bytes--;
    }
    item->bytes = first;
    return second;
}

// Reads `TOTAL/FREE`.
static void total_and_free(const struct fields *fields, const char *key, int64_t *total, int64_t *free_part) {
    char *end = find(fields, key);
    if (end != NULL) {
        *total = strtoll(end, &end, 10);
        *free_part = *end == '/' ? strtoll(end + 1, NULL, 10) : *total;
    }
}

static void print_text(oc_text text) {
    if (text.bytes > 0) {
        fwrite(text.data, 1, text.bytes, stdout);
    }
}

static void print_pool(oc_text pool_id, oc_text replica_id) {
    print_text(pool_id);
    if (replica_id.bytes > 0) {
        putchar('/');
        print_text(replica_id);
    }
}

static void print_refusal(const oc_refusal *refusal) {
    print_text(refusal->code_name);
    if (refusal->flags & OC_REFUSAL_HAS_REJECTION) {
        printf(" (");
        print_text(refusal->rejection_name);
        printf(")");
    }
    if (refusal->flags & OC_REFUSAL_HAS_RETRY_AFTER) {
        printf(", retry after %" PRIu64 " ms", refusal->retry_after_ms);
    }
}

static void print_action(uint64_t now_us, const oc_action *action) {
    printf("%" PRIu64 " ", now_us);
    switch (action->kind) {
    case OC_ACTION_DISPATCH:
        printf("dispatch ");
        print_text(action->job_id);
        printf(" to ");
        print_pool(action->pool_id, action->replica_id);
        if (action->flags & OC_ACTION_HAS_PREDICTED_END) {
            printf(", end in %" PRIu64 " us", action->predicted_end_us);
        }
        puts(action->flags & OC_ACTION_KV_WARM ? ", warm" : "");
        break;
    case OC_ACTION_ABORT:
        printf("abort ");
        print_text(action->job_id);
        printf(" on ");
        print_pool(action->pool_id, action->replica_id);
        printf(", cause %" PRIu32 "\n", action->cause);
        break;
    case OC_ACTION_DROP:
        printf("drop ");
        print_text(action->job_id);
        printf(": ");
        print_refusal(&action->refusal);
        puts("");
        break;
    case OC_ACTION_REFRESH_SNAPSHOT:
        printf("refresh ");
        print_pool(action->pool_id, action->replica_id);
        printf(", attempt %" PRIu32 "\n", action->attempt);
        break;
    default:
        printf("unknown action %" PRIu32 "\n", action->kind);
    }
}

// Prints everything that is to be done.
static void act(oc_engine *engine, uint64_t now_us) {
    oc_action action = {.struct_bytes = sizeof action};
    while (oc_next_action(engine, &action) == OC_OK) {
        print_action(now_us, &action);
    }
}

static void print_problem(oc_engine *engine) {
    oc_problem problem = {.struct_bytes = sizeof problem};
    if (oc_last_problem(engine, &problem) == OC_OK && problem.kind != OC_PROBLEM_NONE) {
        printf(": ");
        print_text(problem.field);
        printf(": %s", oc_problem_kind_text(problem.kind));
        if (problem.limit > 0) {
            printf(" (%" PRIu64 "/%" PRIu32 ")", problem.limit, problem.limit_per_unit);
        }
    }
}

static oc_code upsert(oc_engine *engine, uint64_t now_us, const struct fields *fields) {
    oc_text models[ITEMS], resident[ITEMS], label_texts[ITEMS], warm_texts[ITEMS];
    oc_label labels[ITEMS];
    oc_warm_session warm[ITEMS];
    oc_texts label_list = list(fields, "labels", label_texts);
    oc_texts warm_list = list(fields, "warm", warm_texts);
    for (size_t at = 0; at < label_list.count; at++) {
        labels[at].value = cut(&label_texts[at]);
        labels[at].key = label_texts[at];
    }
    for (size_t at = 0; at < warm_list.count; at++) {
        oc_text tokens = cut(&warm_texts[at]);
        warm[at] = (oc_warm_session){warm_texts[at], strtoll(tokens.data, NULL, 10)};
    }
    oc_pool pool = {
        .struct_bytes = sizeof pool,
        .flags = flag_if(fields, "rate", OC_POOL_HAS_PERF_TOKENS_PER_S) |
                 flag_if(fields, "first_token_ms", OC_POOL_HAS_FIRST_TOKEN) |
                 flag_if(fields, "prefill", OC_POOL_HAS_PREFILL_TOKENS_PER_S) |
                 flag_if(fields, "ctx", OC_POOL_HAS_CTX_MAX) | flag_if(fields, "models", OC_POOL_HAS_MODELS) |
                 flag_if(fields, "resident", OC_POOL_HAS_RESIDENT_MODELS) |
                 flag_if(fields, "not_ready", OC_POOL_NOT_READY),
        .id = text(fields, "id"),
        .replica_id = text(fields, "replica"),
        .engine = text(fields, "engine"),
        .ctx_max = integer(fields, "ctx"),
        .perf_tokens_per_s = real(fields, "rate"),
        .first_token_ms = real(fields, "first_token_ms"),
        .prefill_tokens_per_s = real(fields, "prefill"),
        .model_load_ms = real(fields, "load_ms"),
        .age_ms = real(fields, "age_ms"),
        .models = list(fields, "models", models),
        .resident_models = list(fields, "resident", resident),
        .labels = {labels, label_list.count},
        .warm_sessions = warm,
        .warm_session_count = warm_list.count,
    };
    total_and_free(fields, "slots", &pool.slots_total, &pool.slots_free);
    total_and_free(fields, "vram", &pool.vram_total_bytes, &pool.vram_free_bytes);
    return oc_upsert_pool(engine, now_us, &pool);
}

struct job {
    oc_job job;
    oc_text prefer[ITEMS], avoid[ITEMS];
};

static void read_job(const struct fields *fields, struct job *into) {
    into->job = (oc_job){
        .struct_bytes = sizeof into->job,
        .flags = flag_if(fields, "expected", OC_JOB_HAS_EXPECTED_TOKENS) |
                 flag_if(fields, "max", OC_JOB_HAS_MAX_TOKENS) | flag_if(fields, "kv", OC_JOB_HAS_EST_KV_BYTES) |
                 flag_if(fields, "deadline_ms", OC_JOB_HAS_DEADLINE) | flag_if(fields, "seed", OC_JOB_HAS_SEED),
        .priority = find(fields, "interactive") == NULL ? OC_PRIORITY_BATCH : OC_PRIORITY_INTERACTIVE,
        .id = text(fields, "id"),
        .engine = text(fields, "engine"),
        .model_id = text(fields, "model"),
        .session_id = text(fields, "session"),
        .tenant_id = text(fields, "tenant"),
        .prompt_tokens = integer(fields, "prompt"),
        .expected_tokens = integer(fields, "expected"),
        .max_tokens = integer(fields, "max"),
        .est_kv_bytes = integer(fields, "kv"),
        .deadline_ms = real(fields, "deadline_ms"),
        .min_vram_bytes = integer(fields, "vram"),
        .seed = integer(fields, "seed"),
        .pin_pool_id = text(fields, "pin"),
        .prefer_pools = list(fields, "prefer", into->prefer),
        .avoid_pools = list(fields, "avoid", into->avoid),
    };
}

static oc_code submit(oc_engine *engine, uint64_t now_us, const struct fields *fields, oc_answer *answer) {
    struct job job;
    read_job(fields, &job);
    return oc_submit(engine, now_us, &job.job, answer);
}

static void explain(oc_engine *engine, const struct fields *fields) {
    struct job job;
    read_job(fields, &job);
    char words[1024] = "";
    size_t needed = 0;
    oc_code code = oc_explain_text(engine, &job.job, words, sizeof words, &needed);
    printf("explain ");
    print_text(job.job.id);
    printf(": %s", oc_code_text(code));
    print_problem(engine);
    printf("\n%s", words);
}

static void print_status(oc_engine *engine) {
    oc_status status = {.struct_bytes = sizeof status};
    if (oc_get_status(engine, &status) == OC_OK) {
        printf("status: %" PRIu32 " pools, %" PRIu32 " jobs wait, %" PRIu32 " run, %" PRIu64 " inputs, digest %016" PRIx64
               "\n",
               status.pools, status.waiting_jobs, status.running_jobs, status.inputs, status.run_digest);
    }
}

// Cuts a line into a command, a time and fields. False where there is no command.
static bool cut_line(char *line, char **command, uint64_t *now_us, struct fields *fields) {
    *command = strtok(line, " \n");
    *now_us = 0;
    fields->count = 0;
    if (*command == NULL || **command == '#') {
        return false;
    }
    const char *time = strtok(NULL, " \n");
    *now_us = time == NULL ? 0 : strtoull(time, NULL, 10);
    for (char *field = strtok(NULL, " \n"); field != NULL && fields->count < FIELDS; field = strtok(NULL, " \n")) {
        char *equals = strchr(field, '=');
        fields->keys[fields->count] = field;
        fields->values[fields->count] = equals == NULL ? field + strlen(field) : equals + 1;
        if (equals != NULL) {
            *equals = '\0';
        }
        fields->count++;
    }
    return true;
}

static bool is(const char *command, const char *name) {
    return strcmp(command, name) == 0;
}

// Tells the engine what a line says; false where the line says nothing that it knows.
static bool tell(oc_engine *engine, const char *command, uint64_t now_us, const struct fields *fields, oc_code *code,
                 oc_answer *answer) {
    oc_text id = text(fields, "id");
    oc_text replica = text(fields, "replica");
    uint32_t tokens = small(fields, "tokens");
    if (is(command, "pool")) {
        *code = upsert(engine, now_us, fields);
    } else if (is(command, "submit")) {
        *code = submit(engine, now_us, fields, answer);
    } else if (is(command, "started")) {
        *code = oc_started(engine, now_us, id);
    } else if (is(command, "first_token")) {
        *code = oc_first_token(engine, now_us, id);
    } else if (is(command, "progress")) {
        *code = oc_progress(engine, now_us, id, tokens);
    } else if (is(command, "finished")) {
        *code = oc_finished(engine, now_us, id, tokens);
    } else if (is(command, "failed")) {
        *code = oc_failed(engine, now_us, id, small(fields, "cause"), tokens);
    } else if (is(command, "cancel")) {
        *code = oc_cancel(engine, now_us, id, small(fields, "cause"));
    } else if (is(command, "drain") || is(command, "undrain")) {
        *code = oc_drain_pool(engine, now_us, id, replica, is(command, "drain"));
    } else if (is(command, "remove")) {
        *code = oc_remove_pool(engine, now_us, id, replica);
    } else if (is(command, "end_session")) {
        *code = oc_end_session(engine, now_us, id);
    } else if (is(command, "tick")) {
        *code = oc_tick(engine, now_us);
    } else {
        return false;
    }
    return true;
}

static void run(oc_engine *engine) {
    char line[LINE_BYTES];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *command;
        uint64_t now_us;
        struct fields fields;
        oc_code code = OC_OK;
        if (!cut_line(line, &command, &now_us, &fields)) {
            continue;
        }
        if (is(command, "status")) {
            print_status(engine);
            continue;
        }
        if (is(command, "explain")) {
            explain(engine, &fields);
            continue;
        }
        printf("%" PRIu64 " %s", now_us, command);
        fputs(find(&fields, "id") == NULL ? "" : " ", stdout);
        print_text(text(&fields, "id"));
        oc_answer answer = {.struct_bytes = sizeof answer};
        if (tell(engine, command, now_us, &fields, &code, &answer)) {
            printf(": %s", oc_code_text(code));
            print_problem(engine);
            if (code == OC_REFUSED) {
                printf(": ");
                print_refusal(&answer.refusal);
            } else if (code == OC_OK && answer.queue_position > 0) {
                printf(", %" PRIu32 " jobs are served before it", answer.queue_position);
            }
            puts("");
            act(engine, now_us);
        } else {
            puts(": no such command");
        }
    }
}

int main(void) {
    oc_config config = {.struct_bytes = sizeof config, .waiting_jobs = 8, .running_jobs = 16, .sessions = 8};
    size_t bytes = 0;
    if (oc_memory_bytes(&config, &bytes) != OC_OK) {
        return EXIT_FAILURE;
    }
    // C11 wants a size that is a multiple of the alignment; `oc_memory_bytes` is one.
    void *memory = aligned_alloc(oc_memory_align(), bytes);
    oc_engine *engine = NULL;
    oc_problem problem = {.struct_bytes = sizeof problem};
    oc_code code = oc_init(memory, bytes, &config, &problem, &engine);
    if (code != OC_OK) {
        fprintf(stderr, "%s\n", oc_code_text(code));
        free(memory);
        return EXIT_FAILURE;
    }
    run(engine);
    free(memory);
    return EXIT_SUCCESS;
}
