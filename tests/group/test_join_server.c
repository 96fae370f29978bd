/* SPDX-License-Identifier: Apache-2.0 */
/* A join server and clients of all kinds: slow, silent, lying, dying. None of them keeps the others
 * from forming the group. */
#include "ranks.h"
#include "shake.h"

#include "group/join/join_server.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { WAIT_MS = 60000 };

/* ---- members: threads that call sgp_group_join ---- */

typedef struct member {
    pthread_t thread;
    sgp_group_options_t options;
    sgp_status_t status;
    int rank;
} member_t;

static void *member_main(void *argument) {
    member_t *member = argument;
    sgp_group_t *group = NULL;
    member->status = sgp_group_join(&member->options, &group);
    if (member->status != SGP_OK) return NULL;
    member->rank = sgp_group_rank(group);
    CHECK(sgp_group_barrier(group) == SGP_OK);
    sgp_group_leave(group);
    return NULL;
}

static void start(member_t *member, int size, const char *at) {
    *member = (member_t){
        .options = {.size = size, .join = at, .transport = "tcp", .join_timeout_ms = WAIT_MS}};
    assert_int_equal(pthread_create(&member->thread, NULL, member_main, member), 0);
}

static void finish_member(member_t *member) {
    pthread_join(member->thread, NULL);
    assert_int_equal(member->status, SGP_OK);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

/* Not one of those that the system gives to outgoing connections: another test could get it before
 * the member listens there. */
static int free_port(char at[64]) {
    enum { FIRST = 20000, COUNT = 12000 };
    static int tried;
    for (; tried < COUNT; tried++) {
        sgp_address_t bound, published;
        int listener, port = FIRST + (getpid() * 7 + tried) % COUNT;
        char ports[16];
        snprintf(ports, sizeof ports, "%d", port);
        if (sgp_address_listen("127.0.0.1", ports, &listener, &bound, &published)) continue;
        close(listener);
        tried++;
        snprintf(at, 64, "127.0.0.1:%d", port);
        return port;
    }
    fail_msg("no port is free");
    return -1;
}

/* ---- clients of the test's own ---- */

/* A connection, as soon as a process listens there. */
static int call(const char *at) {
    sgp_address_t to;
    assert_int_equal(sgp_address_parse(at, &to), SGP_OK);
    for (int tries = 0; tries < 100000; tries++) {
        int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(made >= 0);
        if (connect(made, (struct sockaddr *)&to.at, to.length) == 0) return made;
        close(made);
        poll(NULL, 0, 1);
    }
    fail_msg("no process listens at %s", at);
    return -1;
}

/* A client whose handshake is accepted. */
static int be_accepted(const char *at, const sgp_endpoint_t *endpoint) {
    sgp_hello_t hello = {
        .purpose = SGP_PURPOSE_JOIN, .rank = endpoint->rank, .size = endpoint->size};
    sgp_handshake_t handshake;
    int connection = call(at);
    memcpy(hello.version, endpoint->version, sizeof hello.version);
    sgp_handshake_init(&handshake, true, &hello, NULL);
    assert_int_equal(shake(connection, &handshake), SGP_HANDSHAKE_DONE);
    return connection;
}

static sgp_endpoint_t an_endpoint(int size) {
    sgp_endpoint_t endpoint;
    assert_int_equal(sgp_endpoint_init(&endpoint, false), SGP_OK);
    endpoint.size = size;
    endpoint.transport = SGP_CHOICE_TCP;
    endpoint.port = 9;
    return endpoint;
}

/* The next message and its text. */
static sgp_join_message_t receive(int connection, char text[SGP_VERDICT_BYTES + 1]) {
    unsigned char header[SGP_JOIN_MESSAGE_HEADER];
    sgp_join_message_t message;
    size_t bytes;
    assert_int_equal(recv(connection, header, sizeof header, MSG_WAITALL), sizeof header);
    assert_true(sgp_join_message_decode(header, SGP_VERDICT_BYTES, &message, &bytes));
    memset(text, 0, SGP_VERDICT_BYTES + 1);
    assert_int_equal(recv(connection, text, bytes, MSG_WAITALL), bytes);
    return message;
}

static void send_endpoint(int connection, const sgp_endpoint_t *endpoint) {
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    sgp_endpoint_encode(endpoint, bytes);
    assert_int_equal(send(connection, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
}

static bool is_closed(int connection) {
    char rest[512];
    ssize_t got;
    while ((got = recv(connection, rest, sizeof rest, 0)) > 0) {
    }
    return got == 0 || errno == ECONNRESET;
}

/* ---- the tests ---- */

/* More than the server keeps pending; half of them have sent a few bytes. */
static void test_silent_clients(void **state) {
    (void)state;
    enum { SILENT = 100 };
    char at[64];
    int connections[SILENT];
    member_t server, other;
    free_port(at);
    start(&server, 2, at);
    for (int i = 0; i < SILENT; i++) {
        connections[i] = call(at);
        if (i % 2) assert_true(send(connections[i], "SG", 2, MSG_NOSIGNAL) == 2);
    }
    assert_true(is_closed(connections[0])); /* the oldest made room, long before its time was up */
    struct pollfd last = {.fd = connections[SILENT - 1], .events = POLLIN};
    assert_int_equal(poll(&last, 1, 0), 0);
    start(&other, 2, at);
    finish_member(&server);
    finish_member(&other);
    assert_true(server.rank == 0 && other.rank == 1);
    for (int i = 0; i < SILENT; i++) {
        assert_true(is_closed(connections[i]));
        close(connections[i]);
    }
}

static void test_junk(void **state) {
    (void)state;
    char at[64], junk[4096];
    member_t server, other;
    memset(junk, 0xa5, sizeof junk);
    free_port(at);
    start(&server, 2, at);
    int connection = call(at);
    (void)!send(connection, junk, sizeof junk, MSG_NOSIGNAL);
    assert_true(is_closed(connection));
    close(connection);
    start(&other, 2, at);
    finish_member(&server);
    finish_member(&other);
}

/* A client that is accepted by its hello, and then sends an endpoint that does not fit it. */
static void bad_endpoint(sgp_endpoint_t endpoint, const char *reason) {
    char at[64], text[SGP_VERDICT_BYTES + 1];
    member_t server, other;
    free_port(at);
    start(&server, 2, at);
    sgp_endpoint_t good = an_endpoint(2);
    int connection = be_accepted(at, &good);
    send_endpoint(connection, &endpoint);
    assert_int_equal(receive(connection, text), SGP_JOIN_REFUSED);
    assert_string_equal(text, reason);
    assert_true(is_closed(connection));
    close(connection);
    start(&other, 2, at); /* its place is free again */
    finish_member(&server);
    finish_member(&other);
}

static void test_false_endpoints(void **state) {
    (void)state;
    static const char no_endpoint[] = "it sent no endpoint of this version of sgp";
    sgp_endpoint_t endpoint = an_endpoint(3);
    bad_endpoint(endpoint, no_endpoint);
    endpoint = an_endpoint(2), endpoint.rank = 1; /* its hello requested none */
    bad_endpoint(endpoint, no_endpoint);
    endpoint = an_endpoint(2), endpoint.port = 0; /* and no address */
    bad_endpoint(endpoint, no_endpoint);
    endpoint = an_endpoint(2), endpoint.transport = SGP_CHOICE_SHM;
    bad_endpoint(endpoint, "it has --transport shm, and here is tcp");
}

/* The place and the rank of an admitted client are free again when it ends. */
static void test_admitted_client_ends(void **state) {
    (void)state;
    char at[64], text[SGP_VERDICT_BYTES + 1];
    member_t server, other;
    free_port(at);
    start(&server, 3, at);
    sgp_endpoint_t endpoint = an_endpoint(3);
    endpoint.rank = 2;
    int first = be_accepted(at, &endpoint);
    send_endpoint(first, &endpoint);
    assert_int_equal(receive(first, text), SGP_JOIN_ADMITTED);
    assert_string_equal(text, at);
    sgp_hello_t hello = {.purpose = SGP_PURPOSE_JOIN, .rank = 2, .size = 3};
    memcpy(hello.version, endpoint.version, sizeof hello.version);
    sgp_handshake_t handshake;
    int second = call(at);
    sgp_handshake_init(&handshake, true, &hello, NULL);
    assert_int_equal(shake(second, &handshake), SGP_HANDSHAKE_REFUSED);
    assert_non_null(strstr(handshake.reason, "rank 2 is taken by 127.0.0.1:"));
    close(second);
    close(first);
    start(&other, 3, at);
    member_t third = {.options = {.size = 3,
                                  .join = at,
                                  .transport = "tcp",
                                  .rank = 2,
                                  .claim_rank = true,
                                  .join_timeout_ms = WAIT_MS}};
    assert_int_equal(pthread_create(&third.thread, NULL, member_main, &third), 0);
    finish_member(&server);
    finish_member(&other);
    finish_member(&third);
    assert_int_equal(third.rank, 2);
}

/* An admitted client that sends anything but READY is closed, and its place is free. */
static void test_unexpected_message(void **state) {
    (void)state;
    char at[64], text[SGP_VERDICT_BYTES + 1];
    unsigned char header[SGP_JOIN_MESSAGE_HEADER];
    member_t members[3];
    free_port(at);
    start(&members[0], 3, at);
    sgp_endpoint_t endpoint = an_endpoint(3);
    int connection = be_accepted(at, &endpoint);
    send_endpoint(connection, &endpoint);
    assert_int_equal(receive(connection, text), SGP_JOIN_ADMITTED);
    sgp_join_message_encode(SGP_JOIN_BEGIN, 0, header);
    assert_int_equal(send(connection, header, sizeof header, MSG_NOSIGNAL), sizeof header);
    assert_true(is_closed(connection));
    close(connection);
    start(&members[1], 3, at);
    start(&members[2], 3, at);
    for (int i = 0; i < 3; i++) finish_member(&members[i]);
}

/* A server that claims a rank has it, and the others get the ranks that are left. */
static void test_server_claims_a_rank(void **state) {
    (void)state;
    char at[64];
    member_t members[3];
    free_port(at);
    members[0] = (member_t){.options = {.size = 3,
                                        .join = at,
                                        .transport = "tcp",
                                        .rank = 1,
                                        .claim_rank = true,
                                        .join_timeout_ms = WAIT_MS}};
    assert_int_equal(pthread_create(&members[0].thread, NULL, member_main, &members[0]), 0);
    close(call(at)); /* it serves now */
    start(&members[1], 3, at);
    start(&members[2], 3, at);
    for (int i = 0; i < 3; i++) finish_member(&members[i]);
    assert_int_equal(members[0].rank, 1);
    assert_int_equal(members[1].rank + members[2].rank, 2);
}

/* A member that waits redirects its callers to the server. */
static void test_members_redirect(void **state) {
    (void)state;
    char at[64], second_at[64], port[16];
    member_t server, second, third;
    free_port(at);
    snprintf(port, sizeof port, "%d", free_port(second_at));
    start(&server, 3, at);
    close(call(at));
    second = (member_t){
        .options = {
            .size = 3, .join = at, .ports = port, .transport = "tcp", .join_timeout_ms = WAIT_MS}};
    assert_int_equal(pthread_create(&second.thread, NULL, member_main, &second), 0);
    close(call(second_at)); /* the second listens there */
    start(&third, 3, second_at);
    finish_member(&server);
    finish_member(&second);
    finish_member(&third);
    assert_int_equal(server.rank, 0);
    assert_int_equal(third.rank, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_clients),     cmocka_unit_test(test_junk),
        cmocka_unit_test(test_false_endpoints),    cmocka_unit_test(test_admitted_client_ends),
        cmocka_unit_test(test_unexpected_message), cmocka_unit_test(test_server_claims_a_rank),
        cmocka_unit_test(test_members_redirect),
    };
    return cmocka_run_group_tests_name("join_server", tests, NULL, NULL);
}
