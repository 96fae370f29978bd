/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the transports' and the inbox's calls fails once. */
#include "failing_alloc.h"
#include "ranks.h"

#include "transport/inbox.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FAR ((uint64_t)60 * 1000000000u) /* nanoseconds */

enum { CHUNK = 256, ELEMENTS = 200, CHUNKS = 4 };

static const sgp_header_t push = {
    .kind = SGP_KIND_PUSH, .encoding = SGP_ENCODING_FLOAT32, .channel = 1, .count = ELEMENTS};

static void commit_all(sgp_transport_t *transport, sgp_send_t *send) {
    for (float *place; (place = sgp_transport_send_next(transport, send));) {
        for (size_t i = 0; i < send->header.elements; i++)
            place[i] = (float)(send->header.offset + i);
        sgp_transport_send_commit(transport, send);
    }
}

/* Takes the message's chunks out of the inbox. false: one is not there. */
static bool take_message(sgp_inbox_t *inbox, int src, uint64_t step) {
    sgp_inbox_key_t key = {.channel = 1, .kind = SGP_KIND_PUSH, .src = src, .step = step};
    while (key.offset < ELEMENTS) {
        sgp_chunk_t *chunk = sgp_inbox_find(inbox, &key);
        if (!chunk) return false;
        CHECK(*(const float *)chunk->payload == (float)key.offset);
        key.offset += chunk->header.elements;
        sgp_inbox_release(inbox, chunk);
    }
    return true;
}

/* ---- loopback, with both ranks in this thread, and the inbox ---- */

static void test_loopback_create(void **state) {
    (void)state;
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_loopback_t *hub = NULL;
        sgp_status_t status =
            FAILING(&failing, sgp_loopback_create(&(sgp_loopback_options_t){.size = 3}, &hub));
        assert_true((status == SGP_OK) == (hub != NULL));
        sgp_loopback_destroy(hub);
    }
}

static void test_inbox_create(void **state) {
    (void)state;
    sgp_loopback_t *hub = NULL;
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = 1}, &hub), SGP_OK);
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_inbox_t *inbox = NULL;
        sgp_status_t status =
            FAILING(&failing, sgp_inbox_create(sgp_loopback_transport(hub, 0), &inbox));
        assert_true((status == SGP_OK) == (inbox != NULL));
        sgp_inbox_destroy(inbox);
    }
    sgp_loopback_destroy(hub);
}

/* A message that could not begin is not sent; one that has begun arrives whole. */
static void test_loopback_send(void **state) {
    (void)state;
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_loopback_options_t options = {.size = 2, .chunk_bytes = CHUNK};
        sgp_loopback_t *hub = NULL;
        sgp_inbox_t *inbox = NULL;
        assert_int_equal(sgp_loopback_create(&options, &hub), SGP_OK);
        sgp_transport_t *sender = sgp_loopback_transport(hub, 0);
        sgp_transport_t *receiver = sgp_loopback_transport(hub, 1);
        assert_int_equal(sgp_inbox_create(receiver, &inbox), SGP_OK);
        sgp_destination_t to = {.dst = 1, .weight = 1};
        sgp_send_t send;
        sgp_status_t status =
            FAILING(&failing, sgp_transport_send_begin(sender, &push, &to, 1, &send));
        if (status == SGP_OK) commit_all(sender, &send);
        assert_true(take_message(inbox, 0, 0) == (status == SGP_OK));
        sgp_header_t next = push;
        next.step = 1;
        assert_int_equal(sgp_transport_send_begin(sender, &next, &to, 1, &send), SGP_OK);
        commit_all(sender, &send);
        assert_true(take_message(inbox, 0, 1));
        sgp_inbox_destroy(inbox);
        sgp_loopback_destroy(hub);
    }
}

/* The same for an elastic sender with two receivers, of which one is lost: its share of each message that was sent comes
 * back. */
static void test_elastic_send(void **state) {
    (void)state;
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_loopback_t *hub = NULL;
        sgp_destination_t to[2] = {{.dst = 1, .weight = 0.5}, {.dst = 2, .weight = 0.25}};
        sgp_loopback_options_t options = {.size = 3, .chunk_bytes = CHUNK};
        assert_int_equal(sgp_loopback_create(&options, &hub), SGP_OK);
        sgp_transport_t *sender = sgp_loopback_transport(hub, 0);
        sender->elastic = true;
        sgp_send_t send;
        sgp_status_t status = FAILING(&failing, sgp_transport_prepare(sender, 4 * ELEMENTS, 1));
        if (status == SGP_OK)
            status = FAILING(&failing, sgp_transport_send_begin(sender, &push, to, 2, &send));
        if (status == SGP_OK) commit_all(sender, &send);
        sgp_transport_destroy(sgp_loopback_transport(hub, 1));
        sgp_returned_t returned;
        bool any = sgp_transport_take_back(sender, push.channel, &returned);
        assert_true(any == (status == SGP_OK) && (!any || returned.weight == 0.5));
        assert_false(sgp_transport_take_back(sender, push.channel, &returned));
        sgp_loopback_destroy(hub);
    }
}

