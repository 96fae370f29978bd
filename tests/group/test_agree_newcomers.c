/* SPDX-License-Identifier: Apache-2.0 */
/* Collective calls of a group whose members come and go: two hosts stay, and in each generation a guest takes a seat, takes
 * part in two calls, and leaves or dies. All nodes have the same members in each call. */
#include "ranks.h"

#include "group/agree_call.h"
#include "group/seats.h"

#include <string.h>

enum { SIZE = 3, SEATS = 4, WITH = 2, GENERATIONS = 6 };

static const int hosts[] = {0, 2};

typedef struct generation {
    sgp_transport_t *transport;
    int seat;
    uint32_t incarnation;
    uint64_t calls; /* before */
    bool dies;
} generation_t;

typedef struct world {
    pthread_barrier_t gone, come; /* hosts and the main thread */
    generation_t guest;
} world_t;

typedef struct host {
    world_t *world;
    sgp_transport_t *transport;
} host_t;

static void expect(sgp_group_t *group, uint64_t call, int guest) {
    sgp_agree_result_t result;
    size_t bytes;
    int mine = sgp_group_rank(group) * 100 + (int)call;
    CHECK(sgp_group_agree(group, &mine, sizeof mine, &result) == SGP_OK);
    CHECK(result.call == call && result.members == 2 + (guest >= 0));
    for (int seat = 0; seat < SEATS; seat++) {
        const int *payload = sgp_agree_payload(&result, seat, &bytes);
        bool member = seat == hosts[0] || seat == hosts[1] || seat == guest;
        CHECK((payload != NULL) == member);
        if (payload) CHECK(bytes == sizeof mine && *payload == seat * 100 + (int)call);
    }
}

static void *host_main(void *argument) {
    host_t *host = argument;
    world_t *world = host->world;
    sgp_group_t *group = NULL;
    uint64_t call = 0;
    host->transport->elastic = true;
    CHECK(sgp_group_found(host->transport, 60000, &group) == SGP_OK);
    for (int g = 0; g < GENERATIONS; g++) {
        const generation_t *guest = &world->guest;
        for (int i = 0; i < WITH; i++) expect(group, ++call, guest->seat);
        expect(group, ++call, -1);
        pthread_barrier_wait(&world->gone);
        pthread_barrier_wait(&world->come);
        if (g + 1 == GENERATIONS) break;
        CHECK(sgp_transport_open(host->transport, guest->seat, guest->incarnation, NULL) == SGP_OK);
        sgp_agree_call_admit(sgp_group_agreement(group), guest->seat);
        sgp_agree_call_admit(sgp_group_agreement(group), guest->seat); /* no effect */
    }
    sgp_group_leave(group);
    return NULL;
}

static void *guest_main(void *argument) {
    generation_t guest = *(generation_t *)argument;
    sgp_group_t *group = NULL;
    guest.transport->elastic = true;
    CHECK(sgp_group_found(guest.transport, 60000, &group) == SGP_OK);
    CHECK(sgp_agree_call_start_at(sgp_group_agreement(group), guest.calls) == SGP_OK);
    for (int i = 0; i < WITH; i++) expect(group, ++guest.calls, guest.seat);
    if (guest.dies) sgp_group_abort(group);
    else sgp_group_leave(group);
    return NULL;
}

/* The next guest: of seat 1, which a founder had, and of seat 3 in turn. */
static void invite(sgp_loopback_t *hub, generation_t *guest, int generation) {
    guest->seat = generation % 2 ? 3 : 1;
    guest->calls = (uint64_t)generation * (WITH + 1);
    guest->dies = generation % 3 == 1;
    if (generation) CHECK(sgp_loopback_join(hub, guest->seat, &guest->transport) == SGP_OK);
    else guest->transport = sgp_loopback_transport(hub, guest->seat);
    guest->incarnation = guest->transport->incarnation;
}

