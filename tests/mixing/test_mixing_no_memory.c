/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation in making a mixer and averaging fails once; a step allocates nothing after the first ones. */
#include "failing_alloc.h"
#include "ranks.h"

#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"

#include <poll.h>
#include <string.h>

enum {
    NODES = 4,
    SMALL = 1000,
    LARGE = 1 << 19, /* large enough for a progress thread, and for memory from mmap */
};

typedef struct algorithm {
    const char *name;
    sgp_mixer_options_t options;
} algorithm_t;

static const algorithm_t algorithms[] = {
    {"sgp", {.count = SMALL, .buffers = 16}},
    {"rounds", {.count = SMALL, .buffers = 16, .rounds = 3}},
    {"sgp, overlap 1", {.count = LARGE, .overlap = 1}},
    {"osgp", {.count = SMALL, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 2}},
    {"async", {.count = SMALL, .overlap = SGP_OVERLAP_ASYNC}},
    {"bfloat16", {.count = SMALL, .encoding = SGP_ENCODING_BFLOAT16}},
    {"slow momentum", {.count = SMALL, .slow_every = 2, .slow_momentum = 0.5f}},
    {"dpsgd", {.count = SMALL, .algorithm = SGP_ALGORITHM_DPSGD}},
    {"adpsgd", {.count = SMALL, .algorithm = SGP_ALGORITHM_ADPSGD}},
    {"server", {.count = SMALL, .buffers = 16, .algorithm = SGP_ALGORITHM_SERVER}},
    {"allreduce", {.count = SMALL, .buffers = 16, .algorithm = SGP_ALGORITHM_ALLREDUCE}},
    {"allreduce, bfloat16",
     {.count = SMALL, .algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = SGP_ENCODING_BFLOAT16}},
    {"outer steps",
     {.count = SMALL,
      .algorithm = SGP_ALGORITHM_ALLREDUCE,
      .local_steps = 2,
      .outer_lr = 0.7f,
      .outer_momentum = 0.8f}},
};

enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

static bool has_parts(const sgp_mixer_options_t *options) {
    return options->overlap != SGP_OVERLAP_ASYNC && options->algorithm != SGP_ALGORITHM_ADPSGD &&
           options->algorithm != SGP_ALGORITHM_SERVER;
}

static sgp_loopback_t *make_hub(int size) {
    sgp_loopback_t *hub = NULL;
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = size}, &hub), SGP_OK);
    return hub;
}

static sgp_group_t *make_group(sgp_loopback_t *hub) {
    sgp_group_t *group = NULL;
    assert_int_equal(sgp_group_create(sgp_loopback_transport(hub, 0), 60000, &group), SGP_OK);
    return group;
}

/* ---- making ---- */

/* One node of several; none of them waits for the others in this call. If it fails the group is unchanged: the same mixer
 * can be made the next time. */
static void create(sgp_mixer_options_t options, bool worker) {
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_loopback_t *hub = make_hub(NODES), *inside = make_hub(2);
        sgp_group_t *group = make_group(hub), *workers = make_group(inside);
        sgp_mixer_t *mixer = NULL;
        if (worker) options.workers = workers;
        sgp_status_t status = FAILING(&failing, sgp_mixer_create(group, &options, NULL, &mixer));
        assert_true((status == SGP_OK) == (mixer != NULL));
        if (status != SGP_OK)
            assert_int_equal(sgp_mixer_create(group, &options, NULL, &mixer), SGP_OK);
        sgp_mixer_destroy(mixer);
        sgp_group_leave(workers);
        sgp_group_leave(group);
        sgp_loopback_destroy(inside);
        sgp_loopback_destroy(hub);
    }
}

static void test_create(void **state) {
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) create(algorithms[i].options, false);
}

static void test_create_for_a_worker(void **state) {
    (void)state;
    create(algorithms[0].options, true);
}

/* ---- averaging ---- */

