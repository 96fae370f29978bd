/* SPDX-License-Identifier: Apache-2.0 */
/* The contract over a simulated cluster; then times, which the definitions give, and the algorithms, whose
 * numbers are those of any other transport. SimGrid simulates once in a process, so each run is a child. */
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

#include <sys/mman.h>
#include <sys/wait.h>

#define RATE    1e8  /* bytes a second of a link, each way */
#define LATENCY 1e-3 /* seconds, one way */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define THREADS true
#else
#define THREADS false
#endif

/* A switch that is never busy, and a link of each host to it. Returns the file's name. */
static const char *write_platform(int hosts) {
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
            hosts - 1, RATE, LATENCY / 2 * 1e6);
    close(file);
    return name;
}

/* In a child. */
static void simulate(const sgp_simulated_options_t *options,
                     void (*body)(sgp_transport_t *transport, void *context), void *context) {
    sgp_simulated_options_t with = *options;
    sgp_simulated_t *cluster = NULL;
    with.platform = write_platform(options->size);
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

static void test_death(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(3);
    run_transports(&setup, dies, NULL);
}

static int have_simgrid(void) {
    if (sgp_simulated_load() == SGP_OK) return 1;
    puts("skipped: this build has no SimGrid (Debian: libsimgrid-dev)");
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_death),
    };
    if (!have_simgrid()) return 0;
    int failed = run_conformance();
    return failed + cmocka_run_group_tests_name("simulated", tests, NULL, NULL);
}
