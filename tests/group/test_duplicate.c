/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of the same nodes: used by two threads at a time, left in any order, duplicated again. */
#include "worker_ranks.h"

#include <sgp/sgp.h>

#include <string.h>

enum { COUNT = 2000, STEPS = 30 };

/* ---- joined groups, in threads of this process ---- */

typedef struct member {
    pthread_t thread;
    const char *transport;
    const char *directory; /* NULL: they join at: */
    char *at;
    int rank, size;
    void (*body)(sgp_group_t *group);
    atomic_int *lines; /* in the group's log */
} member_t;

static void count_line(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)rank, (void)line;
    atomic_fetch_add((atomic_int *)user, 1);
}

static void *member_main(void *argument) {
    const member_t *member = argument;
    sgp_group_t *group = NULL;
    sgp_group_options_t options = {.rank = member->rank,
                                   .size = member->size,
                                   .claim_rank = true,
                                   .rendezvous = member->directory,
                                   .join = member->directory ? NULL : member->at,
                                   .join_timeout_ms = 60000,
                                   .transport = member->transport,
                                   .log = count_line,
                                   .log_user = member->lines};
    CHECK(sgp_group_join(&options, &group) == SGP_OK);
    if (group) member->body(group);
    return NULL;
}

static atomic_int log_lines;

