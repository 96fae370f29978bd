/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/slow_update.h"

#include "mixing/algorithm.h"
#include "mixing/exact_average.h"

static void update(sgp_mixer_t *mixer, float learning_rate) {
    float beta = mixer->options.slow_momentum;
    for (size_t i = 0; i < mixer->count; i++) {
        float momentum = beta * mixer->outer_momentum[i] +
                         (mixer->outer_anchor[i] - mixer->z[i]) / learning_rate;
        float value = mixer->outer_anchor[i] - learning_rate * momentum;
        mixer->outer_momentum[i] = momentum;
        mixer->z[i] = value;
        mixer->outer_anchor[i] = value;
    }
}

sgp_status_t sgp_slow_update(sgp_mixer_t *mixer, float learning_rate, uint64_t deadline) {
    sgp_status_t status;
    if (mixer->options.slow_alone) status = sgp_algorithm_hold(mixer, deadline);
    else status = sgp_algorithm_settle(mixer);
    if (status == SGP_OK && !mixer->options.slow_alone) status = sgp_mixer_agree(mixer, deadline);
    if (status != SGP_OK) return status;
    if (learning_rate > 0) update(mixer, learning_rate);
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    return sgp_algorithm_resume(mixer);
}
