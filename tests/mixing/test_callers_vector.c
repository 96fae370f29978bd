/* SPDX-License-Identifier: Apache-2.0 */
/* The vector in memory of the caller's: the same bits as in the mixer's own, nothing outside of it is touched, and it
 * stays the caller's. */
#include "ranks.h"

#include <sgp/mixer.h>
#include <string.h>
#include <sys/mman.h>

enum { SIZE = 4, COUNT = 16 * 1024, BUFFERS = 32, LENGTH = COUNT + BUFFERS, STEPS = 10 };

#define RATE 0.05f

typedef enum place { OWN, ANONYMOUS, SHARED, INSIDE, PLACES } place_t;

typedef struct run {
    sgp_mixer_options_t options;
    place_t place;
    bool in_place; /* the contents are the initial values */
    float z[SIZE][LENGTH], mean[SIZE][LENGTH];
} run_t;

/* Memory with a page before and behind the vector that faults; the vector ends where the page begins. */
typedef struct memory {
    unsigned char *base;
    size_t length;
    float *vector;
} memory_t;

enum { AROUND = 64 };

static memory_t map(int flags) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = LENGTH * sizeof(float);
    size_t whole = (bytes + page - 1) / page * page;
    memory_t memory = {.length = whole + 2 * page};
    memory.base = mmap(NULL, memory.length, PROT_NONE, flags | MAP_ANONYMOUS, -1, 0);
    CHECK(memory.base != MAP_FAILED);
    CHECK(mprotect(memory.base + page, whole, PROT_READ | PROT_WRITE) == 0);
    memory.vector = (float *)(void *)(memory.base + page + whole - bytes);
    return memory;
}

/* Between other numbers of the caller's. */
static memory_t inside(void) {
    memory_t memory = {.length = (LENGTH + 2 * AROUND) * sizeof(float)};
    memory.base = aligned_alloc(64, memory.length);
    memset(memory.base, 0x5a, memory.length);
    memory.vector = (float *)(void *)memory.base + AROUND;
    return memory;
}

static memory_t memory_of(place_t place) {
    if (place == ANONYMOUS) return map(MAP_PRIVATE);
    if (place == SHARED) return map(MAP_SHARED);
    return place == INSIDE ? inside() : (memory_t){0};
}

static void end_memory(place_t place, memory_t *memory) {
    if (place == ANONYMOUS || place == SHARED) munmap(memory->base, memory->length);
    if (place != INSIDE) return;
    size_t around = AROUND * sizeof(float);
    for (size_t i = 0; i < around; i++)
        CHECK(memory->base[i] == 0x5a && memory->base[memory->length - 1 - i] == 0x5a);
    free(memory->base);
}

static void make_steps(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, int rank, int steps) {
    static _Thread_local float gradient[COUNT];
    float *z = sgp_mixer_parameters(mixer);
    for (int step = 0; step < steps; step++) {
        for (int i = 0; i < COUNT; i++) gradient[i] = z[i] - (float)((rank * 3 + i) % 5);
        for (int i = 0; i < BUFFERS; i++) sgp_mixer_buffers(mixer)[i] += (float)rank;
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, RATE) == SGP_OK);
    }
}

static void body(sgp_group_t *group, void *context) {
    run_t *run = context;
    int rank = sgp_group_rank(group);
    static _Thread_local float initial[LENGTH];
    memory_t memory = memory_of(run->place);
    sgp_mixer_options_t options = run->options, other = {.count = 1, .overlap = 1};
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    options.vector = memory.vector;
    for (int i = 0; i < LENGTH; i++) initial[i] = (float)(rank + i % 11);
    if (run->in_place && memory.vector) memcpy(memory.vector, initial, sizeof initial);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &options, run->in_place && memory.vector ? NULL : initial,
                           &mixer) == SGP_OK);
    CHECK(run->place == OWN || sgp_mixer_parameters(mixer) == memory.vector);
    make_steps(mixer, optimizer, rank, STEPS);
    CHECK(sgp_mixer_switch(mixer, &other) == SGP_OK);
    CHECK(run->place == OWN || sgp_mixer_parameters(mixer) == memory.vector);
    make_steps(mixer, optimizer, rank, STEPS);
    CHECK(sgp_mixer_average(mixer, run->mean[rank], NULL) == SGP_OK);
    memcpy(run->z[rank], sgp_mixer_parameters(mixer), sizeof run->z[rank]);
    sgp_mixer_destroy(mixer);
    if (memory.vector) CHECK(!memcmp(memory.vector, run->z[rank], sizeof run->z[rank]));
    sgp_optimizer_destroy(optimizer);
    end_memory(run->place, &memory);
}

static const sgp_mixer_options_t settings[] = {
    {.algorithm = SGP_ALGORITHM_SGP},
    {.overlap = 1, .encoding = SGP_ENCODING_BFLOAT16},
    {.overlap = 2, .slow_every = 3, .slow_momentum = 0.5f},
    {.algorithm = SGP_ALGORITHM_DPSGD, .encoding = SGP_ENCODING_FLOAT16},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = SGP_ENCODING_BFLOAT16},
};

static void test_same_bits_as_in_memory_of_its_own(void **state) {
    (void)state;
    static run_t own, callers;
    ranks_setup_t setup = {.loopback = {.size = SIZE, .chunk_bytes = 4096}};
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++)
        for (place_t place = ANONYMOUS; place < PLACES; place++) {
            setup.shm = place == INSIDE;
            own = (run_t){.options = settings[s]};
            own.options.count = COUNT;
            own.options.buffers = BUFFERS;
            callers = own;
            callers.place = place;
            callers.in_place = place == SHARED;
            run_groups(&setup, body, &own);
            run_groups(&setup, body, &callers);
            assert_memory_equal(own.z, callers.z, sizeof own.z);
            assert_memory_equal(own.mean, callers.mean, sizeof own.mean);
        }
}

static void refuse(sgp_group_t *group, void *context) {
    static _Thread_local _Alignas(64) float memory[LENGTH];
    sgp_mixer_options_t options = {.count = COUNT, .buffers = BUFFERS - 16, .vector = memory + 8};
    sgp_mixer_t *mixer = NULL;
    char address[32];
    (void)context;
    memory[8] = 5;
    snprintf(address, sizeof address, "%p", (void *)options.vector);
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_ERR_INVALID && !mixer);
    CHECK(strstr(sgp_last_error(), "64-byte aligned") && strstr(sgp_last_error(), address));
    /* A failure leaves the contents alone. */
    static _Thread_local float initial[LENGTH] = {1};
    options.vector = memory;
    options.overlap = 1 << 30;
    memory[0] = 7;
    CHECK(sgp_mixer_create(group, &options, initial, &mixer) == SGP_ERR_NO_MEMORY && !mixer);
    CHECK(memory[0] == 7 && memory[8] == 5);
    options.overlap = 0;
    CHECK(sgp_mixer_create(group, &options, memory, &mixer) == SGP_OK); /* its own initial values */
    CHECK(memory[0] == 7 && sgp_mixer_parameters(mixer) == memory);
    sgp_mixer_destroy(mixer);
}

static void test_refused(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 2}};
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    run_groups(&setup, refuse, NULL);
    sgp_log_set(NULL, NULL, SGP_LOG_WARNING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits_as_in_memory_of_its_own),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
