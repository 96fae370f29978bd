/* SPDX-License-Identifier: Apache-2.0 */
#include "data/late_plan.h"

#include "base/logging.h"

#include <inttypes.h>
#include <stdlib.h>

static position_range_t range_of(const segments_t *segments, uint64_t step,
                                 const late_plan_t *late) {
    cursor_part_t part = segments_part(segments, step, late->self, late->worker);
    return (position_range_t){.first = part.first, .end = part.first + (uint64_t)part.count};
}

sgp_status_t late_plan_begin(late_plan_t *late, const segments_t *segments, uint64_t self,
                             int worker, uint64_t first, uint64_t end) {
    if (first < segments->start.step) first = segments->start.step;
    if (end > segments_end(segments)) end = segments_end(segments);
    if (first > end) first = end;
    *late = (late_plan_t){.self = self, .worker = worker, .first = first, .end = end};
    if (first == end) return SGP_OK;
    late->took = calloc(end - first, sizeof *late->took);
    if (!late->took)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the positions of %" PRIu64 " steps",
                        end - first);
    for (uint64_t step = first; step < end; step++)
        if (!segments_is_absent(segments, step, self))
            late->took[step - first] = range_of(segments, step, late);
    return SGP_OK;
}

static bool is_taken_by_plan(const late_plan_t *late, const segments_t *segments, uint64_t step) {
    position_range_t took = late->took[step - late->first], plan = range_of(segments, step, late);
    if (plan.first == plan.end) return took.first == took.end;
    return plan.first == took.first && plan.end == took.end;
}

/* The stretch of steps from *step on that were not taken by the plan; *step moves behind it. */
static segments_event_t next_stretch(const late_plan_t *late, const segments_t *segments,
                                     uint64_t *step) {
    while (*step < late->end && is_taken_by_plan(late, segments, *step)) ++*step;
    uint64_t first = *step;
    while (*step < late->end && !is_taken_by_plan(late, segments, *step)) ++*step;
    return (segments_event_t){SEGMENTS_PASSES, .member = late->self, .first = first, .end = *step};
}

sgp_status_t late_plan_end(late_plan_t *late, segments_t *segments) {
    position_set_t used = {0};
    sgp_status_t status = SGP_OK;
    for (uint64_t step = late->first; step < late->end && !status;) {
        segments_event_t stretch = next_stretch(late, segments, &step);
        if (stretch.first == stretch.end) break;
        for (uint64_t s = stretch.first; s < stretch.end && !status; s++) {
            const position_range_t *took = &late->took[s - late->first];
            status = position_set_append(&used, took->first, took->end);
        }
        if (!status) status = segments_apply(segments, &stretch, 1);
    }
    if (!status) status = segments_use(segments, &used);
    position_set_fini(&used);
    free(late->took);
    late->took = NULL;
    return status;
}
