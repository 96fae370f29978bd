/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/mixer_core.h"

#include "base/logging.h"
#include "group/membership.h"
#include "optimizer/optimizer_internal.h"

#include <inttypes.h>

sgp_status_t sgp_mixer_refuse(const sgp_mixer_t *mixer, const char *what, size_t offset,
                              size_t count) {
    sgp_status_t status = sgp_membership_check_self(sgp_group_membership(mixer->group));
    if (status != SGP_OK) return status;
    return sgp_fail_at(SGP_LOG_INFO, SGP_ERR_NOT_FINITE,
                       "step %" PRIu64 ": elements %zu to %zu of the %s are not all finite",
                       mixer->step, mixer->first + offset, mixer->first + offset + count - 1, what);
}

sgp_status_t sgp_mixer_refuse_held(const sgp_mixer_t *mixer, const char *call) {
    if (!mixer->held) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "%s: the mixer is held: a step without an optimizer ends the hold first", call);
}

sgp_status_t sgp_mixer_check_step(const sgp_mixer_t *mixer, const sgp_optimizer_t *optimizer,
                                  const float *gradient) {
    if (!optimizer) return SGP_OK;
    if (sgp_optimizer_count(optimizer) != mixer->all_count)
        return sgp_fail(SGP_ERR_INVALID,
                        "step: the optimizer is for %zu parameters and the mixer has %zu",
                        sgp_optimizer_count(optimizer), mixer->all_count);
    if (!gradient) return sgp_fail(SGP_ERR_INVALID, "step: an optimizer needs a gradient");
    return SGP_OK;
}

sgp_status_t sgp_mixer_check_losses(const sgp_mixer_t *mixer) {
    if (mixer->holes.elastic) return SGP_OK;
    sgp_inbox_t *inboxes[] = {mixer->inbox, mixer->workers.reducer.inbox};
    for (size_t i = 0; i < sizeof inboxes / sizeof *inboxes; i++) {
        sgp_transport_t *transport = inboxes[i] ? sgp_inbox_transport(inboxes[i]) : NULL;
        if (transport && sgp_transport_lost_peer(transport) >= 0)
            return sgp_transport_fail_lost(transport, NULL);
    }
    return SGP_OK;
}
