/* SPDX-License-Identifier: Apache-2.0 */
#include "group/status_curve.h"

/* Keeps points 0, 2, 4, ... */
static void thin_out(sgp_status_history_t *history) {
    sgp_status_curve_t *curve = &history->curve;
    size_t kept = 0;
    for (size_t i = 0; i < curve->count; i += 2) curve->point[kept++] = curve->point[i];
    curve->count = kept;
    double span = curve->point[kept - 1].seconds - curve->point[0].seconds;
    history->interval = span / (double)kept;
}

/* Point i, counted from 0, is followed by another: the last one is replaced as long as it is no interval away from the one
 * before it. */
void sgp_status_history_add(sgp_status_history_t *history, double seconds, double step,
                            double value) {
    sgp_status_curve_t *curve = &history->curve;
    sgp_status_point_t *point = curve->point;
    size_t count = curve->count;
    bool close =
        count > 1 && point[count - 1].seconds - point[count - 2].seconds < history->interval;
    if (close) curve->count--;
    else if (count == SGP_STATUS_POINTS) thin_out(history);
    point[curve->count++] = (sgp_status_point_t){seconds, step, value};
}
