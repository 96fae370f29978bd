/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody between two ranks that share a key alters what they send: at any byte, of the handshake, of frames, of headers and of
 * payloads. No rank ever sees a number that was not sent. Where the group is elastic, all messages arrive in the end. */
#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .tcp = true, .loopback = {.size = (ranks) }                                                \
    }
#include "transport/elastic_cases.h"

#include <poll.h>
#include <sys/socket.h>

enum { MESSAGES = 6, PIECE = 64, BUFFER = 4096 };

/* Bytes of a handshake, either way. */
enum { SHAKEN = SGP_HELLO_BYTES + SGP_OPENING_BYTES + SGP_VERDICT_BYTES + SGP_NOISE_TAG };

typedef enum mischief {
    FLIP,     /* one bit */
    DROP,     /* some bytes */
    REPEAT,   /* some bytes */
    SWAP,     /* two runs of bytes */
    INJECT,   /* bytes of its own */
    TRUNCATE, /* the connection ends there */
    MISCHIEFS,
} mischief_t;

/* Between rank 0, which calls, and rank 1. */
typedef struct forger {
    int listener;
    sgp_address_t address, to;
    mischief_t mischief;
    bool backward;    /* in what rank 1 sends */
    uint64_t at;      /* byte of that direction */
    uint64_t seen[2]; /* bytes there, of all connections */
    bool done;        /* the mischief; once */
    atomic_bool over;
} forger_t;

/* ---- the one in the forger ---- */

static bool pass_on(int to, const unsigned char *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t sent = send(to, bytes + done, count - done, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        done += (size_t)sent;
    }
    return true;
}

/* The same run of bytes, altered from `place` on. false: the connection is to end. */
static bool pass_altered(forger_t *forger, int to, unsigned char *bytes, size_t count,
                         size_t place) {
    size_t run = count - place < PIECE ? count - place : PIECE, half = run / 2;
    unsigned char kept[PIECE];
    memcpy(kept, bytes + place, run);
    forger->done = true;
    switch (forger->mischief) {
    case FLIP:
        bytes[place] ^= (unsigned char)(1u << forger->at % 8);
        return pass_on(to, bytes, count);
    case DROP:
        return pass_on(to, bytes, place) && pass_on(to, bytes + place + run, count - place - run);
    case REPEAT:
        return pass_on(to, bytes, place + run) && pass_on(to, bytes + place, count - place);
    case SWAP:
        memcpy(bytes + place, kept + half, half);
        memcpy(bytes + place + half, kept, half);
        return pass_on(to, bytes, count);
    case INJECT:
        memset(kept, 1, run);
        return pass_on(to, bytes, place) && pass_on(to, kept, run) &&
               pass_on(to, bytes + place, count - place);
    case TRUNCATE:
        pass_on(to, bytes, place);
        return false;
    case MISCHIEFS:
        break;
    }
    return false;
}

static bool pass(forger_t *forger, int from, int to, bool backward) {
    unsigned char bytes[BUFFER];
    ssize_t got = recv(from, bytes, sizeof bytes, 0);
    if (got <= 0) return false;
    uint64_t begin = forger->seen[backward], end = begin + (uint64_t)got;
    forger->seen[backward] = end;
    bool here =
        !forger->done && backward == forger->backward && forger->at >= begin && forger->at < end;
    if (!here) return pass_on(to, bytes, (size_t)got);
    return pass_altered(forger, to, bytes, (size_t)got, (size_t)(forger->at - begin));
}

/* One connection, until it ends. */
static void serve(forger_t *forger, int caller) {
    int answerer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = connect(answerer, (const struct sockaddr *)&forger->to.at, forger->to.length) == 0;
    while (good && !atomic_load(&forger->over)) {
        struct pollfd both[2] = {{.fd = caller, .events = POLLIN},
                                 {.fd = answerer, .events = POLLIN}};
        if (poll(both, 2, 10) <= 0) continue;
        if (both[0].revents) good = pass(forger, caller, answerer, false);
        if (good && both[1].revents) good = pass(forger, answerer, caller, true);
    }
    close(caller);
    close(answerer);
}

