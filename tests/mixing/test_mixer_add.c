/* SPDX-License-Identifier: Apache-2.0 */
/* sgp_mixer_add changes the numerator by exactly the change, with every algorithm and at every weight. */
#include "worker_ranks.h"

#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"

#include <math.h>
#include <string.h>

enum {
    MOST = 8,
    STEPS = 12,
    FIRST = 7
}; /* FIRST: begin of the changed range; it ends 5 elements before the vector */

typedef struct trial {
    sgp_mixer_options_t options;
    bool optimizer; /* steps with one, and a gradient of 0; else the mixer steps without */
    /* Results. */
    double mean[MOST]
               [2]; /* of the average: an element outside the range, and the mean of those inside */
    double spread[MOST];      /* largest distance of an element inside from that mean */
    double weight_off[MOST];  /* largest |w - 1| when something was added */
    double added_wrong[MOST]; /* largest |w (z' - z) - change| of a call */
    sgp_mixer_consensus_t consensus[MOST];
} trial_t;

/* A change with a sum over the nodes that is not 0. */
static float change_of(int rank, int step) {
    return (float)(rank + 1) * 0.25f + (float)(step % 3) * 0.5f;
}

static size_t range_of(const sgp_mixer_options_t *options) {
    return options->count + options->buffers - FIRST - 5;
}

static void add_once(sgp_mixer_t *mixer, trial_t *trial, int rank, int step) {
    size_t count = range_of(&trial->options), last = FIRST + count - 1;
    float *change = malloc(count * sizeof *change), *z = sgp_mixer_parameters(mixer);
    for (size_t i = 0; i < count; i++) change[i] = change_of(rank, step);
    double before = mixer->w * z[last];
    CHECK(sgp_mixer_add(mixer, FIRST, count, change) == SGP_OK);
    double off = fabs(mixer->w * z[last] - before - change[0]);
    trial->added_wrong[rank] = fmax(trial->added_wrong[rank], off);
    trial->weight_off[rank] = fmax(trial->weight_off[rank], fabs(mixer->w - 1));
    free(change);
}

static void keep_results(const float *average, trial_t *trial, int rank) {
    size_t count = range_of(&trial->options);
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += average[FIRST + i];
    trial->mean[rank][0] = average[0];
    trial->mean[rank][1] = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        trial->spread[rank] =
            fmax(trial->spread[rank], fabs(average[FIRST + i] - trial->mean[rank][1]));
    CHECK(average[FIRST - 1] == average[0] || trial->options.encoding > SGP_ENCODING_FLOAT32 ||
          trial->options.algorithm == SGP_ALGORITHM_ADPSGD);
}

static void body(sgp_group_t *group, void *context) {
    trial_t *trial = context;
    int rank = sgp_group_rank(group);
    size_t length = trial->options.count + trial->options.buffers;
    float *numbers = malloc(length * sizeof *numbers), *zeros = calloc(length, sizeof *zeros);
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    for (size_t i = 0; i < length; i++) numbers[i] = (float)rank;
    CHECK(sgp_mixer_create(group, &trial->options, numbers, &mixer) == SGP_OK);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = trial->options.count},
                               &optimizer) == SGP_OK);
    for (int step = 0; step < STEPS; step++) {
        sgp_optimizer_t *moves = trial->optimizer ? optimizer : NULL;
        CHECK(sgp_mixer_step(mixer, moves, zeros, 0.1f) == SGP_OK);
        add_once(mixer, trial, rank, step);
        if (step % 5 == 2) add_once(mixer, trial, rank, step); /* twice between two steps */
    }
    CHECK(sgp_mixer_average(mixer, numbers, &trial->consensus[rank]) == SGP_OK);
    keep_results(numbers, trial, rank);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    free(numbers);
    free(zeros);
}

static double sum_of_changes(int nodes) {
    double sum = 0;
    for (int r = 0; r < nodes; r++)
        for (int step = 0; step < STEPS; step++)
            sum += change_of(r, step) * (step % 5 == 2 ? 2 : 1);
    return sum;
}

static const trial_t *run(const ranks_setup_t *setup, sgp_mixer_options_t options, bool optimizer) {
    static trial_t trial;
    int nodes = setup->loopback.size;
    trial = (trial_t){.options = options, .optimizer = optimizer};
    run_groups(setup, body, &trial);
    double start = (nodes - 1) / 2.0, expected = start + sum_of_changes(nodes) / nodes;
    double tolerance = options.encoding > SGP_ENCODING_FLOAT32 ? 1e-4 : 1e-5;
    for (int r = 0; r < nodes; r++) {
        if (fabs(trial.mean[r][1] / expected - 1) > tolerance)
            fail_msg("%s: mean %.9g, expected %.9g", sgp_algorithm_name(options.algorithm),
                     trial.mean[r][1], expected);
        assert_true(fabs(trial.mean[r][0] - start) < tolerance);
        assert_true(trial.spread[r] < tolerance * expected);
        assert_true(fabs(trial.consensus[r].w_total - nodes) < 1e-9);
        assert_true(trial.consensus[r].drift < 1e-5);
    }
    return &trial;
}

