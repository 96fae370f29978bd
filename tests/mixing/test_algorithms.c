/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithms that do not wait: overlap with and without a bound, and asynchronous pairs; and the combinations of every
 * algorithm. In virtual time, where the test decides how long a node computes. Results are compared with sums in
 * double. */
#include "trial.h"

#include "graph/active_passive.h"

static const sgp_mixer_options_t overlaps[] = {
    {.count = 40, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
    {.count = 40, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 2, .graph.peers = 2},
    {.count = 40, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 5},
    {.count = 40, .overlap = SGP_OVERLAP_ASYNC},
    {.count = 40, .overlap = SGP_OVERLAP_ASYNC, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN},
    {.count = 40,
     .algorithm = SGP_ALGORITHM_OSGP,
     .overlap = 1,
     .graph.kind = SGP_GRAPH_RANDOM_UNEVEN},
    {.count = 40, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1, .graph.kind = SGP_GRAPH_BASE},
    {.count = 40, .algorithm = SGP_ALGORITHM_ADPSGD},
    {.count = 40, .algorithm = SGP_ALGORITHM_DPSGD},
};

enum { OVERLAPS = sizeof overlaps / sizeof *overlaps };

/* Weight decay and the local step at full strength, wherever the mass is. */
static void test_the_mean_moves_by_the_mean_step(void **state) {
    (void)state;
    for (int o = 0; o < OVERLAPS; o++)
        for (int size = 3; size <= 6; size++)
            for (int own = 0; own < 2; own++) {
                ranks_setup_t setup = delays(size, (uint64_t)(o + 10 * size), 5 * MILLISECOND);
                trial_t *trial = trial_of(overlaps[o], 12);
                trial->own_optimizer = own && overlaps[o].algorithm != SGP_ALGORITHM_ADPSGD;
                for (int r = 0; r < size; r++) trial->compute[r] = (uint64_t)(1 + r) * MILLISECOND;
                run_groups(&setup, try_body, trial);
                check_mean(trial, size, 2e-5);
            }
}

/* The same over threads and shared memory in real time, with a vector that the progress thread copies. */
static void test_large_vectors(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++)
        for (int o = 0; o < OVERLAPS; o++) {
            ranks_setup_t setup = threads(4, shm);
            setup.loopback.chunk_bytes = 65536;
            sgp_mixer_options_t options = overlaps[o];
            options.count = 270001;
            options.buffers = 77;
            trial_t *trial = trial_of(options, 6);
            trial->average_every = 4;
            run_groups(&setup, try_body, trial);
            check_mean(trial, 4, 2e-5);
        }
}

/* ---- osgp ---- */

static void test_no_overlap_is_sgp_bit_for_bit(void **state) {
    (void)state;
    float found[2][64];
    for (int o = 0; o < 2; o++) {
        sgp_mixer_options_t options = {
            .count = 50, .buffers = 3, .algorithm = o ? SGP_ALGORITHM_OSGP : SGP_ALGORITHM_SGP};
        ranks_setup_t setup = delays(5, 3, MILLISECOND);
        trial_t *trial = trial_of(options, 9);
        run_groups(&setup, try_body, trial);
        memcpy(found[o], trial->average[0], sizeof found[o]);
    }
    assert_memory_equal(found[0], found[1], sizeof found[0]);
}

/* With a bound, the messages that a step absorbs do not depend on their times of arrival. */
static void test_a_bounded_overlap_repeats(void **state) {
    (void)state;
    float first[64];
    for (int s = 0; s < 4; s++) {
        sgp_mixer_options_t options = {.count = 50, .overlap = 2, .graph.peers = 2};
        ranks_setup_t setup = s < 2 ? delays(5, (uint64_t)s, 9 * MILLISECOND) : threads(5, s == 3);
        trial_t *trial = trial_of(options, 9);
        run_groups(&setup, try_body, trial);
        if (s == 0) memcpy(first, trial->average[0], sizeof first);
        assert_memory_equal(first, trial->average[0], sizeof first);
    }
}

