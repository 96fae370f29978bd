/* SPDX-License-Identifier: Apache-2.0 */
/* In virtual time, with delayed messages and nodes of different speed, all nodes halt between the
 * same two steps, whichever node asks and whenever, and none hangs; also if some of them die in the
 * middle of a halt. */
#include "ranks.h"

#include "group/agree_call.h"
#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"
#include "run/halt.h"

#include <math.h>
#include <string.h>

enum { MOST_NODES = 7, STEPS = 400, COUNT = 40, MILLI = 1000000 };

/* Steps before the asker asks from which on a node's calls of the transport are tried as its last. */
enum { LEAD = 3 };

typedef struct trial {
    sgp_mixer_options_t options;
    int asker;      /* this node is told to end */
    uint64_t asks;  /* before this step */
    uint64_t saves; /* node 0 wants a checkpoint before this step; 0: it does not */
    double seconds; /* per step, in the nodes' promises */
    uint64_t slow;  /* node 1's steps take so many times longer */
    int breaks;     /* this node fails; -1: none does */
    uint64_t steps;
    bool elastic;
    bool dies[MOST_NODES];
    bool leaves[MOST_NODES]; /* told to leave before step `asks` */
    halt_leaving_t leaving;  /* of all nodes; seconds 0: no node is told */
    volatile sig_atomic_t stop[MOST_NODES], leave[MOST_NODES];
    /* Results. */
    uint64_t halted[MOST_NODES][2]; /* steps made at each halt */
    int halts[MOST_NODES];
    int signals[MOST_NODES]; /* of the last halt */
    int left[MOST_NODES];    /* ranks that leave at it, as bits */
    bool alone[MOST_NODES];
    bool too_far[MOST_NODES];
    sgp_status_t status[MOST_NODES];
    halt_ending_t endings[MOST_NODES][MOST_NODES];
    uint64_t calls[MOST_NODES]
                  [2]; /* of the transport, when the asker asks and when the node has halted */
} trial_t;

static void compute(sgp_transport_t *transport, uint64_t ns) {
    uint64_t until = sgp_transport_now(transport) + ns;
    sgp_transport_lock(transport);
    while (sgp_transport_now(transport) < until) sgp_transport_pause(transport, until);
    sgp_transport_unlock(transport);
}

/* Returns whether the run is to end, for this node or all. */
static bool halt_here(trial_t *trial, halt_t *halt, sgp_mixer_t *mixer, int rank, uint64_t step) {
    int number = halt->signal;
    trial->signals[rank] = number;
    trial->left[rank] = 0;
    for (int r = 0; r < sgp_group_size(halt->all); r++)
        if (halt_leaves(halt, r)) trial->left[rank] |= 1 << r;
    bool goes = number || (trial->left[rank] >> rank & 1);
    trial->too_far[rank] = halt->too_far;
    CHECK(trial->halts[rank] < MOST_NODES);
    trial->halted[rank][trial->halts[rank]++ % 2] = step;
    bool saves = !halt->too_far;
    halt_over(halt);
    sgp_status_t settled =
        saves ? sgp_mixer_settle(mixer) : SGP_OK; /* all nodes, as for a checkpoint */
    if (saves && settled == SGP_OK) settled = sgp_mixer_resume(mixer);
    CHECK(settled == SGP_OK || trial->dies[rank]);
    if (number || trial->left[rank]) trial->calls[rank][1] = sgp_loopback_calls(mixer->transport);
    return goes;
}

static sgp_status_t make_step(const trial_t *trial, sgp_mixer_t *mixer, int rank, uint64_t step) {
    uint64_t factor = rank == 1 && trial->slow ? trial->slow : 1;
    compute(mixer->transport,
            factor * (MILLI + (uint64_t)((rank * 7 + (int)step * 3) % 5) * MILLI));
    if (trial->breaks == rank && step == trial->asks) return SGP_ERR_NOT_FINITE;
    return sgp_mixer_step(mixer, NULL, NULL, 0);
}

static void steps(trial_t *trial, halt_t *halt, sgp_mixer_t *mixer, int rank) {
    sgp_status_t status = SGP_OK;
    bool here = false;
    for (uint64_t step = 0; step < trial->steps && status == SGP_OK; step++) {
        if (rank == trial->asker && step == trial->asks) trial->stop[rank] = 15;
        if (trial->leaves[rank] && step == trial->asks) trial->leave[rank] = 10;
        if (step + LEAD == trial->asks)
            trial->calls[rank][0] = sgp_loopback_calls(mixer->transport);
        if (rank == 0 && trial->saves && step == trial->saves) halt_due(halt, 0);
        status = halt_before_step(halt, step, trial->seconds, &here);
        if (rank == 0 && here) halt_due(halt, UINT64_MAX);
        if (status == SGP_OK && here && halt_here(trial, halt, mixer, rank, step)) break;
        if (status == SGP_OK) status = make_step(trial, mixer, rank, step);
    }
    trial->status[rank] = status;
}

