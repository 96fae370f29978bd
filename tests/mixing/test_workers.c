/* SPDX-License-Identifier: Apache-2.0 */
/* N nodes of M workers follow N nodes that take the mean of M gradients. */
#include "worker_ranks.h"

#include "base/random.h"
#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"

#include <math.h>
#include <string.h>

#define MOST   24
#define LENGTH 1037
#define RATE   0.05f

typedef struct trial {
    sgp_mixer_options_t options;
    int nodes, parts; /* parts: gradients that a node takes per step, over all its workers */
    int steps;
    float momentum;
    bool own_optimizer; /* the caller changes z */
    int switch_at;      /* after so many steps: to `then`; 0: never */
    sgp_mixer_options_t then;
    int save_at; /* after so many steps: go on in a new mixer with the old one's state; 0: never */
    /* Results, by process. */
    float z[MOST][LENGTH];
    float average[MOST][LENGTH];
    sgp_mixer_consensus_t consensus[MOST];
    sgp_mixer_statistics_t statistics[MOST];
} trial_t;

static float value(int part, int step, size_t i) {
    sgp_random_t random;
    sgp_random_init(&random, 21 + (uint64_t)step, (uint64_t)part * 100000 + i);
    return (float)sgp_random_normal(&random);
}

/* Mean over the parts [first, first + count) of a node's gradients: some of it depends on z. */
static void gradient_at(const float *z, size_t length, int first, int count, int step,
                        float *gradient) {
    for (size_t i = 0; i < length; i++) {
        double sum = 0;
        for (int p = first; p < first + count; p++) sum += value(p, step, i);
        gradient[i] = (float)(sum / count) + 0.3f * z[i];
    }
}

/* Each worker writes its own buffers: their mean counts. */
static void write_buffers(sgp_mixer_t *mixer, const trial_t *trial, int first, int count,
                          int step) {
    float *buffers = sgp_mixer_buffers(mixer);
    for (size_t i = 0; i < trial->options.buffers; i++) {
        double sum = 0;
        for (int p = first; p < first + count; p++) sum += value(p, 1000 + step, i);
        buffers[i] = 0.9f * buffers[i] + 0.1f * (float)(sum / count);
    }
}

static sgp_status_t one_step(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const trial_t *trial,
                             const workers_place_t *place, int step) {
    float gradient[LENGTH], *z = sgp_mixer_parameters(mixer);
    int count = trial->parts / sgp_group_size(place->workers);
    int first = place->node * trial->parts + place->worker * count;
    gradient_at(z, trial->options.count, first, count, step, gradient);
    if (trial->options.buffers) write_buffers(mixer, trial, first, count, step);
    if (!trial->own_optimizer) return sgp_mixer_step(mixer, optimizer, gradient, RATE);
    for (size_t i = 0; i < trial->options.count; i++) z[i] -= RATE * gradient[i];
    return sgp_mixer_step(mixer, NULL, NULL, RATE);
}

static sgp_mixer_t *make_mixer(const trial_t *trial, const workers_place_t *place) {
    float initial[LENGTH];
    sgp_mixer_t *mixer = NULL;
    sgp_mixer_options_t options = trial->options;
    for (size_t i = 0; i < LENGTH; i++) initial[i] = value(place->node, 500, i);
    options.workers = place->workers;
    CHECK(sgp_mixer_create(place->nodes, &options, initial, &mixer) == SGP_OK);
    return mixer;
}

