/* SPDX-License-Identifier: Apache-2.0 */
/* A small data set, an empty folder and a small run, for each test. */
#ifndef SGP_TESTS_RUN_RUN_FIXTURE_H
#define SGP_TESTS_RUN_RUN_FIXTURE_H

#include "data/support.h"

#include "run/train.h"

typedef struct fixture {
    char data[64];
    char output[64];
} fixture_t;

/* train, tests: samples; side: of an image, pixels. As a set-up function returns. */
static inline int fixture_set_up(void **state, uint32_t train, uint32_t tests, int side) {
    fixture_t *fixture = calloc(1, sizeof *fixture);
    make_directory(fixture->data);
    make_directory(fixture->output);
    write_dataset(fixture->data, train, tests, side);
    log_start();
    *state = fixture;
    return 0;
}

static inline int fixture_tear_down(void **state) {
    fixture_t *fixture = *state;
    remove_directory(fixture->data);
    remove_directory(fixture->output);
    free(fixture);
    return 0;
}

/* Two epochs of a small model on the fixture's data, without an output. */
static inline train_options_t fixture_run(const fixture_t *fixture, int nodes) {
    train_options_t options;
    train_options_init(&options);
    options.model = "mlp";
    options.data = fixture->data;
    options.nodes = nodes;
    options.epochs = 2;
    options.batch_size = 8;
    options.transport = "loopback";
    return options;
}

/* oneDNN gives the same bits every time with one OpenMP thread, which OpenMP only reads when a
 * program starts. */
static inline void hold_openmp_to_one_thread(char **argv) {
    if (getenv("OMP_NUM_THREADS")) return;
    setenv("OMP_NUM_THREADS", "1", 1);
    execv("/proc/self/exe", argv);
    abort();
}

#endif
