/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite over a simulated cluster; then times, which follow from the definitions, and algorithms, whose
 * results equal those of any other transport. SimGrid simulates one cluster per process, so each run is a child. */
#include "transport/simulated/simulated.h"

#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .run = run_here, .loopback = {.size = (ranks), .chunk_bytes = 256 }                        \
    }

struct ranks_setup;
static void run_here(const struct ranks_setup *setup,
                     void (*body)(sgp_transport_t *transport, void *context), void *context);

#include "transport/conformance.h"

#include <sgp/sgp.h>

#include <math.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define RATE    1e8  /* bytes a second of a link, each way */
#define LATENCY 1e-3 /* seconds, one way */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define THREADS true
#else
#define THREADS false
#endif

/* A switch of unlimited capacity, and a link from each host to it. Returns the file's name. */
static const char *write_platform(int hosts, double latency) {
    static char name[64];
    snprintf(name, sizeof name, "/tmp/sgp-test-XXXXXX");
    int file = mkstemp(name);
    CHECK(file >= 0);
    dprintf(file,
            "<?xml version='1.0'?>\n"
            "<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"
            "<platform version=\"4.1\">\n"
            "<cluster id=\"c\" prefix=\"node-\" suffix=\"\" radical=\"0-%d\" speed=\"1Gf\" "
            "bw=\"%.0fBps\" lat=\"%.0fus\" sharing_policy=\"SPLITDUPLEX\"/>\n"
            "</platform>\n",
            hosts - 1, RATE, latency / 2 * 1e6);
    close(file);
    return name;
}

/* In a child. */
static void simulate(const sgp_simulated_options_t *options,
                     void (*body)(sgp_transport_t *transport, void *context), void *context) {
    sgp_simulated_options_t with = *options;
    sgp_simulated_t *cluster = NULL;
    with.platform = write_platform(options->size, options->latency_seconds > 0 ? 0 : LATENCY);
    with.threads = THREADS;
    CHECK(sgp_simulated_create(&with, &cluster) == SGP_OK);
    unlink(with.platform);
    if (!cluster) return;
    for (int r = 0; r < options->size; r++) sgp_simulated_actor(cluster, r, body, context);
    sgp_simulated_run(cluster);
    sgp_simulated_destroy(cluster);
}

static void run_in_child(const sgp_simulated_options_t *options,
                         void (*body)(sgp_transport_t *transport, void *context), void *context) {
    int ended = 0;
    atomic_store(&ranks_failures, 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        simulate(options, body, context);
        _exit(atomic_load(&ranks_failures) != 0);
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
}

static void run_here(const ranks_setup_t *setup,
                     void (*body)(sgp_transport_t *transport, void *context), void *context) {
    sgp_simulated_options_t options = {.size = setup->loopback.size,
                                       .chunk_bytes = setup->loopback.chunk_bytes};
    run_in_child(&options, body, context);
}

/* ---- times ---- */

#define BYTES 1e7 /* of a simulated message, which takes a link for 100 ms */

/* All other ranks send rank 1 a message at time 0: all of the same step, or each of its own. */
static void times_of_pushes(sgp_transport_t *transport, void *context) {
    const bool *same_step = context;
    sgp_destination_t to = {1, 1};
    sgp_chunk_t chunk;
    CHECK(sgp_transport_prepare(transport, 64 * sizeof(float), 4) == SGP_OK);
    if (transport->rank != 1) {
        uint64_t step = *same_step ? 7 : (uint64_t)transport->rank;
        CHECK(send_vector(transport, &to, 1, step, 64));
        CHECK(sgp_transport_now(transport) == 0);
    } else {
        int senders = transport->size - 1;
        for (int i = 1; i <= senders; i++) {
            CHECK(receive_chunk(transport, &chunk));
            check_payload(&chunk);
            double passed = BYTES * (*same_step ? senders : i) / RATE;
            double expected = (passed + LATENCY) * 1e9;
            CHECK(fabs((double)sgp_transport_now(transport) - expected) < 0.001 * expected);
            sgp_transport_release(transport, &chunk);
        }
    }
    finish(transport);
}

/* A push takes its bytes over the rate, plus the latency. Pushes of one step share the receiver's link; pushes of different
 * steps take turns on it. */
static void test_times(void **state) {
    (void)state;
    for (int size = 2; size <= 4; size++)
        for (int same = 0; same <= 1; same++) {
            bool same_step = same;
            sgp_simulated_options_t options = {.size = size,
                                               .vector = 64,
                                               .scale = BYTES / (64 * sizeof(float)),
                                               .latency_seconds = same ? 0 : LATENCY};
            run_in_child(&options, times_of_pushes, &same_step);
        }
}

/* A pass over memory takes its own rank's time; the message leaves meanwhile. */
static void times_of_passes(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_destination_t to = {1, 1};
    sgp_chunk_t chunk;
    double copied = 0.25e9, absorbed = 0.1e9 + 1e6 + 0.5e9; /* nanoseconds */
    CHECK(sgp_transport_prepare(transport, 64 * sizeof(float), 4) == SGP_OK);
    if (transport->rank == 0) CHECK(send_vector(transport, &to, 1, 0, 64));
    else {
        CHECK(receive_chunk(transport, &chunk));
        sgp_transport_release(transport, &chunk);
    }
    double expected = transport->rank == 0 ? copied : absorbed;
    CHECK(fabs((double)sgp_transport_now(transport) - expected) < 0.001 * expected);
    finish(transport);
}

static void test_passes(void **state) {
    (void)state;
    sgp_simulated_options_t options = {.size = 2,
                                       .vector = 64,
                                       .scale = BYTES / (64 * sizeof(float)),
                                       .copy_seconds = 0.25 / BYTES,
                                       .absorb_seconds = 0.5 / BYTES};
    run_in_child(&options, times_of_passes, NULL);
}

/* Rank 0 sends to all at once. Together or one by one, the last message arrives at the same time; one by one, the first
 * arrives earlier. */
static void times_of_many(sgp_transport_t *transport, void *context) {
    const bool *one_by_one = context;
    int others = transport->size - 1;
    CHECK(sgp_transport_prepare(transport, 64 * sizeof(float), 4) == SGP_OK);
    if (transport->rank == 0) {
        sgp_destination_t to[8];
        for (int r = 1; r <= others; r++) to[r - 1] = (sgp_destination_t){r, 1};
        CHECK(send_vector(transport, to, others, 0, 64));
    } else {
        sgp_chunk_t chunk;
        CHECK(receive_chunk(transport, &chunk));
        double expected = (BYTES * (*one_by_one ? transport->rank : others) / RATE + LATENCY) * 1e9;
        CHECK(fabs((double)sgp_transport_now(transport) - expected) < 0.001 * expected);
        sgp_transport_release(transport, &chunk);
    }
    finish(transport);
}

static void test_one_by_one(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++) {
        bool one_by_one = way > 0;
        sgp_simulated_options_t options = {.size = 5,
                                           .vector = 64,
                                           .scale = BYTES / (64 * sizeof(float)),
                                           .one_by_one = one_by_one,
                                           .latency_seconds = one_by_one ? LATENCY : 0,
                                           .line_rate = way == 2 ? RATE : 0};
        run_in_child(&options, times_of_many, &one_by_one);
    }
}