/* As a resumed run does it. */
static sgp_mixer_t *replace(sgp_mixer_t *mixer, const trial_t *trial,
                            const workers_place_t *place) {
    sgp_state_t before = {0}, after = {0};
    CHECK(sgp_mixer_settle(mixer) == SGP_OK);
    CHECK(sgp_group_barrier(place->all) == SGP_OK);
    sgp_mixer_state(mixer, &before);
    static const size_t bytes[] = {
        [SGP_STATE_FLOAT32] = 4, [SGP_STATE_FLOAT64] = 8, [SGP_STATE_UINT64] = 8};
    void *kept[SGP_STATE_ITEMS];
    for (size_t i = 0; i < before.count; i++) {
        size_t size = before.items[i].count * bytes[before.items[i].kind];
        kept[i] = malloc(size);
        memcpy(kept[i], before.items[i].data, size);
    }
    sgp_mixer_destroy(mixer);
    mixer = make_mixer(trial, place);
    sgp_mixer_state(mixer, &after);
    CHECK(after.count == before.count);
    for (size_t i = 0; i < after.count; i++) {
        CHECK(after.items[i].count == before.items[i].count);
        memcpy(after.items[i].data, kept[i], after.items[i].count * bytes[after.items[i].kind]);
        free(kept[i]);
    }
    CHECK(sgp_mixer_restored(mixer) == SGP_OK);
    return mixer;
}

/* First one process cannot, as its transport has no library: then no process does. */
static void switch_over(sgp_mixer_t *mixer, const trial_t *trial, const workers_place_t *place) {
    sgp_mixer_options_t library = {.algorithm = SGP_ALGORITHM_ALLREDUCE, .library_allreduce = true};
    const sgp_mixer_options_t *wanted = place->rank == 1 ? &library : &trial->then;
    sgp_algorithm_t before = mixer->options.algorithm;
    CHECK(sgp_mixer_switch(mixer, wanted) == SGP_ERR_UNSUPPORTED);
    CHECK(mixer->options.algorithm == before);
    CHECK(sgp_mixer_switch(mixer, &trial->then) == SGP_OK);
}

static uint64_t promised(const workers_place_t *place) {
    return sgp_group_transport(place->nodes)->promised +
           sgp_group_transport(place->workers)->promised;
}

static void body(const workers_place_t *place, void *context) {
    trial_t *trial = context;
    uint64_t before = promised(place);
    sgp_optimizer_t *optimizer = NULL;
    /* Of a part of the vector, so that it matters where a segment lies. */
    sgp_range_t still = {.offset = trial->options.count / 2, .count = trial->options.count / 3};
    sgp_optimizer_options_t plain = {.count = trial->options.count,
                                     .momentum = trial->momentum,
                                     .weight_decay = 0.5f,
                                     .no_decay = &still,
                                     .no_decay_count = 1};
    size_t length = trial->options.count + trial->options.buffers;
    sgp_mixer_t *mixer = make_mixer(trial, place);
    const float *address = mixer ? sgp_mixer_parameters(mixer) : NULL;
    CHECK(sgp_optimizer_create(&plain, &optimizer) == SGP_OK);
    for (int step = 0; mixer && step < trial->steps; step++) {
        CHECK(one_step(mixer, optimizer, trial, place, step) == SGP_OK);
        CHECK(sgp_mixer_parameters(mixer) == address);
        if (step + 1 == trial->switch_at) switch_over(mixer, trial, place);
        if (step + 1 == trial->save_at) {
            mixer = replace(mixer, trial, place);
            address = sgp_mixer_parameters(mixer);
        }
    }
    sgp_mixer_consensus_t *consensus = &trial->consensus[place->rank];
    CHECK(sgp_mixer_average(mixer, trial->average[place->rank], consensus) == SGP_OK);
    memcpy(trial->z[place->rank], sgp_mixer_parameters(mixer), length * sizeof(float));
    sgp_mixer_statistics(mixer, &trial->statistics[place->rank]);
    CHECK(promised(place) > before);
    sgp_mixer_destroy(mixer);
    CHECK(promised(place) == before); /* nothing is kept of it */
    sgp_optimizer_destroy(optimizer);
}

/* The caller frees it. */
static trial_t *run_trial(const trial_t *what, int workers, bool shm) {
    trial_t *trial = malloc(sizeof *trial);
    workers_setup_t setup = {
        .shm = shm, .nodes = what->nodes, .workers = workers, .chunk_bytes = 256};
    *trial = *what;
    run_workers(&setup, body, trial);
    return trial;
}

static size_t length_of(const trial_t *trial) {
    return trial->options.count + trial->options.buffers;
}