/* With tau = 1 a message may take as long as a gradient, and no step waits; without an overlap every
 * step waits for its messages. */
static void test_overlap_hides_the_delay(void **state) {
    (void)state;
    for (int overlap = 0; overlap < 2; overlap++) {
        ranks_setup_t setup = {.loopback = {.size = 4,
                                            .chunk_bytes = 64,
                                            .virtual_time = true,
                                            .delay_min_ns = 9 * MILLISECOND,
                                            .delay_max_ns = 9 * MILLISECOND}};
        trial_t *trial = trial_of((sgp_mixer_options_t){.count = 40, .overlap = overlap}, 20);
        for (int r = 0; r < 4; r++) trial->compute[r] = 10 * MILLISECOND;
        run_groups(&setup, try_body, trial);
        for (int r = 0; r < 4; r++)
            assert_int_equal(trial->statistics[r].wait_ns,
                             overlap ? 0 : 20 * (uint64_t)9 * MILLISECOND);
    }
}

/* ---- nodes of different speed ---- */

static int steps_within(sgp_mixer_options_t options, int size, int slow, trial_t **result) {
    ranks_setup_t setup = delays(size, 4, MILLISECOND);
    trial_t *trial = trial_of(options, 0);
    trial->until = 2000 * (uint64_t)MILLISECOND;
    for (int r = 0; r < size; r++) trial->compute[r] = 10 * MILLISECOND;
    if (slow >= 0) trial->compute[slow] *= 10;
    run_groups(&setup, try_body, trial);
    int least = 1 << 30;
    for (int r = 0; r < size; r++)
        if (r != slow && trial->made[r] < least) least = trial->made[r];
    *result = trial;
    return least;
}

/* A node that is ten times slower makes a tenth of the steps, and the others as many as without it;
 * in lock step all make a tenth. */
static void test_a_slow_node_slows_nobody(void **state) {
    (void)state;
    static const sgp_mixer_options_t free_running[] = {
        {.count = 40, .overlap = SGP_OVERLAP_ASYNC},
        {.count = 40, .algorithm = SGP_ALGORITHM_ADPSGD},
    };
    trial_t *trial;
    for (int o = 0; o < 2; o++)
        for (int size = 2; size <= 7; size += o ? 1 : 5)
            for (int slow = 0; slow < 2; slow++) {
                int without = steps_within(free_running[o], size, -1, &trial);
                int with = steps_within(free_running[o], size, slow, &trial);
                assert_in_range(with, without * 98 / 100, 200);
                assert_in_range(trial->made[slow], 15, 21);
                check_mean(trial, size, 1e-4);
            }
    ranks_setup_t setup = delays(4, 4, MILLISECOND);
    trial = trial_of((sgp_mixer_options_t){.count = 40, .overlap = 4}, 40);
    for (int r = 0; r < 4; r++) trial->compute[r] = (r ? 10 : 100) * MILLISECOND;
    run_groups(&setup, try_body, trial);
    /* A bounded overlap does wait: node 0 needs 4 s, and the others can be a few steps ahead. */
    for (int r = 1; r < 4; r++)
        assert_true(trial->statistics[r].wait_ns > 2000 * (uint64_t)MILLISECOND);
}

/* All nodes but one are slow: the fast one must not give its mass away. */
static void test_one_fast_node(void **state) {
    (void)state;
    ranks_setup_t setup = delays(4, 5, MILLISECOND);
    trial_t *trial = trial_of((sgp_mixer_options_t){.count = 40, .overlap = SGP_OVERLAP_ASYNC}, 60);
    for (int r = 0; r < 4; r++) trial->compute[r] = (r ? 200 : 10) * MILLISECOND;
    run_groups(&setup, try_body, trial);
    check_mean(trial, 4, 1e-4);
    assert_true(trial->statistics[0].weight > 0.2);
    assert_true(fabs(trial->mean[0]) < 4);
}

