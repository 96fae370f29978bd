/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that join a running group over tcp, with the public calls: a blob and a snapshot, any member as the sponsor, refusals, and
 * newcomers that do not come in the end. Each node is a thread; real time. */
#include "ranks.h"

#include <sgp/mixer.h>
#include <string.h>

enum { COUNT = 3000, MORE = 20, NODES = 4 };

typedef struct run {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* founded, newcomers or dies */
    char contacts[NODES][SGP_ADDRESS_TEXT];
    const char *sponsor;  /* the address that newcomers call */
    atomic_int founded;   /* founders that train */
    atomic_int newcomers; /* that have made some steps */
    int wanted;           /* so many end the run */
    int overlap;          /* of the mixers */
    /* Under the lock: */
    uint64_t furthest; /* step that a node is about to make */
    uint64_t stop_at;  /* step; 0: not known */
    atomic_int dies;   /* 1: founder 0 dies at its next step; 2: it has */
    bool refuses;
    double total[NODES];
    uint64_t first[NODES];
    atomic_int snapshots, refused;
} run_t;

static void set(run_t *run, atomic_int *number, int value) {
    pthread_mutex_lock(&run->lock);
    atomic_store(number, value);
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
}

static void count(run_t *run, atomic_int *number) {
    pthread_mutex_lock(&run->lock);
    atomic_fetch_add(number, 1);
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
}

static void await(run_t *run, atomic_int *number, int least) {
    pthread_mutex_lock(&run->lock);
    while (atomic_load(number) < least) pthread_cond_wait(&run->changed, &run->lock);
    pthread_mutex_unlock(&run->lock);
}

static bool judge(void *user, const void *about, size_t bytes, char *why, size_t room) {
    run_t *run = user;
    if (!run->refuses) return bytes == 5 && memcmp(about, "model", 5) == 0;
    snprintf(why, room, "its model is resnet20, and that of the run lenet");
    atomic_fetch_add(&run->refused, 1);
    return false;
}

static sgp_status_t snapshot(void *user, void **bytes, size_t *count) {
    run_t *run = user;
    *count = 1000000;
    *bytes = malloc(*count);
    memset(*bytes, 'm', *count);
    atomic_fetch_add(&run->snapshots, 1);
    return SGP_OK;
}

/* Where all end; 0: not known. Before any node has made that step. */
static uint64_t end_of(run_t *run, int rank, uint64_t step) {
    pthread_mutex_lock(&run->lock);
    if (step > run->furthest) run->furthest = step;
    if (rank == 1 && !run->stop_at && atomic_load(&run->newcomers) >= run->wanted)
        run->stop_at = run->furthest + MORE;
    uint64_t end = run->stop_at;
    pthread_mutex_unlock(&run->lock);
    return end;
}

static void train(run_t *run, sgp_group_t *group, sgp_mixer_t *mixer, bool comes) {
    int rank = sgp_group_rank(group);
    float *gradient = calloc(COUNT, sizeof *gradient);
    sgp_optimizer_t *optimizer = NULL;
    sgp_mixer_consensus_t consensus;
    uint64_t step = run->first[rank] = sgp_group_first_step(group);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    for (uint64_t made = 0;; made++, step++) {
        if (comes && made == MORE) count(run, &run->newcomers);
        if (rank == 0 && atomic_load(&run->dies) == 1) {
            sgp_mixer_destroy(mixer);
            sgp_group_abort(group);
            set(run, &run->dies, 2);
            break;
        }
        if (step == end_of(run, rank, step) && step > 0) {
            CHECK(sgp_mixer_average(mixer, NULL, &consensus) == SGP_OK);
            run->total[rank] = consensus.w_total;
            sgp_mixer_destroy(mixer);
            sgp_group_leave(group);
            break;
        }
        const float *z = sgp_mixer_parameters(mixer);
        for (int i = 0; i < COUNT; i++) gradient[i] = z[i] - (float)rank;
        if (sgp_mixer_step(mixer, optimizer, gradient, 0.05f) != SGP_OK) {
            CHECK(!"a step");
            sgp_mixer_destroy(mixer);
            sgp_group_abort(group);
            break;
        }
    }
    sgp_optimizer_destroy(optimizer);
    free(gradient);
}

/* ---- founders ---- */

typedef struct node {
    run_t *run;
    int rank;
    pthread_t thread;
    const char *about;
    sgp_status_t status; /* of joining */
    bool declines, aborts;
    int seat;
} node_t;

static void *founder_main(void *argument) {
    node_t *node = argument;
    run_t *run = node->run;
    sgp_group_t *group = NULL;
    sgp_mixer_t *mixer = NULL;
    sgp_group_options_t options = {.rank = node->rank,
                                   .size = 2,
                                   .join = run->contacts[0],
                                   .claim_rank = true,
                                   .transport = "tcp",
                                   .elastic = 1,
                                   .capacity = NODES};
    char ports[16];
    const char *port = strrchr(run->contacts[node->rank], ':') + 1;
    snprintf(ports, sizeof ports, "%s-%s", port, port);
    if (node->rank) options.ports = ports;
    float *initial = calloc(COUNT, sizeof *initial);
    CHECK(sgp_group_join(&options, &group) == SGP_OK);
    sgp_newcomers_t newcomers = {
        .blob = "the options", .blob_bytes = 11, .judge = judge, .snapshot = snapshot, .user = run};
    sgp_mixer_options_t mixed = {.count = COUNT, .overlap = run->overlap};
    if (group) CHECK(sgp_group_accept(group, &newcomers) == SGP_OK);
    if (group) CHECK(sgp_mixer_create(group, &mixed, initial, &mixer) == SGP_OK);
    count(run, &run->founded);
    if (mixer) train(run, group, mixer, false);
    free(initial);
    return NULL;
}

