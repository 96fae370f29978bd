/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite over MPI: each rank is a process of a job of five, which tests/CMakeLists.txt starts under each
 * installed MPI library. A test with fewer ranks runs on a part of them. The MPI module is found as the program finds
 * it. */
#include "transport/mpi/mpi.h"

#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .run = run_here, .loopback = {.size = (ranks), .chunk_bytes = 256 }                        \
    }

struct ranks_setup;
static void run_here(const struct ranks_setup *setup,
                     void (*body)(sgp_transport_t *transport, void *context), void *context);

#define LOSSES_END_THE_JOB
#include "transport/conformance.h"

#include <math.h>
#include <sys/resource.h>

static sgp_transport_t *job; /* all processes */

/* Runs the body if this process is one of the first `size`. */
static void run_here(const ranks_setup_t *setup,
                     void (*body)(sgp_transport_t *transport, void *context), void *context) {
    bool takes_part = job->rank < setup->loopback.size;
    sgp_mpi_options_t options = {.parent = job,
                                 .part = takes_part ? 0 : -1,
                                 .rank = job->rank,
                                 .chunk_bytes = setup->loopback.chunk_bytes};
    sgp_transport_t *transport = NULL;
    assert_int_equal(sgp_mpi_connect(&options, &transport), SGP_OK);
    if (!takes_part) {
        assert_null(transport);
        return;
    }
    assert_int_equal(transport->size, setup->loopback.size);
    assert_int_equal(transport->rank, job->rank);
    body(transport, context);
}

/* ---- properties of mpi ---- */

/* CPU time of this process in microseconds, and the number of its sleeps. */
static long cpu_time(long *sleeps) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    *sleeps = usage.ru_nvcsw;
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000L + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

/* A waiting rank polls and sleeps in turn. A spinning one would take all CPU time that it gets, which on a busy machine is
 * little, and would never sleep. */
static void waits(sgp_transport_t *transport, void *context) {
    (void)context;
    long before, after, cpu = cpu_time(&before);
    uint64_t end = sgp_transport_now(transport) + 400000000u;
    sgp_status_t status;
    do status = sgp_transport_wait(transport, end);
    while (status == SGP_OK); /* another rank has left */
    CHECK(status == SGP_ERR_TIMEOUT);
    CHECK(cpu_time(&after) - cpu < 80000);
    CHECK(after - before > 10);
    finish(transport);
}

static void test_waiting_sleeps(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(5);
    run_transports(&setup, waits, NULL);
}

static bool begin(sgp_transport_t *transport, const sgp_destination_t *to, size_t elements,
                  sgp_send_t *send) {
    sgp_header_t header = {
        .kind = SGP_KIND_PUSH, .encoding = SGP_ENCODING_FLOAT32, .step = 1, .count = elements};
    return sgp_transport_send_begin(transport, &header, to, 1, send) == SGP_OK;
}

/* A held chunk takes room at its sender until it is released, which bounds the chunks at a receiver. Rank 1 tells rank 0
 * when it holds all chunks, and rank 0 tells it when to release them. */
static void held_chunks_take_room(sgp_transport_t *transport, void *context) {
    (void)context;
    enum { CHUNKS = 16 };
    sgp_chunk_t chunks[CHUNKS], word;
    sgp_destination_t to = {1 - transport->rank, 1};
    sgp_send_t send;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    if (transport->rank == 1) {
        for (int i = 0; i < CHUNKS; i++) CHECK(receive_chunk(transport, &chunks[i]));
        CHECK(send_vector(transport, &to, 1, 0, 1));
        CHECK(receive_chunk(transport, &word));
        for (int i = 0; i < CHUNKS; i++) {
            check_payload(&chunks[i]);
            sgp_transport_release(transport, &chunks[i]);
        }
    } else {
        CHECK(send_vector(transport, &to, 1, 0, ELEMENTS));
        CHECK(receive_chunk(transport, &word));
        CHECK(!begin(transport, &to, ELEMENTS, &send));
        CHECK(send_vector(transport, &to, 1, 0, 1));
        while (!begin(transport, &to, ELEMENTS, &send))
            CHECK(sgp_transport_wait(transport, sgp_transport_now(transport) + FAR) == SGP_OK);
    }
    sgp_transport_release(transport, &word);
    finish(transport);
}

