/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs over a network that is cut in two: a part without quorum saves its nodes' states, pauses, and goes on, is told that
 * the others have gone on without it, or gives up. In virtual time. */
#include "run/run_fixture.h"
#include "run/nodes.h"

#include "run/run_files.h"
#include "run/summary.h"

#include <math.h>
#include <sys/stat.h>

enum { MOST = 5, TRAIN = 480, TESTS = 10, SIDE = 8, BATCH = 1 };

#define MS ((uint64_t)1000000)

/* Of a node. */
typedef struct pauses {
    int begun, over;
    train_pause_t last; /* that has begun */
    char folder[PATH_MAX];
    bool saved; /* the folder was there as it was told */
} pauses_t;

typedef struct trial {
    int size, low; /* nodes; those below `low` are one part */
    uint64_t length_ns;
    node_t nodes[MOST];
    pauses_t pauses[MOST];
    sgp_loopback_fault_t faults[MOST * MOST];
} trial_t;

static int set_up(void **state) {
    return fixture_set_up(state, TRAIN, TESTS, SIDE);
}

static bool is_there(const char *path) {
    struct stat found;
    return stat(path, &found) == 0;
}

static void note_pause(const train_pause_t *pause, void *user) {
    pauses_t *pauses = user;
    pauses->begun += !pause->over;
    pauses->over += pause->over;
    if (pause->over) return;
    pauses->last = *pause;
    pauses->saved = pause->folder && is_there(pause->folder);
    if (pause->folder) snprintf(pauses->folder, sizeof pauses->folder, "%s", pause->folder);
}

static void *train(void *argument) {
    node_t *node = argument;
    run_elastic(node, sgp_loopback_transport(node->hub, node->rank));
    return NULL;
}

/* A message takes about 50 ms, so an epoch of four nodes 6 s. The cut is in its middle, or from there on. */
static void run_trial(trial_t *trial, const train_options_t *options) {
    sgp_loopback_t *hub;
    sgp_loopback_options_t loopback = {.size = trial->size,
                                       .virtual_time = true,
                                       .delay_min_ns = 50 * MS,
                                       .delay_max_ns = 54 * MS,
                                       .faults = trial->faults};
    for (int a = 0; a < trial->low; a++)
        for (int b = trial->low; b < trial->size; b++)
            trial->faults[loopback.fault_count++] =
                (sgp_loopback_fault_t){.kind = SGP_FAULT_CUT_BOTH,
                                       .seat = a,
                                       .other = b,
                                       .from_ns = 3000 * MS,
                                       .length_ns = trial->length_ns};
    assert_int_equal(sgp_loopback_create(&loopback, &hub), SGP_OK);
    for (int r = 0; r < trial->size; r++) {
        node_t *node = &trial->nodes[r];
        *node = (node_t){.options = *options, .rank = r, .hub = hub};
        node->callbacks.paused = note_pause;
        node->callbacks.user = &trial->pauses[r];
        assert_int_equal(pthread_create(&node->thread, NULL, train, node), 0);
    }
    for (int r = 0; r < trial->size; r++) pthread_join(trial->nodes[r].thread, NULL);
    sgp_loopback_destroy(hub);
}

static trial_t *trial_of(int size, int low, uint64_t ms) {
    trial_t *trial = calloc(1, sizeof *trial);
    assert_non_null(trial);
    trial->size = size;
    trial->low = low;
    trial->length_ns = ms == SGP_FOR_GOOD ? ms : ms * MS;
    return trial;
}

static train_options_t options_of(const fixture_t *fixture, const trial_t *trial) {
    train_options_t options = fixture_run(fixture, trial->size);
    options.batch_size = BATCH;
    options.output = fixture->output;
    options.pause_limit = 3;
    options.graph = SGP_GRAPH_COMPLETE; /* so that both parts go on step by step */
    return options;
}

static void release(trial_t *trial) {
    for (int r = 0; r < trial->size; r++) train_summary_release(&trial->nodes[r].summary);
    free(trial);
}

/* Those of the second part have paused once, heard their own part alone, and had saved their state when they said so. */
static void assert_paused(const trial_t *trial) {
    for (int r = 0; r < trial->size; r++) {
        const pauses_t *pauses = &trial->pauses[r];
        bool pauses_here = r >= trial->low;
        assert_int_equal(pauses->begun, pauses_here);
        if (!pauses_here) continue;
        assert_int_equal(pauses->last.rank, r);
        assert_int_equal(pauses->last.here, trial->size - trial->low);
        assert_int_equal(pauses->last.nodes, trial->size);
        assert_true(pauses->last.step > 0 && pauses->saved);
    }
}