/* A node that is alone, as the others of a larger group would wait for it. */
static void test_average(void **state) {
    (void)state;
    sgp_loopback_t *hub = make_hub(1);
    sgp_group_t *group = make_group(hub);
    float initial[SMALL], average[SMALL];
    for (size_t i = 0; i < SMALL; i++) initial[i] = (float)i;
    for (int i = 0; i < ALGORITHMS; i++) {
        sgp_mixer_options_t options = algorithms[i].options;
        options.count = SMALL;
        options.buffers = 0;
        failing_t failing = {0};
        while (failing_round(&failing)) {
            sgp_mixer_t *mixer = NULL;
            sgp_mixer_consensus_t consensus = {.w_total = -1};
            assert_int_equal(sgp_mixer_create(group, &options, initial, &mixer), SGP_OK);
            sgp_status_t status = FAILING(&failing, sgp_mixer_average(mixer, average, &consensus));
            assert_true((status == SGP_OK) == (consensus.w_total == 1));
            assert_int_equal(sgp_mixer_step(mixer, NULL, NULL, 0), SGP_OK);
            assert_int_equal(sgp_mixer_average(mixer, average, &consensus), SGP_OK);
            assert_memory_equal(average, initial, sizeof initial);
            sgp_mixer_destroy(mixer);
        }
    }
    sgp_group_leave(group);
    sgp_loopback_destroy(hub);
}

/* ---- a step in parts ---- */

/* Without memory no step begins, and the mixer goes on. */
static void test_begin(void **state) {
    (void)state;
    sgp_loopback_t *hub = make_hub(1);
    sgp_group_t *group = make_group(hub);
    float initial[SMALL];
    for (size_t i = 0; i < SMALL; i++) initial[i] = (float)i;
    for (int i = 0; i < ALGORITHMS; i++) {
        sgp_mixer_options_t options = algorithms[i].options;
        options.count = SMALL;
        options.buffers = 0;
        failing_t failing = {0};
        while (has_parts(&options) && failing_round(&failing)) {
            sgp_mixer_t *mixer = NULL;
            assert_int_equal(sgp_mixer_create(group, &options, initial, &mixer), SGP_OK);
            sgp_status_t status = FAILING(&failing, sgp_mixer_begin(mixer, NULL, NULL, 0));
            if (status == SGP_OK) {
                assert_int_equal(sgp_mixer_part(mixer, 0, SMALL), SGP_OK);
                assert_int_equal(sgp_mixer_end(mixer), SGP_OK);
            }
            assert_int_equal(sgp_mixer_step(mixer, NULL, NULL, 0), SGP_OK);
            assert_memory_equal(sgp_mixer_parameters(mixer), initial, sizeof initial);
            sgp_mixer_destroy(mixer);
        }
    }
    sgp_group_leave(group);
    sgp_loopback_destroy(hub);
}

/* ---- the progress thread ---- */

/* Begun with memory, the message needs none to leave. */
static void send_chunks(sgp_transport_t *transport, sgp_send_t *send) {
    for (void *place; (place = sgp_transport_send_next(transport, send));) {
        memset(place, 0, send->header.elements * sizeof(float));
        sgp_transport_send_commit(transport, send);
    }
}

/* Its node makes steps until one reports the error. */
static sgp_status_t step_until_it_fails(sgp_mixer_t *mixer) {
    enum { MOST = 60000 };
    sgp_status_t status = SGP_OK;
    for (int step = 0; step < MOST && status == SGP_OK; step++) {
        status = sgp_mixer_step(mixer, NULL, NULL, 0);
        poll(NULL, 0, 1);
    }
    return status;
}

/* Chunks that arrive while the node computes, and cannot be taken in, stay with the transport; the progress thread reports
 * that instead of trying forever. */
static void test_progress_thread(void **state) {
    (void)state;
    sgp_mixer_options_t options = {.count = SMALL, .overlap = SGP_OVERLAP_ASYNC};
    sgp_loopback_options_t two = {.size = 2, .chunk_bytes = 256};
    sgp_header_t header = {
        .kind = SGP_KIND_PUSH, .encoding = SGP_ENCODING_FLOAT32, .channel = 1, .count = SMALL};
    sgp_destination_t to = {.dst = 0, .weight = 1};
    sgp_loopback_t *hub = NULL;
    sgp_mixer_t *mixer = NULL;
    sgp_send_t send;
    assert_int_equal(sgp_loopback_create(&two, &hub), SGP_OK);
    sgp_group_t *group = make_group(hub);
    sgp_transport_t *other = sgp_loopback_transport(hub, 1);
    assert_int_equal(sgp_mixer_create(group, &options, NULL, &mixer), SGP_OK);
    assert_int_equal(sgp_mixer_step(mixer, NULL, NULL, 0), SGP_OK);
    assert_int_equal(sgp_transport_send_begin(other, &header, &to, 1, &send), SGP_OK);
    failing_t failing = {.every_thread = true};
    while (failing_round(&failing) &&
           failing.round < 3) { /* the third, where all allocations fail */
        failing_on(&failing);
        void *volatile any = malloc(1);
        free(any);
        failing_off(&failing);
    }
    failing_on(&failing);
    send_chunks(other, &send);
    sgp_status_t status = failing_check(&failing, step_until_it_fails(mixer));
    assert_int_equal(status, SGP_ERR_NO_MEMORY);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
    sgp_loopback_destroy(hub);
}

