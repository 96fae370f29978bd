/* SPDX-License-Identifier: Apache-2.0 */
/* The learning rate of each step, as in Assran et al. 2019, section 6 (after Goyal et al. 2017):
 *   scaled  = lr * nodes * workers * batch / 256            (linear scaling with the global batch)
 *   step k < warm-up steps W: start + (scaled - start) (k + 1) / W, at most scaled
 *   after it: scaled times the decay:
 *     step:     0.1 from 1/3 of the run's steps on, 0.01 from 2/3, 0.001 from 8/9
 *               (epochs 30, 60 and 80 of 90)
 *     cosine:   (1 + cos(pi (k - W) / (steps - W))) / 2
 *     constant: 1
 *
 * The warm-up starts at lr, as in the paper, or at a tenth of scaled if that is less: a global
 * batch below 2,560 samples would hardly have a warm-up otherwise. Steps count over the whole run,
 * and each has its own rate. A milestone inside the warm-up applies after it. */
#ifndef SGP_RUN_SCHEDULE_H
#define SGP_RUN_SCHEDULE_H

#include "run/decay.h"
#include "run/train_options.h"

#include <sgp/status.h>

/* A plain value; pure functions of it. */
typedef struct schedule {
    schedule_kind_t kind;
    double start;   /* of the warm-up */
    double scaled;  /* after it */
    double warmup;  /* W, steps; may be a fraction; 0: none */
    uint64_t steps; /* of the run */
} schedule_t;

/* Of `nodes` nodes, in steps of which an epoch has so many. options: checked; workers, batch_size, epochs, lr, warmup_epochs
 * and lr_schedule are used. */
schedule_t schedule_make(const train_options_t *options, int nodes, uint64_t steps_per_epoch);

/* The learning rate of step k, from 0. k is a fraction in an epoch that another number of nodes has begun
 * (epochs_even_step). */
double schedule_rate(const schedule_t *schedule, double k);

#endif
