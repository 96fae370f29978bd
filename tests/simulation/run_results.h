/* SPDX-License-Identifier: Apache-2.0 */
/* What the nodes of a run found, and what must hold between them. Used inside tests/simulation. A node writes its own
 * result; the checks come when all have ended. */
#ifndef SGP_TESTS_SIMULATION_RUN_RESULTS_H
#define SGP_TESTS_SIMULATION_RUN_RESULTS_H

#include "scenario.h"

#include <pthread.h>

typedef struct call_result {
    uint64_t returned; /* virtual time */
    uint64_t hash;     /* of what is equal on all nodes */
    unsigned there;    /* nodes that took part, as bits */
    /* Of an exact average: */
    double total;     /* W, after the weights were scaled */
    double weight;    /* this node's w, after that */
    double factor;    /* by which it was scaled, by the books; NAN: unknown */
    uint32_t changes; /* of fates, that this node knew of then */
} call_result_t;

typedef struct result {
    int seat;
    bool began;             /* a founder, or a newcomer that has come in */
    int first_call;         /* of a newcomer: those before it were made without it */
    bool ended;             /* it came to the end of the run; false: it was killed, or has left */
    bool in_danger;         /* a fault kills it: perhaps while it leaves, after the end */
    uint64_t interruptions; /* messages that it absorbed in two parts */
    uint64_t last;          /* virtual time at which it is known to have lived */
    uint64_t hash;          /* of its steps, and of its vector at the end */
    int steps;
    bool passed_over; /* it heard that the others are behind its next call, and ended */
    call_result_t calls[SCENARIO_STEPS + 2];
    int calls_count;
    float mean[SCENARIO_LENGTH]; /* of the last exact average */
} result_t;

typedef struct results {
    const scenario_t *scenario;
    result_t of[SCENARIO_SEATS]; /* founders, and then newcomers, whatever their seats */
    pthread_mutex_t lock;        /* of failure */
    char failure[320];           /* the first one */
} results_t;

void results_begin(results_t *run, const scenario_t *scenario);
void results_end(results_t *run);

/* Something does not hold; the first is kept. Any thread. */
__attribute__((format(printf, 2, 3))) void results_fail(results_t *run, const char *format, ...);

/* Adds bytes to a hash (FNV-1a), which is 0 at first. */
void results_add(uint64_t *hash, const void *bytes, size_t count);

void results_step(result_t *result, double weight, uint64_t time);

/* What must hold between nodes. */
void results_check(results_t *run);

uint64_t results_hash(const results_t *run);

#endif