static void take_part(trial_t *trial, sgp_group_t *group) {
    int rank = sgp_group_rank(group);
    sgp_mixer_t *mixer = NULL;
    halt_t halt;
    train_groups_t groups = {.all = group};
    CHECK(sgp_mixer_create(group, &trial->options, NULL, &mixer) == SGP_OK);
    CHECK(halt_init(&halt, &groups, &trial->stop[rank], 0) == SGP_OK);
    halt_leaving_t leaving = trial->leaving;
    leaving.leave = &trial->leave[rank];
    if (leaving.workers) halt_set_leaving(&halt, &leaving);
    steps(trial, &halt, mixer, rank);
    sgp_mixer_destroy(mixer);
    trial->alone[rank] = halt_left_alone(&halt);
    if (trial->status[rank] != SGP_OK && !trial->alone[rank])
        halt_exchange_endings(&halt,
                              &(halt_ending_t){.status = trial->status[rank], .step = trial->asks},
                              trial->endings[rank]);
    halt_fini(&halt);
}

static void body(sgp_transport_t *transport, void *context) {
    trial_t *trial = context;
    int rank = transport->rank;
    sgp_group_t *group = NULL;
    transport->elastic = trial->elastic;
    CHECK(sgp_group_found(transport, 60000, &group) == SGP_OK);
    take_part(trial, group);
    if (trial->dies[rank]) sgp_group_abort(group);
    else sgp_group_leave(group);
}

static const sgp_mixer_options_t algorithms[] = {
    {.algorithm = SGP_ALGORITHM_SGP},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 2},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = SGP_OVERLAP_ASYNC},
    {.algorithm = SGP_ALGORITHM_DPSGD},
    {.algorithm = SGP_ALGORITHM_ADPSGD},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE},
};

enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

static trial_t trial_of(int algorithm, int asker, uint64_t asks) {
    trial_t trial = {.options = algorithms[algorithm],
                     .asker = asker,
                     .asks = asks,
                     .seconds = 1e-3,
                     .steps = STEPS,
                     .breaks = -1};
    trial.options.count = COUNT;
    return trial;
}

static void run_with(trial_t *trial, int size, uint64_t seed, const sgp_loopback_fault_t *faults,
                     int fault_count) {
    ranks_setup_t setup = {.loopback = {.size = size,
                                        .chunk_bytes = 64,
                                        .virtual_time = true,
                                        .seed = seed,
                                        .delay_min_ns = 1000,
                                        .delay_max_ns = 4 * MILLI,
                                        .faults = faults,
                                        .fault_count = fault_count}};
    run_transports(&setup, body, trial);
}

static void run(trial_t *trial, int size, uint64_t seed) {
    run_with(trial, size, seed, NULL, 0);
}

static void check_together(const trial_t *trial, int size, int halts) {
    for (int r = 0; r < size; r++) {
        assert_int_equal(trial->status[r], SGP_OK);
        assert_int_equal(trial->halts[r], halts);
        for (int h = 0; h < halts; h++) assert_int_equal(trial->halted[r][h], trial->halted[0][h]);
    }
    assert_true(trial->halted[0][halts - 1] >= trial->asks);
    assert_true(trial->halted[0][halts - 1] < STEPS);
}

static void test_all_halt_at_one_step(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++)
        for (int size = 1; size <= MOST_NODES; size++) {
            trial_t trial = trial_of(a, size / 2, 20 + (uint64_t)size);
            run(&trial, size, (uint64_t)(a * 10 + size));
            check_together(&trial, size, 1);
        }
}

/* A halt for a checkpoint; then another node ends the run. */
static void test_one_after_the_other(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++) {
        trial_t trial = trial_of(a, 3, 60);
        trial.saves = 11;
        run(&trial, 5, (uint64_t)a + 3);
        check_together(&trial, 5, 2);
        assert_true(trial.halted[0][0] < trial.halted[0][1]);
    }
}

/* Steps of a minute: no node waits for the slower one, and the run ends all the same. */
static void test_one_is_too_far_behind(void **state) {
    (void)state;
    trial_t trial = trial_of(2, 3, 50);
    trial.seconds = 60;
    trial.slow = 8;
    run(&trial, 5, 1);
    for (int r = 0; r < 5; r++) {
        assert_int_equal(trial.status[r], SGP_OK);
        assert_int_equal(trial.halts[r], 1);
        assert_true(trial.too_far[r]);
    }
    assert_true(trial.halted[1][0] < trial.halted[3][0]);
}

