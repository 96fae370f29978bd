/* SPDX-License-Identifier: Apache-2.0 */
/* AD-PSGD (Lian et al. 2018): an active node asks a passive one to average with it, and computes its next gradient
 * meanwhile; the progress thread of a passive node answers at once, even during a computation.
 *
 *   active:  sends x
 *   passive: d <- (its x - x) / 2 for each number, takes d from its own, and answers with d
 *   active:  adds d
 *
 * Each number becomes the mean on both sides in one moment, under the passive node's lock, and a change of either side in
 * between is kept: the sum of x never changes by more than rounding. The active node has one exchange at a time, and its
 * next step waits for it; no node both asks and answers, so no circle of nodes can wait for each other. With a lossy
 * encoding the passive node takes the decoded d from its own vector, the same numbers that the active one adds.
 *
 * The averaging goes on while gradients are computed, so it has its own vector, `live`; z is a copy from the last step, at
 * which the gradient is taken. The gradient is applied to live as it is by then. All weights are 1. */
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/algorithms/pairs_exchange.h"
#include "mixing/kernels.h"
#include "mixing/holes.h"
#include "mixing/progress_thread.h"
#include "mixing/push.h"
#include "mixing/round_graph.h"

#include "base/logging.h"
#include "base/memory.h"
#include "graph/active_passive.h"
#include "optimizer/optimizer_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* In an elastic group any node can become a passive one. */
static unsigned pairs_messages(const sgp_mixer_t *mixer) {
    int actives = sgp_pairs_actives(mixer->size);
    return sgp_pairs_active(mixer->rank) && !mixer->transport->elastic
               ? 2
               : (unsigned)(actives < 8 ? actives : 8) + 1;
}

/* This node rests; it refuses. */
static unsigned pairs_notices(const sgp_mixer_t *mixer) {
    return mixer->transport->elastic ? 4 : 2;
}

/* On the progress thread. */
static sgp_status_t pairs_work(sgp_mixer_t *mixer, sgp_work_t *left) {
    const sgp_pairs_t *pairs = mixer->extra;
    uint64_t mark = sgp_mixer_mark(mixer);
    *left = SGP_WORK_WAITS;
    sgp_status_t status = sgp_pairs_serve(mixer);
    sgp_trace_end(mixer->trace, SGP_TRACE_MESSAGES,
                  pairs->active ? SGP_TRACE_PUSH : SGP_TRACE_ABSORB, mark);
    return status;
}

/* On the node's own thread, during a collective call of the group: the next step reports an error. */
static void pairs_serve(void *owner) {
    sgp_mixer_t *mixer = owner;
    const sgp_pairs_t *pairs = mixer->extra;
    if (pairs->held) return;
    sgp_progress_fail(mixer->progress, sgp_pairs_serve(mixer));
}

/* ---- the step ---- */

/* Adds the caller's own changes of z since it was published. Lock held. */
static void add_callers_changes(const sgp_mixer_t *mixer, size_t offset, size_t count) {
    const sgp_pairs_t *pairs = mixer->extra;
    for (size_t i = offset; i < offset + count; i++) pairs->live[i] += mixer->z[i] - pairs->seen[i];
}

static void publish(const sgp_mixer_t *mixer, size_t offset, size_t count) {
    const sgp_pairs_t *pairs = mixer->extra;
    memcpy(mixer->z + offset, pairs->live + offset, count * sizeof(float));
    memcpy(pairs->seen + offset, pairs->live + offset, count * sizeof(float));
}

/* One chunk of the local step, on live, with a copy in z. Lock held. false: it is not finite. */
static bool update_chunk(sgp_mixer_t *mixer, const sgp_local_t *local, size_t offset,
                         size_t count) {
    sgp_pairs_t *pairs = mixer->extra;
    size_t moved = 0;
    bool finite = true;
    sgp_ledger_close_range(&mixer->ledger, pairs->live, offset, count);
    if (local->optimizer && offset < mixer->count) {
        moved = mixer->count - offset < count ? mixer->count - offset : count;
        finite = sgp_optimizer_apply(local->optimizer, mixer->first + offset, moved,
                                     pairs->live + offset, local->gradient + offset,
                                     local->learning_rate, mixer->z + offset, false);
        memcpy(pairs->seen + offset, mixer->z + offset, moved * sizeof(float));
    }
    add_callers_changes(mixer, offset + moved, count - moved);
    publish(mixer, offset + moved, count - moved);
    sgp_ledger_enter(&mixer->ledger, pairs->live, offset, count, 1);
    finite &= sgp_is_finite(count - moved, mixer->z + offset + moved);
    pairs->broken |= !sgp_mixer_accepts(mixer, finite);
    return !pairs->broken;
}