static void run_joined(const char *transport, int size, void (*body)(sgp_group_t *group)) {
    char directory[] = "/tmp/sgp-test-XXXXXX", at[SGP_ADDRESS_TEXT] = "";
    bool shm = !strcmp(transport, "shm");
    member_t members[8];
    assert_non_null(mkdtemp(directory));
    if (!shm) ranks_free_address(at);
    atomic_store(&ranks_failures, 0);
    atomic_store(&log_lines, 0);
    for (int r = 0; r < size; r++) {
        members[r] = (member_t){.transport = transport,
                                .directory = shm ? directory : NULL,
                                .at = at,
                                .rank = r,
                                .size = size,
                                .body = body,
                                .lines = &log_lines};
        assert_int_equal(pthread_create(&members[r].thread, NULL, member_main, &members[r]), 0);
    }
    for (int r = 0; r < size; r++) pthread_join(members[r].thread, NULL);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

static void run_all(int size, void (*body)(sgp_group_t *group)) {
    static const char *const transports[] = {"shm", "tcp", "auto"};
    for (int t = 0; t < 3; t++) run_joined(transports[t], size, body);
}

/* ---- two threads ---- */

static void train(sgp_group_t *group, int overlap) {
    float gradient[COUNT], mean[COUNT];
    sgp_mixer_t *mixer = NULL;
    sgp_mixer_options_t options = {.count = COUNT, .overlap = overlap};
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    for (int i = 0; i < COUNT; i++) gradient[i] = 1;
    for (int k = 0; k < STEPS; k++) {
        for (int i = 0; i < COUNT; i++) sgp_mixer_parameters(mixer)[i] -= gradient[i];
        CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    }
    CHECK(sgp_mixer_average(mixer, mean, NULL) == SGP_OK);
    for (int i = 0; i < COUNT; i++) CHECK(mean[i] < 0 && mean[i] == mean[0]);
    sgp_mixer_destroy(mixer);
}

static void *train_copy(void *argument) {
    train(argument, SGP_OVERLAP_ASYNC);
    return NULL;
}

static void use_both(sgp_group_t *group) {
    sgp_group_t *copy = NULL;
    pthread_t thread;
    CHECK(sgp_group_duplicate(group, &copy) == SGP_OK && !*sgp_last_error());
    CHECK(sgp_group_rank(copy) == sgp_group_rank(group));
    CHECK(sgp_group_size(copy) == sgp_group_size(group));
    CHECK(pthread_create(&thread, NULL, train_copy, copy) == 0);
    train(group, 0);
    pthread_join(thread, NULL);
    sgp_group_leave(copy);
    sgp_group_leave(group);
}

static void test_two_threads(void **state) {
    (void)state;
    run_all(4, use_both);
}

/* ---- in any order ---- */

/* A call that is in the middle in one of them concerns the other one not at all. */
static void leave_the_first(sgp_group_t *group) {
    sgp_group_t *copy = NULL, *another = NULL;
    int rank = sgp_group_rank(group), all[8], lines = atomic_load(&log_lines);
    CHECK(sgp_group_duplicate(group, &copy) == SGP_OK);
    if (rank == 0) {
        sgp_group_set_slice(group, 1);
        CHECK(sgp_group_barrier(group) == SGP_ERR_AGAIN);
        CHECK(sgp_group_duplicate(group, &another) == SGP_ERR_INVALID && !another);
        CHECK(strstr(sgp_last_error(), "sgp_group_barrier is in the middle"));
        CHECK(atomic_load(&log_lines) > lines);
        CHECK(sgp_group_barrier(copy) == SGP_OK);
        while (sgp_group_barrier(group) == SGP_ERR_AGAIN) {
        }
    } else {
        CHECK(sgp_group_barrier(copy) == SGP_OK);
        CHECK(sgp_group_barrier(group) == SGP_OK);
    }
    sgp_group_leave(group);
    CHECK(sgp_group_duplicate(copy, &another) == SGP_OK); /* also in slices */
    sgp_group_leave(copy);
    sgp_group_set_slice(another, 1);
    sgp_status_t status;
    while ((status = sgp_group_gather(another, &rank, sizeof rank, all)) == SGP_ERR_AGAIN) {
    }
    CHECK(status == SGP_OK);
    for (int r = 0; r < sgp_group_size(another); r++) CHECK(all[r] == r);
    lines = atomic_load(&log_lines);
    CHECK(sgp_group_gather(another, &rank, 0, all) == SGP_ERR_INVALID);
    CHECK(atomic_load(&log_lines) > lines); /* the callback is that of the first one */
    copy = NULL;
    CHECK(sgp_group_duplicate(another, &copy) == SGP_OK);
    sgp_group_leave(another);
    sgp_group_leave(copy);
}

static void test_any_order(void **state) {
    (void)state;
    run_all(3, leave_the_first);
}

/* The loss of a node in one group is none in the other. */
static void abort_one(sgp_group_t *group) {
    sgp_group_t *copy = NULL;
    CHECK(sgp_group_duplicate(group, &copy) == SGP_OK);
    if (sgp_group_rank(group) == 1) sgp_group_abort(copy);
    else {
        CHECK(sgp_group_barrier(copy) == SGP_ERR_PEER_LOST);
        CHECK(strstr(sgp_last_error(), "node 1 is lost"));
    }
    CHECK(sgp_group_barrier(group) == SGP_OK);
    if (sgp_group_rank(group) != 1) sgp_group_leave(copy);
    sgp_group_leave(group);
}

static void test_a_loss_in_one(void **state) {
    (void)state;
    run_all(2, abort_one);
}

/* ---- groups of workers, and groups that were not joined ---- */

static void duplicate_parts(const workers_place_t *place, void *context) {
    const bool *shm = context;
    sgp_group_t *nodes = NULL, *workers = NULL;
    if (!*shm) {
        CHECK(sgp_group_duplicate(place->all, &nodes) == SGP_ERR_UNSUPPORTED && !nodes);
        CHECK(strstr(sgp_last_error(), "can be duplicated"));
        return;
    }
    CHECK(sgp_group_duplicate(place->nodes, &nodes) == SGP_OK);
    CHECK(sgp_group_duplicate(place->workers, &workers) == SGP_OK);
    CHECK(sgp_group_size(nodes) == 2 && sgp_group_size(workers) == 3);
    CHECK(sgp_group_barrier(nodes) == SGP_OK && sgp_group_barrier(workers) == SGP_OK);
    CHECK(sgp_group_gather(nodes, &nodes, 0, NULL) == SGP_ERR_INVALID);
    sgp_rank_name_t name;
    sgp_transport_name(sgp_group_transport(workers), 2, &name);
    if (place->node == 1) CHECK(!strcmp(name.text, "worker 2 of node 1"));
    sgp_group_leave(nodes);
    sgp_group_leave(workers);
}

static void test_parts(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++)
        run_workers(&(workers_setup_t){.shm = shm, .nodes = 2, .workers = 3}, duplicate_parts,
                    &(bool){shm});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_a_loss_in_one),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
