/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/local_step.h"

#include "mixing/kernels.h"
#include "optimizer/optimizer_internal.h"

bool sgp_local_update(sgp_mixer_t *mixer, const sgp_local_t *local, float rate, size_t offset,
                      size_t count, float *copy, bool non_temporal) {
    size_t moved = 0;
    bool finite = true;
    if (local->optimizer && offset < mixer->count) {
        moved = mixer->count - offset < count ? mixer->count - offset : count;
        finite =
            sgp_optimizer_apply(local->optimizer, mixer->first + offset, moved, mixer->z + offset,
                                local->gradient + offset, rate, copy, non_temporal);
    }
    if (copy && moved < count)
        finite &=
            sgp_copy_out(count - moved, copy + moved, mixer->z + offset + moved, non_temporal);
    else if (local->optimizer || local->held ||
             mixer->graph.size == 1) /* else the push checks z when it copies */
        finite &= sgp_is_finite(count - moved, mixer->z + offset + moved);
    sgp_ledger_enter(&mixer->ledger, mixer->z, offset, count, mixer->w);
    return finite;
}

sgp_status_t sgp_local_update_all(sgp_mixer_t *mixer, const sgp_local_t *local) {
    if (local->optimizer) sgp_optimizer_begin(local->optimizer);
    float rate = (float)(local->learning_rate / mixer->w);
    uint64_t start = sgp_mixer_mark(mixer);
    bool finite = sgp_local_update(mixer, local, rate, 0, mixer->length, NULL, false);
    sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, start);
    if (sgp_mixer_accepts(mixer, finite)) return SGP_OK;
    return sgp_mixer_refuse(mixer, "parameters", 0, mixer->length);
}