/* Steps of three minutes in lock step: some node is a step behind, and the nodes halt all the same, or there would be no
 * checkpoint. */
static void test_long_steps_are_saved(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        trial_t trial = trial_of(0, 3, 60);
        trial.seconds = 180;
        trial.saves = 11 + seed;
        run(&trial, 5, seed);
        check_together(&trial, 5, 2);
        for (int r = 0; r < 5; r++) assert_false(trial.too_far[r]);
    }
}

/* Every node knows which node failed, and that the others ended because of it. */
static void test_an_ending_reaches_all(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++) {
        trial_t trial = trial_of(a, -1, 17);
        trial.breaks = 2;
        run(&trial, 6, (uint64_t)a);
        for (int r = 0; r < 6; r++) {
            assert_int_equal(trial.status[r], r == 2 ? SGP_ERR_NOT_FINITE : SGP_ERR_ENDED);
            for (int src = 0; src < 6; src++)
                assert_int_equal(trial.endings[r][src].status, trial.status[src]);
        }
    }
}

/* ---- deaths in an elastic group ---- */

/* The survivors halt at one step, or none does, where the asker has died before it was heard. */
static void check_survivors(const trial_t *trial, int size, const char *when) {
    int first = -1;
    for (int r = 0; r < size; r++) {
        if (trial->dies[r]) continue;
        if (first < 0) first = r;
        bool same = trial->status[r] == SGP_OK && trial->halts[r] == trial->halts[first] &&
                    trial->halted[r][0] == trial->halted[first][0];
        if (!same)
            fail_msg(
                "%s: node %d: status %d, %d halts, before step %d; node %d: %d, before step %d",
                when, r, (int)trial->status[r], trial->halts[r], (int)trial->halted[r][0], first,
                trial->halts[first], (int)trial->halted[first][0]);
    }
    assert_true(trial->halts[first] == 1 || trial->dies[trial->asker]);
}

static trial_t elastic_trial(int algorithm, int asker) {
    trial_t trial = trial_of(algorithm, asker, 12);
    trial.elastic = true;
    trial.steps = 24;
    return trial;
}

/* Each call of the transport that a node makes during a halt, as its last. With `second`, that node dies in its next calls as
 * well. */
static void search(int algorithm, int size, int asker, int victim, int second, uint64_t seed) {
    trial_t whole = elastic_trial(algorithm, asker);
    run(&whole, size, seed);
    check_survivors(&whole, size, "no death");
    uint64_t begin = whole.calls[victim][0], end = whole.calls[victim][1];
    if (begin >= end)
        fail_msg("algorithm %d, %d nodes, %d asks, %d: calls %d to %d, halted before %d", algorithm,
                 size, asker, victim, (int)begin, (int)end, (int)whole.halted[victim][0]);
    uint64_t stride = size > 3 ? 5 : 1; /* of larger groups a part */
    for (uint64_t call = begin + 1 + seed % stride; call <= end; call += stride) {
        char when[160];
        trial_t trial = elastic_trial(algorithm, asker);
        sgp_loopback_fault_t faults[2] = {
            {.kind = SGP_FAULT_KILL_AT_CALL, .seat = victim, .call = call},
            {.kind = SGP_FAULT_KILL_AT_CALL, .seat = second, .call = 0}};
        trial.dies[victim] = true;
        if (second >= 0) {
            uint64_t length = whole.calls[second][1] - whole.calls[second][0];
            trial.dies[second] = true;
            faults[1].call = whole.calls[second][0] + 1 + (call * 7 + seed) % length;
        }
        snprintf(when, sizeof when,
                 "algorithm %d, %d nodes, node %d asks, %d dies at call %d, %d at call %d, seed %d",
                 algorithm, size, asker, victim, (int)call, second, (int)faults[1].call, (int)seed);
        run_with(&trial, size, seed, faults, second >= 0 ? 2 : 1);
        check_survivors(&trial, size, when);
    }
}

static void test_one_dies(void **state) {
    (void)state;
    for (int a = 0; a < 4; a += 1 + (a == 1))
        for (int size = 2; size <= 4; size++)
            for (int victim = 0; victim < size; victim++)
                search(a, size, (size - 1 + a) % size, victim, -1, (uint64_t)(a * 10 + size));
}

static void test_two_die(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        search(seed % 3 == 2 ? 3 : (int)(seed % 3), 5, 2, (int)(seed % 5),
               (int)((seed + 1 + seed / 4) % 5), seed);
}

/* ---- nodes that leave ---- */

enum { NOBODY = -1 };

static trial_t leaving_trial(int algorithm, double seconds) {
    trial_t trial = elastic_trial(algorithm, NOBODY);
    trial.leaving = (halt_leaving_t){.seconds = seconds, .workers = 1, .least = 1};
    return trial;
}

