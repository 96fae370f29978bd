/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of an elastic group that end while their ranks live: they are made again, and every chunk arrives once. */
#include <stdbool.h>

#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .tcp = true, .loopback = {.size = (ranks), .chunk_bytes = 256 }                            \
    }
#include "entries.h"
#include "transport/elastic_cases.h"
#include "transport/strangers.h"

#include <pthread.h>
#include <stdlib.h>

enum { RANKS = 3, STEPS = 60, HELD = 7, CUTS = 100 };

/* ---- cutting ---- */

/* The connected TCP sockets of this process. */
static int connections(int *sockets, int room) {
    int count = 0;
    for (int fd = 3; fd < 1024 && count < room; fd++) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0) continue;
        if (peer.ss_family == AF_INET) sockets[count++] = fd;
    }
    return count;
}

/* Ends one connection, for both ends. */
static void cut_one(int number) {
    int sockets[64], count = connections(sockets, 64);
    if (count) shutdown(sockets[number % count], SHUT_RDWR);
}

/* ---- ranks that send and receive all the time ---- */

typedef struct journey {
    pthread_barrier_t together;
    int cuts;    /* of rank 0 */
    int files;   /* of the process, before the first cut */
    int threads; /* the same */
    uint64_t resent;
} journey_t;

typedef struct traveller {
    sgp_transport_t *transport;
    bool came[RANKS][STEPS][CHUNKS_OF_VECTOR];
    int received;
    sgp_chunk_t held[HELD]; /* some chunks are released late */
    int holds;
} traveller_t;

/* false: there is no room. */
static bool send_step(sgp_transport_t *transport, uint64_t step) {
    sgp_destination_t to[2];
    sgp_header_t header = {.kind = SGP_KIND_PUSH,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = PUSH_CHANNEL,
                           .step = step,
                           .count = ELEMENTS};
    sgp_send_t send;
    for (int i = 0; i < 2; i++)
        to[i] = (sgp_destination_t){(transport->rank + 1 + i) % RANKS, 0.25};
    sgp_status_t status = sgp_transport_send_begin(transport, &header, to, 2, &send);
    CHECK(status == SGP_OK || status == SGP_ERR_AGAIN);
    if (status != SGP_OK) return false;
    commit_chunks(transport, &send, 0, CHUNKS_OF_VECTOR);
    return true;
}

static bool receive_some(traveller_t *traveller) {
    sgp_chunk_t chunk;
    bool any = false;
    while (sgp_transport_receive(traveller->transport, &chunk) == SGP_OK) {
        bool *came = &traveller->came[chunk.header.src][chunk.header.step]
                                     [chunk.header.offset * sizeof(float) / CHUNK];
        CHECK(!*came);
        check_payload(&chunk);
        *came = any = true;
        traveller->received++;
        int place = traveller->received % HELD;
        if (traveller->holds == HELD)
            sgp_transport_release(traveller->transport, &traveller->held[place]);
        else traveller->holds++;
        traveller->held[place] = chunk;
    }
    return any;
}

static void release_all(traveller_t *traveller) {
    for (int i = 0; i < HELD; i++) sgp_transport_release(traveller->transport, &traveller->held[i]);
}

static void exchange(sgp_transport_t *transport, journey_t *journey) {
    traveller_t *traveller = calloc(1, sizeof *traveller);
    traveller->transport = transport;
    uint64_t step = 0;
    while (step < STEPS || traveller->received < (RANKS - 1) * STEPS * CHUNKS_OF_VECTOR) {
        bool sent = step < STEPS && send_step(transport, step);
        step += sent;
        bool received = receive_some(traveller);
        if (transport->rank == 0 && (sent || received) && journey->cuts < CUTS)
            cut_one(journey->cuts++ * 7);
        if (sent || received) continue;
        sgp_status_t status = sgp_transport_wait(transport, sgp_transport_now(transport) + FAR);
        CHECK(status == SGP_OK);
        if (status != SGP_OK) break;
    }
    release_all(traveller);
    await_releases(transport);
    free(traveller);
}

/* One message to each other, so that all edges are open. */
static void open_edges(sgp_transport_t *transport) {
    sgp_chunk_t chunk;
    CHECK(send_step(transport, 0));
    for (int i = 0; i < (RANKS - 1) * CHUNKS_OF_VECTOR && receive_chunk(transport, &chunk); i++)
        sgp_transport_release(transport, &chunk);
    await_releases(transport);
}

