/* SPDX-License-Identifier: Apache-2.0 */
/* Slow momentum: every tau steps the nodes average exactly (or not), and what the tau steps have
 * done is taken as one step of a momentum of its own:
 *
 *   u <- beta u + (anchor - z) / lr,   z <- anchor - lr u,   anchor <- z
 *
 * Source: Wang, Tantia, Ballas, Rabbat 2020, "SlowMo", algorithm 1 with a slow learning rate of 1.
 * With beta = 0 it leaves z as it is. The optimizer's own momentum is kept. */
#include "mixing/mixer_internal.h"

static void update(sgp_mixer_t *mixer, float learning_rate) {
    float beta = mixer->options.slow_momentum;
    for (size_t i = 0; i < mixer->count; i++) {
        float slow = beta * mixer->slow[i] + (mixer->anchor[i] - mixer->z[i]) / learning_rate;
        float value = mixer->anchor[i] - learning_rate * slow;
        mixer->slow[i] = slow;
        mixer->z[i] = value;
        mixer->anchor[i] = value;
    }
}

sgp_status_t sgp_mixer_slow(sgp_mixer_t *mixer, float learning_rate, uint64_t deadline) {
    sgp_status_t status = SGP_OK;
    if (!mixer->options.slow_alone) {
        status = sgp_mixer_settle_segment(mixer);
        if (status == SGP_OK) status = sgp_mixer_agree(mixer, deadline);
    } else if (mixer->ops->hold) {
        status = mixer->ops->hold(mixer, deadline);
    }
    if (status != SGP_OK) return status;
    if (learning_rate > 0) update(mixer, learning_rate);
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    return sgp_mixer_resume(mixer);
}