static const sgp_mixer_options_t kinds[] = {
    {.algorithm = SGP_ALGORITHM_SGP},
    {.algorithm = SGP_ALGORITHM_SGP, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN},
    {.algorithm = SGP_ALGORITHM_SGP, .encoding = SGP_ENCODING_FLOAT16},
    {.algorithm = SGP_ALGORITHM_SGP, .local_steps = 3},
    {.algorithm = SGP_ALGORITHM_SGP, .slow_every = 4},
    {.algorithm = SGP_ALGORITHM_SGP, .slow_every = 4, .slow_alone = true},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 2, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 1, .encoding = SGP_ENCODING_BFLOAT16},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = SGP_OVERLAP_ASYNC},
    {.algorithm = SGP_ALGORITHM_OSGP,
     .overlap = SGP_OVERLAP_ASYNC,
     .encoding = SGP_ENCODING_FLOAT16},
    {.algorithm = SGP_ALGORITHM_DPSGD},
    {.algorithm = SGP_ALGORITHM_ADPSGD},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE, .local_steps = 2},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* The sum of x over the nodes changes by the sum of the changes. Chunks of 16 floats, in virtual time. */
static void test_sum_of_x_for_all_algorithms(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int nodes = 1; nodes <= 5; nodes++)
            for (int optimizer = 0; optimizer < 2; optimizer++) {
                ranks_setup_t setup = {.loopback = {.size = nodes,
                                                    .chunk_bytes = 64,
                                                    .virtual_time = true,
                                                    .seed = 3,
                                                    .delay_min_ns = 1000,
                                                    .delay_max_ns = 3000000}};
                sgp_mixer_options_t options = kinds[k];
                options.count = 300;
                options.buffers = 33;
                run(&setup, options, optimizer);
            }
}

/* While a progress thread works, in real time; large enough that it copies pushes with an overlap. */
static void test_beside_a_progress_thread(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int shm = 0; shm < 2; shm++) {
            ranks_setup_t setup = {.shm = shm, .loopback = {.size = 3}};
            sgp_mixer_options_t options = kinds[k];
            if (!options.overlap && options.algorithm != SGP_ALGORITHM_ADPSGD) continue;
            options.count = (1 << 18) + 100;
            run(&setup, options, true);
        }
}

/* x changes by the change at the node itself, where w is far from 1: z must change by more or less than that. */
static void test_weight(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 6, .chunk_bytes = 64}};
    const trial_t *trial = run(
        &setup, (sgp_mixer_options_t){.count = 200, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN}, true);
    for (int r = 0; r < 6; r++) {
        assert_true(trial->weight_off[r] > 0.2);
        assert_true(trial->added_wrong[r] < 1e-5);
    }
}

/* ---- errors ---- */

static void refused(sgp_group_t *group, void *context) {
    bool allowed = *(bool *)context;
    enum { LENGTH = 40 };
    float start[LENGTH], change[LENGTH] = {[3] = INFINITY, [5] = 1};
    for (int i = 0; i < LENGTH; i++) start[i] = (float)i;
    sgp_mixer_options_t options = {.count = 30, .buffers = 10, .allow_not_finite = allowed};
    sgp_mixer_t *mixer = NULL;
    CHECK(sgp_mixer_create(group, &options, start, &mixer) == SGP_OK);
    CHECK(sgp_mixer_add(mixer, 0, LENGTH + 1, start) == SGP_ERR_INVALID);
    CHECK(strstr(ranks_last_error, "41 elements from element 0 on: must lie within the 40"));
    CHECK(sgp_mixer_add(mixer, LENGTH + 1, 0, start) == SGP_ERR_INVALID);
    CHECK(sgp_mixer_add(mixer, 5, SIZE_MAX, start) == SGP_ERR_INVALID);
    CHECK(sgp_mixer_add(mixer, 0, 1, NULL) == SGP_ERR_INVALID);
    CHECK(sgp_mixer_add(mixer, LENGTH, 0, NULL) == SGP_OK);
    CHECK(!memcmp(sgp_mixer_parameters(mixer), start, sizeof start));
    sgp_status_t status = sgp_mixer_add(mixer, 0, LENGTH, change);
    CHECK(status == (allowed ? SGP_OK : SGP_ERR_NOT_FINITE));
    if (allowed)
        CHECK(isinf(sgp_mixer_parameters(mixer)[3]) && sgp_mixer_parameters(mixer)[5] == 6);
    else CHECK(!memcmp(sgp_mixer_parameters(mixer), start, sizeof start));
    CHECK(sgp_mixer_add(mixer, 4, 2, change + 4) == SGP_OK);
    CHECK(sgp_mixer_parameters(mixer)[5] == (allowed ? 7 : 6));
    sgp_mixer_destroy(mixer);
}

