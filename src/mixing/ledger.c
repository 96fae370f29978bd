/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/ledger.h"

#include <stdbool.h>

void sgp_ledger_init(sgp_ledger_t *ledger, const float *z, size_t length) {
    size_t lines = (length + SGP_LEDGER_RUN - 1) / SGP_LEDGER_RUN;
    ledger->runs = lines < SGP_LEDGER_RUNS ? lines : SGP_LEDGER_RUNS;
    ledger->samples = 0;
    for (size_t r = 0; r < ledger->runs; r++) {
        size_t start = r * lines / ledger->runs * SGP_LEDGER_RUN;
        size_t left = length - start;
        ledger->start[r] = start;
        ledger->length[r] = left < SGP_LEDGER_RUN ? left : SGP_LEDGER_RUN;
        for (size_t i = 0; i < ledger->length[r]; i++) {
            ledger->made[ledger->samples] = z[start + i];
            ledger->mixed[ledger->samples++] = z[start + i];
        }
    }
}

/* The sample of a run's first coordinate: only the last run can be short. */
static size_t first_sample(size_t run) {
    return run * SGP_LEDGER_RUN;
}

/* The part of a run that lies in [offset, end): from *first to *last of its coordinates. false: none. */
static bool part_of(const sgp_ledger_t *ledger, size_t run, size_t offset, size_t end,
                    size_t *first, size_t *last) {
    size_t start = ledger->start[run], stop = start + ledger->length[run];
    if (start >= end || stop <= offset) return false;
    *first = start < offset ? offset - start : 0;
    *last = stop > end ? end - start : stop - start;
    return true;
}

void sgp_ledger_enter(sgp_ledger_t *ledger, const float *z, size_t offset, size_t count, double w) {
    size_t first, last;
    for (size_t r = 0; r < ledger->runs; r++) {
        if (!part_of(ledger, r, offset, offset + count, &first, &last)) continue;
        for (size_t i = first; i < last; i++) {
            size_t sample = first_sample(r) + i;
            double change = (double)z[ledger->start[r] + i] - (double)ledger->mixed[sample];
            ledger->made[sample] += w * change;
        }
    }
}

void sgp_ledger_close_range(sgp_ledger_t *ledger, const float *z, size_t offset, size_t count) {
    size_t first, last;
    for (size_t r = 0; r < ledger->runs; r++) {
        if (!part_of(ledger, r, offset, offset + count, &first, &last)) continue;
        for (size_t i = first; i < last; i++)
            ledger->mixed[first_sample(r) + i] = z[ledger->start[r] + i];
    }
}

void sgp_ledger_create(sgp_ledger_t *ledger, const float *z, size_t offset, size_t count,
                       double w) {
    size_t first, last;
    for (size_t r = 0; r < ledger->runs; r++) {
        if (!part_of(ledger, r, offset, offset + count, &first, &last)) continue;
        for (size_t i = first; i < last; i++)
            ledger->made[first_sample(r) + i] += w * (double)z[ledger->start[r] + i];
    }
}

void sgp_ledger_restart(sgp_ledger_t *ledger, const float *z, double w) {
    for (size_t r = 0; r < ledger->runs; r++) {
        for (size_t i = 0; i < ledger->length[r]; i++) {
            size_t sample = first_sample(r) + i;
            ledger->mixed[sample] = z[ledger->start[r] + i];
            ledger->made[sample] = w * ledger->mixed[sample];
        }
    }
}

void sgp_ledger_close(sgp_ledger_t *ledger, const float *z) {
    for (size_t r = 0; r < ledger->runs; r++)
        for (size_t i = 0; i < ledger->length[r]; i++)
            ledger->mixed[first_sample(r) + i] = z[ledger->start[r] + i];
}

void sgp_ledger_balance(const sgp_ledger_t *ledger, const float *z, double w, double *missing,
                        double *present) {
    for (size_t r = 0; r < ledger->runs; r++)
        for (size_t i = 0; i < ledger->length[r]; i++) {
            size_t sample = first_sample(r) + i;
            /* The caller's own changes since the last mixing are in z but not entered yet. */
            double change = (double)z[ledger->start[r] + i] - (double)ledger->mixed[sample];
            present[sample] = w * z[ledger->start[r] + i];
            missing[sample] = ledger->made[sample] + w * change - present[sample];
        }
}
