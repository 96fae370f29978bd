/* SPDX-License-Identifier: Apache-2.0 */
/* An optimizer of the caller's own, between sgp_mixer_hold and a step: the same bits as the mixer's own update, and every
 * wrong call is refused and changes nothing. */
#include "worker_ranks.h"

#include "mixing/mixer_core.h"
#include "mixing/progress_thread.h"

#include <math.h>
#include <string.h>

enum { SIZE = 5, COUNT = 300, BUFFERS = 33, STEPS = 12, LARGE = (1 << 18) + 100 };

#define RATE 0.05f

typedef enum mode { FUSED, HELD, UNHELD } held_mode_t;

typedef struct run {
    sgp_mixer_options_t options;
    float momentum;
    held_mode_t mode;
    int steps;
    /* Results, by rank. */
    float *z[16], *mean[16]; /* (P + S) at the end */
    double moved[16];        /* sum over steps and parameters of what the steps took from x */
    double start[16];        /* sum of the parameters at the start */
    sgp_mixer_statistics_t statistics[16];
    sgp_mixer_consensus_t consensus[16];
} run_t;

static float start_of(int node, size_t i) {
    return (float)(node + 1) * 0.5f + (float)(i % 7) * 0.25f;
}

static void take_gradient(const float *z, size_t count, int rank, int step, float *gradient) {
    for (size_t i = 0; i < count; i++)
        gradient[i] =
            0.3f * (z[i] - (float)(rank * rank % 7)) + 0.1f * (float)((step + (int)i) % 5);
}

/* By hand as a caller would, or with an optimizer's state. */
static void update_by_hand(sgp_mixer_t *mixer, const run_t *run, sgp_optimizer_t *optimizer,
                           const float *gradient) {
    sgp_mixer_statistics_t statistics;
    float *z = sgp_mixer_parameters(mixer);
    sgp_mixer_statistics(mixer, &statistics);
    float rate = (float)(RATE / statistics.weight);
    if (run->momentum > 0) sgp_optimizer_step(optimizer, z, gradient, rate);
    else
        for (size_t i = 0; i < run->options.count; i++) z[i] -= rate * gradient[i];
}

static sgp_status_t one_step(sgp_mixer_t *mixer, const run_t *run, sgp_optimizer_t *optimizer,
                             const float *gradient) {
    if (run->mode == FUSED) return sgp_mixer_step(mixer, optimizer, gradient, RATE);
    if (run->mode == HELD) CHECK(sgp_mixer_hold(mixer) == SGP_OK);
    update_by_hand(mixer, run, optimizer, gradient);
    return sgp_mixer_step(mixer, NULL, NULL, RATE);
}