static void *stand_between(void *argument) {
    forger_t *forger = argument;
    while (!atomic_load(&forger->over)) {
        struct pollfd readable = {.fd = forger->listener, .events = POLLIN};
        if (poll(&readable, 1, 10) <= 0) continue;
        int caller = accept4(forger->listener, NULL, NULL, SOCK_CLOEXEC);
        if (caller >= 0) serve(forger, caller);
    }
    return NULL;
}

/* ---- the ranks ---- */

static const sgp_key_t key = {{1, 2, 3}};
static atomic_int told; /* lines that say so */

static void on_line(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)rank;
    (void)level;
    (void)user;
    if (strstr(line, "altered on the way")) atomic_fetch_add(&told, 1);
}

typedef struct side {
    int rank;
    bool elastic;
    sgp_encryption_t encryption;
    const forger_t *forger;
    int listener;
    sgp_address_t addresses[2];
    int chunks;        /* of rank 0 that arrived, on rank 1 */
    atomic_bool *done; /* rank 1 receives no more */
} side_t;

static sgp_transport_t *connect_side(side_t *side) {
    sgp_tcp_options_t options = {.rank = side->rank,
                                 .size = 2,
                                 .run = 17,
                                 .listener = side->listener,
                                 .addresses = side->addresses,
                                 .key = &key,
                                 .encryption = side->encryption,
                                 .chunk_bytes = CHUNK,
                                 .timeout_ms = 400,
                                 .peer_timeout_ms = 400,
                                 .at_once = true};
    sgp_transport_t *transport = NULL;
    CHECK(sgp_tcp_connect(&options, &transport) == SGP_OK);
    return transport;
}

/* Lost, or it has left, having lost this one. */
static bool other_is_gone(sgp_transport_t *transport) {
    return sgp_fates_of(transport->fates, !transport->rank).state != SGP_FATE_PRESENT;
}

/* false: the other is gone, or the call has failed for that. */
static bool wait_a_moment(sgp_transport_t *transport) {
    sgp_status_t status = sgp_transport_wait(transport, sgp_transport_now(transport) + 5000000);
    return (status == SGP_OK || status == SGP_ERR_TIMEOUT) && !other_is_gone(transport);
}

static bool send_message(sgp_transport_t *transport, uint64_t step) {
    sgp_destination_t to = {1, 0.5};
    sgp_send_t send;
    sgp_header_t header = {.kind = SGP_KIND_PUSH,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = PUSH_CHANNEL,
                           .step = step,
                           .count = ELEMENTS};
    while (sgp_transport_send_begin(transport, &header, &to, 1, &send) != SGP_OK)
        if (!wait_a_moment(transport)) return false;
    commit_chunks(transport, &send, 0, CHUNKS_OF_VECTOR);
    return true;
}

static void receive_all(sgp_transport_t *transport, side_t *side) {
    bool came[MESSAGES][CHUNKS_OF_VECTOR] = {{false}}, there = true;
    sgp_chunk_t chunk;
    while (side->chunks < MESSAGES * CHUNKS_OF_VECTOR) {
        sgp_status_t status = sgp_transport_receive(transport, &chunk);
        if (status == SGP_OK) {
            bool *here = &came[chunk.header.step][chunk.header.offset * sizeof(float) / CHUNK];
            CHECK(chunk.header.src == 0 && !*here);
            check_payload(&chunk);
            *here = true;
            side->chunks++;
            sgp_transport_release(transport, &chunk);
        } else if (!there) break;
        else there = wait_a_moment(transport); /* what came before the end is received after it */
    }
}