/* At line rate: the message of rank 2, later and a quarter as long, overtakes the first of rank 0. The second of rank 0,
 * as short, does not: it waits for the link. */
static void times_of_overtaking(sgp_transport_t *transport, void *context) {
    static const double order[][2] = {{2, 0.1 + 0.25}, {0, 1}, {0, 1 + 0.25}}; /* of BYTES / RATE */
    (void)context;
    sgp_destination_t to = {1, 1};
    CHECK(sgp_transport_prepare(transport, 64 * sizeof(float), 4) == SGP_OK);
    if (transport->rank == 0) CHECK(send_vector(transport, &to, 1, 0, 64));
    if (transport->rank == 2) sgp_simulated_sleep(transport, (uint64_t)(0.1 * BYTES / RATE * 1e9));
    if (transport->rank != 1) CHECK(send_vector(transport, &to, 1, 1, 16));
    for (int i = 0; i < 3 && transport->rank == 1; i++) {
        sgp_chunk_t chunk;
        CHECK(receive_chunk(transport, &chunk));
        check_payload(&chunk);
        double expected = (order[i][1] * BYTES / RATE + LATENCY) * 1e9;
        CHECK(chunk.header.src == (int)order[i][0]);
        CHECK(fabs((double)sgp_transport_now(transport) - expected) < 0.001 * expected);
        sgp_transport_release(transport, &chunk);
    }
    finish(transport);
}

static void test_overtaking(void **state) {
    (void)state;
    sgp_simulated_options_t options = {.size = 3,
                                       .vector = 64,
                                       .scale = BYTES / (64 * sizeof(float)),
                                       .one_by_one = true,
                                       .latency_seconds = LATENCY,
                                       .line_rate = RATE};
    run_in_child(&options, times_of_overtaking, NULL);
}

/* ---- algorithms ---- */

enum { NODES = 5, NUMBERS = 400, ROUNDS = 9 };

/* The result of a run, in memory that its processes share. */
typedef struct outcome {
    sgp_mixer_options_t options;
    float z[NODES][NUMBERS];
    sgp_mixer_consensus_t consensus[NODES];
} outcome_t;

