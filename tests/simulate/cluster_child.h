/* SPDX-License-Identifier: Apache-2.0 */
/* Simulations as tests: SimGrid simulates one cluster per process, so each runs in a child process. */
#ifndef SGP_TESTS_SIMULATE_CLUSTER_CHILD_H
#define SGP_TESTS_SIMULATE_CLUSTER_CHILD_H

#include "cmocka_all.h"

#include "simulate/presets.h"
#include "transport/simulated/simulated.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int child_failures; /* cmocka's assertions would end the child as a success */

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            child_failures++;                                                                      \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
        }                                                                                          \
    } while (0)

static inline void run_in_child(void (*body)(void *context), void *context) {
    int ended = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body(context);
        _exit(child_failures != 0);
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
}

/* A platform of so many hosts, for SimGrid to read; open until the process ends. */
static inline const char *platform_of(const simulation_network_t *network, int hosts) {
    static char path[64];
    int file = simulation_network_file(network, hosts);
    CHECK(file >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return path;
}

/* false: a line says so, and the test is skipped. */
static inline bool have_simgrid(void) {
    if (sgp_simulated_load() == SGP_OK) return true;
    puts("skipped: this build has no SimGrid (Debian: libsimgrid-dev)");
    return false;
}

#endif
