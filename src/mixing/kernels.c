/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/kernels.h"

#include "base/stream.h"
#include "base/vector.h"

#include <string.h>

SGP_VECTOR void sgp_absorb(size_t count, float *restrict z, const float *restrict y, float a) {
    for (size_t i = 0; i < count; i++) z[i] += a * (y[i] - z[i]);
}

SGP_VECTOR void sgp_add_scaled(size_t count, float *restrict z, const float *restrict y, float a) {
    for (size_t i = 0; i < count; i++) z[i] += a * y[i];
}

SGP_VECTOR void sgp_average_pair(size_t count, float *restrict a, const float *restrict b,
                                 float *restrict d) {
    for (size_t i = 0; i < count; i++) {
        float half = 0.5f * (a[i] - b[i]);
        d[i] = half;
        a[i] -= half;
    }
}

SGP_VECTOR void sgp_add(size_t count, float *sum, const float *a, const float *b) {
    for (size_t i = 0; i < count; i++) sum[i] = a[i] + b[i];
}

SGP_VECTOR void sgp_scale(size_t count, float *x, float s) {
    for (size_t i = 0; i < count; i++) x[i] *= s;
}

SGP_VECTOR void sgp_accumulate(size_t count, double *restrict sums, const float *restrict x,
                               double w) {
    for (size_t i = 0; i < count; i++) sums[i] += w * (double)x[i];
}

SGP_VECTOR void sgp_divide(size_t count, float *restrict mean, const double *restrict sums,
                           double w) {
    for (size_t i = 0; i < count; i++) mean[i] = (float)(sums[i] / w);
}

/* Finite or not is a matter of the exponent's bits. Integers, because their sum can be split over
 * vector lanes; a sum of floats cannot. */
SGP_VECTOR bool sgp_copy_finite(size_t count, float *restrict to, const float *restrict from) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        float value = from[i];
        to[i] = value;
        bad |= sgp_not_finite(value);
    }
    return bad == 0;
}

bool sgp_copy_out(size_t count, float *to, const float *from, bool non_temporal) {
    return non_temporal ? sgp_stream_finite(count, to, from) : sgp_copy_finite(count, to, from);
}

SGP_VECTOR bool sgp_is_finite(size_t count, const float *x) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) bad |= sgp_not_finite(x[i]);
    return bad == 0;
}

/* Of numbers at least 0 the order is that of their bits, and a maximum of integers can be split over vector lanes. */
SGP_VECTOR float sgp_largest_change(size_t count, const float *a, const float *b) {
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        float change = a[i] - b[i];
        uint32_t bits;
        memcpy(&bits, &change, sizeof bits);
        bits &= 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    float largest;
    memcpy(&largest, &most, sizeof largest);
    return largest;
}

void sgp_distance(size_t count, const float *a, const float *b, double *distance, double *norm) {
    double squares = 0, mean = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = (double)a[i] - (double)b[i];
        squares += difference * difference;
        mean += (double)b[i] * (double)b[i];
    }
    *distance = squares;
    *norm = mean;
}