static sgp_status_t fail_left(const sgp_mixer_t *mixer, int rank, const char *what) {
    sgp_rank_name_t name, here;
    return sgp_fail(SGP_ERR_PEER_LOST, "%s has left, while %s waits for its %s",
                    sgp_transport_name(mixer->transport, rank, &name),
                    sgp_transport_name(mixer->transport, mixer->rank, &here), what);
}

static sgp_status_t wait_for_exchange(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_pairs_t *pairs = mixer->extra;
    uint64_t start = sgp_transport_now(mixer->transport), now = start;
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_transport_lock(mixer->transport);
    sgp_status_t status = SGP_OK;
    while (pairs->phase != SGP_PAIRS_IDLE && pairs->left < 0 &&
           sgp_progress_holds(mixer->progress) && now < deadline && status == SGP_OK) {
        status = sgp_progress_pause(mixer, SGP_FLIGHT_FOR_EXCHANGE, sgp_pairs_next_partner(mixer),
                                    deadline);
        now = sgp_transport_now(mixer->transport);
    }
    if (status == SGP_OK) status = sgp_progress_status(mixer->progress);
    bool late = pairs->phase != SGP_PAIRS_IDLE;
    int left = pairs->left;
    sgp_transport_unlock(mixer->transport);
    mixer->paused += now - start;
    if (now > start) sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    if (status == SGP_OK && late && left >= 0) return fail_left(mixer, left, "answer");
    sgp_rank_name_t name;
    if (status == SGP_OK && late)
        return sgp_fail(SGP_ERR_TIMEOUT, "gave up waiting for the answer of %s",
                        sgp_transport_name(mixer->transport, sgp_pairs_next_partner(mixer), &name));
    return status;
}

static sgp_status_t update_live(sgp_mixer_t *mixer, const sgp_local_t *local) {
    if (local->optimizer) sgp_optimizer_begin(local->optimizer);
    for (size_t offset = 0, count; offset < mixer->length; offset += count) {
        uint64_t mark = sgp_mixer_mark(mixer);
        count = sgp_mixer_chunk_at(mixer, offset);
        sgp_transport_lock(mixer->transport);
        bool finite = update_chunk(mixer, local, offset, count);
        sgp_transport_unlock(mixer->transport);
        sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, mark);
        if (!finite) return sgp_mixer_refuse(mixer, "parameters", offset, count);
    }
    return SGP_OK;
}

/* z is the vector, with the caller's own changes. */
static void make_z_seen(sgp_mixer_t *mixer) {
    sgp_pairs_t *pairs = mixer->extra;
    memcpy(pairs->live, mixer->z, mixer->length * sizeof *pairs->live);
    memcpy(pairs->seen, mixer->z, mixer->length * sizeof *pairs->seen);
    pairs->held = false;
}

/* The progress thread does not work yet. */
static sgp_status_t end_hold(sgp_mixer_t *mixer, const sgp_local_t *local) {
    sgp_status_t status = sgp_local_update_all(mixer, local);
    if (status != SGP_OK) return status;
    sgp_ledger_close(&mixer->ledger, mixer->z);
    make_z_seen(mixer);
    sgp_progress_give(mixer->progress);
    return SGP_OK;
}

static sgp_status_t pairs_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    sgp_pairs_t *pairs = mixer->extra;
    sgp_status_t status = wait_for_exchange(mixer, deadline);
    if (status == SGP_OK) status = (local->held ? end_hold : update_live)(mixer, local);
    if (status != SGP_OK) return status;
    if (!pairs->active || !mixer->exchanges || pairs->nodes < 2) return SGP_OK;
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_transport_lock(mixer->transport);
    pairs->phase = SGP_PAIRS_WANTED;
    sgp_transport_signal(mixer->transport);
    sgp_transport_unlock(mixer->transport);
    sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark); /* waking the progress thread takes its time */
    return SGP_OK;
}

