/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of the workers of a node, and of the workers of one number. */
#include "worker_ranks.h"

#include <string.h>

static void check_place(const workers_place_t *place, void *context) {
    const workers_setup_t *setup = context;
    int all[32], own = place->rank;
    CHECK(sgp_group_size(place->nodes) == setup->nodes);
    CHECK(sgp_group_rank(place->nodes) == place->node);
    CHECK(sgp_group_size(place->workers) == setup->workers);
    CHECK(sgp_group_rank(place->workers) == place->worker);
    CHECK(sgp_group_gather(place->workers, &own, sizeof own, all) == SGP_OK);
    for (int m = 0; m < setup->workers; m++) CHECK(all[m] == place->node * setup->workers + m);
    CHECK(sgp_group_gather(place->nodes, &own, sizeof own, all) == SGP_OK);
    for (int i = 0; i < setup->nodes; i++) CHECK(all[i] == i * setup->workers + place->worker);
    CHECK(sgp_group_barrier(place->all) == SGP_OK);
}

static void test_places(void **state) {
    (void)state;
    /* All in one process: more need more address space than a thread sanitizer leaves. */
    static const int shapes[][2] = {{1, 1}, {3, 1}, {1, 3}, {2, 2}, {3, 2}, {2, 3}};
    for (int s = 0; s < 6; s++) {
        workers_setup_t setup = {.shm = true, .nodes = shapes[s][0], .workers = shapes[s][1]};
        run_workers(&setup, check_place, &setup);
    }
}

/* A group can be split more than once. */
static void split_again(const workers_place_t *place, void *context) {
    sgp_group_t *nodes, *workers;
    (void)context;
    CHECK(sgp_group_split(place->all, 2, &nodes, &workers) == SGP_OK);
    CHECK(sgp_group_size(nodes) == 3 && sgp_group_size(workers) == 2);
    CHECK(sgp_group_barrier(nodes) == SGP_OK && sgp_group_barrier(workers) == SGP_OK);
    CHECK(sgp_group_split(nodes, 1, NULL, NULL) == SGP_ERR_UNSUPPORTED); /* a part is not */
    sgp_group_leave(nodes);
    sgp_group_leave(workers);
}

static void test_another_split(void **state) {
    (void)state;
    run_workers(&(workers_setup_t){.shm = true, .nodes = 2, .workers = 3}, split_again, NULL);
}

static void check_names(const workers_place_t *place, void *context) {
    sgp_rank_name_t name;
    (void)context;
    sgp_transport_t *all = sgp_group_transport(place->all);
    sgp_transport_t *nodes = sgp_group_transport(place->nodes);
    sgp_transport_t *workers = sgp_group_transport(place->workers);
    CHECK(!strcmp(sgp_transport_name(all, 5, &name), "worker 2 of node 1"));
    if (place->rank != 1) return;
    CHECK(!strcmp(sgp_transport_name(nodes, 1, &name), "worker 1 of node 1"));
    CHECK(!strcmp(sgp_transport_name(workers, 2, &name), "worker 2 of node 0"));
}

static void test_names(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++)
        run_workers(&(workers_setup_t){.shm = shm, .nodes = 2, .workers = 3}, check_names, NULL);
}

static void split_badly(const workers_place_t *place, void *context) {
    const bool *shm = context;
    sgp_group_t *nodes = NULL, *workers = NULL;
    CHECK(sgp_group_split(place->all, 0, &nodes, &workers) == SGP_ERR_INVALID);
    CHECK(sgp_group_split(place->all, 4, &nodes, &workers) == SGP_ERR_INVALID);
    if (!*shm) CHECK(sgp_group_split(place->all, 2, &nodes, &workers) == SGP_ERR_UNSUPPORTED);
    CHECK(!nodes && !workers);
}

static void test_refusals(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++)
        run_workers(&(workers_setup_t){.shm = shm, .nodes = 2, .workers = 3}, split_badly,
                    &(bool){shm});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_another_split),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