/* The workers of a node have the same bits, and all processes the same average. */
static void check_alike(const trial_t *trial, int workers) {
    size_t bytes = length_of(trial) * sizeof(float);
    for (int r = 0; r < trial->nodes * workers; r++) {
        assert_memory_equal(trial->z[r], trial->z[r / workers * workers], bytes);
        assert_memory_equal(trial->average[r], trial->average[0], bytes);
        assert_memory_equal(&trial->consensus[r], &trial->consensus[0], sizeof trial->consensus[0]);
    }
}

static double largest_difference(const float *a, const float *b, size_t length) {
    double largest = 0;
    for (size_t i = 0; i < length; i++) largest = fmax(largest, fabs((double)a[i] - (double)b[i]));
    return largest;
}

static void check_same_training(const trial_t *one, const trial_t *many, int workers) {
    for (int node = 0; node < one->nodes; node++)
        assert_true(largest_difference(one->z[node], many->z[node * workers], length_of(one)) <
                    1e-5);
    assert_true(largest_difference(one->average[0], many->average[0], length_of(one)) < 1e-5);
    const sgp_mixer_consensus_t *a = &one->consensus[0], *b = &many->consensus[0];
    assert_true(fabs(a->w_total - b->w_total) < 1e-9);
    assert_true(fabs(a->distance - b->distance) < 1e-5);
    assert_true(b->drift < 1e-5);
}

static void check_equivalent(const trial_t *what) {
    trial_t *one = run_trial(what, 1, false);
    for (int workers = 2; workers <= 3; workers++) {
        trial_t *many = run_trial(what, workers, false);
        check_alike(many, workers);
        check_same_training(one, many, workers);
        free(many);
    }
    free(one);
}

static trial_t trial_of(sgp_mixer_options_t options, int nodes) {
    if (!options.count) {
        options.count = 1000;
        options.buffers = 37;
    }
    return (trial_t){.options = options, .nodes = nodes, .parts = 6, .steps = 7, .momentum = 0.9f};
}

static const sgp_mixer_options_t repeatable[] = {
    {.algorithm = SGP_ALGORITHM_SGP},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 2, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN},
    {.algorithm = SGP_ALGORITHM_DPSGD},
    {.algorithm = SGP_ALGORITHM_SGP, .local_steps = 2},
    {.algorithm = SGP_ALGORITHM_SGP, .rounds = 3},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE, .local_steps = 3},
    {.algorithm = SGP_ALGORITHM_SGP, .slow_momentum = 0.5f, .slow_every = 3},
    {.algorithm = SGP_ALGORITHM_SGP, .local_steps = 2, .outer_lr = 0.7f, .outer_momentum = 0.8f},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE,
     .local_steps = 3,
     .outer_lr = 0.7f,
     .outer_momentum = 0.8f},
};

enum { REPEATABLE = sizeof repeatable / sizeof *repeatable };

static void test_same_training_as_one_node(void **state) {
    (void)state;
    for (int o = 0; o < REPEATABLE; o++)
        for (int nodes = 1; nodes <= 4; nodes++) {
            trial_t what = trial_of(repeatable[o], nodes);
            check_equivalent(&what);
        }
}

/* The last worker owns nothing but buffers; and segments of one cache line. */
static void test_small_vectors(void **state) {
    (void)state;
    static const size_t shapes[][2] = {{20, 100}, {33, 0}, {1, 40}};
    for (int s = 0; s < 3; s++)
        for (int o = 0; o < REPEATABLE; o++) {
            sgp_mixer_options_t options = repeatable[o];
            options.count = shapes[s][0];
            options.buffers = shapes[s][1];
            trial_t what = trial_of(options, 3);
            check_equivalent(&what);
        }
}

/* A caller with its own optimizer may take each worker's own gradient. */
static void test_own_optimizer(void **state) {
    (void)state;
    for (int o = 0; o < REPEATABLE; o++) {
        if (repeatable[o].slow_every) continue; /* weighs z by w */
        trial_t what = trial_of(repeatable[o], 3);
        what.own_optimizer = true;
        check_equivalent(&what);
    }
}

