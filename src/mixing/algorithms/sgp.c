/* SPDX-License-Identifier: Apache-2.0 */
/* Stochastic Gradient Push in lock step (Assran et al. 2019, algorithm 1): update, push, absorb this step's messages. On
 * a symmetric, doubly stochastic graph it is D-PSGD (Lian et al. 2017): every sender receives from its receiver, and all
 * weights stay 1.
 *
 * The vector moves in chunks, and an arrived chunk is absorbed right after its own place was updated and pushed, while
 * both are in the cache.
 *
 * With several rounds a step is one in parts, given chunk by chunk (push_parts.h): rounds overlap. The bits are those of as
 * many steps of one round, of which only the first has a local update. */
#include "mixing/absorption.h"
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/catch_up.h"
#include "mixing/holes.h"
#include "mixing/late.h"
#include "mixing/outer.h"
#include "mixing/push_parts.h"
#include "mixing/questions.h"
#include "mixing/ranges.h"
#include "mixing/settling.h"

#include "optimizer/optimizer_internal.h"

/* The rounds of a step can all be under way; more than the reach wait for room instead (push.h). */
static unsigned lockstep_messages(const sgp_mixer_t *mixer) {
    enum { MOST = 8 };
    unsigned reach = sgp_push_reach(mixer);
    unsigned rounds = mixer->options.rounds < MOST ? (unsigned)mixer->options.rounds : MOST;
    return (reach > rounds ? reach : rounds) + 1;
}

/* A step of several rounds allocates nothing; nor one whose chunks wait for verdicts, which is made the same way. */
static sgp_status_t lockstep_create(sgp_mixer_t *mixer) {
    return mixer->options.rounds > 1 || mixer->ranges ? sgp_part_step_make(mixer) : SGP_OK;
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

/* Before a step: events, and messages that nobody waits for any more. jumps: steps of this node may be passed over. */
static sgp_status_t look_around(sgp_mixer_t *mixer, bool jumps) {
    if (jumps) sgp_catch_up(mixer);
    sgp_holes_look(mixer);
    sgp_late_before(mixer, mixer->round);
    return sgp_late_absorb(mixer);
}

static sgp_status_t step_in_one_round(sgp_mixer_t *mixer, const sgp_local_t *local,
                                      uint64_t deadline) {
    double kept;
    int count = sgp_push_shares(mixer, mixer->round, mixer->w, &kept);
    sgp_header_t header = sgp_push_header(mixer, mixer->round);
    sgp_send_t send;
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_status_t status =
        sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, count, deadline, &send);
    sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
    if (status != SGP_OK) return status;
    sgp_questions_pushed(mixer, mixer->round, mixer->to, count);
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

/* Without silences nothing is under way between two steps. */
static sgp_status_t lockstep_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    return sgp_settle_late(mixer, deadline);
}

static void lockstep_state(sgp_mixer_t *mixer, sgp_state_t *state) {
    sgp_ranges_state(mixer, state);
}

/* ---- in parts: each chunk leaves when its last element has been given, and is absorbed from then on ---- */

static sgp_status_t begin_exchange(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    sgp_push_parts_init(step, mixer, mixer->w);
    if (!mixer->exchanges) return SGP_OK;
    sgp_status_t status = sgp_push_parts_begin(step, mixer, mixer->w, deadline);
    if (status == SGP_OK) sgp_push_parts_expect(step, mixer, mixer->round, step->push->kept);
    return status;
}

static sgp_status_t parts_begin(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    sgp_status_t status = mixer->holes.elastic ? look_around(mixer, false) : SGP_OK;
    if (mixer->ranges) sgp_ranges_begin_step(mixer);
    return status == SGP_OK ? begin_exchange(mixer, step, deadline) : status;
}

static sgp_status_t chunk_done(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t index,
                               uint64_t deadline) {
    (void)deadline;
    sgp_part_step_done(step, mixer, index);
    return SGP_OK;
}

/* Updates a chunk and copies it in one pass. */
static sgp_status_t give_chunk(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t index) {
    const sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    sgp_send_t *send = &step->push->send;
    bool lossy = sgp_mixer_is_lossy(mixer);
    void *place = sgp_inbox_send_chunk(mixer->inbox, send, index);
    uint64_t mark = sgp_mixer_mark(mixer);
    bool finite = sgp_local_update(mixer, &step->local, step->rate, chunk->begin, chunk->count,
                                   lossy ? NULL : place, send->non_temporal);
    mark = sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, mark);
    if (lossy) finite &= sgp_push_split(mixer, send, place, step->push->share);
    sgp_status_t status = sgp_push_commit(mixer, send, finite);
    if (status == SGP_OK && !lossy) sgp_push_keep_share(mixer, send, step->push->share);
    sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
    return status;
}

/* A chunk whose parts have been updated. */
static sgp_status_t push_chunk(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t index) {
    sgp_send_t *send = &step->push->send;
    uint64_t mark = sgp_mixer_mark(mixer);
    void *place = sgp_inbox_send_chunk(mixer->inbox, send, index);
    bool finite = sgp_push_split(mixer, send, place, step->push->share);
    sgp_status_t status = sgp_push_commit(mixer, send, finite);
    sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
    return status;
}

