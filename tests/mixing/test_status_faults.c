/* SPDX-License-Identifier: Apache-2.0 */
/* What the others' rows show of nodes that die, leave and stand still, how soon they show it, and that nothing is sent where nobody
 * looks. In virtual time, so that seconds cost nothing. */
#include "ranks.h"

#include "base/constants.h"
#include "group/agree_call.h"
#include "group/group_status.h"
#include "group/status_take.h"

#include <sgp/mixer.h>

#include <math.h>
#include <string.h>

enum { COUNT = 100, MOST = 64 };

#define COMPUTE_NS (100 * SGP_MILLISECOND) /* a gradient */

typedef struct trial {
    int size;
    bool attached; /* the groups have a status */
    int wants;     /* this node; -1: none */
    bool elastic;
    sgp_mixer_options_t options;
    int steps;
    int odd; /* the node that does something else, before step odd_at */
    int odd_at;
    void (*does)(struct trial *trial, sgp_group_t *group, sgp_mixer_t *mixer); /* ends it */
    void (*looks)(struct trial *trial, sgp_group_t *group); /* the one that wants, at the end */
    uint64_t messages[MOST];                                /* that each node has sent */
    sgp_group_t *watched;
} trial_t;

static void compute(sgp_transport_t *transport, uint64_t ns) {
    uint64_t until = sgp_transport_now(transport) + ns;
    sgp_transport_lock(transport);
    while (sgp_transport_now(transport) < until &&
           sgp_transport_pause(transport, until) == SGP_OK) {
    }
    sgp_transport_unlock(transport);
}

static void body(sgp_transport_t *transport, void *context) {
    trial_t *trial = context;
    sgp_group_t *group = NULL;
    sgp_mixer_t *mixer = NULL;
    int rank = transport->rank;
    transport->elastic = trial->elastic;
    CHECK(sgp_group_found(transport, 60000, &group) == SGP_OK);
    if (trial->attached) CHECK(sgp_group_status_attach(group, false) == SGP_OK);
    if (rank == 0) trial->watched = group;
    if (trial->wants == rank) CHECK(sgp_group_status_want(sgp_group_status(group)) == SGP_OK);
    CHECK(sgp_mixer_create(group, &trial->options, NULL, &mixer) == SGP_OK);
    for (int k = 0; k < trial->steps; k++) {
        if (rank == trial->odd && k == trial->odd_at) {
            trial->does(trial, group, mixer);
            return;
        }
        compute(transport, COMPUTE_NS);
        CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    }
    if (rank == trial->wants) trial->looks(trial, group);
    trial->messages[rank] = transport->next_id;
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
}

static void run_trial(trial_t *trial) {
    ranks_setup_t setup = {.loopback = {.size = trial->size,
                                        .virtual_time = true,
                                        .seed = 5,
                                        .delay_min_ns = SGP_MILLISECOND,
                                        .delay_max_ns = 3 * SGP_MILLISECOND}};
    trial->options.count = COUNT;
    run_transports(&setup, body, trial);
}

static sgp_status_snapshot_t take(sgp_group_t *group) {
    sgp_status_snapshot_t snapshot = {.members = 0};
    CHECK(sgp_group_status_take(sgp_group_status(group), &snapshot) == SGP_OK);
    return snapshot;
}

/* ---- nobody looks ---- */

static void test_off(void **state) {
    (void)state;
    trial_t with = {.size = 5, .attached = true, .wants = -1, .steps = 20, .odd = -1};
    trial_t without = {.size = 5, .attached = false, .wants = -1, .steps = 20, .odd = -1};
    run_trial(&with);
    run_trial(&without);
    for (int r = 0; r < 5; r++) {
        assert_true(with.messages[r] > 0);
        assert_int_equal(with.messages[r], without.messages[r]);
    }
}

/* ---- all rows come, and stay young ---- */

static void ages_are_small(trial_t *trial, sgp_group_t *group) {
    sgp_status_snapshot_t snapshot = take(group);
    CHECK(snapshot.members == (size_t)trial->size);
    double oldest = 0;
    for (size_t i = 0; i < snapshot.members; i++) {
        const sgp_status_member_t *member = &snapshot.member[i];
        CHECK(member->age >= 0 && member->step > 0);
        if (!(member->age <= oldest)) oldest = member->age;
        CHECK(fabs(member->compute_ms - 100) < 1 && member->step_ms > 100);
    }
    CHECK(oldest < (trial->size <= 16 ? 5 : 12));
    sgp_group_status_release(&snapshot);
}