/* A fast node that waits for the others to settle does not collect the mass of a slow one. */
static void test_settling_at_different_speeds(void **state) {
    (void)state;
    for (int o = 0; o < 2; o++)
        for (int size = 2; size <= 5; size++) {
            sgp_mixer_options_t options = {.count = 40, .overlap = SGP_OVERLAP_ASYNC};
            if (o) options = (sgp_mixer_options_t){.count = 40, .algorithm = SGP_ALGORITHM_ADPSGD};
            ranks_setup_t setup = delays(size, (uint64_t)size, MILLISECOND);
            trial_t *trial = trial_of(options, 60);
            trial->average_every = 20;
            for (int r = 0; r < size; r++) trial->compute[r] = (r ? 1 : 30) * MILLISECOND;
            run_groups(&setup, try_body, trial);
            check_mean(trial, size, 1e-4);
            /* It has collected mass, and kept it while the others rested. */
            if (!o) assert_true(trial->statistics[0].weight > 0.9);
        }
}

/* Changes of the buffers, or of z itself, by the caller are not lost in an averaging at the same time. (In other
 * algorithms a change of z by c changes the sum by w c.) */
static void test_pairs_keep_what_the_caller_adds(void **state) {
    (void)state;
    for (int own = 0; own < 2; own++) {
        sgp_mixer_options_t options = {
            .count = 40, .buffers = 9, .algorithm = SGP_ALGORITHM_ADPSGD};
        ranks_setup_t setup = delays(5, 12, 4 * MILLISECOND);
        trial_t *trial = trial_of(options, 20);
        trial->own_optimizer = own;
        trial->average_every = 7;
        for (int r = 0; r < 5; r++) trial->compute[r] = (uint64_t)(1 + r) * MILLISECOND;
        for (int r = 0; r < 5; r++) trial->added[r] = 0.25f * (float)r;
        run_groups(&setup, try_body, trial);
        check_mean(trial, 5, 2e-5);
    }
}

/* ---- adpsgd ---- */

/* Every active node has one exchange per step, every question is answered, and no n hangs. */
static void test_pairs_for_every_number_of_nodes(void **state) {
    (void)state;
    for (int size = 2; size <= 9; size++) {
        ranks_setup_t setup = delays(size, (uint64_t)size, 3 * MILLISECOND);
        sgp_mixer_options_t options = {.count = 40, .algorithm = SGP_ALGORITHM_ADPSGD};
        trial_t *trial = trial_of(options, 25);
        for (int r = 0; r < size; r++) trial->compute[r] = (uint64_t)(1 + r % 3) * MILLISECOND;
        run_groups(&setup, try_body, trial);
        check_mean(trial, size, 2e-5);
        uint64_t sent = 0, received = 0, exchanges = 25 * (uint64_t)sgp_pairs_actives(size);
        for (int r = 0; r < size; r++) {
            sent += trial->at_end[r].sent;
            received += trial->at_end[r].received;
        }
        assert_int_equal(sent, 2 * exchanges);
        assert_int_equal(received, 2 * exchanges);
        /* They agree far better than at the start. */
        assert_true(trial->consensus[0].distance < 2);
    }
}

static void test_partners(void **state) {
    (void)state;
    for (int size = 2; size <= 65; size++)
        for (int rank = 0; rank < size; rank += 2) {
            bool met[65] = {0};
            for (uint64_t k = 0; k < 40; k++) {
                int partner = sgp_pairs_partner(size, rank, k);
                assert_in_range(partner, 1, size - 1);
                assert_int_equal(partner % 2, 1);
                met[partner] = true;
                /* With as many passive as active nodes no node is asked twice at a time. */
                for (int other = 0; other < rank && size % 2 == 0; other += 2)
                    assert_int_not_equal(sgp_pairs_partner(size, other, k), partner);
            }
            int different = 0;
            for (int p = 0; p < size; p++) different += met[p];
            assert_true(different >= (size / 2 < 3 ? size / 2 : 3));
        }
}

/* ---- combinations ---- */