static void train(sgp_group_t *nodes, sgp_group_t *workers, int node, int rank, run_t *run) {
    sgp_mixer_options_t options = run->options;
    size_t count = options.count, length = count + options.buffers;
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    sgp_optimizer_options_t kind = {.count = count, .momentum = run->momentum};
    float *gradient = calloc(count, sizeof *gradient), *initial = calloc(length, sizeof *initial);
    run->z[rank] = malloc(length * sizeof(float));
    run->mean[rank] = malloc(length * sizeof(float));
    for (size_t i = 0; i < length; i++) initial[i] = start_of(node, i);
    for (size_t i = 0; i < count; i++) run->start[rank] += (double)initial[i];
    options.workers = workers;
    CHECK(sgp_optimizer_create(&kind, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(nodes, &options, initial, &mixer) == SGP_OK);
    for (int step = 0; step < run->steps; step++) {
        take_gradient(sgp_mixer_parameters(mixer), count, rank, step, gradient);
        for (size_t i = 0; i < options.buffers; i++)
            sgp_mixer_buffers(mixer)[i] += 0.125f * (float)(rank + 1);
        for (size_t i = 0; i < count; i++) run->moved[rank] += (double)RATE * (double)gradient[i];
        CHECK(one_step(mixer, run, optimizer, gradient) == SGP_OK);
    }
    sgp_mixer_statistics(mixer, &run->statistics[rank]);
    CHECK(sgp_mixer_average(mixer, run->mean[rank], &run->consensus[rank]) == SGP_OK);
    memcpy(run->z[rank], sgp_mixer_parameters(mixer), length * sizeof(float));
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    free(gradient);
    free(initial);
}

static void train_node(sgp_group_t *group, void *context) {
    train(group, NULL, sgp_group_rank(group), sgp_group_rank(group), context);
}

static void train_worker(const workers_place_t *place, void *context) {
    train(place->nodes, place->workers, place->node, place->rank, context);
}

static ranks_setup_t virtual_time(uint64_t seed) {
    return (ranks_setup_t){.loopback = {.size = SIZE,
                                        .chunk_bytes = 64,
                                        .virtual_time = true,
                                        .seed = seed,
                                        .delay_min_ns = 1000,
                                        .delay_max_ns = 20000000}};
}

static run_t *run_mode(const ranks_setup_t *setup, const run_t *what, held_mode_t mode) {
    run_t *run = malloc(sizeof *run);
    *run = *what;
    run->mode = mode;
    if (!run->steps) run->steps = STEPS;
    run_groups(setup, train_node, run);
    return run;
}

static void free_run(run_t *run) {
    for (int r = 0; r < 16; r++) free(run->z[r]), free(run->mean[r]);
    free(run);
}

static void check_same(const run_t *a, const run_t *b, int ranks) {
    size_t bytes = (a->options.count + a->options.buffers) * sizeof(float);
    for (int r = 0; r < ranks; r++) {
        assert_memory_equal(a->z[r], b->z[r], bytes);
        assert_memory_equal(a->mean[r], b->mean[r], bytes);
        assert_true(a->statistics[r].weight == b->statistics[r].weight);
        assert_true(a->statistics[r].sent == b->statistics[r].sent);
        assert_true(a->statistics[r].received == b->statistics[r].received);
        assert_true(a->consensus[r].drift < 1e-5 && b->consensus[r].drift < 1e-5);
    }
}

/* ---- the bits ---- */

/* Where a step with an optimizer and one without do the same arithmetic. */
static const run_t same[] = {
    {.options = {.algorithm = SGP_ALGORITHM_SGP}},
    {.options = {.algorithm = SGP_ALGORITHM_SGP, .buffers = BUFFERS}, .momentum = 0.9f},
    {.options = {.encoding = SGP_ENCODING_BFLOAT16, .buffers = BUFFERS}},
    {.options = {.graph.kind = SGP_GRAPH_RANDOM_UNEVEN}},
    {.options = {.local_steps = 3, .buffers = BUFFERS}},
    {.options = {.rounds = 3, .encoding = SGP_ENCODING_BFLOAT16, .buffers = BUFFERS}},
    {.options = {.slow_every = 4, .slow_momentum = 0.5f, .buffers = BUFFERS}},
    {.options = {.slow_every = 4, .slow_momentum = 0.5f, .slow_alone = true}},
    {.options = {.overlap = 1}},
    {.options = {.overlap = 1, .buffers = BUFFERS}, .momentum = 0.9f},
    {.options = {.overlap = 2, .graph.kind = SGP_GRAPH_COMPLETE, .buffers = BUFFERS}},
    {.options = {.overlap = 2, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN}, .momentum = 0.9f},
    {.options = {.overlap = 1, .encoding = SGP_ENCODING_BFLOAT16, .buffers = BUFFERS}},
    {.options = {.overlap = 2, .encoding = SGP_ENCODING_FLOAT16, .local_steps = 2}},
    {.options = {.overlap = 1, .encoding = SGP_ENCODING_INT8, .buffers = BUFFERS}},
    {.options = {.overlap = 1, .slow_every = 3, .slow_momentum = 0.5f, .buffers = BUFFERS}},
    {.options = {.overlap = 2, .slow_every = 3, .slow_momentum = 0.5f, .slow_alone = true}},
    {.options = {.overlap = SGP_OVERLAP_ASYNC, .buffers = BUFFERS}},
    {.options = {.overlap = SGP_OVERLAP_ASYNC, .encoding = SGP_ENCODING_FLOAT16}},
    {.options = {.overlap = SGP_OVERLAP_ASYNC, .local_steps = 2}, .momentum = 0.9f},
    {.options = {.algorithm = SGP_ALGORITHM_DPSGD, .buffers = BUFFERS}},
    {.options = {.algorithm = SGP_ALGORITHM_DPSGD, .encoding = SGP_ENCODING_FLOAT16}},
    {.options = {.algorithm = SGP_ALGORITHM_ALLREDUCE, .local_steps = 2, .buffers = BUFFERS}},
    {.options = {.algorithm = SGP_ALGORITHM_ALLREDUCE,
                 .local_steps = 3,
                 .encoding = SGP_ENCODING_BFLOAT16}},
    {.options = {.local_steps = 2, .buffers = BUFFERS, .outer_lr = 0.7f, .outer_momentum = 0.8f},
     .momentum = 0.9f},
    {.options = {.algorithm = SGP_ALGORITHM_ALLREDUCE,
                 .local_steps = 2,
                 .buffers = BUFFERS,
                 .outer_lr = 0.7f,
                 .outer_momentum = 0.8f}},
    {.options = {.algorithm = SGP_ALGORITHM_ALLREDUCE,
                 .encoding = SGP_ENCODING_INT4,
                 .outer_lr = 0.7f,
                 .outer_momentum = 0.8f}},
};
enum { SAME = sizeof same / sizeof *same };

static void test_same_bits_as_with_an_optimizer(void **state) {
    (void)state;
    ranks_setup_t setup = virtual_time(3);
    for (int s = 0; s < SAME; s++) {
        run_t what = same[s];
        what.options.count = COUNT;
        run_t *fused = run_mode(&setup, &what, FUSED), *held = run_mode(&setup, &what, HELD);
        check_same(fused, held, SIZE);
        free_run(fused);
        free_run(held);
    }
}

/* A vector that a progress thread copies, over shared memory. */
static void test_same_bits_with_a_progress_thread(void **state) {
    (void)state;
    ranks_setup_t setup = {.shm = true, .loopback = {.size = 3}};
    for (int s = 0; s < SAME; s++) {
        run_t what = same[s];
        if (what.options.overlap <= 0) continue;
        what.options.count = LARGE;
        what.steps = 6;
        run_t *fused = run_mode(&setup, &what, FUSED), *held = run_mode(&setup, &what, HELD);
        check_same(fused, held, 3);
        free_run(fused);
        free_run(held);
    }
}

/* Biased pushes and all-reduce take z itself, so a hold changes nothing there. */
static void test_same_bits_as_without_a_hold(void **state) {
    (void)state;
    ranks_setup_t setup = virtual_time(4);
    static const sgp_mixer_options_t settings[] = {
        {.count = COUNT, .buffers = BUFFERS},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE, .buffers = BUFFERS},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = SGP_ENCODING_BFLOAT16},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1, .buffers = BUFFERS},
        {.count = COUNT, .slow_every = 4, .slow_momentum = 0.5f},
    };
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        run_t what = {.options = settings[s]};
        run_t *plain = run_mode(&setup, &what, UNHELD), *held = run_mode(&setup, &what, HELD);
        check_same(plain, held, SIZE);
        free_run(plain);
        free_run(held);
    }
}