/* Chunks that could not be taken in stay with the transport, and a wait for them reports that. */
static void test_inbox_collect(void **state) {
    (void)state;
    failing_t failing = {.may_pass = true};
    while (failing_round(&failing)) {
        sgp_loopback_options_t options = {.size = 2, .chunk_bytes = CHUNK};
        sgp_loopback_t *hub = NULL;
        sgp_inbox_t *inbox = NULL;
        assert_int_equal(sgp_loopback_create(&options, &hub), SGP_OK);
        sgp_transport_t *sender = sgp_loopback_transport(hub, 0);
        assert_int_equal(sgp_inbox_create(sgp_loopback_transport(hub, 1), &inbox), SGP_OK);
        sgp_destination_t to = {.dst = 1, .weight = 1};
        sgp_send_t send;
        assert_int_equal(sgp_transport_send_begin(sender, &push, &to, 1, &send), SGP_OK);
        commit_all(sender, &send);
        failing_on(&failing);
        sgp_inbox_collect(inbox);
        uint64_t taken_in = sgp_inbox_taken_in(inbox);
        uint64_t since = taken_in == CHUNKS ? 0 : taken_in;
        sgp_status_t status = failing_check(&failing, sgp_inbox_wait(inbox, since, FAR, "more"));
        assert_true(status == SGP_OK || taken_in < CHUNKS);
        assert_true(take_message(inbox, 0, 0));
        assert_int_equal(sgp_inbox_wait(inbox, CHUNKS, 0, "more"), SGP_ERR_TIMEOUT);
        sgp_inbox_destroy(inbox);
        sgp_loopback_destroy(hub);
    }
}

/* A rank whose agent cannot be started continues without. */
static void nothing(void *context) {
    (void)context;
}

static void start_agent(sgp_transport_t *transport) {
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_status_t status =
            FAILING(&failing, sgp_transport_agent_start(transport, nothing, NULL));
        if (status == SGP_OK) sgp_transport_agent_join(transport);
    }
    assert_true(failing.round > 2);
}

/* ---- shared memory ---- */

static void test_shm_alone(void **state) {
    (void)state;
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_transport_t *transport = NULL;
        sgp_shm_options_t options = {.size = 1, .timeout_ms = 60000};
        sgp_status_t status = FAILING(&failing, sgp_shm_connect(&options, &transport));
        assert_true((status == SGP_OK) == (transport != NULL));
        sgp_transport_destroy(transport);
    }
}

static void test_agents(void **state) {
    (void)state;
    sgp_loopback_t *hub = NULL;
    sgp_transport_t *transport = NULL;
    sgp_shm_options_t options = {.size = 1, .timeout_ms = 60000};
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = 1}, &hub), SGP_OK);
    start_agent(sgp_loopback_transport(hub, 0));
    sgp_loopback_destroy(hub);
    assert_int_equal(sgp_shm_connect(&options, &transport), SGP_OK);
    start_agent(transport);
    sgp_transport_destroy(transport);
}

/* Rank 0 of two, in a thread of its own. */
typedef struct other {
    const char *directory;
    atomic_bool done;
} other_t;

static void *be_rank_0(void *argument) {
    other_t *other = argument;
    sgp_transport_t *transport = NULL;
    sgp_shm_options_t options = {
        .size = 2, .rendezvous = other->directory, .chunk_bytes = CHUNK, .timeout_ms = 60000};
    sgp_shm_connect(&options, &transport);
    sgp_transport_destroy(transport);
    atomic_store(&other->done, true);
    return NULL;
}

/* Rank 0 learns of the failure as if the process had ended: by a connection that ends. */
static void hang_up(const other_t *other) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/node-0", other->directory);
    while (!atomic_load(&other->done)) {
        int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        connect(made, (struct sockaddr *)&address, sizeof address);
        close(made);
        poll(NULL, 0, 1);
    }
}

static void test_shm_meets(void **state) {
    (void)state;
    char directory[] = "/tmp/sgp-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    failing_t failing = {0};
    while (failing_round(&failing)) {
        pthread_t thread;
        other_t other = {.directory = directory};
        sgp_transport_t *transport = NULL;
        sgp_shm_options_t options = {.rank = 1,
                                     .size = 2,
                                     .rendezvous = directory,
                                     .chunk_bytes = CHUNK,
                                     .timeout_ms = 60000};
        assert_int_equal(pthread_create(&thread, NULL, be_rank_0, &other), 0);
        sgp_status_t status = FAILING(&failing, sgp_shm_connect(&options, &transport));
        assert_true((status == SGP_OK) == (transport != NULL));
        if (status != SGP_OK) hang_up(&other);
        pthread_join(thread, NULL);
        sgp_transport_destroy(transport);
    }
    assert_int_equal(rmdir(directory), 0); /* nothing is left in it */
}

