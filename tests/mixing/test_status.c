/* SPDX-License-Identifier: Apache-2.0 */
/* Every node comes to know the numbers of all, on every transport: those that their own statistics have. */
#include "ranks.h"

#include "base/clock.h"
#include "base/constants.h"
#include "group/agree_call.h"
#include "group/group_status.h"
#include "group/status_take.h"

#include <sgp/mixer.h>

#include <math.h>
#include <string.h>
#include <time.h>

enum { NODES = 4, MOST = 64, COUNT = 1000, STEPS = 12 };

typedef struct trial {
    sgp_mixer_options_t options;
    int size;
    int wants;  /* this node alone wants rows; -1: none does */
    int ends;   /* this node ends after a few steps, and the others go on; -1: none does */
    int pauses; /* this node stands still in the middle; -1: none does */
    bool elastic;
    /* Results, by the node that looks. */
    sgp_mixer_statistics_t own[MOST];
    atomic_int stepped, done;
    atomic_bool released;
} trial_t;

static double loss_of(int rank) {
    return 0.5 + rank;
}

/* A group that has what sgp_group_join makes. */
static sgp_group_t *make_group(sgp_transport_t *transport, const trial_t *trial) {
    sgp_group_t *group = NULL;
    transport->elastic = trial->elastic;
    CHECK(sgp_group_found(transport, 60000, &group) == SGP_OK);
    CHECK(sgp_group_status_attach(group, false) == SGP_OK);
    if (trial->wants == sgp_group_rank(group))
        CHECK(sgp_group_status_want(sgp_group_status(group)) == SGP_OK);
    return group;
}

static sgp_mixer_t *make_mixer(sgp_group_t *group, const trial_t *trial) {
    float initial[COUNT];
    sgp_mixer_t *mixer = NULL;
    for (size_t i = 0; i < COUNT; i++) initial[i] = (float)(sgp_group_rank(group) + (int)(i % 7));
    CHECK(sgp_mixer_create(group, &trial->options, initial, &mixer) == SGP_OK);
    return mixer;
}

static const sgp_status_member_t *member_of(const sgp_status_snapshot_t *snapshot, int seat) {
    for (size_t i = 0; i < snapshot->members; i++)
        if (snapshot->member[i].seat == seat) return &snapshot->member[i];
    return NULL;
}

/* The row of a node at its end, as another one knows it. */
static bool knows(const sgp_status_member_t *member, const sgp_mixer_statistics_t *own) {
    return member && member->step == own->steps;
}

static bool knows_all(sgp_group_t *group, const trial_t *trial) {
    sgp_status_snapshot_t snapshot = {.members = 0};
    bool all = sgp_group_status_take(sgp_group_status(group), &snapshot) == SGP_OK;
    for (int r = 0; r < trial->size && all; r++)
        all = knows(member_of(&snapshot, r), &trial->own[r]);
    sgp_group_status_release(&snapshot);
    return all;
}

/* Looks at its inbox, as a node does that waits. */
static void look_for_a_while(sgp_group_t *group) {
    sgp_inbox_t *inbox = sgp_group_inbox(group);
    uint64_t until = sgp_transport_now(sgp_group_transport(group)) + 20 * SGP_MILLISECOND;
    bool taken; /* from a progress thread */
    CHECK(sgp_group_take(group, NULL, &taken) == SGP_OK);
    uint64_t since = sgp_inbox_taken_in(inbox);
    sgp_inbox_collect(inbox);
    CHECK(sgp_inbox_doze(inbox, since, until, "rows") == SGP_OK);
    if (taken) sgp_group_give(group);
}

/* late: messages may have come since the step in which the row was written. */
static void check_member(const sgp_status_member_t *member, const sgp_mixer_statistics_t *own,
                         int rank, bool late) {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    host[25] = '\0'; /* as much as a row has */
    CHECK(member->seat == rank && member->incarnation == 0);
    CHECK(member->condition == SGP_STATUS_LIVE);
    CHECK(member->sent == own->sent && member->refused == own->refused);
    CHECK(late || (member->received == own->received && member->late == own->late));
    CHECK(member->resent == own->resent && member->step == own->steps);
    CHECK(member->bytes_sent == (double)own->bytes_sent);
    CHECK(late ? member->weight > 0 : member->weight == own->weight);
    CHECK(member->loss == (double)(float)loss_of(rank) && isnan(member->accuracy));
    CHECK(member->epoch == (uint64_t)rank + 1);
    CHECK(strcmp(member->host, host) == 0);
    CHECK(member->memory > 0 && member->age >= 0);
    CHECK(member->step_ms >= member->wait_ms && member->step_ms >= member->compute_ms);
}

static void check_snapshot(sgp_group_t *group, const trial_t *trial) {
    sgp_status_snapshot_t snapshot = {.members = 0};
    CHECK(sgp_group_status_take(sgp_group_status(group), &snapshot) == SGP_OK);
    CHECK(snapshot.self == sgp_group_rank(group) && snapshot.members == (size_t)trial->size);
    for (int r = 0; r < trial->size; r++)
        check_member(&snapshot.member[r], &trial->own[r], r, trial->options.overlap != 0);
    CHECK(strcmp(snapshot.algorithm, sgp_algorithm_name(trial->options.algorithm)) == 0);
    CHECK(strcmp(snapshot.encoding, "float32") == 0);
    CHECK(strcmp(snapshot.graph, sgp_graph_name(trial->options.graph.kind)) == 0);
    CHECK(snapshot.epochs == 9 && snapshot.seconds_left == 77);
    sgp_group_status_release(&snapshot);
    CHECK(snapshot.member == NULL && snapshot.edge == NULL);
}