/* ---- the sum ---- */

static double sum_of(const float *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)values[i];
    return sum;
}

/* The mean has moved by the mean of what the steps took. */
static void check_mean(const run_t *run, int ranks) {
    double expected = 0;
    for (int r = 0; r < ranks; r++) expected += (run->start[r] - run->moved[r]) / ranks;
    for (int r = 0; r < ranks; r++) {
        double found = sum_of(run->mean[r], run->options.count);
        if (fabs(found / expected - 1) > 1e-4) fail_msg("sum %.9g, expected %.9g", found, expected);
        assert_true(run->consensus[r].drift < 1e-5);
    }
}

/* Pairs average whenever they meet, and all-reduce rounds a mean of z where it rounds one of gradients. */
static void test_the_mean(void **state) {
    (void)state;
    static const sgp_mixer_options_t settings[] = {
        {.algorithm = SGP_ALGORITHM_ADPSGD, .buffers = BUFFERS},
        {.algorithm = SGP_ALGORITHM_ADPSGD, .encoding = SGP_ENCODING_FLOAT16},
        {.algorithm = SGP_ALGORITHM_ADPSGD, .local_steps = 2},
        {.algorithm = SGP_ALGORITHM_ALLREDUCE, .buffers = BUFFERS},
        {.algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = SGP_ENCODING_BFLOAT16},
        {.overlap = 1, .biased = true},
    };
    ranks_setup_t setups[] = {virtual_time(5), {.shm = true, .loopback = {.size = SIZE}}};
    for (size_t s = 0; s < 2 * sizeof settings / sizeof *settings; s++) {
        run_t what = {.options = settings[s / 2]};
        what.options.count = COUNT;
        run_t *held = run_mode(&setups[s % 2], &what, HELD);
        if (!what.options.biased) check_mean(held, SIZE);
        free_run(held);
    }
}

