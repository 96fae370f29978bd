/* SPDX-License-Identifier: Apache-2.0 */
/* Seats that open for newcomers, over loopback and tcp: the founders are ranks 0 and 1, seats 2 and 3 are free. One thread
 * makes the calls of all ranks. */
#include "ranks.h"

#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .loopback = {.size = (ranks), .chunk_bytes = 256 }                                         \
    }
#include "transport/elastic_cases.h"

#include <dirent.h>
#include <malloc.h>

enum { FOUNDERS = 2, SEATS = 4 };

typedef struct world {
    bool tcp;
    sgp_loopback_t *hub;
    sgp_transport_t *of[SEATS]; /* NULL: nobody is there */
    sgp_seat_t seats[SEATS];
    sgp_address_t addresses[SEATS];
} world_t;

static int listen_for(world_t *world, int rank) {
    sgp_address_t bound;
    int listener;
    assert_int_equal(
        sgp_address_listen("127.0.0.1", NULL, &listener, &bound, &world->addresses[rank]), SGP_OK);
    return listener;
}

/* A newcomer's knowledge: all others as they are. */
static sgp_transport_t *connect_tcp(world_t *world, int rank, int listener) {
    sgp_tcp_options_t options = {.rank = rank,
                                 .size = FOUNDERS,
                                 .capacity = SEATS,
                                 .incarnation = world->seats[rank].incarnation,
                                 .seats = world->seats,
                                 .run = 17,
                                 .listener = listener,
                                 .addresses = world->addresses,
                                 .chunk_bytes = CHUNK,
                                 .timeout_ms = 60000,
                                 .at_once = true};
    sgp_transport_t *transport = NULL;
    assert_int_equal(sgp_tcp_connect(&options, &transport), SGP_OK);
    return transport;
}

static void found_tcp(world_t *world) {
    int listeners[FOUNDERS];
    for (int r = 0; r < FOUNDERS; r++) listeners[r] = listen_for(world, r);
    for (int r = 0; r < FOUNDERS; r++) {
        sgp_tcp_options_t options = {.rank = r,
                                     .size = FOUNDERS,
                                     .capacity = SEATS,
                                     .run = 17,
                                     .listener = listeners[r],
                                     .addresses = world->addresses,
                                     .chunk_bytes = CHUNK,
                                     .timeout_ms = 60000,
                                     .at_once = true};
        assert_int_equal(sgp_tcp_connect(&options, &world->of[r]), SGP_OK);
    }
}

static world_t found(bool tcp) {
    world_t world = {.tcp = tcp};
    for (int r = FOUNDERS; r < SEATS; r++) world.seats[r].state = SGP_FATE_ABSENT;
    sgp_loopback_options_t options = {.size = FOUNDERS, .seats = SEATS, .chunk_bytes = CHUNK};
    atomic_store(&ranks_failures, 0);
    if (tcp) found_tcp(&world);
    else assert_int_equal(sgp_loopback_create(&options, &world.hub), SGP_OK);
    for (int r = 0; r < FOUNDERS; r++) {
        if (!tcp) world.of[r] = sgp_loopback_transport(world.hub, r);
        world.seats[r].state = SGP_FATE_PRESENT;
        be_elastic(world.of[r], 4);
    }
    return world;
}

/* A newcomer takes the seat; nobody has opened it. */
static sgp_transport_t *enter(world_t *world, int seat, uint32_t incarnation) {
    world->seats[seat] = (sgp_seat_t){SGP_FATE_PRESENT, incarnation};
    if (world->tcp) world->of[seat] = connect_tcp(world, seat, listen_for(world, seat));
    else assert_int_equal(sgp_loopback_join(world->hub, seat, &world->of[seat]), SGP_OK);
    assert_int_equal(world->of[seat]->incarnation, incarnation);
    be_elastic(world->of[seat], 4);
    return world->of[seat];
}