static void *newcomer_main(void *argument) {
    node_t *node = argument;
    run_t *run = node->run;
    sgp_group_t *group = NULL;
    sgp_mixer_t *mixer = NULL;
    void *state = NULL;
    size_t bytes, count = 0;
    sgp_group_options_t options = {.contacts = run->sponsor,
                                   .about = node->about,
                                   .about_bytes = strlen(node->about),
                                   .join_timeout_ms = 30000};
    sgp_mixer_options_t mixed = {.count = COUNT, .overlap = run->overlap};
    node->status = sgp_group_join(&options, &group);
    if (node->status != SGP_OK) return NULL;
    node->seat = sgp_group_rank(group);
    CHECK(memcmp(sgp_group_blob(group, &bytes), "the options", 11) == 0 && bytes == 11);
    CHECK(sgp_group_fetch(group, 2000000, &state, &count) == SGP_OK);
    CHECK(count == 1000000 && memchr(state, 'n', count) == NULL);
    free(state);
    if (node->declines) sgp_group_decline(group, "its data are others");
    if (node->declines || node->aborts) {
        sgp_group_abort(group);
        return NULL;
    }
    CHECK(sgp_mixer_create(group, &mixed, NULL, &mixer) == SGP_OK);
    if (mixer) train(run, group, mixer, true);
    return NULL;
}

static void begin_run(run_t *run, node_t *founders, int wanted, int overlap) {
    *run = (run_t){.wanted = wanted,
                   .overlap = overlap,
                   .lock = PTHREAD_MUTEX_INITIALIZER,
                   .changed = PTHREAD_COND_INITIALIZER};
    atomic_store(&ranks_failures, 0);
    for (int r = 0; r < 2; r++) ranks_free_address(run->contacts[r]);
    run->sponsor = run->contacts[0];
    for (int r = 0; r < 2; r++) {
        founders[r] = (node_t){.run = run, .rank = r};
        pthread_create(&founders[r].thread, NULL, founder_main, &founders[r]);
    }
    await(run, &run->founded, 2);
}

static void end_run(node_t *founders) {
    for (int r = 0; r < 2; r++) pthread_join(founders[r].thread, NULL);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

static void come(node_t *node, run_t *run) {
    node->run = run;
    if (!node->about) node->about = "model";
    pthread_create(&node->thread, NULL, newcomer_main, node);
}

static void join_with(int overlap) {
    run_t run;
    node_t founders[2], guests[2] = {{.rank = 0}};
    begin_run(&run, founders, 2, overlap);
    for (int g = 0; g < 2; g++) come(&guests[g], &run);
    for (int g = 0; g < 2; g++) pthread_join(guests[g].thread, NULL);
    end_run(founders);
    for (int g = 0; g < 2; g++) assert_int_equal(guests[g].status, SGP_OK);
    for (int r = 0; r < 4; r++) assert_true(run.total[r] > 4 - 1e-9 && run.total[r] < 4 + 1e-9);
    assert_int_equal(run.snapshots, 2);
}

static void test_join(void **state) {
    (void)state;
    join_with(0);
}

static void test_without_waiting(void **state) {
    (void)state;
    join_with(SGP_OVERLAP_ASYNC);
}

/* The one that founded the group is dead: another member is the sponsor. */
static void test_any_member(void **state) {
    (void)state;
    run_t run;
    node_t founders[2], guests[2] = {{.rank = 0}};
    begin_run(&run, founders, 2, 0);
    come(&guests[0], &run);
    await(&run, &run.newcomers, 1);
    set(&run, &run.dies, 1);
    await(&run, &run.dies, 2);
    char left[2 * SGP_ADDRESS_TEXT]; /* the one that was there first listens at the first address */
    snprintf(left, sizeof left, "%s,%s", run.contacts[1], run.contacts[0]);
    run.sponsor = left;
    come(&guests[1], &run);
    for (int g = 0; g < 2; g++) pthread_join(guests[g].thread, NULL);
    end_run(founders);
    for (int g = 0; g < 2; g++) assert_int_equal(guests[g].status, SGP_OK);
    for (int r = 1; r < 4; r++) assert_true(run.total[r] > 3 - 1e-9 && run.total[r] < 3 + 1e-9);
}

/* Those that are refused, decline or end before they are ready disturb nobody, and their seat is given again. */
static void test_not_in_the_end(void **state) {
    (void)state;
    run_t run;
    node_t founders[2],
        guests[4] = {{.about = "other"}, {.declines = true}, {.aborts = true}, {.rank = 0}};
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_ERROR); /* while no thread of a transport logs */
    begin_run(&run, founders, 1, 0);
    for (int g = 0; g < 4; g++) {
        come(&guests[g], &run);
        pthread_join(guests[g].thread, NULL);
    }
    end_run(founders);
    sgp_log_set(NULL, NULL, 0);
    assert_int_equal(guests[0].status, SGP_ERR_REFUSED);
    assert_int_equal(guests[3].status, SGP_OK);
    assert_true(run.total[0] > 3 - 1e-9 && run.total[0] < 3 + 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_without_waiting),
        cmocka_unit_test(test_any_member),
        cmocka_unit_test(test_not_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