static void test_members_come_and_go(void **state) {
    (void)state;
    sgp_loopback_t *hub = NULL;
    sgp_loopback_options_t options = {.size = SIZE, .seats = SEATS, .chunk_bytes = 256};
    world_t world = {.guest = {.seat = 1}};
    host_t host[2];
    pthread_t threads[2], guest;
    generation_t now;
    atomic_store(&ranks_failures, 0);
    assert_int_equal(sgp_loopback_create(&options, &hub), SGP_OK);
    pthread_barrier_init(&world.gone, NULL, 3);
    pthread_barrier_init(&world.come, NULL, 3);
    invite(hub, &world.guest, 0);
    for (int i = 0; i < 2; i++) {
        host[i] = (host_t){&world, sgp_loopback_transport(hub, hosts[i])};
        assert_int_equal(pthread_create(&threads[i], NULL, host_main, &host[i]), 0);
    }
    for (int g = 0; g < GENERATIONS; g++) {
        now = world.guest;
        assert_int_equal(pthread_create(&guest, NULL, guest_main, &now), 0);
        pthread_barrier_wait(&world.gone);
        pthread_join(guest, NULL);
        if (g + 1 < GENERATIONS) invite(hub, &world.guest, g + 1);
        pthread_barrier_wait(&world.come);
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_int_equal(world.guest.incarnation, 2);
    pthread_barrier_destroy(&world.gone);
    pthread_barrier_destroy(&world.come);
    sgp_loopback_destroy(hub);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

/* ---- a newcomer that only a member knew, which has left ---- */

static sgp_agree_t *machine(int seat) {
    sgp_agree_options_t options = {.seat = seat, .limits = {.capacity = SEATS, .payload_bytes = 8}};
    sgp_agree_t *made = NULL;
    assert_int_equal(sgp_agree_create(&options, &made), SGP_OK);
    return made;
}

static void begin(sgp_agree_t *agree, int one, int other) {
    unsigned char live[1] = {0}; /* SEATS seats */
    sgp_seats_add(live, one);
    sgp_seats_add(live, other);
    assert_int_equal(sgp_agree_begin(agree, live, "payload", 7), SGP_OK);
}

/* What is due from one to the other arrives. Returns how many messages that were. */
static int deliver(sgp_agree_t *from, int src, sgp_agree_t *to, int dst) {
    sgp_agree_due_t due;
    const char *reason;
    int count = 0;
    for (; sgp_agree_next_message(from, &due); count++) {
        assert_int_equal(due.receivers, 1);
        assert_int_equal(due.to[0], dst);
        sgp_agree_heard(to, src, due.bytes, due.count, &reason);
        sgp_agree_sent(from, &dst, 1);
    }
    return count;
}

/* The others made calls without it: it cannot come to a result any more, and must not wait for one. */
static void test_left_out_of_calls(void **state) {
    (void)state;
    sgp_agree_t *member = machine(1), *newcomer = machine(2);
    sgp_agree_result_t result;
    for (int call = 0; call < 2; call++) begin(member, 1, 1);
    assert_true(sgp_agree_result(member, &result) && result.call == 2 && result.members == 1);
    begin(newcomer, 1, 2);
    assert_int_equal(deliver(newcomer, 2, member, 1), 1);
    assert_int_equal(sgp_agree_excluded_by(newcomer), -1);
    assert_int_equal(deliver(member, 1, newcomer, 2), 1);
    assert_int_equal(sgp_agree_excluded_by(newcomer), 1);
    assert_false(sgp_agree_result(newcomer, &result));
    sgp_agree_destroy(member);
    sgp_agree_destroy(newcomer);
}

/* A message that was under way when its call was decided is no such sign. */
static void test_late_messages_of_members_are_not_answered(void **state) {
    (void)state;
    unsigned char early[64];
    sgp_agree_t *one = machine(1), *other = machine(2);
    sgp_agree_due_t due;
    const char *reason;
    size_t count = 0;
    for (int call = 0; call < 2; call++) {
        begin(one, 1, 2);
        begin(other, 1, 2);
        assert_true(sgp_agree_next_message(one, &due));
        if (call == 0) memcpy(early, due.bytes, count = due.count);
        deliver(one, 1, other, 2);
        deliver(other, 2, one, 1);
    }
    assert_in_range(count, 1, sizeof early);
    assert_int_equal(sgp_agree_heard(other, 1, early, count, &reason), SGP_OK);
    assert_false(sgp_agree_next_message(other, &due));
    sgp_agree_destroy(one);
    sgp_agree_destroy(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_come_and_go),
        cmocka_unit_test(test_left_out_of_calls),
        cmocka_unit_test(test_late_messages_of_members_are_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
