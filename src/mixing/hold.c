/* SPDX-License-Identifier: Apache-2.0 */
/* The hold, during which the caller alone touches z: an optimizer of its own, and still a push by the progress thread. */
#include "base/logging.h"
#include "mixing/algorithm.h"
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/mixer_internal.h"
#include "mixing/progress_thread.h"
#include "mixing/workers.h"

static sgp_status_t hold_segment(sgp_mixer_t *mixer) {
    uint64_t deadline = sgp_transport_now(mixer->transport) + mixer->timeout;
    bool taken; /* from the progress thread of another mixer */
    sgp_status_t status = sgp_group_take(mixer->group, sgp_progress_owner(mixer), &taken);
    if (status == SGP_OK) status = sgp_algorithm_hold(mixer, deadline);
    if (taken || mixer->progress) sgp_group_give(mixer->group);
    return status;
}

/* A hold can change a segment, by the rounding that its last push owes, and all workers begin with the same z. */
sgp_status_t sgp_mixer_do_hold(sgp_mixer_t *mixer) {
    if (mixer->held) return sgp_fail(SGP_ERR_INVALID, "hold: the mixer is held already");
    sgp_status_t status = sgp_mixer_check_losses(mixer);
    if (status == SGP_OK) status = hold_segment(mixer);
    if (status == SGP_OK && mixer->ops->hold && sgp_mixer_has_workers(mixer))
        status = sgp_workers_share(mixer);
    mixer->held = status == SGP_OK;
    return status;
}
