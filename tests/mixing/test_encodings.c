/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors in a lossy encoding: no mass is lost in any algorithm, and runs that do not depend on time repeat bit for
 * bit. */
#include "trial.h"

static const sgp_encoding_t encodings[] = {SGP_ENCODING_BFLOAT16, SGP_ENCODING_FLOAT16};

static const sgp_mixer_options_t algorithms[] = {
    {.count = 40},
    {.count = 40, .graph.peers = 2},
    {.count = 40, .graph.kind = SGP_GRAPH_COMPLETE},
    {.count = 40, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN},
    {.count = 40, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
    {.count = 40, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 3, .graph.peers = 2},
    {.count = 40, .overlap = 1, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN},
    {.count = 40, .overlap = SGP_OVERLAP_ASYNC},
    {.count = 40, .overlap = SGP_OVERLAP_ASYNC, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN},
    {.count = 40, .algorithm = SGP_ALGORITHM_DPSGD},
    {.count = 40, .algorithm = SGP_ALGORITHM_ADPSGD},
    {.count = 40, .algorithm = SGP_ALGORITHM_ALLREDUCE},
};

enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

static bool waits_for_all(const sgp_mixer_options_t *options) {
    return options->overlap != SGP_OVERLAP_ASYNC && options->algorithm != SGP_ALGORITHM_ADPSGD;
}

/* Without weight decay if the rounding error returns just before the local step: weight decay would see it and the test
 * would not. */
static trial_t *rounded_trial(sgp_mixer_options_t options, int steps) {
    trial_t *trial = trial_of(options, steps);
    if (options.overlap != 0) trial->decay = 0;
    return trial;
}

/* The mean may lack the part of the gradients that is not exchanged yet: lr times the rounding error of a gradient of at
 * most 16, on the way to the owner and on the way back. */
static double tolerance_of(const trial_t *trial) {
    bool gradients = trial->options.algorithm == SGP_ALGORITHM_ALLREDUCE && !trial->own_optimizer;
    return gradients ? (double)LR * 2 * 16 / 256 : 3e-5;
}

/* With an average after every step, or at the end alone; with the caller's own optimizer or without; with buffers that the
 * caller changes. */
static void test_no_mass_is_lost(void **state) {
    (void)state;
    for (int e = 0; e < 2; e++)
        for (int a = 0; a < ALGORITHMS; a++)
            for (int size = 2; size <= 5; size += 3)
                for (int way = 0; way < 4; way++) {
                    sgp_mixer_options_t options = algorithms[a];
                    if (options.graph.peers >= size) continue;
                    options.encoding = encodings[e];
                    ranks_setup_t setup = delays(size, (uint64_t)(a + 20 * size), 5 * MILLISECOND);
                    /* x of buffers moves by w times what is added: known only where w is 1. */
                    bool even = options.algorithm >= SGP_ALGORITHM_DPSGD ||
                                options.algorithm == SGP_ALGORITHM_ALLREDUCE;
                    options.buffers = 9;
                    trial_t *trial = rounded_trial(options, 12);
                    trial->own_optimizer = way % 2;
                    if (options.algorithm == SGP_ALGORITHM_ADPSGD) trial->own_optimizer = false;
                    trial->average_every = way / 2;
                    for (int r = 0; r < size; r++)
                        trial->compute[r] = (uint64_t)(1 + r) * MILLISECOND;
                    for (int r = 0; r < size && even; r++) trial->added[r] = 0.3f * (float)r;
                    run_groups(&setup, try_body, trial);
                    check_mean(trial, size, tolerance_of(trial));
                }
}

/* Transports in real time: threads, shared memory, TCP, and both by machine. */
enum { WAYS = 4 };

static ranks_setup_t way_of(int size, int way) {
    ranks_setup_t setup = threads(size, way == 1);
    setup.tcp = way > 1;
    setup.machines = way == 3 ? 2 : 0;
    return setup;
}

/* Vectors that the progress thread copies, over every transport, many chunks long. */
static void test_large_vectors(void **state) {
    (void)state;
    for (int way = 0; way < WAYS; way++)
        for (int a = 0; a < ALGORITHMS; a++) {
            ranks_setup_t setup = way_of(4, way);
            setup.loopback.chunk_bytes = 65536;
            sgp_mixer_options_t options = algorithms[a];
            options.encoding = encodings[a % 2];
            options.count = 540001;
            options.buffers = 77;
            trial_t *trial = rounded_trial(options, 5);
            trial->average_every = 4;
            run_groups(&setup, try_body, trial);
            check_mean(trial, 4, tolerance_of(trial));
        }
}

/* Steps without an exchange, and outer updates with an average and alone: each changes z after the rounding error was
 * added to it. */
static void test_local_steps_and_slow_updates(void **state) {
    (void)state;
    for (int e = 0; e < 2; e++)
        for (int a = 0; a < ALGORITHMS; a++)
            for (int way = 0; way < 3; way++) {
                ranks_setup_t setup = delays(5, 6, MILLISECOND);
                sgp_mixer_options_t options = algorithms[a];
                options.encoding = encodings[e];
                if (way == 0) options.local_steps = 3;
                else options.slow_every = 4;
                options.slow_alone = way == 2;
                trial_t *trial = rounded_trial(options, 12);
                for (int r = 0; r < 5; r++) trial->compute[r] = (uint64_t)(1 + r % 3) * MILLISECOND;
                run_groups(&setup, try_body, trial);
                check_mean(trial, 5, fmax(3e-5, tolerance_of(trial)));
                if (way == 1) assert_true(trial->consensus[0].distance < 1e-2);
            }
}

/* From each algorithm to each other, with another encoding. */
static void test_switching(void **state) {
    (void)state;
    for (int from = 0; from < ALGORITHMS; from++)
        for (int to = 0; to < ALGORITHMS; to++) {
            ranks_setup_t setup = delays(5, 9, MILLISECOND);
            sgp_mixer_options_t first = algorithms[from];
            first.encoding = SGP_ENCODING_DEFAULT + (sgp_encoding_t)(from % 4);
            trial_t *trial = rounded_trial(first, 11);
            trial->switch_at = 5;
            trial->then = algorithms[to];
            trial->then.encoding = SGP_ENCODING_DEFAULT + (sgp_encoding_t)((from + 1 + to % 3) % 4);
            trial->decay = 0;
            run_groups(&setup, try_body, trial);
            bool gradients = first.algorithm == SGP_ALGORITHM_ALLREDUCE ||
                             trial->then.algorithm == SGP_ALGORITHM_ALLREDUCE;
            check_mean(trial, 5, gradients ? (double)LR * 4 * 16 / 256 : 3e-5);
        }
}

/* ---- the same bits ---- */

static void test_every_transport_gives_the_same_bits(void **state) {
    (void)state;
    for (int e = 0; e < 2; e++)
        for (int a = 0; a < ALGORITHMS; a++) {
            sgp_mixer_options_t options = algorithms[a];
            if (!waits_for_all(&options)) continue;
            options.encoding = encodings[e];
            options.buffers = 5;
            float first[64];
            double distance[WAYS + 3];
            for (int s = 0; s < WAYS + 3; s++) {
                ranks_setup_t setup =
                    s < WAYS ? way_of(5, s) : delays(5, (uint64_t)s, 9 * MILLISECOND);
                if (s == WAYS + 2) options.encoding = SGP_ENCODING_FLOAT32;
                trial_t *trial = rounded_trial(options, 9);
                run_groups(&setup, try_body, trial);
                if (s == 0) memcpy(first, trial->average[0], sizeof first);
                else if (s < WAYS + 2) assert_memory_equal(first, trial->average[0], sizeof first);
                distance[s] = trial->consensus[0].distance;
            }
            for (int s = 1; s < WAYS + 2; s++) assert_true(distance[s] == distance[0]);
            assert_true(distance[WAYS + 2] != distance[0]); /* rounding does happen */
        }
}

static void test_no_overlap_is_sgp_bit_for_bit(void **state) {
    (void)state;
    float found[2][64];
    for (int e = 0; e < 2; e++) {
        for (int o = 0; o < 2; o++) {
            sgp_mixer_options_t options = {.count = 50, .buffers = 3, .encoding = encodings[e]};
            if (o) options.algorithm = SGP_ALGORITHM_OSGP;
            ranks_setup_t setup = delays(5, 3, MILLISECOND);
            trial_t *trial = rounded_trial(options, 9);
            run_groups(&setup, try_body, trial);
            memcpy(found[o], trial->average[0], sizeof found[o]);
        }
        assert_memory_equal(found[0], found[1], sizeof found[0]);
    }
}

static void test_half_the_bytes(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++) {
        uint64_t bytes[2] = {0}, messages[2] = {0};
        if (algorithms[a].overlap == SGP_OVERLAP_ASYNC) continue; /* its messages depend on time */
        for (int e = 0; e < 2; e++) {
            ranks_setup_t setup = delays(4, 3, MILLISECOND);
            sgp_mixer_options_t options = algorithms[a];
            options.encoding = e ? SGP_ENCODING_BFLOAT16 : SGP_ENCODING_FLOAT32;
            trial_t *trial = rounded_trial(options, 9);
            run_groups(&setup, try_body, trial);
            for (int r = 0; r < 4; r++) {
                bytes[e] += trial->at_end[r].bytes_sent;
                messages[e] += trial->at_end[r].sent;
            }
        }
        assert_int_equal(messages[0], messages[1]);
        assert_int_equal(bytes[0], 2 * bytes[1]);
        assert_true(bytes[1] > 0);
    }
}

