/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulation_row.h"

#include <math.h>

#define HOUR 3600.0 /* seconds */

double simulation_efficiency(const simulation_settings_t *settings, const simulation_row_t *row) {
    return (row->gradient_ms + settings->local.update_ms) / row->step_ms;
}

double simulation_hours(const simulation_row_t *row) {
    return SIMULATION_EPOCHS * SIMULATION_SAMPLES / row->samples_per_second / HOUR;
}

/* Failures are a Poisson process of rate n / MTBF. Each costs the progress since the last checkpoint and R seconds, so T
 * seconds of progress between two checkpoints take (1 / rate + R) (exp(rate T) - 1). */
double simulation_hours_with_restarts(const simulation_settings_t *settings, int nodes,
                                      const simulation_row_t *row) {
    double rate = nodes / settings->failures_s,
           epoch = SIMULATION_SAMPLES / row->samples_per_second;
    return SIMULATION_EPOCHS * (1 / rate + SIMULATION_NOTICE + SIMULATION_RESTART) *
           expm1(rate * epoch) / HOUR;
}
