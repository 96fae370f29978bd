/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/meeting.h"

#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/part_step.h"
#include "mixing/parts.h"
#include "mixing/progress_thread.h"

/* A step in parts that has not ended, or has failed, is no place to meet; nor is a vector that only the caller touches. */
static bool can_meet(const sgp_mixer_t *mixer) {
    bool in_parts = mixer->parts && (mixer->parts->phase == SGP_PARTS_GIVEN ||
                                     mixer->parts->phase == SGP_PARTS_FAILED);
    return mixer->unmet && mixer->ops->meet && !mixer->held && !in_parts;
}

static sgp_status_t meet(void *context) {
    sgp_mixer_t *mixer = context;
    bool taken;
    if (!can_meet(mixer)) return SGP_OK;
    sgp_status_t status = sgp_parts_complete(mixer, "a collective call");
    if (status != SGP_OK) return status;
    status = sgp_group_take(mixer->group, sgp_progress_owner(mixer), &taken);
    if (status == SGP_OK) status = mixer->ops->meet(mixer);
    if (taken) sgp_group_give(mixer->group);
    return status;
}

void sgp_meeting_begin(sgp_mixer_t *mixer) {
    mixer->meeting = (sgp_meeting_t){.meet = meet, .context = mixer};
    if (mixer->holes.elastic) sgp_group_add_meeting(mixer->group, &mixer->meeting);
}

void sgp_meeting_end(sgp_mixer_t *mixer) {
    sgp_group_take_meeting_out(mixer->group, &mixer->meeting);
}