/* ---- workers ---- */

/* The workers of a node average their changes of z; they hold the same z, and all of the mass is there. */
static void test_workers(void **state) {
    (void)state;
    static const sgp_mixer_options_t settings[] = {
        {.count = COUNT},
        {.count = COUNT, .overlap = 1, .encoding = SGP_ENCODING_BFLOAT16},
        {.count = COUNT, .overlap = SGP_OVERLAP_ASYNC},
        {.count = COUNT, .overlap = SGP_OVERLAP_ASYNC, .encoding = SGP_ENCODING_FLOAT16},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_ADPSGD},
    };
    workers_setup_t setup = {.nodes = 3, .workers = 2, .chunk_bytes = 64};
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        run_t run = {.options = settings[s], .mode = HELD, .steps = STEPS};
        run_workers(&setup, train_worker, &run);
        for (int r = 0; r < 6; r++)
            assert_memory_equal(run.z[r], run.z[r / 2 * 2], COUNT * sizeof(float));
        if (settings[s].overlap != SGP_OVERLAP_ASYNC) check_mean(&run, 6);
        for (int r = 0; r < 6; r++) assert_true(run.consensus[r].drift < 1e-5);
        for (int r = 0; r < 6; r++) free(run.z[r]), free(run.mean[r]);
    }
}

/* ---- calls while held ---- */

static void change_while_held(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer) {
    float gradient[COUNT] = {0}, change[COUNT], before[COUNT], average[COUNT];
    float *z = sgp_mixer_parameters(mixer);
    sgp_mixer_statistics_t statistics;
    CHECK(sgp_mixer_hold(mixer) == SGP_OK);
    memcpy(before, z, sizeof before);
    sgp_mixer_options_t other = {.count = COUNT};
    CHECK(sgp_mixer_hold(mixer) == SGP_ERR_INVALID);
    CHECK(strstr(sgp_last_error(), "held already") != NULL);
    CHECK(sgp_mixer_step(mixer, optimizer, gradient, RATE) == SGP_ERR_INVALID);
    CHECK(strstr(sgp_last_error(), "a step without an optimizer ends the hold") != NULL);
    CHECK(sgp_mixer_average(mixer, average, NULL) == SGP_ERR_INVALID);
    CHECK(strstr(sgp_last_error(), "average: the mixer is held") != NULL);
    CHECK(sgp_mixer_switch(mixer, &other) == SGP_ERR_INVALID);
    CHECK(strstr(sgp_last_error(), "switch: the mixer is held") != NULL);
    CHECK(!memcmp(before, z, sizeof before));
    sgp_mixer_statistics(mixer, &statistics);
    for (int i = 0; i < COUNT; i++) z[i] += 1, change[i] = 0.5f;
    CHECK(sgp_mixer_add(mixer, 0, COUNT, change) == SGP_OK);
    CHECK(fabs(statistics.weight * (z[7] - before[7] - 1) - 0.5) < 1e-5);
    for (int i = 0; i < COUNT; i++) z[i] -= 1;
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
}