/* ---- settling ---- */

static sgp_status_t tell_rest(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_pairs_t *pairs = mixer->extra;
    bool all = mixer->holes.elastic; /* roles may change meanwhile */
    int count = 0;
    for (int dst = !all; dst < mixer->size; dst += all ? 1 : 2)
        if (dst != mixer->rank && !sgp_holes_absent(mixer, dst))
            mixer->to[count++] = (sgp_destination_t){.dst = dst, .weight = 1};
    sgp_header_t header = {.kind = SGP_KIND_REST,
                           .encoding = SGP_ENCODING_BYTES,
                           .channel = mixer->channel,
                           .step = pairs->settles,
                           .count = 1};
    sgp_send_t send;
    sgp_status_t status =
        sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, count, deadline, &send);
    if (status != SGP_OK) return status;
    memset(sgp_inbox_send_next(mixer->inbox, &send), 0, 1);
    sgp_inbox_send_commit(mixer->inbox, &send);
    return SGP_OK;
}

/* A passive node answers until all active ones rest. */
static sgp_status_t wait_for_rest(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_pairs_t *pairs = mixer->extra;
    int actives = sgp_pairs_actives(mixer->size);
    sgp_transport_lock(mixer->transport);
    sgp_status_t status = SGP_OK;
    while (pairs->resting < actives && pairs->left < 0 && sgp_progress_holds(mixer->progress) &&
           status == SGP_OK && sgp_transport_now(mixer->transport) < deadline)
        status = sgp_progress_pause(mixer, SGP_FLIGHT_FOR_REST, -1, deadline);
    bool late = pairs->resting < actives;
    int left = pairs->left;
    if (status == SGP_OK) status = sgp_progress_status(mixer->progress);
    sgp_transport_unlock(mixer->transport);
    if (status == SGP_OK && late && left >= 0) return fail_left(mixer, left, "last messages");
    if (status == SGP_OK && late)
        return sgp_fail(SGP_ERR_TIMEOUT, "gave up waiting for the slower nodes");
    return status;
}

static void end_rest(sgp_mixer_t *mixer) {
    sgp_pairs_t *pairs = mixer->extra;
    for (int src = 0; src < mixer->size; src++) {
        if (!pairs->askers[src].rests) continue;
        sgp_inbox_release(mixer->inbox,
                          sgp_push_find(mixer, SGP_KIND_REST, src, pairs->settles, 0));
        pairs->askers[src].rests = false;
    }
    sgp_pairs_sweep(mixer);
    pairs->resting = 0;
    pairs->settles++;
}

/* -1: all others rest. */
static int first_restless(const sgp_mixer_t *mixer) {
    const sgp_pairs_t *pairs = mixer->extra;
    for (int r = 0; r < mixer->size; r++)
        if (r != mixer->rank && !pairs->askers[r].rests && !pairs->askers[r].ended) return r;
    return -1;
}

/* In an elastic group nobody relies on the roles of others: each node rests once its own exchange is over, and answers until
 * all others that are there rest. */
static sgp_status_t rest_with_all(sgp_mixer_t *mixer, uint64_t deadline) {
    const sgp_pairs_t *pairs = mixer->extra;
    sgp_status_t status = wait_for_exchange(mixer, deadline);
    if (status == SGP_OK) status = sgp_progress_take(mixer->progress, deadline);
    if (status == SGP_OK) status = tell_rest(mixer, deadline);
    while (status == SGP_OK) {
        uint64_t since = sgp_inbox_taken_in(mixer->inbox);
        status = sgp_pairs_serve(mixer);
        if (status != SGP_OK || first_restless(mixer) < 0) break;
        sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_REST, first_restless(mixer), pairs->settles);
        status = sgp_inbox_wait(mixer->inbox, since, deadline, "the slower nodes");
    }
    return status;
}

