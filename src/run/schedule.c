/* SPDX-License-Identifier: Apache-2.0 */
#include "run/schedule.h"

#include <math.h>

#define REFERENCE_BATCH 256.0
#define PI              3.14159265358979323846

schedule_t schedule_make(const train_options_t *options, int nodes, uint64_t steps_per_epoch) {
    schedule_t schedule = {.kind = SCHEDULE_STEP};
    schedule_parse(options->lr_schedule, &schedule.kind);
    double epochs = options->epochs;
    double warmup = options->warmup_epochs < 0 ? epochs * 5 / 90 : options->warmup_epochs;
    schedule.warmup = warmup * (double)steps_per_epoch;
    schedule.steps = (uint64_t)options->epochs * steps_per_epoch;
    schedule.scaled =
        options->lr * nodes * options->workers * options->batch_size / REFERENCE_BATCH;
    schedule.start = fmin(options->lr, schedule.scaled / 10);
    return schedule;
}

/* Without division: exact for whole k, so that a milestone falls on the same step on every machine. */
static double step_decay(const schedule_t *schedule, double k) {
    double steps = (double)schedule->steps;
    if (9 * k >= 8 * steps) return 0.001;
    if (3 * k >= 2 * steps) return 0.01;
    if (3 * k >= steps) return 0.1;
    return 1;
}

static double cosine_decay(const schedule_t *schedule, double k) {
    double span = (double)schedule->steps - schedule->warmup;
    return (1 + cos(PI * (k - schedule->warmup) / span)) / 2;
}

double schedule_rate(const schedule_t *schedule, double k) {
    if (k < schedule->warmup) {
        double part = fmin(1, (k + 1) / schedule->warmup);
        return schedule->start + (schedule->scaled - schedule->start) * part;
    }
    switch (schedule->kind) {
    case SCHEDULE_STEP:
        return schedule->scaled * step_decay(schedule, k);
    case SCHEDULE_COSINE:
        return schedule->scaled * cosine_decay(schedule, k);
    case SCHEDULE_CONSTANT:
        break;
    }
    return schedule->scaled;
}
