/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs that are driven by poll on the group's descriptor: each call returns after a millisecond of waiting, and is
 * made again only once the descriptor is readable. */
#include "worker_ranks.h"

#include <sgp/sgp.h>

#include <poll.h>
#include <string.h>

enum { COUNT = 3000, LARGE = 300000, STEPS = 5, SLOW_MS = 100, POLL_MS = 60000 };

/* Sleeps until one of the group's descriptors is readable. */
static bool readable(sgp_group_t *const *groups, int count) {
    struct pollfd files[3];
    for (int i = 0; i < count; i++)
        files[i] = (struct pollfd){.fd = sgp_group_descriptor(groups[i]), .events = POLLIN};
    return poll(files, (nfds_t)count, POLL_MS) > 0;
}

/* Makes a call until it is done; counts how often it was made in vain. */
#define DRIVE(groups, count, tries, call)                                                          \
    do {                                                                                           \
        sgp_status_t status_;                                                                      \
        while ((status_ = (call)) == SGP_ERR_AGAIN) {                                              \
            (tries)++;                                                                             \
            CHECK(readable((groups), (count)));                                                    \
        }                                                                                          \
        CHECK(status_ == SGP_OK);                                                                  \
    } while (0)

/* A node that computes while the others wait. */
static void be_slow(int rank, int step) {
    if (rank == step % 3) poll(NULL, 0, SLOW_MS);
}

static atomic_int in_vain; /* of all nodes */

/* A wait that spun would return each millisecond: a hundred times and more. What arrives wakes it, a few chunks in a step,
 * the end of the progress thread's part, and a ring for that which a call has taken in already. */
static void check_tries(int tries, int chunks) {
    atomic_fetch_add(&in_vain, tries);
    CHECK(tries <= STEPS * (8 + 2 * chunks));
    if (tries > STEPS * (8 + 2 * chunks)) fprintf(stderr, "%d calls in vain\n", tries);
}

static void drive(sgp_group_t *group, void *context) {
    const sgp_mixer_options_t *options = context;
    int rank = sgp_group_rank(group), tries = 0, first = sgp_group_descriptor(group);
    sgp_group_t *const groups[] = {group};
    sgp_mixer_t *mixer = NULL;
    CHECK(first >= 0 && !*sgp_last_error());
    CHECK(sgp_group_descriptor(group) == first);
    CHECK(readable(groups, 1)); /* at first */
    sgp_group_set_slice(group, 1);
    DRIVE(groups, 1, tries, sgp_mixer_create(group, options, NULL, &mixer));
    for (int k = 0; k < STEPS; k++) {
        be_slow(rank, k);
        DRIVE(groups, 1, tries, sgp_mixer_step(mixer, NULL, NULL, 0));
    }
    DRIVE(groups, 1, tries, sgp_mixer_average(mixer, NULL, NULL));
    DRIVE(groups, 1, tries, sgp_group_barrier(group));
    check_tries(tries, (int)(options->count * 4 / (256 << 10)) + 2);
    sgp_mixer_destroy(mixer);
    sgp_group_set_slice(group, 0);
}

static const ranks_setup_t setups[] = {
    {.shm = true, .loopback = {.size = 3}},
    {.tcp = true, .loopback = {.size = 3}},
    {.tcp = true, .machines = 2, .loopback = {.size = 3}}, /* auto */
};
enum { SETUPS = sizeof setups / sizeof *setups };

static void test_a_run_by_poll(void **state) {
    (void)state;
    sgp_mixer_options_t options[] = {
        {.count = COUNT},
        {.count = LARGE, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_OSGP, .overlap = SGP_OVERLAP_ASYNC},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_ADPSGD},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_SERVER},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE},
    };
    for (int s = 0; s < SETUPS; s++)
        for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
            atomic_store(&in_vain, 0);
            run_groups(&setups[s], drive, &options[i]);
            assert_true(options[i].overlap || atomic_load(&in_vain) > 0);
        }
}

/* ---- events, and no call ---- */

static void idle(sgp_group_t *group, void *context) {
    sgp_group_t *const groups[] = {group};
    sgp_event_t event;
    (void)context;
    if (sgp_group_rank(group) > 0) return; /* and leave */
    for (int left = 0; left < 2;) {
        CHECK(readable(groups, 1));
        while (sgp_group_next_event(group, &event) == SGP_OK) {
            CHECK(event.kind == SGP_EVENT_LEFT);
            left++;
        }
    }
    struct pollfd file = {.fd = sgp_group_descriptor(group), .events = POLLIN};
    int rings = 0; /* for what else belongs to their leaving */
    while (rings < 20 && poll(&file, 1, 10) > 0) {
        CHECK(sgp_group_next_event(group, &event) == SGP_ERR_AGAIN);
        rings++;
    }
    CHECK(rings < 20); /* nothing more comes from anybody */
}

static void test_events(void **state) {
    (void)state;
    for (int s = 0; s < SETUPS; s++) run_groups(&setups[s], idle, NULL);
}

/* ---- workers, who wait in two groups ---- */

static void drive_workers(const workers_place_t *place, void *context) {
    sgp_group_t *const groups[] = {place->nodes, place->workers, place->all};
    sgp_mixer_t *mixer = NULL;
    int tries = 0;
    (void)context;
    sgp_mixer_options_t options = {.count = COUNT, .workers = place->workers};
    sgp_group_set_slice(place->all, 1);
    DRIVE(groups, 2, tries, sgp_mixer_create(place->nodes, &options, NULL, &mixer));
    for (int k = 0; k < STEPS; k++) {
        be_slow(place->rank, k);
        DRIVE(groups, 2, tries, sgp_mixer_step(mixer, NULL, NULL, 0));
    }
    DRIVE(groups, 3, tries, sgp_group_barrier(place->all));
    check_tries(tries, 8);
    sgp_mixer_destroy(mixer);
    sgp_group_set_slice(place->all, 0);
}

static void test_workers(void **state) {
    (void)state;
    run_workers(&(workers_setup_t){.shm = true, .nodes = 2, .workers = 2}, drive_workers, NULL);
}

/* ---- none ---- */

static void none(sgp_group_t *group, void *context) {
    (void)context;
    CHECK(sgp_group_descriptor(group) == -1);
    CHECK(strstr(sgp_last_error(), "the transport loopback has no descriptor"));
}

static void test_none(void **state) {
    (void)state;
    run_groups(&(ranks_setup_t){.loopback = {.size = 2}}, none, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_run_by_poll),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
