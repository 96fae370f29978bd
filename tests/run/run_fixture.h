/* SPDX-License-Identifier: Apache-2.0 */
/* A small data set and an empty folder for a run, for each test. */
#ifndef SGP_TESTS_RUN_RUN_FIXTURE_H
#define SGP_TESTS_RUN_RUN_FIXTURE_H

#include "data/support.h"

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

#endif
