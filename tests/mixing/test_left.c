/* SPDX-License-Identifier: Apache-2.0 */
/* A wait for a node that has left in order fails at once, after the last message of that node; a run whose nodes leave
 * one after the other, each when it has all that it needs, ends without an error. */
#include "ranks.h"

#include <sgp/sgp.h>

#include <string.h>

enum { MOST_NODES = 5, COUNT = 20000, STEPS = 12, LARGE = 300000 };

typedef struct run {
    sgp_mixer_options_t options;
    int steps;        /* of all nodes */
    int more;         /* of those that do not leave first */
    int leaver;       /* leaves after `steps` */
    const char *text; /* of the error that the others meet; NULL: none may */
    bool averages;    /* after `steps`, so that nothing is under way */
} run_t;

static void work(sgp_group_t *group, void *context) {
    const run_t *run = context;
    int rank = sgp_group_rank(group), steps = run->steps;
    sgp_mixer_t *mixer = NULL;
    CHECK(sgp_mixer_create(group, &run->options, NULL, &mixer) == SGP_OK);
    sgp_status_t status = SGP_OK;
    for (int k = 0; k < steps && status == SGP_OK; k++)
        status = sgp_mixer_step(mixer, NULL, NULL, 0);
    if (run->averages && status == SGP_OK) status = sgp_mixer_average(mixer, NULL, NULL);
    CHECK(status == SGP_OK);
    if (rank != run->leaver)
        for (int k = 0; k < run->more && status == SGP_OK; k++)
            status = sgp_mixer_step(mixer, NULL, NULL, 0);
    if (rank != run->leaver && run->text && status == SGP_OK)
        status = sgp_mixer_average(mixer, NULL, NULL);
    if (rank != run->leaver && run->text) {
        if (status != SGP_ERR_PEER_LOST || !strstr(sgp_last_error(), run->text))
            fprintf(stderr, "%s, \"%s\"\n", sgp_status_name(status), sgp_last_error());
        CHECK(status == SGP_ERR_PEER_LOST && strstr(sgp_last_error(), run->text));
        CHECK(sgp_group_lost_peer(group) < 0);
    } else CHECK(status == SGP_OK);
    sgp_mixer_destroy(mixer);
}

static const ranks_setup_t setups[] = {
    {.loopback = {.size = 2}},
    {.loopback = {.size = 2,
                  .virtual_time = true,
                  .delay_min_ns = 1000000,
                  .delay_max_ns = 30000000,
                  .chunk_bytes = 16384}},
    {.shm = true, .loopback = {.size = 2, .chunk_bytes = 16384}},
    {.tcp = true, .loopback = {.size = 2, .chunk_bytes = 16384}},
    {.tcp = true, .machines = 1, .loopback = {.size = 2, .chunk_bytes = 16384}},
    {.tcp = true, .machines = 2, .loopback = {.size = 2, .chunk_bytes = 16384}},
};
enum { SETUPS = sizeof setups / sizeof *setups };

static const sgp_mixer_options_t algorithms[] = {
    {.count = COUNT},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 2},
    {.count = LARGE, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_OSGP, .overlap = SGP_OVERLAP_ASYNC},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_DPSGD},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_ADPSGD},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_SERVER},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE},
};
enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

/* Were the wait to last until its time limit, the test would. */
static void test_a_wait_in_vain_fails_at_once(void **state) {
    (void)state;
    for (int s = 0; s < SETUPS; s++)
        for (int a = 0; a < ALGORITHMS; a++)
            for (int leaver = 0; leaver < 2; leaver++) {
                run_t run = {.options = algorithms[a],
                             .steps = 3,
                             .more = 2,
                             .leaver = leaver,
                             .averages = true,
                             .text = leaver ? "node 1 has left, while node 0 waits for its "
                                            : "node 0 has left, while node 1 waits for its "};
                run_groups(&setups[s], work, &run);
            }
}

static void test_the_text(void **state) {
    (void)state;
    run_t run = {.options = {.count = COUNT},
                 .steps = 3,
                 .more = 1,
                 .leaver = 1,
                 .text = "node 1 has left, while node 0 waits for its message of step 3"};
    for (int s = 0; s < SETUPS; s++) run_groups(&setups[s], work, &run);
}

/* No node needs another one after its last step. */
static void test_leaving_after_the_last_step(void **state) {
    (void)state;
    for (int s = 0; s < SETUPS; s++)
        for (int a = 0; a < ALGORITHMS; a++)
            for (int averages = 0; averages < 2; averages++) {
                bool pairs = algorithms[a].algorithm == SGP_ALGORITHM_ADPSGD;
                bool server = algorithms[a].algorithm == SGP_ALGORITHM_SERVER;
                if ((pairs || server) && !averages)
                    continue; /* an answer to the last step, or the one before, is needed */
                ranks_setup_t setup = setups[s];
                setup.loopback.size = MOST_NODES;
                run_t run = {.options = algorithms[a],
                             .steps = STEPS,
                             .leaver = -1,
                             .averages = averages != 0};
                run_groups(&setup, work, &run);
            }
}

/* Node 0 sends all of its messages ahead and leaves, and node 1 takes its time. */
static void go_ahead(sgp_group_t *group, void *context) {
    int rank = sgp_group_rank(group);
    enum { ROUNDS = 3 };
    unsigned char bytes[5000] = {0};
    (void)context;
    for (int k = 0; k < ROUNDS; k++) {
        if (rank == 1 && k == 0) /* until node 0 is about to leave, or has left */
            for (int i = 0; i < 200; i++) sched_yield();
        CHECK(sgp_group_broadcast(group, bytes, sizeof bytes, 0) == SGP_OK);
    }
    if (rank == 1)
        CHECK(sgp_group_barrier(group) == SGP_ERR_PEER_LOST &&
              strstr(sgp_last_error(), "node 0 has left, while node 1 waits for its message of a"));
}

static void test_the_last_messages_are_received(void **state) {
    (void)state;
    for (int s = 0; s < SETUPS; s++)
        for (int i = 0; i < 20; i++) run_groups(&setups[s], go_ahead, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wait_in_vain_fails_at_once),
        cmocka_unit_test(test_the_text),
        cmocka_unit_test(test_leaving_after_the_last_step),
        cmocka_unit_test(test_the_last_messages_are_received),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
