/* SPDX-License-Identifier: Apache-2.0 */
/* Joining a running group over real sockets: two founders, four seats. The founders' calls are made by the test's thread,
 * which serves candidates as a training loop would; each candidate has a thread of its own. */
#include "ranks.h"
#include "shake.h"
#include "transport/vectors.h"

#include "base/bytes.h"
#include "group/join/candidate.h"
#include "group/join/sponsor.h"

#include <poll.h>
#include <sgp/version.h>
#include <sys/socket.h>

enum { FOUNDERS = 2, SEATS = 4, STEP = 48 };

#define OPTIONS UINT64_C(0x1234)

typedef struct group {
    sgp_transport_t *of[FOUNDERS];
    sgp_address_t addresses[FOUNDERS];
    sgp_sponsor_t *sponsor; /* rank 0 */
    int offered, admitted, parted;
    bool refuses_offer, refuses_ready;
    uint64_t last; /* candidate */
} group_t;

static bool on_offer(void *context, const sgp_sponsored_t *candidate, sgp_sponsor_offer_t *offer,
                     char *why) {
    group_t *group = context;
    if (group->refuses_offer) {
        snprintf(why, SGP_ENTER_REASON, "its model is lenet, and that of the run resnet20");
        return false;
    }
    CHECK(candidate->detail_bytes == 5 && memcmp(candidate->detail, "model", 5) == 0);
    *offer = (sgp_sponsor_offer_t){"a view", 6, "the options of the run", 22};
    group->offered++;
    group->last = candidate->candidate;
    return true;
}

/* The members open the seat, as they do when they merge its JOIN notice. */
static bool on_admit(void *context, const sgp_sponsored_t *candidate, uint64_t *step, bool *again,
                     char *why) {
    group_t *group = context;
    if (group->refuses_ready) {
        snprintf(why, SGP_ENTER_REASON, "seat %d has gone to another", candidate->seat);
        return *again = true, false;
    }
    for (int r = 0; r < FOUNDERS; r++)
        if (group->of[r])
            CHECK(sgp_card_open(group->of[r], candidate->seat, candidate->incarnation,
                                candidate->card, SGP_CARD_BYTES) == SGP_OK);
    *step = STEP;
    group->admitted++;
    return true;
}

static void on_parted(void *context, const sgp_sponsored_t *candidate, bool admitted) {
    group_t *group = context;
    (void)candidate, (void)admitted;
    group->parted++;
}

static void found_keyed(group_t *group, const sgp_key_t *key) {
    int listeners[FOUNDERS];
    sgp_address_t bound;
    *group = (group_t){.offered = 0};
    atomic_store(&ranks_failures, 0);
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_ERROR); /* before there is a thread that logs */
    for (int r = 0; r < FOUNDERS; r++)
        assert_int_equal(
            sgp_address_listen("127.0.0.1", NULL, &listeners[r], &bound, &group->addresses[r]),
            SGP_OK);
    for (int r = 0; r < FOUNDERS; r++) {
        sgp_tcp_options_t options = {.rank = r,
                                     .size = FOUNDERS,
                                     .capacity = SEATS,
                                     .run = 17,
                                     .listener = listeners[r],
                                     .addresses = group->addresses,
                                     .key = key,
                                     .chunk_bytes = CHUNK,
                                     .timeout_ms = 60000,
                                     .at_once = true};
        assert_int_equal(sgp_tcp_connect(&options, &group->of[r]), SGP_OK);
        group->of[r]->elastic = true;
        CHECK(sgp_transport_prepare(group->of[r], ELEMENTS * sizeof(float), 4) == SGP_OK);
    }
}

static void found(group_t *group) {
    found_keyed(group, NULL);
}

static void begin_to_sponsor(group_t *group, int request_ms) {
    sgp_sponsor_options_t options = {
        .transport = group->of[0],
        .options = OPTIONS,
        .request_ms = request_ms,
        .most = 2,
        .owner = {.offer = on_offer, .admit = on_admit, .parted = on_parted, .context = group}};
    assert_int_equal(sgp_sponsor_create(&options, &group->sponsor), SGP_OK);
}

