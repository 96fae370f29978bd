/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/local_step.h"

#include "mixing/kernels.h"
#include "mixing/ranges.h"
#include "optimizer/optimizer_internal.h"

#include <string.h>

/* In pieces that stay in the first-level cache, each compared with what it was before. */
static bool update_and_measure(sgp_mixer_t *mixer, const sgp_local_t *local, float rate,
                               size_t offset, size_t count) {
    enum { PIECE = 2048 };
    float before[PIECE];
    bool finite = true;
    for (size_t at = offset, end = offset + count, n; at < end; at += n) {
        n = end - at < PIECE ? end - at : PIECE;
        memcpy(before, mixer->z + at, n * sizeof *before);
        finite &= sgp_optimizer_apply(local->optimizer, mixer->first + at, n, mixer->z + at,
                                      local->gradient + at, rate, NULL, false);
        sgp_ranges_moved(mixer, at, n, before);
    }
    return finite;
}

bool sgp_local_update(sgp_mixer_t *mixer, const sgp_local_t *local, float rate, size_t offset,
                      size_t count, float *copy, bool non_temporal) {
    size_t moved = 0;
    bool finite = true;
    if (local->optimizer && offset < mixer->count) {
        moved = mixer->count - offset < count ? mixer->count - offset : count;
        finite = mixer->ranges ? update_and_measure(mixer, local, rate, offset, moved)
                               : sgp_optimizer_apply(local->optimizer, mixer->first + offset, moved,
                                                     mixer->z + offset, local->gradient + offset,
                                                     rate, copy, non_temporal);
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