static sgp_status_t open_seat(world_t *world, int by, int seat) {
    return sgp_transport_open(world->of[by], seat, world->seats[seat].incarnation,
                              &world->addresses[seat]);
}

static void open_everywhere(world_t *world, int seat) {
    for (int r = 0; r < SEATS; r++)
        if (world->of[r] && r != seat) assert_int_equal(open_seat(world, r, seat), SGP_OK);
}

/* The same, where the others have opened the seat as soon as that is possible: over tcp before the newcomer calls. */
static void enter_expected(world_t *world, int seat, uint32_t incarnation) {
    if (!world->tcp) {
        enter(world, seat, incarnation);
        open_everywhere(world, seat);
        return;
    }
    world->seats[seat] = (sgp_seat_t){SGP_FATE_PRESENT, incarnation};
    int listener = listen_for(world, seat);
    open_everywhere(world, seat);
    world->of[seat] = connect_tcp(world, seat, listener);
    be_elastic(world->of[seat], 4);
}

/* Leaves, or dies, and waits until all know. */
static void part(world_t *world, int seat, bool leaves) {
    sgp_transport_t *gone = world->of[seat];
    world->of[seat] = NULL;
    world->seats[seat].state = SGP_FATE_LEFT;
    if (leaves) sgp_transport_leave(gone, sgp_transport_now(gone) + FAR);
    sgp_transport_destroy(gone);
    for (int r = 0; r < SEATS; r++)
        if (world->of[r]) await_fate(world->of[r], seat, leaves ? SGP_FATE_LEFT : SGP_FATE_LOST);
}

