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

int simulation_failing(int nodes) {
    int failing = nodes / 16;
    if (failing < 1) failing = 1;
    if (failing > 8) failing = 8;
    return failing < nodes ? failing : nodes - 1;
}

void simulation_compare(simulation_row_t *row, const simulation_row_t *with_failures) {
    double longer = with_failures->others_s - row->others_s;
    row->failed = with_failures->failed;
    row->held_up_s = row->failed ? fmax(0, longer / row->failed) : NAN;
    row->longest_with_failures_ms = with_failures->longest_ms;
}

/* n nodes make n r M y samples while the share y of them is lost, and each loss holds up those that are left: n^2 r h (2 y - y^2) / 2
 * samples less. That is a quadratic equation for y. */
static double hours_of_ever_fewer(double samples, double n, double r, double mean, double held_up) {
    double a = n * n * r * held_up / 2, b = n * r * mean - 2 * a;
    double y = 2 * samples / (b + sqrt(b * b + 4 * a * samples));
    if (b <= 0 || !(y < 1)) return INFINITY;
    return -mean * log1p(-y) / HOUR;
}

double simulation_hours_with_losses(const simulation_settings_t *settings, int nodes,
                                    const simulation_row_t *row) {
    double mean = settings->failures_s, samples = SIMULATION_EPOCHS * SIMULATION_SAMPLES;
    double rate = row->samples_per_second / nodes; /* of a node */
    if (settings->repair_s < 0)
        return hours_of_ever_fewer(samples, nodes, rate, mean, row->held_up_s);
    double working = nodes * mean / (mean + settings->repair_s);
    double useful = 1 - working / mean * row->held_up_s;
    return useful > 0 ? samples / (working * rate * useful) / HOUR : INFINITY;
}

/* With a checkpoint after each T seconds of progress, which take (1 / rate + R) (exp(rate (T + C)) - 1). */
static double hours_with_interval(double progress, double rate, double restart, double interval) {
    double part = (1 / rate + restart) * expm1(rate * (interval + SIMULATION_CHECKPOINT));
    return progress / interval * part / HOUR;
}

double simulation_hours_with_checkpoints(const simulation_settings_t *settings, int nodes,
                                         const simulation_row_t *row) {
    double rate = nodes / settings->failures_s, best = INFINITY;
    double progress = SIMULATION_EPOCHS * SIMULATION_SAMPLES / row->samples_per_second;
    double restart = SIMULATION_NOTICE + SIMULATION_RESTART;
    enum { INTERVALS = 2000 }; /* to 1e17 seconds */
    double interval = 1;
    for (int i = 0; i < INTERVALS && interval < 2 * progress; i++, interval *= 1.02)
        best = fmin(best, hours_with_interval(progress, rate, restart, fmin(interval, progress)));
    return best;
}