static void await_all_well(sgp_transport_t *transport, const journey_t *journey) {
    int sockets[64];
    while (sgp_fates_silent_ranks(transport->fates) ||
           connections(sockets, 64) != 2 * RANKS * (RANKS - 1))
        sgp_transport_wait(transport, sgp_transport_now(transport) + 1000000);
    CHECK(sgp_fates_changes(transport->fates) == 0);
    CHECK(count_entries("/proc/self/fd") <= journey->files);
    CHECK(count_entries("/proc/self/task") == journey->threads);
}

static void travel(sgp_transport_t *transport, void *context) {
    journey_t *journey = context;
    be_elastic(transport, 2);
    open_edges(transport);
    pthread_barrier_wait(&journey->together);
    if (transport->rank == 0) {
        journey->files = count_entries("/proc/self/fd");
        journey->threads = count_entries("/proc/self/task");
    }
    pthread_barrier_wait(&journey->together);
    exchange(transport, journey);
    pthread_barrier_wait(&journey->together);
    if (transport->rank == 0) {
        while (journey->cuts < CUTS) cut_one(journey->cuts++ * 7);
        await_all_well(transport, journey);
        journey->resent = atomic_load(&transport->counters.resent);
    }
    pthread_barrier_wait(&journey->together);
    finish(transport);
}

/* A hundred cuts: nothing is lost and nothing comes twice, all releases are known, and neither descriptors nor threads
 * have grown. */
static void test_many_cuts(void **state) {
    (void)state;
    journey_t journey = {.cuts = 0};
    pthread_barrier_init(&journey.together, NULL, RANKS);
    ranks_setup_t setup = SETUP(RANKS);
    run_transports(&setup, travel, &journey);
    pthread_barrier_destroy(&journey.together);
    assert_int_equal(journey.cuts, CUTS);
    assert_true(journey.resent > 0);
}

/* ---- peers played by the test ---- */

static stranger_t meet_elastic(sgp_patience_t patience) {
    strangers_patience = patience;
    stranger_t stranger = meet_stranger(NULL, 0);
    strangers_patience = (sgp_patience_t){0};
    stranger.transport->elastic = true;
    return stranger;
}

static void await_silence(sgp_transport_t *transport, unsigned reasons) {
    uint64_t end = sgp_transport_now(transport) + FAR;
    while (sgp_fates_silence(transport->fates, 1) != reasons && sgp_transport_now(transport) < end)
        assert_true(sgp_transport_wait(transport, end) != SGP_ERR_PEER_LOST);
    assert_int_equal(sgp_fates_silence(transport->fates, 1), reasons);
}

/* A connection that ended, and an address that refuses another: the process has ended, whatever the limits. */
static void test_a_refusal_is_the_end(void **state) {
    (void)state;
    stranger_t stranger = meet_elastic((sgp_patience_t){.suspect_ms = 50000, .dead_ms = 50000});
    int connection = answer(&stranger);
    shutdown(stranger.listener, SHUT_RDWR);
    close(connection);
    await_fate(stranger.transport, 1, SGP_FATE_LOST);
    check_loss(&stranger, SGP_CAUSE_ENDED, "its connection ended, and 127.0.0.1:");
    end_stranger(&stranger);
}

/* Callers that nobody takes, so that the kernel drops the calls of others. */
static void fill(const stranger_t *stranger, int *callers, int count) {
    assert_int_equal(listen(stranger->listener, 0), 0);
    for (int i = 0; i < count; i++) {
        callers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(callers[i], (const struct sockaddr *)&stranger->address.at,
                       stranger->address.length);
    }
}

/* A connection that ended, and an address that does not answer: silent at once, and called until it answers. */
static void test_no_answer_is_silence(void **state) {
    (void)state;
    enum { CALLERS = 3 };
    int callers[CALLERS];
    stranger_t stranger = meet_elastic((sgp_patience_t){.suspect_ms = 50000, .dead_ms = 50000});
    int connection = answer(&stranger);
    fill(&stranger, callers, CALLERS);
    close(connection);
    await_silence(stranger.transport, SGP_SILENCE_UNHEARD);
    assert_int_equal(sgp_fates_changes(stranger.transport->fates), 0);
    for (int i = 0; i < CALLERS; i++) close(callers[i]);
    sgp_handshake_t handshake;
    do { /* those that hang up come first */
        connection = take_call(&stranger);
        sgp_handshake_init(&handshake, false, &rank_1, NULL);
    } while (shake(connection, &handshake) != SGP_HANDSHAKE_DONE);
    await_silence(stranger.transport, 0);
    close(connection);
    end_stranger(&stranger);
}