/* The progress thread does not work now. */
static void make_z_live(sgp_mixer_t *mixer) {
    sgp_pairs_t *pairs = mixer->extra;
    pairs->held = true;
    sgp_ledger_close_range(&mixer->ledger, pairs->live, 0, mixer->length);
    add_callers_changes(mixer, 0, mixer->length);
    sgp_ledger_enter(&mixer->ledger, pairs->live, 0, mixer->length, 1);
    publish(mixer, 0, mixer->length);
    sgp_ledger_close(&mixer->ledger, mixer->z);
}

static sgp_status_t rest_by_role(sgp_mixer_t *mixer, uint64_t deadline) {
    const sgp_pairs_t *pairs = mixer->extra;
    sgp_status_t status =
        pairs->active ? wait_for_exchange(mixer, deadline) : wait_for_rest(mixer, deadline);
    if (status == SGP_OK) status = sgp_progress_take(mixer->progress, deadline);
    return status == SGP_OK && pairs->active ? tell_rest(mixer, deadline) : status;
}

static sgp_status_t pairs_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_status_t status = (mixer->holes.elastic ? rest_with_all : rest_by_role)(mixer, deadline);
    if (status != SGP_OK) return status;
    end_rest(mixer);
    make_z_live(mixer);
    return SGP_OK;
}

static sgp_status_t pairs_hold(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_status_t status = wait_for_exchange(mixer, deadline);
    if (status == SGP_OK) status = sgp_progress_take(mixer->progress, deadline);
    if (status == SGP_OK) make_z_live(mixer);
    return status;
}

/* The roles of a graph that may have been formed anew. Nothing is under way then, or it ends as it has begun. */
static void take_roles(sgp_mixer_t *mixer) {
    sgp_pairs_t *pairs = mixer->extra;
    pairs->nodes = sgp_round_seats(mixer, pairs->seats, &pairs->place);
    pairs->active = sgp_pairs_active(pairs->place);
    for (int r = 0; r < mixer->size; r++) pairs->askers[r].is_active = false;
    for (int p = 0; p < pairs->nodes; p++)
        pairs->askers[pairs->seats[p]].is_active = sgp_pairs_active(p);
}

static sgp_status_t pairs_resume(sgp_mixer_t *mixer) {
    take_roles(mixer);
    make_z_seen(mixer);
    sgp_progress_give(mixer->progress);
    return SGP_OK;
}

static void pairs_destroy(sgp_mixer_t *mixer) {
    sgp_pairs_t *pairs = mixer->extra;
    if (!pairs) return;
    sgp_memory_free(pairs->live);
    sgp_memory_free(pairs->seen);
    free(pairs->askers);
    free(pairs->asked);
    free(pairs->seats);
    free(pairs);
}

static sgp_status_t pairs_create(sgp_mixer_t *mixer) {
    sgp_pairs_t *pairs = calloc(1, sizeof *pairs);
    mixer->extra = pairs;
    if (!pairs) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for its algorithm");
    size_t bytes = mixer->length * sizeof(float);
    pairs->left = -1;
    pairs->live = sgp_memory_alloc(bytes);
    pairs->seen = sgp_memory_alloc(bytes);
    pairs->askers = calloc((size_t)mixer->size, sizeof *pairs->askers);
    pairs->asked = calloc((size_t)mixer->size, sizeof *pairs->asked);
    pairs->seats = calloc((size_t)mixer->size, sizeof *pairs->seats);
    if (!pairs->live || !pairs->seen || !pairs->askers || !pairs->asked || !pairs->seats)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->length);
    for (int r = 0; r < mixer->size; r++) pairs->askers[r].ended = sgp_holes_absent(mixer, r);
    pairs->held = true;
    take_roles(mixer);
    return SGP_OK;
}

const sgp_algorithm_ops_t sgp_algorithm_pairs = {
    .create = pairs_create,
    .destroy = pairs_destroy,
    .work = pairs_work,
    .serve = pairs_serve,
    .alone = true,
    .messages = pairs_messages,
    .notices = pairs_notices,
    .step = pairs_step,
    .settle = pairs_settle,
    .hold = pairs_hold,
    .resume = pairs_resume,
};