static void end(world_t *world) {
    for (int r = 0; r < SEATS; r++)
        if (world->of[r]) sgp_transport_destroy(world->of[r]);
    sgp_loopback_destroy(world->hub);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

/* Takes a vector of one step whole, where chunks of no other come. */
static void take(world_t *world, int src, int dst, uint64_t step) {
    sgp_chunk_t chunk;
    for (size_t got = 0; got < ELEMENTS && receive_chunk(world->of[dst], &chunk);) {
        CHECK(chunk.header.src == src && chunk.header.step == step);
        CHECK(chunk.header.incarnation == world->seats[src].incarnation);
        check_payload(&chunk);
        got += chunk.header.elements;
        sgp_transport_release(world->of[dst], &chunk);
    }
}

/* Sends a vector of one step, and takes it at the other end. */
static void pass(world_t *world, int src, int dst, uint64_t step) {
    sgp_destination_t to = {dst, 0.5};
    CHECK(send_vector(world->of[src], &to, 1, step, ELEMENTS));
    take(world, src, dst, step);
}

static void pass_all(world_t *world, uint64_t step) {
    for (int src = 0; src < SEATS; src++)
        for (int dst = 0; dst < SEATS; dst++)
            if (src != dst && world->of[src] && world->of[dst]) pass(world, src, dst, step);
    for (int r = 0; r < SEATS; r++)
        if (world->of[r]) await_releases(world->of[r]);
}

/* ---- a newcomer ---- */

static void newcomer_is_one_of_them(bool tcp) {
    world_t world = found(tcp);
    sgp_fate_event_t event;
    uint32_t seen[SEATS] = {0};
    assert_int_equal(world.of[0]->size, FOUNDERS);
    assert_int_equal(world.of[0]->capacity, SEATS);
    assert_int_equal(sgp_fates_of(world.of[0]->fates, 3).state, SGP_FATE_ABSENT);
    pass_all(&world, 0);
    sgp_transport_t *newcomer = enter(&world, 3, 0);
    assert_int_equal(sgp_fates_of(newcomer->fates, 0).state, SGP_FATE_PRESENT);
    assert_int_equal(sgp_fates_of(newcomer->fates, 2).state, SGP_FATE_ABSENT);
    open_everywhere(&world, 3);
    assert_true(sgp_fates_next_event(world.of[1]->fates, seen, &event));
    assert_true(event.rank == 3 && event.opened && event.fate.state == SGP_FATE_PRESENT);
    pass_all(&world, 1);
    enter(&world, 2, 0);
    open_everywhere(&world, 2);
    pass_all(&world, 2);
    assert_int_equal(sgp_fates_changes(world.of[0]->fates), 0);
    end(&world);
}

/* What is sent to a seat before it is opened comes back; the newcomer never gets it. */
static void before_opening(bool tcp) {
    world_t world = found(tcp);
    sgp_destination_t to = {2, 0.25};
    sgp_returned_t returned;
    enter(&world, 2, 0);
    CHECK(send_vector(world.of[0], &to, 1, 7, ELEMENTS));
    assert_true(sgp_transport_take_back(world.of[0], PUSH_CHANNEL, &returned));
    assert_true(returned.dst == 2 && returned.step == 7 && returned.weight == 0.25);
    open_everywhere(&world, 2);
    pass_all(&world, 8);
    end(&world);
}

/* What a newcomer sends before its seat is opened waits until then: an answer would not reach it. The seat may have had another
 * member. */
static void sent_before_opening(bool tcp) {
    world_t world = found(tcp);
    sgp_destination_t to = {0, 0.25};
    sgp_chunk_t chunk;
    for (uint32_t incarnation = 0; incarnation < 3; incarnation++) {
        enter(&world, 2, incarnation);
        CHECK(send_vector(world.of[2], &to, 1, 7, ELEMENTS));
        assert_int_equal(sgp_transport_receive(world.of[0], &chunk), SGP_ERR_AGAIN);
        open_everywhere(&world, 2);
        take(&world, 2, 0, 7);
        pass_all(&world, 8);
        part(&world, 2, incarnation % 2 == 0);
    }
    end(&world);
}

/* One that has ended meanwhile: its seat is opened, or it is not. */
static void sent_in_vain(bool opened) {
    world_t world = found(false);
    sgp_destination_t to = {0, 0.25};
    CHECK(send_vector(enter(&world, 2, 0), &to, 1, 7, ELEMENTS));
    sgp_transport_destroy(world.of[2]);
    world.of[2] = NULL;
    if (opened) assert_int_equal(open_seat(&world, 0, 2), SGP_OK);
    if (opened) take(&world, 2, 0, 7);
    end(&world);
}

static void test_sent_in_vain(void **state) {
    (void)state;
    sent_in_vain(true);
    sent_in_vain(false);
}

/* ---- a seat that is given again ---- */

static void given_again(bool tcp, int seat, bool leaves) {
    world_t world = found(tcp);
    if (seat >= FOUNDERS) {
        enter(&world, seat, 0);
        open_everywhere(&world, seat);
    }
    pass_all(&world, 0);
    for (uint32_t incarnation = 1; incarnation < 4; incarnation++) {
        part(&world, seat, leaves);
        enter(&world, seat, incarnation);
        open_everywhere(&world, seat);
        pass_all(&world, incarnation);
        assert_int_equal(sgp_fates_changed(world.of[0]->fates, incarnation - 1), -1);
        assert_int_equal(sgp_transport_lost_peer(world.of[0]), -1);
    }
    end(&world);
}

/* Chunks of the earlier member that are here stay as they are, and its share comes back once, whenever it is taken. */
static void held_over(bool tcp) {
    world_t world = found(tcp);
    sgp_destination_t to_newcomer = {2, 0.75}, to_0 = {0, 1};
    sgp_chunk_t held[CHUNKS_OF_VECTOR];
    sgp_returned_t returned;
    enter(&world, 2, 0);
    open_everywhere(&world, 2);
    CHECK(send_vector(world.of[2], &to_0, 1, 4, ELEMENTS));
    for (int i = 0; i < CHUNKS_OF_VECTOR; i++) CHECK(receive_chunk(world.of[0], &held[i]));
    CHECK(send_vector(world.of[0], &to_newcomer, 1, 5, ELEMENTS));
    part(&world, 2, false);
    enter(&world, 2, 1);
    open_everywhere(&world, 2);
    pass(&world, 0, 2, 6);
    pass(&world, 2, 0, 6);
    for (int i = 0; i < CHUNKS_OF_VECTOR; i++) {
        CHECK(held[i].header.incarnation == 0 && held[i].header.step == 4);
        check_payload(&held[i]);
        sgp_transport_release(world.of[0], &held[i]);
    }
    assert_true(sgp_transport_take_back(world.of[0], PUSH_CHANNEL, &returned));
    assert_true(returned.dst == 2 && returned.step == 5 && returned.weight == 0.75);
    expect_nothing(world.of[0]);
    pass_all(&world, 7);
    assert_int_equal(sgp_transport_lost_peer(world.of[0]), -1);
    end(&world);
}

/* Chunks of the earlier member that were not received before the seat was opened are refused. */
static void late(bool tcp) {
    world_t world = found(tcp);
    sgp_destination_t to = {0, 1};
    sgp_chunk_t chunk;
    enter(&world, 2, 0);
    open_everywhere(&world, 2);
    CHECK(send_vector(world.of[2], &to, 1, 4, ELEMENTS));
    CHECK(receive_chunk(world.of[0], &chunk)); /* they have begun to arrive */
    sgp_transport_release(world.of[0], &chunk);
    part(&world, 2, false);
    uint64_t refused = world.of[0]->counters.refused;
    enter(&world, 2, 1);
    open_everywhere(&world, 2);
    pass_all(&world, 6); /* and nothing else comes */
    assert_true(world.of[0]->counters.refused > refused);
    end(&world);
}

/* A message to the earlier member that is not whole yet must not be continued to the newcomer. */
static void unfinished(bool tcp) {
    world_t world = found(tcp);
    sgp_destination_t to = {1, 0.5};
    sgp_send_t send;
    CHECK(begin_vector(world.of[0], &to, 1, 3, &send));
    commit_chunks(world.of[0], &send, 0, 2);
    part(&world, 1, false);
    enter(&world, 1, 1);
    assert_int_equal(open_seat(&world, 0, 1), SGP_ERR_AGAIN);
    commit_chunks(world.of[0], &send, 2, CHUNKS_OF_VECTOR);
    expect_back(world.of[0], 3, 0.5);
    assert_int_equal(open_seat(&world, 0, 1), SGP_OK);
    pass_all(&world, 4);
    end(&world);
}

/* ---- mistakes ---- */

static void wrong_openings(bool tcp) {
    world_t world = found(tcp);
    const sgp_address_t *at = &world.addresses[0];
    assert_int_equal(sgp_transport_open(world.of[0], 1, 1, at), SGP_ERR_INVALID); /* it is there */
    assert_int_equal(sgp_transport_open(world.of[0], 0, 1, at), SGP_ERR_INVALID); /* itself */
    assert_int_equal(sgp_transport_open(world.of[0], SEATS, 0, at), SGP_ERR_INVALID);
    assert_int_equal(sgp_transport_open(world.of[0], -1, 0, at), SGP_ERR_INVALID);
    part(&world, 1, true);
    assert_int_equal(sgp_transport_open(world.of[0], 1, 0, at), SGP_ERR_INVALID); /* it was there */
    world.of[0]->elastic = false;
    assert_int_equal(sgp_transport_open(world.of[0], 2, 0, at), SGP_ERR_UNSUPPORTED);
    end(&world);
}

/* A newcomer that has ended before the seat is opened is lost to those who open it. */
static void gone_before(bool tcp) {
    world_t world = found(tcp);
    sgp_transport_destroy(enter(&world, 2, 0));
    world.of[2] = NULL;
    assert_int_equal(open_seat(&world, 0, 2), SGP_OK);
    sgp_destination_t to = {2, 0.5};
    if (tcp) CHECK(send_vector(world.of[0], &to, 1, 1, 16)); /* calls it */
    await_fate(world.of[0], 2, SGP_FATE_LOST);
    end(&world);
}

/* Two members give the same seat away at once, and its two newcomers come: the second one calls again and again, and takes nobody
 * for lost. */
static void test_two_of_one_seat(void **state) {
    (void)state;
    world_t world = found(true);
    enter_expected(&world, 2, 0);
    pass_all(&world, 1); /* the first one is there */
    sgp_address_t its = world.addresses[2];
    sgp_transport_t *second = connect_tcp(&world, 2, listen_for(&world, 2));
    world.addresses[2] = its;
    be_elastic(second, 4);
    for (int r = 0; r < FOUNDERS; r++)
        CHECK(send_vector(second, &(sgp_destination_t){r, 0.5}, 1, 1, 16));
    uint64_t soon = sgp_transport_now(second) + 200000000; /* it was refused long before */
    assert_int_equal(sgp_transport_wait(second, soon), SGP_ERR_TIMEOUT);
    for (int r = 0; r < FOUNDERS; r++)
        assert_int_equal(sgp_fates_of(second->fates, r).state, SGP_FATE_PRESENT);
    sgp_transport_destroy(second);
    pass_all(&world, 2);
    end(&world);
}

/* ---- many of them ---- */

static int count_files(void) {
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    assert_non_null(directory);
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}

static int count_threads(void) {
    DIR *directory = opendir("/proc/self/task");
    int count = 0;
    assert_non_null(directory);
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}

/* Most leave, some die. */
static void come_and_go(world_t *world, uint32_t first, uint32_t end) {
    for (uint32_t n = first; n < end; n++) {
        int seat = 2 + (int)(n % 2);
        enter_expected(world, seat, n / 2);
        pass_all(world, n);
        part(world, seat, n % 8 > 0);
    }
}

/* A hundred joins and departures leave nothing behind. Memory: as much as a hundredth of a newcomer's would show. */
static void hundred(bool tcp) {
    world_t world = found(tcp);
    come_and_go(&world, 0, 20);
    int files = count_files(), threads = count_threads();
    size_t bytes = mallinfo2().uordblks;
    come_and_go(&world, 20, 120);
    assert_int_equal(count_files(), files);
    assert_int_equal(count_threads(), threads);
    size_t now = mallinfo2().uordblks;
    if (now > bytes + 8192) fail_msg("%zu bytes more than before", now - bytes);
    end(&world);
}

/* ---- the tests ---- */

#define BOTH(name)                                                                                 \
    static void test_##name##_loopback(void **state) {                                             \
        (void)state;                                                                               \
        name(false);                                                                               \
    }                                                                                              \
    static void test_##name##_tcp(void **state) {                                                  \
        (void)state;                                                                               \
        name(true);                                                                                \
    }

static void seats_given_again(bool tcp) {
    for (int seat = 1; seat <= 2; seat++) {
        given_again(tcp, seat, false);
        given_again(tcp, seat, true);
    }
}

BOTH(newcomer_is_one_of_them)
BOTH(before_opening)
BOTH(sent_before_opening)
BOTH(seats_given_again)
BOTH(held_over)
BOTH(late)
BOTH(unfinished)
BOTH(wrong_openings)
BOTH(gone_before)
BOTH(hundred)

#define TESTS(name) cmocka_unit_test(test_##name##_loopback), cmocka_unit_test(test_##name##_tcp)

int main(void) {
    const struct CMUnitTest tests[] = {
        TESTS(newcomer_is_one_of_them),
        TESTS(before_opening),
        TESTS(sent_before_opening),
        cmocka_unit_test(test_sent_in_vain),
        TESTS(seats_given_again),
        TESTS(held_over),
        TESTS(late),
        TESTS(unfinished),
        TESTS(wrong_openings),
        TESTS(gone_before),
        cmocka_unit_test(test_two_of_one_seat),
        TESTS(hundred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
