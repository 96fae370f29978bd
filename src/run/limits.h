/* SPDX-License-Identifier: Apache-2.0 */
/* How long a node waits for the others: limits that follow the run's measured steps, so that steps that take minutes end
 * no run, and a node that hangs still does. A node that is dead or out of reach is noticed by the transport long before.
 *
 *   a message of a step:   60 s, or 20 times the longest gradient so far; 1 hour before the first is measured
 *   a collective call:     10 minutes, or 20 times the longest gradient, or 4 times the steps of the epoch that ends;
 *                          plus the time for which a part without quorum may pause
 *   a halt after a signal: 30 s, or 3 times the longest gradient
 *
 * Each the largest. Other nodes may be slower by as much. */
#ifndef SGP_RUN_LIMITS_H
#define SGP_RUN_LIMITS_H

#include "run/halt.h"

typedef struct limits_seconds {
    double message, collective, halt;
} limits_seconds_t;

/* gradient: the longest so far, epoch: the time of the steps of the epoch that ends, 0 in the middle of one. Seconds;
 * gradient 0: not measured yet. Pure. */
limits_seconds_t limits_of(double gradient, double epoch);

/* Embedded; fields are private. */
typedef struct limits {
    sgp_mixer_t *mixer;
    train_groups_t groups;
    halt_t *halt;
    void (*told)(double seconds,
                 int rank); /* of a halt, whenever that may have changed; may be NULL */
    double gradient;
    double pause; /* seconds that a node may pause, also in a collective call */
} limits_t;

/* All borrowed. Sets the limits of a run without measured steps. */
void limits_begin(limits_t *limits);

/* After a gradient that took so long; between two steps. */
void limits_gradient(limits_t *limits, double seconds);

/* Before the calls at the end of an epoch, whose steps took so long. */
void limits_epoch(limits_t *limits, double seconds);

#endif