static void hold_often(sgp_group_t *group, void *context) {
    sgp_mixer_options_t options = *(const sgp_mixer_options_t *)context;
    float initial[COUNT], average[COUNT], gradient[COUNT] = {0};
    int rank = sgp_group_rank(group), size = sgp_group_size(group);
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    sgp_mixer_consensus_t consensus;
    options.count = COUNT;
    for (int i = 0; i < COUNT; i++) initial[i] = (float)rank;
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &options, initial, &mixer) == SGP_OK);
    for (int step = 0; step < STEPS; step++) {
        change_while_held(mixer, optimizer);
        /* Steps of each kind follow each other. */
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, RATE) == SGP_OK);
        CHECK(sgp_mixer_hold(mixer) == SGP_OK); /* for nothing */
        if (options.algorithm != SGP_ALGORITHM_ADPSGD) CHECK(sgp_group_barrier(group) == SGP_OK);
        CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    }
    CHECK(sgp_mixer_average(mixer, average, &consensus) == SGP_OK);
    double expected = (size - 1) / 2.0 + STEPS * 0.5;
    double tolerance = options.encoding > SGP_ENCODING_FLOAT32 ? 1e-3 : 1e-5;
    for (int i = 0; i < COUNT; i++) CHECK(fabs(average[i] / expected - 1) < tolerance);
    CHECK(consensus.drift < 1e-5);
    CHECK(sgp_mixer_switch(mixer, &(sgp_mixer_options_t){.count = COUNT}) == SGP_OK);
    CHECK(sgp_mixer_hold(mixer) == SGP_OK);
    sgp_mixer_destroy(mixer); /* while held */
    sgp_optimizer_destroy(optimizer);
}

static void test_calls_while_held(void **state) {
    (void)state;
    static const sgp_mixer_options_t settings[] = {
        {.algorithm = SGP_ALGORITHM_SGP},
        {.overlap = 2},
        {.overlap = 1, .encoding = SGP_ENCODING_FLOAT16},
        {.overlap = SGP_OVERLAP_ASYNC},
        {.algorithm = SGP_ALGORITHM_ADPSGD},
        {.algorithm = SGP_ALGORITHM_ALLREDUCE},
    };
    ranks_setup_t setups[] = {virtual_time(6), {.shm = true, .loopback = {.size = SIZE}}};
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING); /* the refusals are no news */
    for (size_t s = 0; s < 2 * sizeof settings / sizeof *settings; s++) {
        sgp_mixer_options_t options = settings[s / 2];
        run_groups(&setups[s % 2], hold_often, &options);
    }
    sgp_log_set(NULL, NULL, SGP_LOG_WARNING);
}

static void add_with_workers(const workers_place_t *place, void *context) {
    sgp_mixer_options_t options = *(const sgp_mixer_options_t *)context;
    float change[COUNT], average[COUNT];
    sgp_mixer_t *mixer = NULL;
    options.count = COUNT;
    options.workers = place->workers;
    CHECK(sgp_mixer_create(place->nodes, &options, NULL, &mixer) == SGP_OK);
    for (int i = 0; i < COUNT; i++) change[i] = (float)(place->node + 1);
    for (int step = 0; step < STEPS; step++) {
        CHECK(sgp_mixer_hold(mixer) == SGP_OK);
        CHECK(sgp_mixer_add(mixer, 10, COUNT - 10, change) == SGP_OK);
        CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    }
    CHECK(sgp_mixer_average(mixer, average, NULL) == SGP_OK);
    for (int i = 0; i < COUNT; i++)
        CHECK(fabs(average[i] - (i < 10 ? 0 : STEPS * 2.0)) < 1e-3); /* of nodes 1, 2, 3 */
    sgp_mixer_destroy(mixer);
}

static void test_add_while_held_by_workers(void **state) {
    (void)state;
    static const sgp_mixer_options_t settings[] = {
        {.algorithm = SGP_ALGORITHM_SGP},
        {.overlap = 1},
        {.overlap = SGP_OVERLAP_ASYNC},
        {.algorithm = SGP_ALGORITHM_ADPSGD},
    };
    workers_setup_t setup = {.nodes = 3, .workers = 2, .chunk_bytes = 64};
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        sgp_mixer_options_t options = settings[s];
        run_workers(&setup, add_with_workers, &options);
    }
}

