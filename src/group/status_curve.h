/* SPDX-License-Identifier: Apache-2.0 */
/* A curve of the status page (status/snapshot.h) that grows for as long as a run takes, in bounded memory: when it is full,
 * every other point goes, and from then on points come half as often. The first and the last point always stay. Not
 * thread-safe. */
#ifndef SGP_GROUP_STATUS_CURVE_H
#define SGP_GROUP_STATUS_CURVE_H

#include "status/snapshot.h"

/* Embedded; zeros at first. */
typedef struct sgp_status_history {
    sgp_status_curve_t curve;
    double interval; /* seconds between two points, at least; 0: any */
} sgp_status_history_t;

/* seconds: not before those of the last point. */
void sgp_status_history_add(sgp_status_history_t *history, double seconds, double step,
                            double value);

#endif