/* ---- TCP ---- */

static void test_tcp_alone(void **state) {
    (void)state;
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_address_t bound, address;
        sgp_transport_t *transport = NULL;
        sgp_tcp_options_t options = {
            .size = 1, .run = 17, .addresses = &address, .timeout_ms = 60000};
        assert_int_equal(sgp_address_listen("127.0.0.1", NULL, &options.listener, &bound, &address),
                         SGP_OK);
        sgp_status_t status = FAILING(&failing, sgp_tcp_connect(&options, &transport));
        assert_true((status == SGP_OK) == (transport != NULL));
        sgp_transport_destroy(transport);
    }
}

/* Two ranks that have met; then allocations fail in both, and in the threads that move the
 * bytes. */
typedef struct exchange {
    failing_t *failing;
    pthread_barrier_t met, sent;
    atomic_bool ended;  /* the receiver waits for nothing more */
    sgp_status_t begun; /* the sender's */
    bool arrived;       /* all of it */
    bool lost;          /* a rank knows that the other one is lost */
} exchange_t;

static void send_message(sgp_transport_t *transport, exchange_t *exchange) {
    sgp_destination_t to = {.dst = 1, .weight = 1};
    sgp_send_t send;
    failing_on(exchange->failing);
    exchange->begun = sgp_transport_send_begin(transport, &push, &to, 1, &send);
    if (exchange->begun == SGP_OK) commit_all(transport, &send);
    pthread_barrier_wait(&exchange->sent);
    while (!atomic_load(&exchange->ended) && !failing_has_failed(exchange->failing))
        poll(NULL, 0, 1);
    failing_off(exchange->failing); /* as memory comes back, what was held up goes on */
}

static void receive_message(sgp_transport_t *transport, exchange_t *exchange) {
    sgp_chunk_t chunk;
    sgp_status_t status = SGP_OK;
    size_t got = 0;
    pthread_barrier_wait(&exchange->sent);
    while (exchange->begun == SGP_OK && got < ELEMENTS && status == SGP_OK) {
        status = sgp_transport_wait(transport, sgp_transport_now(transport) + FAR);
        while (sgp_transport_receive(transport, &chunk) == SGP_OK) {
            CHECK(*(const float *)chunk.payload == (float)chunk.header.offset);
            got += chunk.header.elements;
            sgp_transport_release(transport, &chunk);
        }
    }
    exchange->arrived = got == ELEMENTS;
    exchange->lost = status == SGP_ERR_PEER_LOST;
    atomic_store(&exchange->ended, true);
}

static void exchange_message(sgp_transport_t *transport, void *context) {
    exchange_t *exchange = context;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    pthread_barrier_wait(&exchange->met);
    if (transport->rank == 0) send_message(transport, exchange);
    else receive_message(transport, exchange);
    sgp_transport_leave(transport, sgp_transport_now(transport) + FAR);
    sgp_transport_destroy(transport);
}

/* A message for which memory is missing is refused when it begins, or the peer is reported as lost:
 * none is lost in silence, and no rank waits for one in vain. */
static void test_tcp_exchange(void **state) {
    (void)state;
    failing_t failing = {.every_thread = true};
    while (failing_round(&failing)) {
        exchange_t exchange = {.failing = &failing};
        ranks_setup_t setup = {.tcp = true, .loopback = {.size = 2, .chunk_bytes = CHUNK}};
        pthread_barrier_init(&exchange.met, NULL, 2);
        pthread_barrier_init(&exchange.sent, NULL, 2);
        run_transports(&setup, exchange_message, &exchange);
        if (exchange.begun == SGP_OK) assert_true(exchange.arrived || exchange.lost);
        else assert_int_equal(exchange.begun, SGP_ERR_NO_MEMORY);
        if (!failing_has_failed(&failing)) assert_true(exchange.arrived);
        pthread_barrier_destroy(&exchange.met);
        pthread_barrier_destroy(&exchange.sent);
    }
    assert_true(failing.round > 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback_create), cmocka_unit_test(test_loopback_send),
        cmocka_unit_test(test_elastic_send),    cmocka_unit_test(test_inbox_create),
        cmocka_unit_test(test_inbox_collect),   cmocka_unit_test(test_agents),
        cmocka_unit_test(test_shm_alone),       cmocka_unit_test(test_shm_meets),
        cmocka_unit_test(test_tcp_alone),       cmocka_unit_test(test_tcp_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