static void test_ages(void **state) {
    (void)state;
    static const struct {
        int size;
        sgp_graph_t graph;
        sgp_algorithm_t algorithm;
    } of[] = {
        {2, {.kind = SGP_GRAPH_EXPONENTIAL}, SGP_ALGORITHM_SGP},
        {8, {.kind = SGP_GRAPH_EXPONENTIAL}, SGP_ALGORITHM_SGP},
        {8, {.kind = SGP_GRAPH_RING}, SGP_ALGORITHM_SGP},
        {8, {.kind = SGP_GRAPH_BASE}, SGP_ALGORITHM_DPSGD},
        {8, {.kind = SGP_GRAPH_EXPONENTIAL}, SGP_ALGORITHM_ALLREDUCE},
        {16, {.kind = SGP_GRAPH_EXPONENTIAL}, SGP_ALGORITHM_SGP},
        {32, {.kind = SGP_GRAPH_RING}, SGP_ALGORITHM_SGP},
        {64, {.kind = SGP_GRAPH_EXPONENTIAL}, SGP_ALGORITHM_SGP},
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        trial_t trial = {.size = of[i].size,
                         .attached = true,
                         .wants = of[i].size / 2,
                         .options = {.graph = of[i].graph, .algorithm = of[i].algorithm},
                         .steps = 300, /* 30 s */
                         .odd = -1,
                         .looks = ages_are_small};
        run_trial(&trial);
    }
}

/* ---- a node that ends ---- */

static void aborts(trial_t *trial, sgp_group_t *group, sgp_mixer_t *mixer) {
    (void)trial;
    sgp_mixer_destroy(mixer);
    sgp_group_abort(group);
}

static void leaves(trial_t *trial, sgp_group_t *group, sgp_mixer_t *mixer) {
    (void)trial;
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
}

static void check_end(trial_t *trial, sgp_group_t *group, sgp_status_condition_t condition) {
    sgp_status_snapshot_t snapshot = take(group);
    CHECK(snapshot.members == (size_t)trial->size);
    const sgp_status_member_t *odd = &snapshot.member[trial->odd];
    CHECK(odd->seat == trial->odd && odd->condition == condition);
    CHECK((condition == SGP_STATUS_GONE) == (odd->reason[0] != '\0'));
    CHECK(odd->gone_step > 0 && odd->gone_step <= (uint64_t)trial->odd_at);
    CHECK(odd->age > 5); /* its row has not become newer */
    for (size_t i = 0; i < snapshot.members; i++)
        CHECK((int)i == trial->odd || snapshot.member[i].condition == SGP_STATUS_LIVE);
    sgp_group_status_release(&snapshot);
}

static void is_gone(trial_t *trial, sgp_group_t *group) {
    check_end(trial, group, SGP_STATUS_GONE);
}

static void has_left(trial_t *trial, sgp_group_t *group) {
    check_end(trial, group, SGP_STATUS_LEFT);
}

/* Of four nodes the third ends in the middle. */
static trial_t ending(void (*does)(trial_t *trial, sgp_group_t *group, sgp_mixer_t *mixer),
                      void (*looks)(trial_t *trial, sgp_group_t *group)) {
    return (trial_t){.size = 4,
                     .attached = true,
                     .elastic = true,
                     .steps = 200,
                     .odd = 2,
                     .odd_at = 60,
                     .does = does,
                     .looks = looks};
}

static void test_gone(void **state) {
    (void)state;
    trial_t trial = ending(aborts, is_gone);
    run_trial(&trial);
}

static void test_left(void **state) {
    (void)state;
    trial_t trial = ending(leaves, has_left);
    run_trial(&trial);
}

/* ---- a node that hangs ---- */

/* While node 0 waits in its step, this one looks at what node 0 knows, as the thread of its server would. */
static void hangs(trial_t *trial, sgp_group_t *group, sgp_mixer_t *mixer) {
    compute(sgp_group_transport(group), 100 * COMPUTE_NS);
    sgp_status_snapshot_t snapshot = take(trial->watched);
    const sgp_status_member_t *odd = &snapshot.member[trial->odd], *own = &snapshot.member[0];
    CHECK(snapshot.members == 3);
    CHECK(odd->age > 8 && odd->step + 10 > (uint64_t)trial->odd_at);
    CHECK(own->age < 1 && own->step >= odd->step && own->step <= (uint64_t)trial->odd_at + 1);
    CHECK(strcmp(own->reason, "waits for node 2") == 0 && !strcmp(odd->reason, ""));
    CHECK(snapshot.member[1].age < 2);
    CHECK(strcmp(snapshot.member[1].reason, "waits for node 2") == 0);
    sgp_group_status_release(&snapshot);
    for (int k = trial->odd_at; k < trial->steps; k++)
        CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
}

static void looks_no_more(trial_t *trial, sgp_group_t *group) {
    (void)trial;
    (void)group;
}

static void test_hung(void **state) {
    (void)state;
    trial_t trial = {.size = 3,
                     .attached = true,
                     .options.graph = {.kind = SGP_GRAPH_RING, .peers = 2},
                     .steps = 100,
                     .odd = 2,
                     .odd_at = 95,
                     .does = hangs,
                     .looks = looks_no_more};
    run_trial(&trial);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off),  cmocka_unit_test(test_ages), cmocka_unit_test(test_gone),
        cmocka_unit_test(test_left), cmocka_unit_test(test_hung),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
