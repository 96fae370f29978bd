/* SPDX-License-Identifier: Apache-2.0 */
/* The probe: a fixed sample of the parameters, the same coordinates on every node, from which the
 * consensus distance is estimated without sending whole vectors. Pure functions. */
#ifndef SGP_RUN_PROBE_H
#define SGP_RUN_PROBE_H

#include <stddef.h>

enum { PROBE_MAX = 512 };

/* A plain value. */
typedef struct probe {
    size_t count;         /* of coordinates */
    size_t at[PROBE_MAX]; /* (count), ascending */
} probe_t;

/* Depends on P = parameters alone: all of them up to PROBE_MAX, else one at random out of each of
 * PROBE_MAX equal parts. */
void probe_init(probe_t *probe, size_t parameters);

/* values: (count) <- z at the coordinates. z: (P). */
void probe_take(const probe_t *probe, const float *z, float *values);

/* Root mean square over the nodes of |z_i - mean|, divided by |mean|. Node i's values are the
 * `count` at values + i * stride. NAN if the mean is 0. */
double probe_distance(const float *values, int nodes, size_t stride, size_t count);

#endif
