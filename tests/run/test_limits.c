/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of minutes, in virtual time: the limits follow them, and a node that hangs still ends the run. */
#include "ranks.h"

#include "mixing/mixer_core.h"
#include "run/limits.h"

enum { NODES = 4, STEPS = 6, COUNT = 40 };

typedef struct trial {
    double seconds; /* of a step */
    double slow;    /* node 1's steps take so many times longer */
    bool follows;   /* the limits are set */
    bool hangs;     /* node 1 makes no step but the first */
    sgp_status_t status[NODES];
    uint64_t ended[NODES]; /* ns */
} trial_t;

static void pass(sgp_transport_t *transport, double seconds) {
    uint64_t until = sgp_transport_now(transport) + (uint64_t)(seconds * 1e9);
    sgp_transport_lock(transport);
    while (sgp_transport_now(transport) < until) sgp_transport_pause(transport, until);
    sgp_transport_unlock(transport);
}

static void body(sgp_group_t *group, void *context) {
    trial_t *trial = context;
    int rank = sgp_group_rank(group);
    sgp_transport_t *transport = sgp_group_transport(group);
    sgp_mixer_t *mixer = NULL;
    halt_t halt;
    train_groups_t groups = {.all = group};
    sgp_mixer_options_t options = {.algorithm = SGP_ALGORITHM_SGP, .count = COUNT};
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    CHECK(halt_init(&halt, &groups, NULL, 0) == SGP_OK);
    limits_t limits = {.mixer = mixer, .groups = groups, .halt = &halt};
    if (trial->follows) limits_begin(&limits);
    double seconds = trial->seconds * (rank == 1 ? trial->slow : 1);
    for (int step = 0; step < STEPS && !trial->status[rank]; step++) {
        if (trial->hangs && rank == 1 && step == 1) break;
        pass(transport, seconds);
        trial->status[rank] = sgp_mixer_step(mixer, NULL, NULL, 0);
        if (trial->follows) limits_gradient(&limits, seconds);
    }
    trial->ended[rank] = sgp_transport_now(transport);
    if (trial->hangs && rank == 1) pass(transport, 1e5);
    halt_fini(&halt);
    sgp_mixer_destroy(mixer);
}

static void run(trial_t *trial) {
    ranks_setup_t setup = {.loopback = {.size = NODES,
                                        .chunk_bytes = 64,
                                        .virtual_time = true,
                                        .seed = 5,
                                        .delay_min_ns = 1000,
                                        .delay_max_ns = 4000000}};
    run_groups(&setup, body, trial);
}

static void steps_of_minutes_end_no_run(void **state) {
    (void)state;
    trial_t trial = {.seconds = 180, .slow = 4, .follows = true};
    run(&trial);
    for (int rank = 0; rank < NODES; rank++) assert_int_equal(trial.status[rank], SGP_OK);
}

/* What the test above would find without the limits. */
static void the_limit_of_a_mixer_alone_would(void **state) {
    (void)state;
    trial_t trial = {.seconds = 180, .slow = 4};
    run(&trial);
    int late = 0;
    for (int rank = 0; rank < NODES; rank++) late += trial.status[rank] == SGP_ERR_TIMEOUT;
    assert_true(late > 0);
}

static void a_node_that_hangs_ends_the_run(void **state) {
    (void)state;
    trial_t trial = {.seconds = 180, .slow = 1, .follows = true, .hangs = true};
    run(&trial);
    int late = 0;
    for (int rank = 0; rank < NODES; rank++) {
        late += trial.status[rank] == SGP_ERR_TIMEOUT;
        if (rank != 1) assert_in_range(trial.ended[rank] / 1000000000, 2 * 180, 30 * 180 * 2);
    }
    assert_true(late > 0);
}

static void limits_of_short_and_of_long_steps(void **state) {
    (void)state;
    limits_seconds_t first = limits_of(0, 0), quick = limits_of(0.1, 30), slow = limits_of(300, 0);
    assert_true(first.message == 3600 && first.collective == 600 && first.halt == 30);
    assert_true(quick.message == 60 && quick.collective == 600 && quick.halt == 30);
    assert_true(slow.message == 6000 && slow.collective == 6000 && slow.halt == 900);
    assert_true(limits_of(1, 7200).collective == 28800);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_minutes_end_no_run),
        cmocka_unit_test(the_limit_of_a_mixer_alone_would),
        cmocka_unit_test(a_node_that_hangs_ends_the_run),
        cmocka_unit_test(limits_of_short_and_of_long_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