/* ---- slow momentum, numbers that are not finite ---- */

static void outer_update_without_a_rate(sgp_group_t *group, void *context) {
    (void)context;
    static const float bad[] = {0, -1, INFINITY, NAN};
    sgp_mixer_options_t options = {
        .count = COUNT, .overlap = 1, .slow_every = 2, .slow_momentum = 0.5f};
    sgp_mixer_t *mixer = NULL;
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    for (int step = 0; step < 6; step++) {
        CHECK(sgp_mixer_hold(mixer) == SGP_OK);
        for (int b = 0; b < 4 && step % 2 == 1; b++) {
            CHECK(sgp_mixer_step(mixer, NULL, NULL, bad[b]) == SGP_ERR_INVALID);
            CHECK(strstr(sgp_last_error(), "outer update (slow momentum) is due") != NULL);
            CHECK(mixer->held);
        }
        CHECK(sgp_mixer_step(mixer, NULL, NULL, step % 2 == 1 ? RATE : 0) == SGP_OK);
    }
    sgp_mixer_destroy(mixer);
}

static void not_finite(sgp_group_t *group, void *context) {
    sgp_mixer_options_t options = *(const sgp_mixer_options_t *)context;
    sgp_mixer_t *mixer = NULL;
    options.count = COUNT;
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    CHECK(sgp_mixer_hold(mixer) == SGP_OK);
    if (options.algorithm != SGP_ALGORITHM_ADPSGD) { /* no partner answers once it has failed */
        CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
        CHECK(sgp_mixer_hold(mixer) == SGP_OK);
    }
    sgp_mixer_parameters(mixer)[COUNT - 3] = NAN;
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_ERR_NOT_FINITE);
    sgp_mixer_destroy(mixer);
}

static void test_refused_ends(void **state) {
    (void)state;
    ranks_setup_t setup = virtual_time(7);
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    run_groups(&setup, outer_update_without_a_rate, NULL);
    sgp_log_set(NULL, NULL, SGP_LOG_WARNING);
    static const sgp_mixer_options_t settings[] = {
        {.algorithm = SGP_ALGORITHM_SGP},
        {.overlap = 1},
        {.overlap = 1, .encoding = SGP_ENCODING_BFLOAT16},
        {.overlap = 2, .local_steps = 2},
        {.overlap = SGP_OVERLAP_ASYNC},
        {.algorithm = SGP_ALGORITHM_ADPSGD},
    };
    setup = (ranks_setup_t){.loopback = {.size = 4, .chunk_bytes = 64}};
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        sgp_mixer_options_t options = settings[s];
        run_groups(&setup, not_finite, &options);
    }
}

/* ---- who pushes ---- */

/* After a hold the step hands the vector over, and without one it copies the vector itself. */
static void who_pushes(sgp_group_t *group, void *context) {
    (void)context;
    sgp_mixer_options_t options = {.count = LARGE, .overlap = 1};
    sgp_mixer_t *mixer = NULL;
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    for (int hold = 0; hold < 2; hold++) {
        uint64_t before = mixer->transport->next_id;
        mixer->progress->left = SGP_WORK_WAITS; /* until it gets work */
        if (hold) CHECK(sgp_mixer_hold(mixer) == SGP_OK);
        CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
        sgp_transport_lock(mixer->transport);
        CHECK((mixer->progress->left == SGP_WORK_WAITS) == !hold);
        sgp_transport_unlock(mixer->transport);
        CHECK(hold || mixer->transport->next_id == before + 1);
    }
    CHECK(sgp_group_barrier(group) == SGP_OK);
    sgp_mixer_destroy(mixer);
}

static void test_who_pushes(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 2}};
    run_groups(&setup, who_pushes, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits_as_with_an_optimizer),
        cmocka_unit_test(test_same_bits_with_a_progress_thread),
        cmocka_unit_test(test_same_bits_as_without_a_hold),
        cmocka_unit_test(test_the_mean),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_calls_while_held),
        cmocka_unit_test(test_add_while_held_by_workers),
        cmocka_unit_test(test_refused_ends),
        cmocka_unit_test(test_who_pushes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