/* ---- a body of their own ---- */

enum { COORDINATES = 130 };

typedef struct run {
    sgp_mixer_options_t options;
    sgp_encoding_t other; /* of node 1; 0: that of all */
    int steps;
    float gradient, rate;
    float z0[MOST];
    /* Results. */
    float z[MOST][COORDINATES], mean[MOST];
    sgp_status_t status[MOST];
} run_t;

static void run_body(sgp_group_t *group, void *context) {
    run_t *run = context;
    int rank = sgp_group_rank(group);
    sgp_mixer_options_t options = run->options;
    options.count = COORDINATES;
    if (rank == 1 && run->other) options.encoding = run->other;
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    float initial[COORDINATES], gradient[COORDINATES], average[COORDINATES];
    for (int i = 0; i < COORDINATES; i++) {
        initial[i] = run->z0[rank];
        gradient[i] = run->gradient * (float)(rank + 1 + i % 5);
    }
    sgp_optimizer_options_t plain = {.count = COORDINATES};
    CHECK(sgp_optimizer_create(&plain, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &options, initial, &mixer) == SGP_OK);
    for (int step = 0; step < run->steps && run->status[rank] == SGP_OK; step++)
        run->status[rank] =
            sgp_mixer_step(mixer, run->gradient != 0 ? optimizer : NULL, gradient, run->rate);
    memcpy(run->z[rank], sgp_mixer_parameters(mixer), sizeof run->z[rank]);
    if (!run->other) CHECK(sgp_mixer_average(mixer, average, NULL) == SGP_OK);
    if (!run->other) run->mean[rank] = average[0];
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

/* A gradient that bfloat16 would always round the same way: over K steps it counts in full, but for the rounding error of
 * the last. All nodes stay equal. */
static void test_rounded_gradients_do_not_add_up_to_a_bias(void **state) {
    (void)state;
    enum { STEPS = 512, SIZE = 3 };
    for (int e = 0; e < 2; e++) {
        float gradient = e ? 1.0004f : 1.0031f; /* of node 0: less than half a unit above 1 */
        static run_t run;
        run = (run_t){.options = {.algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = encodings[e]},
                      .steps = STEPS,
                      .gradient = gradient,
                      .rate = 1.0f / STEPS};
        ranks_setup_t setup = {.loopback = {.size = SIZE, .chunk_bytes = 64}};
        run_groups(&setup, run_body, &run);
        for (int r = 0; r < SIZE; r++) {
            assert_memory_equal(run.z[r], run.z[0], sizeof run.z[0]);
            for (int i = 0; i < COORDINATES; i++) {
                double mean = (double)gradient * (2 + i % 5), unit = e ? 0x1p-10 : 0x1p-7;
                /* 8 is the most; each of two roundings is half a unit of its exponent. */
                assert_true(fabs((double)run.z[r][i] + mean) < unit * 8 / STEPS + 1e-4);
            }
        }
    }
}

/* Nodes that agree keep their bits: the rounding error that a node keeps cancels that of the message it absorbs. */
static void test_nodes_that_agree_stay(void **state) {
    (void)state;
    for (int e = 0; e < 2; e++)
        for (int peers = 1; peers < 3; peers++) {
            static run_t run;
            run =
                (run_t){.options = {.encoding = encodings[e], .graph.peers = peers}, .steps = 100};
            for (int r = 0; r < MOST; r++) run.z0[r] = 0.123456789f;
            ranks_setup_t setup = delays(4, 5, MILLISECOND);
            run_groups(&setup, run_body, &run);
            for (int r = 0; r < 4; r++) assert_true(fabsf(run.z[r][0] - 0.123456789f) < 1e-6f);
        }
}

/* Without the weight the sum of z is conserved. */
static void test_biased(void **state) {
    (void)state;
    for (int e = 0; e < 2; e++)
        for (int o = 0; o < 2; o++) {
            static run_t run;
            run = (run_t){.options = {.encoding = encodings[e],
                                      .biased = true,
                                      .overlap = o,
                                      .graph = {.kind = SGP_GRAPH_RANDOM_UNEVEN, .seed = 3}},
                          .steps = 50,
                          .z0 = {0.3f, 1.7f, -2.9f, 4.1f, 0.9f}};
            ranks_setup_t setup = delays(5, 5, MILLISECOND);
            run_groups(&setup, run_body, &run);
            assert_true(fabsf(run.mean[0] - (0.3f + 1.7f - 2.9f + 4.1f + 0.9f) / 5) < 1e-5f);
        }
}

/* A number beyond the range of float16 is sent piece by piece, and no part of it is lost. */
static void test_too_large_for_float16(void **state) {
    (void)state;
    for (int o = 0; o < 2; o++) {
        static run_t run;
        run = (run_t){.options = {.encoding = SGP_ENCODING_FLOAT16, .overlap = o},
                      .steps = 120,
                      .z0 = {1e6f, -3, 2, 500}};
        ranks_setup_t setup = delays(4, 5, MILLISECOND);
        run_groups(&setup, run_body, &run);
        for (int r = 0; r < 4; r++)
            assert_true(fabsf(run.mean[r] / ((1e6f + 499) / 4) - 1) < 1e-5f);
    }
    /* It spreads as far as the numbers fit. */
    static run_t small;
    small = (run_t){.options.encoding = SGP_ENCODING_FLOAT16, .steps = 120, .z0 = {1e5f, 0, 0, 0}};
    ranks_setup_t setup = delays(4, 5, MILLISECOND);
    run_groups(&setup, run_body, &small);
    for (int r = 0; r < 4; r++) assert_true(fabsf(small.z[r][0] / 25e3f - 1) < 2e-3f);
}

/* If the options allow it, a run that has diverged shows it on every node, as with float32. */
static void test_what_is_no_number_spreads(void **state) {
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int e = 0; e < 2; e++)
        for (int b = 0; b < 3; b++)
            for (int a = 0; a < ALGORITHMS; a++) {
                static run_t run;
                run = (run_t){.options = algorithms[a], .steps = 12, .z0 = {1, bad[b], 2, 3}};
                run.options.encoding = encodings[e];
                run.options.allow_not_finite = true;
                ranks_setup_t setup = delays(4, 5, MILLISECOND);
                run_groups(&setup, run_body, &run);
                for (int r = 0; r < 4; r++) assert_false(isfinite(run.mean[r]));
            }
}