/* ---- steps ---- */

/* The memory of a transport and of the inbox grows while more messages are under way than ever before, and that depends on
 * time if no node waits. So the test makes steps until a block of them has allocated nothing. */
enum { BLOCK = 10, MOST_BLOCKS = 200 };

typedef struct steps {
    const sgp_mixer_options_t *options;
    bool in_parts;
    pthread_barrier_t together;
    int blocks;
    bool quiet; /* the last block has allocated nothing */
} steps_t;

static sgp_status_t step_in_parts(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                                  const float *gradient, size_t count) {
    sgp_status_t status = sgp_mixer_begin(mixer, optimizer, gradient, 0.1f);
    if (status == SGP_OK) status = sgp_mixer_part(mixer, count / 3, count - count / 3);
    if (status == SGP_OK) status = sgp_mixer_part(mixer, 0, count / 3);
    if (status == SGP_OK) status = sgp_mixer_end(mixer);
    return status == SGP_OK ? sgp_mixer_wait(mixer, 0, count) : status;
}

static void make_block(steps_t *steps, sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                       const float *gradient) {
    size_t before = failing_allocations();
    for (int step = 0; step < BLOCK; step++) {
        if (steps->in_parts)
            CHECK(step_in_parts(mixer, optimizer, gradient,
                                steps->options->count + steps->options->buffers) == SGP_OK);
        else CHECK(sgp_mixer_step(mixer, optimizer, gradient, 0.1f) == SGP_OK);
        pthread_barrier_wait(&steps->together);
    }
    if (mixer->rank == 0) steps->quiet = failing_allocations() == before;
    if (mixer->rank == 0) steps->blocks++;
    pthread_barrier_wait(&steps->together);
}

static void make_steps(sgp_group_t *group, void *context) {
    steps_t *steps = context;
    size_t count = steps->options->count;
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    sgp_optimizer_options_t plain = {.count = count, .momentum = 0.9f};
    float *gradient = calloc(count, sizeof *gradient);
    CHECK(sgp_optimizer_create(&plain, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, steps->options, NULL, &mixer) == SGP_OK);
    pthread_barrier_wait(&steps->together);
    while (!steps->quiet && steps->blocks < MOST_BLOCKS)
        make_block(steps, mixer, optimizer, gradient);
    CHECK(sgp_mixer_average(mixer, NULL, NULL) == SGP_OK);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    free(gradient);
}

static void steps_allocate_nothing(ranks_setup_t setup) {
    for (int i = 0; i < 2 * ALGORITHMS; i++) {
        steps_t steps = {.options = &algorithms[i / 2].options, .in_parts = i % 2};
        bool parts = has_parts(steps.options) && steps.options->slow_every == 0;
        if (steps.in_parts && !parts) continue;
        setup.loopback.size = NODES;
        pthread_barrier_init(&steps.together, NULL, NODES);
        run_groups(&setup, make_steps, &steps);
        pthread_barrier_destroy(&steps.together);
        if (!steps.quiet) fail_msg("%s: every %d steps allocate", algorithms[i / 2].name, BLOCK);
    }
}

static void test_steps_over_loopback(void **state) {
    (void)state;
    steps_allocate_nothing((ranks_setup_t){.loopback = {.chunk_bytes = 256}});
}

static void test_steps_over_shm(void **state) {
    (void)state;
    steps_allocate_nothing((ranks_setup_t){.shm = true});
}

static void test_steps_over_tcp(void **state) {
    (void)state;
    steps_allocate_nothing((ranks_setup_t){.tcp = true});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),          cmocka_unit_test(test_create_for_a_worker),
        cmocka_unit_test(test_average),         cmocka_unit_test(test_begin),
        cmocka_unit_test(test_progress_thread), cmocka_unit_test(test_steps_over_loopback),
        cmocka_unit_test(test_steps_over_shm),  cmocka_unit_test(test_steps_over_tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
