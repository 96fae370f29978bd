/* SPDX-License-Identifier: Apache-2.0 */
#include "run/clip.h"

#include <math.h>

enum { LANES = 8 }; /* sums side by side, which vector instructions add up */

double clip_norm(const float *gradient, size_t count) {
    double sums[LANES] = {0}, sum = 0;
    size_t whole = count - count % LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            double g = (double)gradient[i + l];
            sums[l] += g * g; /* the square of a float is exact in a double */
        }
    for (size_t i = whole; i < count; i++) {
        double g = (double)gradient[i];
        sums[i - whole] += g * g;
    }
    for (size_t l = 0; l < LANES; l++) sum += sums[l];
    return sqrt(sum);
}

double clip_gradient(float *gradient, size_t count, double most) {
    double norm = clip_norm(gradient, count);
    if (!isfinite(norm) || norm <= most) return norm;
    double scale = most / norm;
    for (size_t i = 0; i < count; i++) gradient[i] = (float)(gradient[i] * scale);
    return norm;
}