static void test_held_chunks_take_room(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(2);
    run_transports(&setup, held_chunks_take_room, NULL);
}

/* A rank that leaves does not wait until the others leave: here rank 0 still uses the transport after the others have
 * left, and its messages to them are dropped. */
static void leaves_early(sgp_transport_t *transport, void *context) {
    (void)context;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    sgp_destination_t all[2] = {{1, 0.5}, {2, 0.25}}, to = {0, 1};
    if (transport->rank != 0) {
        CHECK(send_vector(transport, &to, 1, 0, ELEMENTS));
        finish(transport);
        return;
    }
    sgp_chunk_t chunk;
    for (size_t left = 2 * ELEMENTS; left > 0 && receive_chunk(transport, &chunk);) {
        check_payload(&chunk);
        left -= chunk.header.elements;
        sgp_transport_release(transport, &chunk);
    }
    uint64_t end = sgp_transport_now(transport) + 1000000;
    sgp_status_t status;
    do status = sgp_transport_wait(transport, end);
    while (status == SGP_OK);
    CHECK(status == SGP_ERR_TIMEOUT);
    for (uint64_t step = 0; step < 10; step++)
        CHECK(send_vector(transport, all, 2, step, ELEMENTS));
    CHECK(sgp_transport_lost_peer(transport) == -1);
    finish(transport);
}

static void test_leaves_early(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(3);
    run_transports(&setup, leaves_early, NULL);
}

/* Parts are ordered by the given rank, and their messages do not mix. */
static void test_parts(void **state) {
    (void)state;
    atomic_store(&ranks_failures, 0);
    int part = job->rank % 2, members = part ? job->size / 2 : (job->size + 1) / 2;
    sgp_mpi_options_t options = {
        .parent = job, .part = part, .rank = job->size - job->rank, .chunk_bytes = CHUNK};
    sgp_transport_t *transport = NULL;
    assert_int_equal(sgp_mpi_connect(&options, &transport), SGP_OK);
    assert_int_equal(transport->size, members);
    assert_int_equal(transport->rank, members - 1 - job->rank / 2);
    all_to_all(transport, NULL);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

static void test_mistakes(void **state) {
    (void)state;
    sgp_transport_t *transport = NULL;
    assert_int_equal(sgp_mpi_connect(&(sgp_mpi_options_t){.chunk_bytes = 100}, &transport),
                     SGP_ERR_INVALID);
    sgp_loopback_t *hub = NULL;
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = 1}, &hub), SGP_OK);
    sgp_transport_t *other = sgp_loopback_transport(hub, 0);
    assert_int_equal(sgp_mpi_connect(&(sgp_mpi_options_t){.parent = other}, &transport),
                     SGP_ERR_INVALID);
    assert_null(transport);
    sgp_transport_destroy(other);
    sgp_loopback_destroy(hub);
}

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)user;
    fprintf(stderr, "rank %d: %s\n", rank, line);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_much_room),
        cmocka_unit_test(test_waiting_sleeps),
        cmocka_unit_test(test_held_chunks_take_room),
        cmocka_unit_test(test_leaves_early),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_mistakes),
    };
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    if (sgp_mpi_connect(&(sgp_mpi_options_t){0}, &job) != SGP_OK) return 1;
    if (job->size != 5) {
        fprintf(stderr, "a job of %d processes, must be of 5\n", job->size);
        return 1;
    }
    int failed = run_conformance() + cmocka_run_group_tests_name("mpi", tests, NULL, NULL);
    finish(job);
    return failed;
}
