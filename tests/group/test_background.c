/* SPDX-License-Identifier: Apache-2.0 */
/* Agreement in the background (group/background.h) while a seat changes hands: nodes agree without a member that is gone, although
 * its seat has been opened for another one that does not take part yet, and with that one once it is admitted. */
#include "ranks.h"

#include "group/agree_call.h"
#include "group/background.h"

enum { SIZE = 3, GUEST = 1 };

typedef struct world {
    pthread_barrier_t gone, come;
    sgp_transport_t *newcomer;
} world_t;

typedef struct host {
    world_t *world;
    sgp_transport_t *transport;
} host_t;

static void asked(void *owner) {
    (void)owner;
}

/* Until the call is decided. Returns its members. */
static int agree(sgp_group_t *group, sgp_background_t *background, int payload) {
    sgp_agree_result_t result;
    sgp_inbox_t *inbox = sgp_group_inbox(group);
    sgp_transport_t *transport = sgp_group_transport(group);
    uint64_t deadline = sgp_transport_now(transport) + 20000 * SGP_MILLISECOND;
    sgp_background_begin(background, &payload, sizeof payload);
    for (;;) {
        sgp_inbox_collect(inbox);
        sgp_background_move(background);
        if (sgp_background_result(background, &result)) break;
        CHECK(sgp_transport_now(transport) < deadline);
        if (sgp_transport_now(transport) >= deadline) return 0;
        sgp_transport_wait(transport, sgp_transport_now(transport) + SGP_MILLISECOND);
    }
    return result.members;
}

static void *host_main(void *argument) {
    host_t *host = argument;
    sgp_group_t *group = NULL;
    sgp_background_t background;
    host->transport->elastic = true;
    CHECK(sgp_group_found(host->transport, 60000, &group) == SGP_OK);
    CHECK(sgp_background_init(&background, group, sizeof(int), asked, NULL) == SGP_OK);
    CHECK(agree(group, &background, 1) == SIZE);
    pthread_barrier_wait(&host->world->gone);
    pthread_barrier_wait(&host->world->come);
    CHECK(sgp_transport_open(host->transport, GUEST, 1, NULL) == SGP_OK);
    pthread_barrier_wait(&host->world->gone); /* both have opened the seat */
    CHECK(agree(group, &background, 2) == SIZE - 1);
    sgp_background_admit(&background, GUEST);
    pthread_barrier_wait(&host->world->come);
    CHECK(agree(group, &background, 3) == SIZE);
    sgp_background_farewell(&background);
    sgp_background_fini(&background);
    sgp_group_leave(group);
    return NULL;
}

static void *founder_main(void *argument) {
    sgp_transport_t *transport = argument;
    sgp_group_t *group = NULL;
    sgp_background_t background;
    transport->elastic = true;
    CHECK(sgp_group_found(transport, 60000, &group) == SGP_OK);
    CHECK(sgp_background_init(&background, group, sizeof(int), asked, NULL) == SGP_OK);
    CHECK(agree(group, &background, 1) == SIZE);
    sgp_background_fini(&background);
    sgp_group_abort(group);
    return NULL;
}

static void *newcomer_main(void *argument) {
    world_t *world = argument;
    bool members[SIZE] = {true, true, true};
    sgp_group_t *group = NULL;
    sgp_background_t background;
    world->newcomer->elastic = true;
    CHECK(sgp_group_found(world->newcomer, 60000, &group) == SGP_OK);
    CHECK(sgp_background_init(&background, group, sizeof(int), asked, NULL) == SGP_OK);
    CHECK(sgp_background_enter(&background, 2, members) == SGP_OK);
    pthread_barrier_wait(&world->gone); /* the others have opened the seat */
    pthread_barrier_wait(&world->come); /* and admitted this node */
    CHECK(agree(group, &background, 3) == SIZE);
    sgp_background_farewell(&background);
    sgp_background_fini(&background);
    sgp_group_leave(group);
    return NULL;
}

static void test_a_seat_changes_hands(void **state) {
    (void)state;
    sgp_loopback_t *hub = NULL;
    sgp_loopback_options_t options = {.size = SIZE, .seats = SIZE, .chunk_bytes = 256};
    world_t world = {.newcomer = NULL};
    host_t hosts[2];
    pthread_t threads[2], guest;
    atomic_store(&ranks_failures, 0);
    assert_int_equal(sgp_loopback_create(&options, &hub), SGP_OK);
    pthread_barrier_init(&world.gone, NULL, 3);
    pthread_barrier_init(&world.come, NULL, 3);
    for (int i = 0; i < 2; i++) {
        hosts[i] = (host_t){&world, sgp_loopback_transport(hub, 2 * i)};
        assert_int_equal(pthread_create(&threads[i], NULL, host_main, &hosts[i]), 0);
    }
    assert_int_equal(pthread_create(&guest, NULL, founder_main, sgp_loopback_transport(hub, GUEST)),
                     0);
    pthread_join(guest, NULL);
    pthread_barrier_wait(&world.gone);
    assert_int_equal(sgp_loopback_join(hub, GUEST, &world.newcomer), SGP_OK);
    pthread_barrier_wait(&world.come);
    assert_int_equal(pthread_create(&guest, NULL, newcomer_main, &world), 0);
    pthread_join(guest, NULL);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&world.gone);
    pthread_barrier_destroy(&world.come);
    sgp_loopback_destroy(hub);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_seat_changes_hands)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
