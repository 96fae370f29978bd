/* SPDX-License-Identifier: Apache-2.0 */
/* A running check of the conservation of mass: over some sampled coordinates, what the local steps
 * have put into the sum of x, to be compared with the sum itself. What is left is the rounding of
 * the mixing, and anything that was lost. */
#ifndef SGP_MIXING_LEDGER_H
#define SGP_MIXING_LEDGER_H

#include <sgp/status.h>
#include <stddef.h>

#define SGP_LEDGER_RUN     16 /* consecutive coordinates: one cache line */
#define SGP_LEDGER_RUNS    32
#define SGP_LEDGER_SAMPLES (SGP_LEDGER_RUN * SGP_LEDGER_RUNS)

typedef struct sgp_ledger {
    size_t runs;
    size_t samples;                 /* runs * SGP_LEDGER_RUN, less at the end of the vector */
    size_t start[SGP_LEDGER_RUNS];  /* first coordinate of each run, a multiple of SGP_LEDGER_RUN */
    size_t length[SGP_LEDGER_RUNS]; /* 1 to SGP_LEDGER_RUN */
    double
        made[SGP_LEDGER_SAMPLES]; /* this node's x at the start, plus all its local steps since */
    float mixed[SGP_LEDGER_SAMPLES]; /* z after the last mixing */
} sgp_ledger_t;

/* Spreads the runs evenly over z (length), of which x = z at the start. */
void sgp_ledger_init(sgp_ledger_t *ledger, const float *z, size_t length);

/* Elements [offset, offset + count) have had their local step and were not mixed yet; w: the weight
 * of that moment. */
void sgp_ledger_enter(sgp_ledger_t *ledger, const float *z, size_t offset, size_t count, double w);

/* Elements [offset, offset + count) of z have only been mixed since: the next change begins here. */
void sgp_ledger_meet(sgp_ledger_t *ledger, const float *z, size_t offset, size_t count);

/* The mixing of a step is over. */
void sgp_ledger_close(sgp_ledger_t *ledger, const float *z);

/* missing: (samples) x that the local steps made less x that is there, w z. present: (samples) w z.
 */
void sgp_ledger_balance(const sgp_ledger_t *ledger, const float *z, double w, double *missing,
                        double *present);

#endif