static void *take_part(void *argument) {
    side_t *side = argument;
    sgp_log_set_rank(side->rank);
    sgp_transport_t *transport = connect_side(side);
    if (!transport) return NULL;
    if (side->elastic) be_elastic(transport, 2);
    else CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 2) == SGP_OK);
    if (side->rank == 1) receive_all(transport, side);
    for (uint64_t step = 0; side->rank == 0 && step < MESSAGES; step++)
        if (!send_message(transport, step)) break;
    if (side->rank == 1) atomic_store(side->done, true);
    while (!atomic_load(side->done) && wait_a_moment(transport)) {
    }
    sgp_transport_destroy(transport);
    return NULL;
}

/* ---- the cases ---- */

static sgp_address_t listen_at(int *listener) {
    sgp_address_t bound, address;
    assert_int_equal(sgp_address_listen("127.0.0.1", NULL, listener, &bound, &address), SGP_OK);
    return address;
}

/* Returns what the forger has seen. */
static forger_t play(forger_t forger, bool elastic, sgp_encryption_t encryption, int *chunks) {
    side_t sides[2];
    pthread_t threads[3];
    atomic_bool done = false;
    forger.address = listen_at(&forger.listener);
    for (int r = 0; r < 2; r++)
        sides[r] = (side_t){.rank = r, .elastic = elastic, .encryption = encryption, .done = &done};
    sgp_address_t first = listen_at(&sides[0].listener);
    forger.to = listen_at(&sides[1].listener);
    for (int r = 0; r < 2; r++) {
        sides[r].addresses[0] = first;
        sides[r].addresses[1] = forger.address;
    }
    atomic_store(&ranks_failures, 0);
    pthread_create(&threads[2], NULL, stand_between, &forger);
    for (int r = 0; r < 2; r++) pthread_create(&threads[r], NULL, take_part, &sides[r]);
    for (int r = 0; r < 2; r++) pthread_join(threads[r], NULL);
    atomic_store(&forger.over, true);
    pthread_join(threads[2], NULL);
    close(forger.listener);
    assert_int_equal(atomic_load(&ranks_failures), 0);
    *chunks = sides[1].chunks;
    return forger;
}

static void check_everywhere(bool elastic, sgp_encryption_t encryption, int places) {
    int chunks;
    forger_t quiet = play((forger_t){.done = true}, elastic, encryption, &chunks);
    assert_int_equal(chunks, MESSAGES * CHUNKS_OF_VECTOR);
    for (int mischief = 0; mischief < MISCHIEFS; mischief++)
        for (int backward = 0; backward < 2; backward++)
            for (int i = 0; i < places; i++) {
                uint64_t length = quiet.seen[backward];
                forger_t forger = {.mischief = (mischief_t)mischief,
                                   .backward = backward != 0,
                                   .at = (length * (uint64_t)i + 7919 * (uint64_t)mischief) /
                                         (uint64_t)places % length};
                atomic_store(&told, 0);
                forger = play(forger, elastic, encryption, &chunks);
                /* Of the last bytes of all nobody may hear any more. */
                if (mischief == FLIP && forger.at >= SHAKEN && chunks < MESSAGES * CHUNKS_OF_VECTOR)
                    assert_true(atomic_load(&told) > 0);
                if (elastic && forger.at >= SHAKEN) /* before, either may refuse the other */
                    assert_int_equal(chunks, MESSAGES * CHUNKS_OF_VECTOR);
            }
}

static void test_authenticated(void **state) {
    (void)state;
    check_everywhere(false, SGP_ENCRYPTION_OFF, 5);
}

static void test_encrypted(void **state) {
    (void)state;
    check_everywhere(false, SGP_ENCRYPTION_ON, 5);
}

static void test_elastic_group(void **state) {
    (void)state;
    check_everywhere(true, SGP_ENCRYPTION_ON, 5);
}

int main(void) {
    sgp_log_set(on_line, NULL, SGP_LOG_WARNING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authenticated),
        cmocka_unit_test(test_encrypted),
        cmocka_unit_test(test_elastic_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