static void assert_status(const trial_t *trial, sgp_status_t second) {
    for (int r = 0; r < trial->size; r++)
        assert_int_equal(trial->nodes[r].status, r < trial->low ? SGP_OK : second);
}

/* The number of nodes before the latest change, of a run that goes on from there. */
static int resumed_nodes(const fixture_t *fixture, const char *folder, int nodes) {
    static node_t all[MAX_NODES];
    train_options_t options = fixture_run(fixture, nodes);
    options.batch_size = BATCH;
    options.graph = SGP_GRAPH_COMPLETE;
    options.resume = folder;
    run_alike(all, &options);
    assert_all_ended(all, nodes, SGP_OK);
    assert_false(strstr(captured.last, "drifted"));
    return all[0].summary.resumed.nodes;
}

/* The three go on to the end. Each of the two gives up with a sentence that says how to go on from what it has saved. */
static void test_cut_for_good(void **state) {
    const fixture_t *fixture = *state;
    trial_t *trial = trial_of(5, 3, SGP_FOR_GOOD);
    train_options_t options = options_of(fixture, trial);
    run_trial(trial, &options);
    assert_status(trial, SGP_ERR_PEER_LOST);
    assert_paused(trial);
    assert_int_equal(trial->nodes[0].summary.loss_count, 2);
    for (int r = 3; r < 5; r++) assert_int_equal(trial->pauses[r].over, 0);
    for (int r = 3; r < 5; r++) {
        assert_non_null(strstr(trial->nodes[r].summary.reason, trial->pauses[r].folder));
        assert_false(trial->nodes[r].summary.leads);
        for (int nodes = 1; nodes <= 3; nodes += 2)
            assert_int_equal(resumed_nodes(fixture, trial->pauses[r].folder, nodes),
                             nodes == 1 ? 5 : 1);
    }
    assert_int_equal(run_files_remove(fixture->output), SGP_OK);
    assert_false(is_there(trial->pauses[3].folder));
    release(trial);
}

/* Of halves the one with the lowest node goes on. The others are told so, and their states are of no use any more. */
static void test_struck_off(void **state) {
    const fixture_t *fixture = *state;
    trial_t *trial = trial_of(4, 2, 20000);
    train_options_t options = options_of(fixture, trial);
    options.epochs = 4;
    options.pause_limit = 60;
    run_trial(trial, &options);
    assert_status(trial, SGP_ERR_PEER_LOST);
    assert_paused(trial);
    for (int r = 2; r < 4; r++) {
        assert_non_null(strstr(trial->nodes[r].summary.reason, "go on without"));
        assert_false(is_there(trial->pauses[r].folder));
    }
    release(trial);
}

/* Nobody was struck off meanwhile: all end, with all the weight. */
static void test_healed(void **state) {
    const fixture_t *fixture = *state;
    trial_t *trial = trial_of(4, 2, 1800);
    train_options_t options = options_of(fixture, trial);
    run_trial(trial, &options);
    assert_status(trial, SGP_OK);
    assert_paused(trial);
    for (int r = 2; r < 4; r++) assert_int_equal(trial->pauses[r].over, 1);
    assert_int_equal(trial->nodes[0].summary.loss_count, 0);
    assert_true(fabs(trial->nodes[0].summary.consensus.w_total - 4) < 1e-9);
    for (int r = 2; r < 4; r++) assert_false(is_there(trial->pauses[r].folder));
    release(trial);
}

/* No part has the quorum that is asked for: all pause until the cut is over, as long as it takes, also at the epoch's end. */
static void test_both_pause(void **state) {
    const fixture_t *fixture = *state;
    trial_t *trial = trial_of(3, 2, 20000);
    train_options_t options = options_of(fixture, trial);
    options.quorum = 0.9;
    options.pause_limit = 60;
    run_trial(trial, &options);
    assert_status(trial, SGP_OK);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(trial->pauses[r].begun, 1);
        assert_int_equal(trial->pauses[r].over, 1);
    }
    assert_int_equal(trial->nodes[0].summary.loss_count, 0);
    release(trial);
}

int main(int argc, char **argv) {
    (void)argc;
    hold_openmp_to_one_thread(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cut_for_good, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_struck_off, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_healed, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_both_pause, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