static sgp_status_t parts_give(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t index,
                               size_t offset, size_t count, bool whole, uint64_t deadline) {
    bool at_once = mixer->exchanges && count == step->chunks.chunk[index].count;
    sgp_status_t status =
        at_once ? give_chunk(mixer, step, index) : sgp_part_step_update(step, mixer, offset, count);
    if (status != SGP_OK || !whole) return status;
    if (mixer->exchanges && !at_once) status = push_chunk(mixer, step, index);
    if (status != SGP_OK) return status;
    return sgp_push_parts_absorb_chunk(step, mixer, index, chunk_done, deadline);
}

static sgp_status_t parts_absorb(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    return sgp_push_parts_absorb(step, mixer, chunk_done, deadline);
}

static sgp_status_t parts_await(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t first,
                                size_t last, uint64_t deadline) {
    return sgp_push_parts_await(step, mixer, chunk_done, first, last, deadline);
}

static sgp_status_t parts_finish(sgp_mixer_t *mixer, sgp_part_step_t *step) {
    if (!mixer->exchanges) return SGP_OK;
    double w = sgp_push_parts_finish(step, mixer);
    if (!mixer->options.biased) mixer->w = w;
    return SGP_OK;
}

static void parts_abandon(sgp_mixer_t *mixer, sgp_part_step_t *step) {
    sgp_push_parts_abandon(step, mixer);
}

static const sgp_part_ops_t lockstep_parts = {
    .begin = parts_begin,
    .give = parts_give,
    .absorb = parts_absorb,
    .await = parts_await,
    .finish = parts_finish,
    .abandon = parts_abandon,
};

/* ---- a whole step ---- */

static sgp_status_t give_all(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    sgp_status_t status = SGP_OK;
    for (size_t c = 0; c < step->chunks.count && status == SGP_OK; c++) {
        const sgp_part_chunk_t *chunk = &step->chunks.chunk[c];
        sgp_part_chunks_give(&step->chunks, c, chunk->begin, chunk->count);
        status = parts_give(mixer, step, c, chunk->begin, chunk->count, true, deadline);
        if (status == SGP_OK) status = parts_absorb(mixer, step, deadline);
        uint64_t mark = sgp_mixer_mark(mixer);
        while (status == SGP_OK && sgp_inbox_send_paced(mixer->inbox, &step->push->send)) {
            sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
            status = parts_absorb(mixer, step, deadline);
            mark = sgp_mixer_mark(mixer);
        }
        sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    }
    return status;
}

static sgp_status_t step_in_rounds(sgp_mixer_t *mixer, const sgp_local_t *local,
                                   uint64_t deadline) {
    sgp_part_step_t *step = mixer->parts;
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_status_t status = begin_exchange(mixer, step, deadline);
    sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
    step->local = *local;
    step->rate = (float)(local->learning_rate / mixer->w);
    if (status == SGP_OK && local->optimizer) sgp_optimizer_begin(local->optimizer);
    if (status == SGP_OK) status = give_all(mixer, step, deadline);
    if (status == SGP_OK) status = parts_await(mixer, step, 0, step->chunks.count - 1, deadline);
    if (status == SGP_OK) return parts_finish(mixer, step);
    parts_abandon(mixer, step);
    return status;
}

static sgp_status_t update_and_exchange(sgp_mixer_t *mixer, const sgp_local_t *local,
                                        uint64_t deadline) {
    if (mixer->graph.size == 1) return sgp_local_update_all(mixer, local);
    if (mixer->options.rounds > 1 || mixer->ranges) return step_in_rounds(mixer, local, deadline);
    return step_in_one_round(mixer, local, deadline);
}

/* The last of the local steps, the outer step that they make, and the exchange. */
static sgp_status_t outer_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    const sgp_local_t nothing = {.held = local->held};
    sgp_status_t status = sgp_local_update_all(mixer, local);
    if (status == SGP_OK) status = sgp_outer_step(mixer);
    if (status == SGP_OK) status = update_and_exchange(mixer, &nothing, deadline);
    if (status == SGP_OK) sgp_outer_anchor(mixer);
    return status;
}

static sgp_status_t lockstep_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    sgp_status_t status = mixer->holes.elastic ? look_around(mixer, true) : SGP_OK;
    if (status != SGP_OK) return status;
    if (mixer->ranges) sgp_ranges_begin_step(mixer);
    if (!mixer->exchanges) return sgp_local_update_all(mixer, local);
    if (sgp_outer_by_push(mixer)) return outer_step(mixer, local, deadline);
    return update_and_exchange(mixer, local, deadline);
}

const sgp_algorithm_ops_t sgp_algorithm_lockstep = {
    .create = lockstep_create,
    .messages = lockstep_messages,
    .step = lockstep_step,
    .parts = &lockstep_parts,
    .settle = lockstep_settle,
    .state = lockstep_state,
};