static void test_same_bits_on_every_transport(void **state) {
    (void)state;
    for (int o = 0; o < REPEATABLE; o++) {
        trial_t what = trial_of(repeatable[o], 3);
        trial_t *threads = run_trial(&what, 2, false), *again = run_trial(&what, 2, true);
        check_alike(again, 2);
        assert_memory_equal(threads->z, again->z, sizeof threads->z);
        assert_memory_equal(threads->average, again->average, sizeof threads->average);
        free(threads);
        free(again);
    }
}

/* Nodes that do not wait: no mass is lost in any order of events. */
static void test_mass_without_waiting(void **state) {
    (void)state;
    static const sgp_mixer_options_t options[] = {
        {.count = 1000, .buffers = 0, .overlap = SGP_OVERLAP_ASYNC},
        {.count = 1000, .buffers = 0, .algorithm = SGP_ALGORITHM_ADPSGD},
    };
    for (int o = 0; o < 4; o++)
        for (int nodes = 1; nodes <= 4; nodes++) {
            trial_t what = trial_of(options[o / 2], nodes);
            what.steps = 30;
            trial_t *trial = run_trial(&what, 2, o % 2);
            check_alike(trial, 2);
            assert_true(fabs(trial->consensus[0].w_total - nodes) < 1e-9);
            assert_true(trial->consensus[0].drift < 1e-5);
            assert_true(isfinite(trial->consensus[0].distance));
            free(trial);
        }
}

/* A link carries a part of the vector, and only messages to other nodes are counted. */
static void test_a_worker_sends_its_part(void **state) {
    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        trial_t what = trial_of((sgp_mixer_options_t){.count = 960}, 2);
        trial_t *trial = run_trial(&what, workers, false);
        for (int r = 0; r < 2 * workers; r++) {
            assert_int_equal(trial->statistics[r].sent, 7);
            assert_int_equal(trial->statistics[r].bytes_sent, 7 * 4 * 960 / workers);
        }
        free(trial);
    }
}

static void test_switch(void **state) {
    (void)state;
    for (int from = 0; from < REPEATABLE; from++) {
        trial_t what = trial_of(repeatable[from], 3);
        what.switch_at = 3;
        what.then = repeatable[(from + 1) % REPEATABLE];
        check_equivalent(&what);
    }
}

/* A mixer that continues from the state of another one ends with the same bits as one that was not interrupted. */
static void test_state(void **state) {
    (void)state;
    for (int o = 0; o < REPEATABLE; o++) {
        trial_t what = trial_of(repeatable[o], 3);
        what.momentum = 0;
        if (what.options.overlap) continue; /* settling changes the later steps */
        trial_t *straight = run_trial(&what, 2, false);
        what.save_at = 4;
        trial_t *saved = run_trial(&what, 2, false);
        check_alike(saved, 2);
        assert_memory_equal(straight->z, saved->z, sizeof saved->z);
        const sgp_mixer_consensus_t *a = straight->consensus, *b = saved->consensus;
        assert_true(a->w_total == b->w_total && fabs(a->distance - b->distance) < 1e-12);
        free(straight);
        free(saved);
    }
}

static void too_short(const workers_place_t *place, void *context) {
    (void)context;
    sgp_mixer_t *mixer = NULL;
    sgp_mixer_options_t options = {.count = 32, .workers = place->workers};
    CHECK(sgp_mixer_create(place->nodes, &options, NULL, &mixer) == SGP_ERR_INVALID);
    CHECK(mixer == NULL);
}

static void test_too_short_a_vector(void **state) {
    (void)state;
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    run_workers(&(workers_setup_t){.nodes = 2, .workers = 3}, too_short, NULL);
    assert_string_equal(ranks_last_error,
                        "mixer: 32 numbers for 3 workers of a node: each worker needs at least 16");
    sgp_log_set(NULL, NULL, SGP_LOG_WARNING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_training_as_one_node),
        cmocka_unit_test(test_small_vectors),
        cmocka_unit_test(test_own_optimizer),
        cmocka_unit_test(test_same_bits_on_every_transport),
        cmocka_unit_test(test_mass_without_waiting),
        cmocka_unit_test(test_a_worker_sends_its_part),
        cmocka_unit_test(test_switch),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_too_short_a_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
