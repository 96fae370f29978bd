/* SPDX-License-Identifier: Apache-2.0 */
/* Items that threads take one after the other, with a progress line on a terminal. Ends early at the first failure and
 * at Ctrl-C. */
#ifndef SGP_DATA_PARALLEL_H
#define SGP_DATA_PARALLEL_H

#include <stdbool.h>
#include <stdint.h>

enum { PARALLEL_MOST_THREADS = 256 };

typedef struct parallel parallel_t;

typedef struct parallel_options {
    const char *about; /* of the progress line: "pack" */
    int threads;       /* 0: one for each CPU that this process may use */
    bool quiet;
    uint64_t items;
    uint64_t samples; /* of all items, for the progress line */
    /* Called for each item; thread: 0 .. parallel_threads - 1. Returns an exit status; after one above 0, which it has
     * explained, no further item begins. */
    int (*body)(void *context, parallel_t *parallel, int thread, uint64_t item);
    void *context;
} parallel_options_t;

/* Returns 0, the status of a body, or 128 + the number of the signal that ended it. */
int parallel_run(const parallel_options_t *options);

/* Threads that there will be. */
int parallel_threads(const parallel_options_t *options);

/* For bodies: so many samples more are done. Returns false if the body should return 0 now. */
bool parallel_advance(parallel_t *parallel, uint64_t samples);

#endif