/* All nodes halt at one step, and know who leaves; the others make the rest of the steps. */
static void test_some_leave(void **state) {
    (void)state;
    for (int a = 0; a < 4; a++)
        for (int size = 2; size <= 5; size++)
            for (int count = 1; count < size; count++) {
                trial_t trial = leaving_trial(a, 100);
                int all = 0;
                for (int i = 0; i < count; i++) {
                    int rank = (i + a + size) % size;
                    trial.leaves[rank] = true;
                    all |= 1 << rank;
                }
                run(&trial, size, (uint64_t)(a * 10 + size));
                int found = 0;
                for (int r = 0; r < size; r++) {
                    assert_int_equal(trial.status[r], SGP_OK);
                    assert_int_equal(trial.signals[r], 0);
                    found |= trial.left[r];
                    if (trial.leaves[r]) assert_true(trial.left[r] >> r & 1);
                }
                assert_int_equal(found, all);
            }
}

/* If all are told, or too few would be left, no node leaves, and the run ends for all. */
static void test_the_run_ends_instead(void **state) {
    (void)state;
    for (int a = 0; a < 4; a++)
        for (int least = 1; least <= 4; least++) {
            trial_t trial = leaving_trial(a, 100);
            trial.leaving.least = least;
            trial.asks = 0; /* all are told before any promise */
            for (int r = 0; r < 4; r++) trial.leaves[r] = least == 1 || r == 2;
            run(&trial, 4, (uint64_t)a);
            int signal = least == 1 ? 10 : least == 4 ? HALT_TOO_FEW : 0;
            for (int r = 0; r < 4; r++) {
                assert_int_equal(trial.status[r], SGP_OK);
                assert_int_equal(trial.halts[r], 1);
                assert_int_equal(trial.signals[r], signal);
                assert_int_equal(trial.left[r], signal ? 0 : 1 << 2);
            }
        }
}

/* Workers of a node leave together, also if one of them is told. */
static void test_workers_leave_together(void **state) {
    (void)state;
    trial_t trial = leaving_trial(0, 100);
    trial.leaving.workers = 2;
    trial.leaves[3] = true;
    run(&trial, 6, 3);
    for (int r = 0; r < 6; r++) assert_int_equal(trial.left[r], 3 << 2);
}

/* Without time to spare a node goes in the middle of a step; the others go on. */
static void test_one_leaves_alone(void **state) {
    (void)state;
    for (int a = 0; a < 4; a++)
        for (uint64_t seed = 0; seed < 8; seed++) {
            trial_t trial = leaving_trial(a, 0);
            trial.leaving.gather = 100;
            trial.asks = 3 + seed;
            trial.leaves[seed % 4] = true;
            run(&trial, 4, seed);
            for (int r = 0; r < 4; r++) {
                bool leaves = trial.leaves[r];
                assert_int_equal(trial.status[r], leaves ? SGP_ERR_INTERRUPTED : SGP_OK);
                assert_int_equal(trial.alone[r], leaves);
                assert_int_equal(trial.halts[r], 0);
            }
        }
}

/* Others die at any call of the transport around the halt: those that are left have the same result. */
static void test_one_leaves_and_one_dies(void **state) {
    (void)state;
    for (int a = 0; a < 4; a += 3)
        for (int victim = 1; victim < 4; victim++) {
            trial_t whole = leaving_trial(a, 100);
            whole.leaves[0] = true;
            run(&whole, 4, 1);
            for (uint64_t call = whole.calls[victim][0] + 1; call <= whole.calls[victim][1];
                 call += 3) {
                trial_t trial = leaving_trial(a, 100);
                sgp_loopback_fault_t fault = {
                    .kind = SGP_FAULT_KILL_AT_CALL, .seat = victim, .call = call};
                trial.leaves[0] = trial.dies[victim] = true;
                run_with(&trial, 4, 1, &fault, 1);
                for (int r = 0; r < 4; r++) {
                    if (trial.dies[r]) continue;
                    assert_int_equal(trial.status[r], SGP_OK);
                    assert_int_equal(trial.halts[r], 1);
                    assert_int_equal(trial.left[r], 1);
                    assert_int_equal(trial.halted[r][0], trial.halted[0][0]);
                }
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_halt_at_one_step),
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_one_is_too_far_behind),
        cmocka_unit_test(test_long_steps_are_saved),
        cmocka_unit_test(test_an_ending_reaches_all),
        cmocka_unit_test(test_one_dies),
        cmocka_unit_test(test_two_die),
        cmocka_unit_test(test_some_leave),
        cmocka_unit_test(test_the_run_ends_instead),
        cmocka_unit_test(test_workers_leave_together),
        cmocka_unit_test(test_one_leaves_alone),
        cmocka_unit_test(test_one_leaves_and_one_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
