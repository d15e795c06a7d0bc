// How much stack the calls need: each runs on a painted stack of its own, which is looked at afterwards.

#define _DEFAULT_SOURCE

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "orchestrator_core.h"

enum { STACK_BYTES = 4 << 20, PAINT = 0xA5 };

static void *memory;
static size_t memory_bytes;
static oc_engine *engine;

static void check(oc_code code) {
    if (code != OC_OK) {
        printf("%s\n", oc_code_text(code));
        exit(EXIT_FAILURE);
    }
}

static void *nothing(void *unused) {
    return unused;
}

static void *init(void *unused) {
    check(oc_init(memory, memory_bytes, NULL, NULL, &engine));
    return unused;
}

static void *upsert(void *unused) {
    oc_pool pool = {.struct_bytes = sizeof pool, .id = OC_TEXT("a"), .engine = OC_TEXT("e"), .slots_total = 1,
                    .slots_free = 1, .vram_total_bytes = 1LL << 30, .vram_free_bytes = 1LL << 30};
    check(oc_upsert_pool(engine, 0, &pool));
    return unused;
}

static void *act(void *unused) {
    oc_action action = {.struct_bytes = sizeof action};
    while (oc_next_action(engine, &action) == OC_OK) {
    }
    return unused;
}

static oc_job a_job(void) {
    return (oc_job){.struct_bytes = sizeof(oc_job), .id = OC_TEXT("j"), .engine = OC_TEXT("e"),
                    .model_id = OC_TEXT("m"), .session_id = OC_TEXT("s")};
}

static void *submit(void *unused) {
    oc_job job = a_job();
    check(oc_submit(engine, 0, &job, NULL));
    return unused;
}

static void *explain(void *unused) {
    oc_job job = a_job();
    oc_explanation explanation = {.struct_bytes = sizeof explanation};
    check(oc_explain(engine, &job, &explanation));
    return unused;
}

static void *finish(void *unused) {
    check(oc_finished(engine, 0, OC_TEXT("j"), 1));
    return unused;
}

// The bytes of stack that a thread touches, its start included.
static size_t touched(void *(*run)(void *)) {
    unsigned char *stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    pthread_attr_t attributes;
    pthread_t thread;
    if (stack == MAP_FAILED || pthread_attr_init(&attributes) != 0) {
        exit(EXIT_FAILURE);
    }
    memset(stack, PAINT, STACK_BYTES);
    if (pthread_attr_setstack(&attributes, stack, STACK_BYTES) != 0 ||
        pthread_create(&thread, &attributes, run, NULL) != 0 || pthread_join(thread, NULL) != 0) {
        exit(EXIT_FAILURE);
    }
    size_t untouched = 0;
    while (untouched < STACK_BYTES && stack[untouched] == PAINT) {
        untouched++;
    }
    munmap(stack, STACK_BYTES);
    return STACK_BYTES - untouched;
}

int main(void) {
    check(oc_memory_bytes(NULL, &memory_bytes));
    memory = aligned_alloc(oc_memory_align(), memory_bytes);
    static const struct {
        const char *name;
        void *(*run)(void *);
    } calls[] = {{"oc_init", init},       {"oc_upsert_pool", upsert}, {"oc_next_action", act},
                 {"oc_submit", submit},   {"oc_next_action", act},    {"oc_explain", explain},
                 {"oc_finished", finish}, {"oc_next_action", act}};
    size_t start = touched(nothing);
    for (size_t at = 0; at < sizeof calls / sizeof *calls; at++) {
        printf("%s %zu\n", calls[at].name, touched(calls[at].run) - start);
    }
    free(memory);
    return EXIT_SUCCESS;
}