static const sgp_mixer_options_t algorithms[] = {
    {.count = 40},
    {.count = 40, .overlap = 2},
    {.count = 40, .overlap = SGP_OVERLAP_ASYNC},
    {.count = 40, .algorithm = SGP_ALGORITHM_DPSGD},
    {.count = 40, .algorithm = SGP_ALGORITHM_ADPSGD},
    {.count = 40, .algorithm = SGP_ALGORITHM_ALLREDUCE},
};

enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

static trial_t *mixed_speeds(sgp_mixer_options_t options, int steps) {
    trial_t *trial = trial_of(options, steps);
    for (int r = 0; r < MOST; r++) trial->compute[r] = (uint64_t)(1 + r % 3) * MILLISECOND;
    return trial;
}

/* Steps between exchanges are steps like others, and send nothing. */
static void test_local_steps(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++) {
        ranks_setup_t setup = delays(4, 5, MILLISECOND);
        sgp_mixer_options_t options = algorithms[a];
        trial_t *trial = mixed_speeds(options, 4);
        run_groups(&setup, try_body, trial);
        uint64_t messages = trial->at_end[0].sent;
        options.local_steps = 3;
        trial = mixed_speeds(options, 12);
        run_groups(&setup, try_body, trial);
        check_mean(trial, 4, 2e-5);
        assert_int_equal(trial->at_end[0].sent, messages);
    }
}

/* Without a momentum an outer update is the exact average and nothing else: afterwards all agree. Alone it changes
 * nothing. */
static void test_slow_updates_without_momentum(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++)
        for (int alone = 0; alone < 2; alone++) {
            ranks_setup_t setup = delays(5, 6, MILLISECOND);
            sgp_mixer_options_t options = algorithms[a];
            options.slow_every = 4;
            options.slow_alone = alone;
            trial_t *trial = mixed_speeds(options, 8);
            run_groups(&setup, try_body, trial);
            check_mean(trial, 5, 3e-5);
            if (!alone) assert_true(trial->consensus[0].distance < 1e-6);
        }
}

/* All-reduce keeps all nodes equal, so plain arithmetic gives the result of SlowMo. */
static void test_slow_momentum_is_slowmo(void **state) {
    (void)state;
    enum { SIZE = 3, EVERY = 4, STEPS = 13 };
    const double beta = 0.6;
    sgp_mixer_options_t options = {.count = 40,
                                   .algorithm = SGP_ALGORITHM_ALLREDUCE,
                                   .slow_momentum = (float)beta,
                                   .slow_every = EVERY};
    ranks_setup_t setup = delays(SIZE, 7, MILLISECOND);
    trial_t *trial = trial_of(options, STEPS);
    for (int r = 0; r < SIZE; r++) trial->z0[r] = 3;
    trial->decay = 0;
    run_groups(&setup, try_body, trial);
    double x = 3, anchor = 3, slow = 0, target = 0, lr = (double)LR;
    for (int r = 0; r < SIZE; r++) target += (double)target_of(r) / SIZE;
    for (int k = 1; k <= STEPS; k++) {
        x -= lr * (x - target);
        if (k % EVERY) continue;
        slow = beta * slow + (anchor - x) / lr;
        x = anchor = anchor - lr * slow;
    }
    for (int r = 0; r < SIZE; r++) assert_true(fabs(trial->mean[r] - x) < 1e-5);
}

/* Each of them with slow momentum converges to the same mean. */
static void test_slow_momentum_with_every_algorithm(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++)
        for (int alone = 0; alone < 2; alone++) {
            ranks_setup_t setup = delays(4, 8, MILLISECOND);
            sgp_mixer_options_t options = algorithms[a];
            options.slow_momentum = 0.5f;
            options.slow_every = 5;
            options.slow_alone = alone;
            trial_t *trial = trial_of(options, 300);
            for (int r = 0; r < 4; r++) trial->compute[r] = 2 * MILLISECOND;
            trial->decay = 0;
            run_groups(&setup, try_body, trial);
            double target = 0;
            for (int r = 0; r < 4; r++) target += (double)target_of(r) / 4;
            for (int r = 0; r < 4; r++) {
                assert_true(fabs(trial->mean[r] - target) < 0.5);
                assert_true(fabs(trial->consensus[r].w_total - 4) < 1e-9);
                assert_true(trial->consensus[r].drift < 1e-4);
            }
        }
}