static void say_pulse(int connection, uint32_t flags, uint64_t step, uint64_t digest) {
    unsigned char bytes[SGP_PULSE_BYTES];
    sgp_frame_encode_pulse(flags, (sgp_pulse_t){step, digest}, bytes);
    assert_int_equal(send(connection, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
}

/* Reads pulses until one has these flags. */
static void read_pulses(int connection, uint32_t flags) {
    uint32_t value = ~flags;
    while (value != flags) {
        unsigned char bytes[SGP_PULSE_BYTES];
        sgp_frame_kind_t kind;
        assert_int_equal(recv(connection, bytes, sizeof bytes, MSG_WAITALL), sizeof bytes);
        assert_true(sgp_frame_decode(bytes, &kind, &value));
        assert_int_equal(kind, SGP_FRAME_PULSE);
    }
}

/* What a peer says in its pulses, and what it is told. */
static void test_pulses(void **state) {
    (void)state;
    stranger_t stranger = meet_elastic((sgp_patience_t){.suspect_ms = 200, .dead_ms = 50000});
    sgp_fates_t *fates = stranger.transport->fates;
    int connection = answer(&stranger);
    await_silence(stranger.transport, SGP_SILENCE_UNHEARD);
    read_pulses(connection, SGP_PULSE_WERE_SILENT | SGP_PULSE_ARE_SILENT);
    say_pulse(connection, 0, 5, 77);
    await_silence(stranger.transport, 0);
    assert_int_equal(sgp_fates_pulse(fates, 1).step, 5);
    assert_int_equal(sgp_fates_pulse(fates, 1).digest, 77);
    assert_int_equal(sgp_fates_digests(fates), 1);
    assert_int_equal(sgp_fates_absences(fates), 0);
    read_pulses(connection, SGP_PULSE_WERE_SILENT);
    say_pulse(connection, SGP_PULSE_HANGS, 5, 77);
    await_silence(stranger.transport, SGP_SILENCE_HUNG);
    for (int i = 0; i < 3; i++)
        say_pulse(connection, SGP_PULSE_WERE_SILENT | SGP_PULSE_ARE_SILENT, 5, 77);
    await_silence(stranger.transport, SGP_SILENCE_TOLD);
    say_pulse(connection, 0, 6, 77);
    await_silence(stranger.transport, 0);
    assert_int_equal(sgp_fates_absences(fates), 1);
    assert_int_equal(sgp_fates_digests(fates), 1);
    close(connection);
    end_stranger(&stranger);
}

/* Silence lasts until dead_ms; where the owner confirms deaths, until it gives the rank up. */
static void test_the_end_of_a_silence(void **state) {
    (void)state;
    for (int confirms = 0; confirms < 2; confirms++) {
        stranger_t stranger = meet_elastic((sgp_patience_t){.suspect_ms = 100, .dead_ms = 300});
        sgp_transport_t *transport = stranger.transport;
        int connection = answer(&stranger);
        transport->confirms = confirms;
        if (confirms) {
            while (sgp_transport_silence(transport, 1) < 500000000)
                sgp_transport_wait(transport, sgp_transport_now(transport) + 10000000);
            assert_int_equal(sgp_fates_changes(transport->fates), 0);
            sgp_transport_give_up(transport, 1, sgp_fate_lost(SGP_CAUSE_SILENT), "silent for all");
        }
        await_fate(transport, 1, SGP_FATE_LOST);
        check_loss(&stranger, SGP_CAUSE_SILENT, confirms ? "silent for all" : "silent for 0.");
        close(connection);
        end_stranger(&stranger);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refusal_is_the_end),
        cmocka_unit_test(test_no_answer_is_silence),
        cmocka_unit_test(test_pulses),
        cmocka_unit_test(test_the_end_of_a_silence),
        cmocka_unit_test(test_many_cuts),
    };
    return cmocka_run_group_tests_name("reconnect", tests, NULL, NULL);
}
