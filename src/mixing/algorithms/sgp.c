/* SPDX-License-Identifier: Apache-2.0 */
/* Stochastic Gradient Push in lock step (Assran et al. 2019, algorithm 1): update, push, absorb this step's messages. On
 * a symmetric, doubly stochastic graph it is D-PSGD (Lian et al. 2017): every sender receives from its receiver, and all
 * weights stay 1.
 *
 * The vector moves in chunks, and an arrived chunk is absorbed right after its own place was updated and pushed, while
 * both are in the cache. */
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/push.h"

#include "optimizer/optimizer_internal.h"

static unsigned lockstep_messages(const sgp_mixer_t *mixer) {
    return sgp_push_reach(mixer) + 1;
}

/* One chunk: update, push, absorb. */
static sgp_status_t step_chunk(sgp_mixer_t *mixer, const sgp_local_t *local, float rate,
                               sgp_send_t *send, void *place, sgp_absorption_t *absorption) {
    size_t offset = send->header.offset, end = offset + send->header.elements;
    double share = absorption->kept / mixer->w;
    bool lossy = sgp_mixer_is_lossy(mixer);
    uint64_t mark = sgp_mixer_mark(mixer);
    bool finite = sgp_local_update(mixer, local, rate, offset, end - offset, lossy ? NULL : place,
                                   send->non_temporal);
    mark = sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, mark);
    if (lossy) finite &= sgp_push_split(mixer, send, place, share);
    sgp_status_t status = sgp_push_commit(mixer, send, finite);
    if (status != SGP_OK) return status;
    if (!lossy) sgp_push_keep_share(mixer, send, share);
    mark = sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
    status = sgp_absorption_ready(absorption, mixer, end);
    mark = sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    while (status == SGP_OK && sgp_inbox_send_paced(mixer->inbox, send)) {
        mark = sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
        status = sgp_absorption_ready(absorption, mixer, end);
        mark = sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    }
    sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    return status;
}

static sgp_status_t lockstep_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    if (!mixer->exchanges) return sgp_local_update_all(mixer, local);
    double kept;
    int count = sgp_push_shares(mixer, mixer->round, mixer->w, &kept);
    sgp_header_t header = sgp_push_header(mixer, mixer->round);
    sgp_send_t send;
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_status_t status =
        sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, count, deadline, &send);
    sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
    if (status != SGP_OK) return status;
    sgp_absorption_t absorption;
    sgp_absorption_begin(&absorption, mixer, mixer->round, kept, mixer->edges);
    if (local->optimizer) sgp_optimizer_begin(local->optimizer);
    float rate = (float)(local->learning_rate / mixer->w);
    for (void *place; (place = sgp_inbox_send_next(mixer->inbox, &send));) {
        status = step_chunk(mixer, local, rate, &send, place, &absorption);
        if (status != SGP_OK) return status;
    }
    sgp_push_sent(mixer, count);
    return sgp_absorption_finish(&absorption, mixer, deadline);
}

const sgp_algorithm_ops_t sgp_algorithm_lockstep = {
    .messages = lockstep_messages,
    .step = lockstep_step,
};