/* From any algorithm to any other in the middle: no mass is lost and no step. */
static void test_switching(void **state) {
    (void)state;
    for (int from = 0; from < ALGORITHMS; from++)
        for (int to = 0; to < ALGORITHMS; to++)
            for (int size = 2; size <= 5; size += 3) {
                ranks_setup_t setup = delays(size, 9, MILLISECOND);
                trial_t *trial = mixed_speeds(algorithms[from], 11);
                trial->switch_at = 5;
                trial->then = algorithms[to];
                if (algorithms[to].algorithm == SGP_ALGORITHM_ADPSGD) trial->decay = 0;
                run_groups(&setup, try_body, trial);
                check_mean(trial, size, 2e-5);
                for (int r = 0; r < size; r++) assert_int_equal(trial->statistics[r].steps, 11);
            }
    /* More peers for the first steps: the graph changes, the vectors do not. */
    ranks_setup_t setup = delays(6, 9, MILLISECOND);
    trial_t *trial = mixed_speeds((sgp_mixer_options_t){.count = 40, .graph.peers = 3}, 9);
    trial->switch_at = 4;
    trial->then = (sgp_mixer_options_t){.count = 40, .graph.peers = 1};
    run_groups(&setup, try_body, trial);
    check_mean(trial, 6, 2e-5);
    /* Hops 1, 2, 3, then 4, 8 and 12, which are two mod 6. */
    assert_int_equal(trial->statistics[0].sent, 3 + 2 + 3 + 2 + 5);
}

static void refuse_options(sgp_group_t *group, void *context) {
    (void)context;
    const sgp_mixer_options_t bad[] = {
        {.count = 4, .algorithm = SGP_ALGORITHM_ALLREDUCE, .overlap = 1},
        {.count = 4, .algorithm = SGP_ALGORITHM_DPSGD, .overlap = SGP_OVERLAP_ASYNC},
        {.count = 4, .algorithm = SGP_ALGORITHM_ADPSGD, .overlap = 2},
        {.count = 4, .overlap = -2},
        {.count = 4, .algorithm = SGP_ALGORITHM_DPSGD, .graph = {.size = 4}},
        {.count = 4, .algorithm = SGP_ALGORITHM_DPSGD, .graph = {.kind = SGP_GRAPH_RANDOM_UNEVEN}},
        {.count = 4, .algorithm = SGP_ALGORITHM_ADPSGD, .graph = {.kind = SGP_GRAPH_RING}},
        {.count = 4, .algorithm = SGP_ALGORITHM_ADPSGD, .biased = true},
        {.count = 4, .local_steps = -1},
        {.count = 4, .slow_momentum = 0.5f},
        {.count = 4, .slow_momentum = 1, .slow_every = 4},
        {.count = 4, .slow_momentum = NAN, .slow_every = 4},
        {.count = 4, .slow_every = -1},
        {.count = 4, .slow_alone = true},
        {.count = 4, .graph = {.peers = 4}},
    };
    sgp_mixer_t *mixer = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(sgp_mixer_create(group, &bad[i], NULL, &mixer) == SGP_ERR_INVALID && !mixer);
    sgp_mixer_options_t async = {.count = 4, .overlap = SGP_OVERLAP_ASYNC};
    sgp_mixer_t *plain = NULL;
    CHECK(sgp_mixer_create(group, &async, NULL, &mixer) == SGP_OK);
    /* Another mixer without one, and the group itself, take the transport from it and give it back. */
    CHECK(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = 4}, NULL, &plain) == SGP_OK);
    for (int step = 0; step < 10; step++) {
        CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
        CHECK(sgp_mixer_step(plain, NULL, NULL, 0) == SGP_OK);
        CHECK(sgp_group_barrier(group) == SGP_OK);
    }
    CHECK(sgp_mixer_average(plain, NULL, NULL) == SGP_OK);
    CHECK(sgp_mixer_average(mixer, NULL, NULL) == SGP_OK);
    sgp_mixer_destroy(plain);
    sgp_mixer_destroy(mixer);
}