/* Two encodings in one group are found, on whichever node each is. */
static void test_one_setting_for_all(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++)
        for (int e = 0; e < 2; e++) {
            if (!waits_for_all(&algorithms[a]))
                continue; /* they would wait for the progress thread */
            static run_t run;
            run = (run_t){.options = algorithms[a], .other = SGP_ENCODING_FLOAT32, .steps = 8};
            run.options.encoding = SGP_ENCODING_FLOAT16;
            if (e) run.other = SGP_ENCODING_BFLOAT16;
            run.options.timeout_ms = 50;
            ranks_setup_t setup = delays(2, 5, MILLISECOND);
            if (run.options.graph.peers > 1) continue;
            run_groups(&setup, run_body, &run);
            bool found = false;
            for (int r = 0; r < 2; r++) {
                assert_true(run.status[r] != SGP_OK);
                found |= run.status[r] == SGP_ERR_MISMATCH;
            }
            assert_true(found);
        }
    sgp_mixer_options_t unknown = {.count = 4, .encoding = (sgp_encoding_t)9, .graph.size = 2};
    assert_int_equal(sgp_mixer_check(&unknown), SGP_ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_mass_is_lost),
        cmocka_unit_test(test_large_vectors),
        cmocka_unit_test(test_local_steps_and_slow_updates),
        cmocka_unit_test(test_switching),
        cmocka_unit_test(test_every_transport_gives_the_same_bits),
        cmocka_unit_test(test_no_overlap_is_sgp_bit_for_bit),
        cmocka_unit_test(test_half_the_bytes),
        cmocka_unit_test(test_rounded_gradients_do_not_add_up_to_a_bias),
        cmocka_unit_test(test_nodes_that_agree_stay),
        cmocka_unit_test(test_biased),
        cmocka_unit_test(test_too_large_for_float16),
        cmocka_unit_test(test_what_is_no_number_spreads),
        cmocka_unit_test(test_one_setting_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
