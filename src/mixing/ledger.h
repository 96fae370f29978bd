/* SPDX-License-Identifier: Apache-2.0 */
/* A running check of the conservation of mass: for sampled coordinates it adds up the changes of x by local steps, to be
 * compared with the sum of x itself. The difference is the rounding of the mixing, and any mass that was lost. Knows no
 * mixer. */
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
    double made[SGP_LEDGER_SAMPLES]; /* this node's x at the start, plus its local steps since */
    float mixed[SGP_LEDGER_SAMPLES]; /* z after the last mixing */
} sgp_ledger_t;

/* Spreads the runs evenly over z (length), of which x = z at the start. */
void sgp_ledger_init(sgp_ledger_t *ledger, const float *z, size_t length);

/* Elements [offset, offset + count) have been changed locally and not mixed yet; w: the weight at that moment. */
void sgp_ledger_enter(sgp_ledger_t *ledger, const float *z, size_t offset, size_t count, double w);

/* Elements [offset, offset + count) of z have only been mixed since they were entered: local changes count from here. */
void sgp_ledger_close_range(sgp_ledger_t *ledger, const float *z, size_t offset, size_t count);

/* The same for all elements, after the mixing of a step. */
void sgp_ledger_close(sgp_ledger_t *ledger, const float *z);

/* Mass of weight w at z is made on elements [offset, offset + count), where a message is missing whose weight counts. */
void sgp_ledger_create(sgp_ledger_t *ledger, const float *z, size_t offset, size_t count, double w);

/* Begins anew with x = w z. */
void sgp_ledger_restart(sgp_ledger_t *ledger, const float *z, double w);

/* missing: (samples) x that the local steps made, less w z. present: (samples) w z. */
void sgp_ledger_balance(const sgp_ledger_t *ledger, const float *z, double w, double *missing,
                        double *present);

#endif