static void test_what_does_not_go_together(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 4}};
    run_groups(&setup, refuse_options, NULL);
}

/* ---- the ablation ---- */

typedef struct consensus {
    sgp_mixer_options_t options;
    float z[MOST];
} consensus_t;

/* Averaging alone, without gradients. */
static void only_mix(sgp_group_t *group, void *context) {
    consensus_t *consensus = context;
    int rank = sgp_group_rank(group);
    sgp_mixer_t *mixer = NULL;
    float initial = (float)rank;
    CHECK(sgp_mixer_create(group, &consensus->options, &initial, &mixer) == SGP_OK);
    for (int step = 0; step < 60; step++) CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    consensus->z[rank] = *sgp_mixer_parameters(mixer);
    sgp_mixer_destroy(mixer);
}

/* x <- P x, round by round. x: (8) */
static void multiply(const sgp_graph_t *graph, int rounds, double *x) {
    for (int k = 0; k < rounds; k++) {
        double next[8] = {0};
        for (int j = 0; j < 8; j++) {
            sgp_edge_t edges[8];
            int count = sgp_graph_out(graph, j, (uint64_t)k, edges);
            double kept = 1;
            for (int e = 0; e < count; e++) {
                next[edges[e].peer] += edges[e].weight * x[j];
                kept -= edges[e].weight;
            }
            next[j] += kept * x[j];
        }
        memcpy(x, next, sizeof next);
    }
}

/* On a graph with uneven in-degrees x / w reaches the mean of the nodes, and x alone does not. */
static void test_without_the_weight_the_mean_is_wrong(void **state) {
    (void)state;
    for (int overlap = 0; overlap < 2; overlap++)
        for (int biased = 0; biased < 2; biased++) {
            consensus_t consensus = {
                .options = {.count = 1,
                            .overlap = overlap,
                            .biased = biased,
                            .graph = {.kind = SGP_GRAPH_RANDOM_UNEVEN, .seed = 3}}};
            ranks_setup_t setup = delays(8, 6, MILLISECOND);
            run_groups(&setup, only_mix, &consensus);
            double worst = 0;
            for (int r = 0; r < 8; r++) worst = fmax(worst, fabs((double)consensus.z[r] - 3.5));
            double x[8] = {0, 1, 2, 3, 4, 5, 6, 7};
            sgp_graph_t graph = consensus.options.graph;
            graph.size = 8;
            multiply(&graph, 60, x);
            for (int r = 0; r < 8 && biased && !overlap; r++)
                assert_true(fabs((double)consensus.z[r] - x[r]) < 1e-4);
            if (biased) assert_true(worst > 0.5);
            else assert_true(worst < 1e-4);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_mean_moves_by_the_mean_step),
        cmocka_unit_test(test_large_vectors),
        cmocka_unit_test(test_no_overlap_is_sgp_bit_for_bit),
        cmocka_unit_test(test_a_bounded_overlap_repeats),
        cmocka_unit_test(test_overlap_hides_the_delay),
        cmocka_unit_test(test_a_slow_node_slows_nobody),
        cmocka_unit_test(test_one_fast_node),
        cmocka_unit_test(test_settling_at_different_speeds),
        cmocka_unit_test(test_pairs_for_every_number_of_nodes),
        cmocka_unit_test(test_pairs_keep_what_the_caller_adds),
        cmocka_unit_test(test_partners),
        cmocka_unit_test(test_local_steps),
        cmocka_unit_test(test_slow_updates_without_momentum),
        cmocka_unit_test(test_slow_momentum_is_slowmo),
        cmocka_unit_test(test_slow_momentum_with_every_algorithm),
        cmocka_unit_test(test_switching),
        cmocka_unit_test(test_what_does_not_go_together),
        cmocka_unit_test(test_without_the_weight_the_mean_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
