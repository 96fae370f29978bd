/* SPDX-License-Identifier: Apache-2.0 */
#include "run/probe.h"

#include "base/random.h"

#include <math.h>
#include <string.h>

/* Arbitrary, but the same on all nodes and in all versions of the program. */
#define PROBE_SEED 0x70726f6265u

void probe_init(probe_t *probe, size_t parameters) {
    sgp_random_t random;
    memset(probe, 0, sizeof *probe);
    probe->count = parameters < PROBE_MAX ? parameters : PROBE_MAX;
    sgp_random_init(&random, PROBE_SEED, parameters);
    for (size_t i = 0; i < probe->count; i++) {
        size_t begin = parameters * i / probe->count, end = parameters * (i + 1) / probe->count;
        probe->at[i] = begin + (size_t)sgp_random_below(&random, end - begin);
    }
}

void probe_take(const probe_t *probe, const float *z, float *values) {
    for (size_t i = 0; i < probe->count; i++) values[i] = z[probe->at[i]];
}

double probe_distance(const float *values, int nodes, size_t stride, size_t count) {
    double apart = 0, norm = 0; /* sums of squares: over nodes of |z_i - mean|, and of |mean| */
    for (size_t c = 0; c < count; c++) {
        double mean = 0;
        for (int i = 0; i < nodes; i++) mean += (double)values[(size_t)i * stride + c] / nodes;
        norm += mean * mean;
        for (int i = 0; i < nodes; i++) {
            double difference = (double)values[(size_t)i * stride + c] - mean;
            apart += difference * difference;
        }
    }
    return sqrt(apart / nodes) / sqrt(norm);
}