static void test_refused_changes(void **state) {
    (void)state;
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    for (int a = 0; a < 2; a++) {
        bool allowed = a;
        ranks_setup_t setup = {.loopback = {.size = 1}};
        run_groups(&setup, refused, &allowed);
    }
    sgp_log_set(NULL, NULL, SGP_LOG_WARNING);
}

/* ---- workers ---- */

enum { WORKERS = 3, NODES = 2, LENGTH = 160 };

typedef struct shared {
    sgp_mixer_options_t options;
    bool differ; /* the workers of a node disagree about the change */
    float z[NODES * WORKERS][LENGTH];
    float average[NODES * WORKERS][LENGTH];
    sgp_mixer_consensus_t consensus[NODES * WORKERS];
} shared_t;

static float shared_change(const shared_t *shared, int node, int worker, int step) {
    return change_of(node, step) + (shared->differ ? 100 * (float)worker : 0);
}

static void worker_body(const workers_place_t *place, void *context) {
    shared_t *shared = context;
    sgp_mixer_options_t options = shared->options;
    float change[LENGTH] = {0}, zeros[LENGTH] = {0};
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    options.count = LENGTH;
    options.workers = place->workers;
    CHECK(sgp_mixer_create(place->nodes, &options, NULL, &mixer) == SGP_OK);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = LENGTH}, &optimizer) == SGP_OK);
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < LENGTH; i++)
            change[i] = shared_change(shared, place->node, place->worker, step);
        CHECK(sgp_mixer_add(mixer, 10, LENGTH - 20, change) == SGP_OK);
        CHECK(sgp_mixer_step(mixer, optimizer, zeros, 0.1f) == SGP_OK);
    }
    CHECK(sgp_mixer_add(mixer, 10, LENGTH - 20, change) == SGP_OK);
    memcpy(shared->z[place->rank], sgp_mixer_parameters(mixer), sizeof shared->z[0]);
    CHECK(sgp_mixer_average(mixer, shared->average[place->rank], &shared->consensus[place->rank]) ==
          SGP_OK);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static double shared_mean(const shared_t *shared, int worker) {
    double sum = 0;
    for (int node = 0; node < NODES; node++) {
        for (int step = 0; step < STEPS; step++) sum += shared_change(shared, node, worker, step);
        sum += shared_change(shared, node, worker, STEPS - 1);
    }
    return sum / NODES;
}

/* All workers of a node hold the same z after the call, and the change counts once; of different changes that of the
 * worker that owns the segment. */
static void test_workers(void **state) {
    (void)state;
    static shared_t shared;
    for (int k = 0; k < KINDS; k++)
        for (int differ = 0; differ < 2; differ++) {
            shared = (shared_t){.options = kinds[k], .differ = differ};
            workers_setup_t setup = {.nodes = NODES, .workers = WORKERS, .chunk_bytes = 64};
            run_workers(&setup, worker_body, &shared);
            double tolerance = kinds[k].encoding > SGP_ENCODING_FLOAT32 ? 1e-3 : 1e-5;
            for (int r = 0; r < NODES * WORKERS; r++) {
                assert_memory_equal(shared.z[r], shared.z[r / WORKERS * WORKERS],
                                    sizeof shared.z[r]);
                assert_true(shared.consensus[r].drift < 1e-5);
                for (int m = 0; m < WORKERS; m++) {
                    sgp_segment_t segment = sgp_segment_of(LENGTH, m, WORKERS);
                    double expected = shared_mean(&shared, m);
                    size_t at = segment.begin + 10; /* inside the range for each worker */
                    assert_true(fabs(shared.average[r][at] / expected - 1) < tolerance);
                }
                assert_true(shared.average[r][9] == 0 && shared.average[r][LENGTH - 10] == 0);
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_of_x_for_all_algorithms),
        cmocka_unit_test(test_beside_a_progress_thread),
        cmocka_unit_test(test_weight),
        cmocka_unit_test(test_refused_changes),
        cmocka_unit_test(test_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