static void mix(sgp_group_t *group, void *context) {
    outcome_t *outcome = context;
    int rank = sgp_group_rank(group);
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    float gradient[NUMBERS];
    CHECK(sgp_mixer_create(group, &outcome->options, NULL, &mixer) == SGP_OK);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = NUMBERS, .momentum = 0.9f},
                               &optimizer) == SGP_OK);
    for (uint64_t step = 0; step < ROUNDS; step++) {
        for (size_t i = 0; i < NUMBERS; i++)
            gradient[i] = sinf((float)i + 3 * (float)rank) + (float)step;
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, 0.1f) == SGP_OK);
    }
    memcpy(outcome->z[rank], sgp_mixer_parameters(mixer), sizeof outcome->z[rank]);
    CHECK(sgp_mixer_average(mixer, NULL, &outcome->consensus[rank]) == SGP_OK);
    sgp_optimizer_destroy(optimizer);
    sgp_mixer_destroy(mixer);
}

static outcome_t *run_algorithm(const sgp_mixer_options_t *options, bool simulated) {
    outcome_t *outcome =
        mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(outcome != MAP_FAILED);
    outcome->options = *options;
    ranks_setup_t setup = {.loopback = {.size = NODES, .chunk_bytes = 256}};
    if (simulated) setup.run = run_here;
    run_groups(&setup, mix, outcome);
    return outcome;
}

static sgp_mixer_options_t options_of(sgp_algorithm_t algorithm, sgp_graph_kind_t graph,
                                      int overlap) {
    return (sgp_mixer_options_t){.count = NUMBERS,
                                 .algorithm = algorithm,
                                 .graph = {.kind = graph, .size = NODES, .peers = 1},
                                 .overlap = overlap};
}

/* In lock step the results equal those of any other transport, bit by bit. */
static void test_same_bits(void **state) {
    (void)state;
    const sgp_mixer_options_t all[] = {
        options_of(SGP_ALGORITHM_SGP, SGP_GRAPH_EXPONENTIAL, 0),
        options_of(SGP_ALGORITHM_SGP, SGP_GRAPH_RANDOM, 0),
        options_of(SGP_ALGORITHM_OSGP, SGP_GRAPH_EXPONENTIAL, 1),
        options_of(SGP_ALGORITHM_DPSGD, SGP_GRAPH_BIPARTITE_EXPONENTIAL, 0),
        options_of(SGP_ALGORITHM_ALLREDUCE, SGP_GRAPH_EXPONENTIAL, 0),
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        outcome_t *here = run_algorithm(&all[i], true), *there = run_algorithm(&all[i], false);
        assert_memory_equal(here->z, there->z, sizeof here->z);
        assert_true(here->z[0][0] != 0);
        munmap(here, sizeof *here);
        munmap(there, sizeof *there);
    }
}

/* Mass is conserved, also if no node waits and if an agent works beside the node. */
static void test_mass(void **state) {
    (void)state;
    const sgp_mixer_options_t all[] = {
        options_of(SGP_ALGORITHM_SGP, SGP_GRAPH_RANDOM, 0),
        options_of(SGP_ALGORITHM_OSGP, SGP_GRAPH_EXPONENTIAL, 2),
        options_of(SGP_ALGORITHM_OSGP, SGP_GRAPH_EXPONENTIAL, SGP_OVERLAP_ASYNC),
        options_of(SGP_ALGORITHM_ADPSGD, SGP_GRAPH_BIPARTITE_EXPONENTIAL, 0),
        options_of(SGP_ALGORITHM_SERVER, SGP_GRAPH_EXPONENTIAL, 0),
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        outcome_t *outcome = run_algorithm(&all[i], true);
        for (int r = 0; r < NODES; r++) {
            assert_true(fabs(outcome->consensus[r].w_total - NODES) < 1e-9);
            assert_true(outcome->consensus[r].drift < 1e-5);
        }
        munmap(outcome, sizeof *outcome);
    }
}

static void test_bad_options(void **state) {
    (void)state;
    sgp_simulated_t *cluster = NULL;
    const sgp_simulated_options_t all[] = {
        {.size = 0}, {.size = 2, .chunk_bytes = 65}, {.size = 2, .scale = -1}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(sgp_simulated_create(&all[i], &cluster), SGP_ERR_INVALID);
    assert_int_equal(sgp_simulated_create(
                         &(sgp_simulated_options_t){.size = 2, .platform = "/none.xml"}, &cluster),
                     SGP_ERR_NOT_FOUND);
    assert_null(cluster);
}

static int have_simgrid(void) {
    if (sgp_simulated_load() == SGP_OK) return 1;
    puts("skipped: this build has no SimGrid (Debian: libsimgrid-dev)");
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),       cmocka_unit_test(test_passes),
        cmocka_unit_test(test_one_by_one),  cmocka_unit_test(test_overtaking),
        cmocka_unit_test(test_same_bits),   cmocka_unit_test(test_mass),
        cmocka_unit_test(test_bad_options),
    };
    if (!have_simgrid()) return 0;
    int failed = run_conformance();
    return failed + cmocka_run_group_tests_name("simulated", tests, NULL, NULL);
}
