/* SPDX-License-Identifier: Apache-2.0 */
/* A process that hears of a change of the plan after the step of the change has taken positions by the old
 * plan. Around the change of its segments it notes them as used, and itself as absent from the steps in
 * which the new plan gives it others. The sampler calls it. */
#ifndef SGP_DATA_LATE_PLAN_H
#define SGP_DATA_LATE_PLAN_H

#include "data/segments.h"

/* Embedded. */
typedef struct late_plan {
    uint64_t self;       /* the member's number */
    int worker;          /* of it */
    uint64_t first, end; /* steps */
    position_range_t
        *took; /* (end - first) by the old plan; of a step in which it was absent nothing */
} late_plan_t;

/* Notes what worker `worker` of member `self` has taken in the steps [first, end), before the segments
 * change. Steps before the first segment are left out. SGP_ERR_NO_MEMORY, logged; then no late_plan_end. */
sgp_status_t late_plan_begin(late_plan_t *late, const segments_t *segments, uint64_t self,
                             int worker, uint64_t first, uint64_t end);

/* Reports the steps in which the segments now differ, and releases the notes. SGP_ERR_NO_MEMORY, logged: the
 * report is not complete, and positions may be taken twice. */
sgp_status_t late_plan_end(late_plan_t *late, segments_t *segments);

#endif