/* The edges are those of the graph in the step that this node is in. */
static void check_edges(sgp_group_t *group, const trial_t *trial) {
    sgp_status_snapshot_t snapshot = {.members = 0};
    sgp_graph_t graph = trial->options.graph;
    sgp_edge_t out[MOST];
    int expected = 0, found = 0, heard = 0;
    graph.size = trial->size;
    CHECK(sgp_group_status_take(sgp_group_status(group), &snapshot) == SGP_OK);
    for (int r = 0; r < trial->size; r++) {
        int degree = sgp_graph_out(&graph, r, STEPS - 1, out);
        for (int e = 0; e < degree; e++)
            for (size_t i = 0; i < snapshot.edges; i++) {
                const sgp_status_edge_t *edge = &snapshot.edge[i];
                found += edge->in_step && edge->src == r && edge->dst == out[e].peer;
            }
        expected += degree;
    }
    for (size_t i = 0; i < snapshot.edges; i++) {
        expected -= snapshot.edge[i].in_step;
        heard += snapshot.edge[i].age >= 0 && snapshot.edge[i].bytes_per_second >= 0;
    }
    CHECK(expected == 0 && found > 0 && heard > 0);
    sgp_group_status_release(&snapshot);
}

static void make_steps(sgp_group_t *group, sgp_mixer_t *mixer, int steps) {
    int rank = sgp_group_rank(group);
    for (int k = 0; k < steps; k++) {
        CHECK(sgp_group_report(group, "loss", loss_of(rank)) == SGP_OK);
        CHECK(sgp_group_report(group, "epoch", rank + 1) == SGP_OK);
        CHECK(sgp_group_report(group, "epochs", 9) == SGP_OK);
        CHECK(sgp_group_report(group, "seconds_left", 77) == SGP_OK);
        CHECK(sgp_group_report(group, "samples", 32.0 * (k + 1)) == SGP_OK);
        CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    }
}

/* All nodes make the same steps; then they look until each knows all. */
static void spread(sgp_transport_t *transport, void *context) {
    trial_t *trial = context;
    sgp_group_t *group = make_group(transport, trial);
    sgp_mixer_t *mixer = make_mixer(group, trial);
    int rank = sgp_group_rank(group);
    make_steps(group, mixer, 1);
    /* Those that want no rows hear of it by a message. */
    while (trial->wants >= 0 && !sgp_status_is_on(sgp_group_status(group))) look_for_a_while(group);
    CHECK(sgp_group_barrier(group) == SGP_OK);
    make_steps(group, mixer, STEPS - 1);
    sgp_mixer_statistics(mixer, &trial->own[rank]);
    atomic_fetch_add(&trial->stepped, 1);
    while (atomic_load(&trial->stepped) < trial->size) look_for_a_while(group);
    bool all = false;
    while (!all || atomic_load(&trial->done) < trial->size) {
        look_for_a_while(group);
        if (all || !knows_all(group, trial)) continue;
        all = true;
        atomic_fetch_add(&trial->done, 1);
    }
    check_snapshot(group, trial);
    check_edges(group, trial);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
}

static void run_spread(ranks_setup_t setup, sgp_mixer_options_t options, int wants, bool elastic) {
    trial_t trial = {.options = options,
                     .size = setup.loopback.size,
                     .wants = wants,
                     .ends = -1,
                     .pauses = -1,
                     .elastic = elastic};
    trial.options.count = COUNT;
    run_transports(&setup, spread, &trial);
}

static void test_loopback(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback.size = NODES};
    run_spread(setup, (sgp_mixer_options_t){.count = COUNT}, 0, false);
}

static void test_shm(void **state) {
    (void)state;
    ranks_setup_t setup = {.shm = true, .loopback.size = NODES};
    run_spread(setup, (sgp_mixer_options_t){.count = COUNT}, 3, false);
}

static void test_tcp(void **state) {
    (void)state;
    ranks_setup_t setup = {.tcp = true, .loopback.size = NODES};
    run_spread(setup, (sgp_mixer_options_t){.count = COUNT}, 1, false);
}

/* With a progress thread, which has the transport between the steps. */
static void test_overlap(void **state) {
    (void)state;
    ranks_setup_t setup = {.shm = true, .loopback.size = NODES};
    sgp_mixer_options_t options = {
        .count = COUNT, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1, .timeout_ms = 60000};
    run_spread(setup, options, 0, false);
}

static void test_elastic(void **state) {
    (void)state;
    ranks_setup_t setup = {.tcp = true, .machines = 2, .loopback.size = NODES};
    run_spread(setup, (sgp_mixer_options_t){.count = COUNT}, 2, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback), cmocka_unit_test(test_shm),     cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_overlap),  cmocka_unit_test(test_elastic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