static void end(group_t *group) {
    sgp_sponsor_destroy(group->sponsor);
    for (int r = 0; r < FOUNDERS; r++) sgp_transport_destroy(group->of[r]);
    sgp_log_set(NULL, NULL, 0);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

/* ---- candidates ---- */

typedef struct joiner {
    char contacts[3 * SGP_ADDRESS_TEXT];
    const sgp_key_t *key;
    uint64_t options;
    bool only_calls; /* it ends with its welcome */
    int timeout_ms;
    sgp_status_t status;
    uint64_t step;
    int seat;
    uint32_t incarnation;
    sgp_transport_t *transport; /* NULL: it failed */
    pthread_t thread;
    atomic_bool done;
} joiner_t;

static void check_welcome(const sgp_welcome_t *welcome) {
    CHECK(welcome->capacity == SEATS && welcome->founders == FOUNDERS && welcome->run == 17);
    CHECK(welcome->chunk_bytes == CHUNK && welcome->options == OPTIONS);
    CHECK(welcome->view_bytes == 6 && memcmp(welcome->view, "a view", 6) == 0);
    CHECK(welcome->blob_bytes == 22 && memcmp(welcome->blob, "the options of the run", 22) == 0);
}

static void *joiner_main(void *argument) {
    joiner_t *joiner = argument;
    sgp_candidate_t *candidate = NULL;
    sgp_candidate_options_t options = {.contacts = joiner->contacts,
                                       .key = joiner->key,
                                       .options = joiner->options,
                                       .detail = "model",
                                       .detail_bytes = 5,
                                       .seat = -1,
                                       .timeout_ms =
                                           joiner->timeout_ms ? joiner->timeout_ms : 60000};
    joiner->status = sgp_candidate_call(&options, &candidate);
    if (joiner->status == SGP_OK) {
        check_welcome(sgp_candidate_welcome(candidate));
        joiner->seat = sgp_candidate_welcome(candidate)->seat;
        joiner->incarnation = sgp_candidate_welcome(candidate)->incarnation;
        if (!joiner->only_calls) {
            CHECK(sgp_candidate_connect(candidate, &joiner->transport) == SGP_OK);
            joiner->status = sgp_candidate_ready(candidate, 60000, &joiner->step);
        }
    }
    sgp_candidate_destroy(candidate);
    atomic_store(&joiner->done, true);
    return NULL;
}

static void add_contact(joiner_t *joiner, const sgp_address_t *address) {
    char text[SGP_ADDRESS_TEXT];
    size_t length = strlen(joiner->contacts);
    snprintf(joiner->contacts + length, sizeof joiner->contacts - length, "%s%s", length ? "," : "",
             sgp_address_text(address, text));
}

static void begin(joiner_t *joiner) {
    assert_int_equal(pthread_create(&joiner->thread, NULL, joiner_main, joiner), 0);
}

/* As the steps of a training loop: it looks whenever something has happened, and at intervals. */
static void serve_until(group_t *group, const atomic_bool *done) {
    while (!atomic_load(done)) {
        if (group->sponsor) sgp_sponsor_serve(group->sponsor);
        sgp_transport_wait(group->of[0], sgp_transport_now(group->of[0]) + 3000000);
    }
}

static void finish_joining(group_t *group, joiner_t *joiner) {
    serve_until(group, &joiner->done);
    pthread_join(joiner->thread, NULL);
}

static void join(group_t *group, joiner_t *joiner) {
    if (!joiner->contacts[0]) add_contact(joiner, &group->addresses[0]);
    begin(joiner);
    finish_joining(group, joiner);
}

static void exchange(sgp_transport_t *a, sgp_transport_t *b, uint64_t step) {
    sgp_transport_t *pair[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        sgp_destination_t to = {pair[1 - i]->rank, 0.5};
        sgp_chunk_t chunk;
        CHECK(send_vector(pair[i], &to, 1, step, ELEMENTS));
        for (size_t got = 0; got < ELEMENTS && receive_chunk(pair[1 - i], &chunk);) {
            CHECK(chunk.header.src == pair[i]->rank && chunk.header.step == step);
            got += chunk.header.elements;
            sgp_transport_release(pair[1 - i], &chunk);
        }
    }
}

/* A newcomer gets a seat and all that it needs, and then exchanges messages with every member. */
static void test_join(void **state) {
    (void)state;
    group_t group;
    joiner_t joiner = {.options = OPTIONS};
    found(&group);
    begin_to_sponsor(&group, 0);
    join(&group, &joiner);
    assert_int_equal(joiner.status, SGP_OK);
    assert_int_equal(joiner.step, STEP);
    assert_true(joiner.seat == 2 && joiner.incarnation == 0);
    assert_int_equal(group.admitted, 1);
    CHECK(sgp_transport_prepare(joiner.transport, ELEMENTS * sizeof(float), 4) == SGP_OK);
    for (int r = 0; r < FOUNDERS; r++) exchange(group.of[r], joiner.transport, 1);
    sgp_transport_destroy(joiner.transport);
    end(&group);
    assert_int_equal(group.parted, 1);
}

/* The founder has died: any member answers, and the seat that is given is one that was never used. */
static void test_any_member(void **state) {
    (void)state;
    group_t group;
    joiner_t joiner = {.options = 0};
    found(&group);
    sgp_transport_t *first = group.of[0];
    add_contact(&joiner, &group.addresses[0]);
    add_contact(&joiner, &group.addresses[1]);
    exchange(group.of[0], group.of[1], 0);
    sgp_transport_destroy(first);
    group.of[0] = group.of[1];
    group.of[1] = NULL;
    while (sgp_fates_of(group.of[0]->fates, 0).state == SGP_FATE_PRESENT)
        sgp_transport_wait(group.of[0], sgp_transport_now(group.of[0]) + 10000000);
    begin_to_sponsor(&group, 0);
    join(&group, &joiner);
    assert_int_equal(joiner.status, SGP_OK);
    assert_int_equal(joiner.seat, 2);
    CHECK(sgp_transport_prepare(joiner.transport, ELEMENTS * sizeof(float), 4) == SGP_OK);
    exchange(group.of[0], joiner.transport, 1);
    assert_int_equal(sgp_fates_of(joiner.transport->fates, 0).state, SGP_FATE_LEFT);
    sgp_transport_destroy(joiner.transport);
    end(&group);
}

/* Seats run out, and are given again with the next incarnation once their member is gone. */
static void test_seats(void **state) {
    (void)state;
    group_t group;
    joiner_t joiners[4] = {{.step = 0}};
    found(&group);
    begin_to_sponsor(&group, 0);
    for (int i = 0; i < 2; i++) {
        join(&group, &joiners[i]);
        assert_int_equal(joiners[i].status, SGP_OK);
        assert_true(joiners[i].seat == 2 + i && joiners[i].incarnation == 0);
    }
    join(&group, &joiners[2]);
    assert_int_equal(joiners[2].status, SGP_ERR_REFUSED);
    assert_non_null(strstr(ranks_last_error, "all 4 seats are taken"));
    sgp_transport_leave(joiners[0].transport, sgp_transport_now(group.of[0]) + FAR);
    sgp_transport_destroy(joiners[0].transport);
    for (int r = 0; r < FOUNDERS; r++)
        while (sgp_fates_of(group.of[r]->fates, 2).state == SGP_FATE_PRESENT)
            sgp_transport_wait(group.of[r], sgp_transport_now(group.of[r]) + 10000000);
    join(&group, &joiners[3]);
    assert_int_equal(joiners[3].status, SGP_OK);
    assert_true(joiners[3].seat == 2 && joiners[3].incarnation == 1);
    CHECK(sgp_transport_prepare(joiners[3].transport, ELEMENTS * sizeof(float), 4) == SGP_OK);
    exchange(group.of[1], joiners[3].transport, 1);
    CHECK(sgp_transport_prepare(joiners[1].transport, ELEMENTS * sizeof(float), 4) == SGP_OK);
    exchange(joiners[1].transport, group.of[1], 2);
    sgp_transport_destroy(joiners[1].transport);
    sgp_transport_destroy(joiners[3].transport);
    end(&group);
}

/* ---- refusals ---- */

static void is_refused(group_t *group, joiner_t *joiner, sgp_status_t status, const char *why) {
    join(group, joiner);
    assert_int_equal(joiner->status, status);
    pthread_mutex_lock(&ranks_log_lock);
    if (!strstr(ranks_last_error, why)) fail_msg("\"%s\" is not in: %s", why, ranks_last_error);
    pthread_mutex_unlock(&ranks_log_lock);
    sgp_transport_destroy(joiner->transport);
}

static void test_refusals(void **state) {
    (void)state;
    group_t group;
    found(&group);
    is_refused(&group, &(joiner_t){.options = 0}, SGP_ERR_REFUSED, "the group takes no newcomers");
    begin_to_sponsor(&group, 0);
    is_refused(&group, &(joiner_t){.options = 7}, SGP_ERR_REFUSED,
               "its options have the hash 0000000000000007, and those of the run 0000000000001234");
    group.refuses_offer = true;
    is_refused(&group, &(joiner_t){.options = 0}, SGP_ERR_REFUSED,
               "its model is lenet, and that of the run resnet20");
    group.refuses_offer = false;
    assert_int_equal(group.offered, 0);
    group.refuses_ready = true;
    is_refused(&group, &(joiner_t){.options = 0}, SGP_ERR_AGAIN, "seat 2 has gone to another");
    group.refuses_ready = false;
    sgp_key_t key;
    assert_int_equal(sgp_key_make("a secret of 24 bytes....", 24, &key), SGP_OK);
    is_refused(&group, &(joiner_t){.key = &key}, SGP_ERR_MISMATCH,
               "it has no key, and here one is");
    end(&group);
    assert_int_equal(group.offered, group.parted);
}

static void test_keys(void **state) {
    (void)state;
    group_t group;
    sgp_key_t key, other;
    assert_int_equal(sgp_key_make("a secret of 24 bytes....", 24, &key), SGP_OK);
    assert_int_equal(sgp_key_make("another one of 24 bytes.", 24, &other), SGP_OK);
    found_keyed(&group, &key);
    begin_to_sponsor(&group, 0);
    is_refused(&group, &(joiner_t){.key = &other}, SGP_ERR_MISMATCH, "it has another key");
    is_refused(&group, &(joiner_t){.key = NULL}, SGP_ERR_MISMATCH,
               "it has a key, and here is none");
    joiner_t joiner = {.key = &key};
    join(&group, &joiner);
    assert_int_equal(joiner.status, SGP_OK);
    sgp_transport_destroy(joiner.transport);
    end(&group);
}

/* ---- strangers ---- */

/* A candidate that says nothing, or nonsense, costs its place for a while, and holds up nobody else. */
static int call_as(const sgp_address_t *address, const char *version) {
    sgp_hello_t hello = {.purpose = SGP_PURPOSE_ENTER, .rank = -1};
    sgp_handshake_t handshake;
    int made = socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(made >= 0);
    assert_int_equal(connect(made, (const struct sockaddr *)&address->at, address->length), 0);
    snprintf(hello.version, sizeof hello.version, "%s", version);
    sgp_handshake_init(&handshake, true, &hello, NULL);
    sgp_handshake_state_t state = shake(made, &handshake);
    if (strcmp(version, sgp_version()) == 0) assert_int_equal(state, SGP_HANDSHAKE_DONE);
    else {
        assert_int_equal(state, SGP_HANDSHAKE_REFUSED);
        assert_non_null(strstr(handshake.reason, "it has sgp 0.0.1, and here is "));
    }
    return made;
}

/* Serves until the peer sees the end. */
static void serve_until_closed(group_t *group, int socket) {
    struct pollfd readable = {.fd = socket, .events = POLLIN};
    char byte;
    for (;;) {
        sgp_sponsor_serve(group->sponsor);
        if (poll(&readable, 1, 3) > 0 && recv(socket, &byte, 1, 0) <= 0) break;
    }
    close(socket);
}

static void test_strangers(void **state) {
    (void)state;
    group_t group;
    joiner_t joiner = {.options = OPTIONS};
    unsigned char nonsense[64];
    found(&group);
    begin_to_sponsor(&group, 400);
    close(call_as(&group.addresses[0], "0.0.1"));
    int silent = call_as(&group.addresses[0], sgp_version());
    int mad = call_as(&group.addresses[0], sgp_version());
    memset(nonsense, 0xab, sizeof nonsense);
    assert_int_equal(send(mad, nonsense, sizeof nonsense, MSG_NOSIGNAL), sizeof nonsense);
    serve_until_closed(&group, mad);
    join(&group, &joiner); /* beside the silent one */
    assert_int_equal(joiner.status, SGP_OK);
    serve_until_closed(&group, silent);
    assert_int_equal(sgp_sponsor_candidates(group.sponsor), 0);
    int long_request = call_as(&group.addresses[0], sgp_version());
    unsigned char head[SGP_ENTER_HEAD];
    sgp_enter_head_encode(SGP_ENTER_REQUEST, SGP_ENTER_REQUEST_BYTES + 1, head);
    assert_int_equal(send(long_request, head, sizeof head, MSG_NOSIGNAL), sizeof head);
    serve_until_closed(&group, long_request);
    sgp_transport_destroy(joiner.transport);
    end(&group);
}

/* More callers than places: those that find none call again, and all get their turn. */
static void test_many_at_once(void **state) {
    (void)state;
    group_t group;
    joiner_t joiners[24] = {{.step = 0}};
    enum { MANY = sizeof joiners / sizeof *joiners };
    found(&group);
    begin_to_sponsor(&group, 0);
    for (int i = 0; i < MANY; i++) {
        joiners[i].only_calls = true;
        add_contact(&joiners[i], &group.addresses[0]);
        begin(&joiners[i]);
    }
    for (int i = 0; i < MANY; i++) finish_joining(&group, &joiners[i]);
    for (int i = 0; i < MANY; i++) assert_int_equal(joiners[i].status, SGP_OK);
    assert_int_equal(group.offered, MANY);
    end(&group);
    assert_int_equal(group.parted, MANY);
}

/* The seat of a candidate went to another one. */
static void test_withdrawn(void **state) {
    (void)state;
    group_t group;
    joiner_t joiner = {.options = OPTIONS};
    found(&group);
    begin_to_sponsor(&group, 0);
    add_contact(&joiner, &group.addresses[0]);
    group.refuses_ready = true; /* should READY come first */
    begin(&joiner);
    while (!group.offered) {
        sgp_sponsor_serve(group.sponsor);
        sgp_transport_wait(group.of[0], sgp_transport_now(group.of[0]) + 3000000);
    }
    sgp_sponsor_withdraw(group.sponsor, group.last + 1, "not this one");
    sgp_sponsor_withdraw(group.sponsor, group.last, "the seat has gone to another candidate");
    finish_joining(&group, &joiner);
    assert_true(joiner.status == SGP_ERR_AGAIN || joiner.status == SGP_ERR_PEER_LOST);
    assert_int_equal(group.admitted, 0);
    sgp_transport_destroy(joiner.transport);
    end(&group);
    assert_int_equal(group.parted, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),         cmocka_unit_test(test_any_member),
        cmocka_unit_test(test_seats),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_keys),         cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_many_at_once), cmocka_unit_test(test_withdrawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
