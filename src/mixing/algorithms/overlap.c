/* SPDX-License-Identifier: Apache-2.0 */
/* Stochastic Gradient Push with overlap (Assran et al. 2019, algorithm 2): a message may be tau steps late, so it travels
 * while gradients are computed.
 *
 *   step k: update; absorb the messages of step k - tau, waiting for them; push
 *
 * The push comes last, so that it carries what was just absorbed: with tau = 1 the nodes mix exactly as in lock step, and
 * only the gradient is taken at parameters without the message under way. Between steps z holds the kept share of the
 * mass, w = 1 / (1 + tau) in the steady state with one peer. The numerator moves by the full lr d all the same.
 *
 * The sender adds the rounding error of a push to z before its next update. Until then z is the vector that was sent.
 *
 * The progress thread copies a large vector (SGP_PROGRESS_BYTES) while the next gradient is computed: both only read z. A
 * small one leaves at once. */
#include "mixing/absorption.h"
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/catch_up.h"
#include "mixing/holes.h"
#include "mixing/late.h"
#include "mixing/round_graph.h"
#include "mixing/progress_thread.h"
#include "mixing/push_parts.h"
#include "mixing/questions.h"
#include "mixing/settling.h"

#include "base/constants.h"
#include "base/logging.h"
#include "base/memory.h"
#include "optimizer/optimizer_internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct overlap {
    uint64_t settled;    /* messages of rounds before it have been absorbed */
    sgp_edge_t *senders; /* (max degree) */
    /* The push that the progress thread copies. */
    sgp_destination_t *to; /* (size) */
    int destinations;
    uint64_t round;
    float *buffers;          /* (S) copies: the caller changes its own meanwhile */
    sgp_rounding_t rounding; /* owed to z since the last push */
    uint32_t *largest;       /* (blocks) for steps in parts; NULL: the encoding has no blocks */
    sgp_send_t send;
    bool begun; /* send is under way */
} overlap_t;

/* As in lock step, and the late ones. */
static unsigned overlap_messages(const sgp_mixer_t *mixer) {
    return sgp_push_reach(mixer) + (unsigned)mixer->options.overlap + 1;
}

/* On the progress thread. */
static sgp_status_t begin_later(sgp_mixer_t *mixer, sgp_work_t *left) {
    overlap_t *overlap = mixer->extra;
    sgp_header_t header = sgp_push_header(mixer, overlap->round);
    sgp_status_t status = sgp_inbox_send_try(mixer->inbox, &header, overlap->to,
                                             overlap->destinations, &overlap->send);
    overlap->begun = status == SGP_OK;
    if (status != SGP_ERR_AGAIN) return status;
    sgp_inbox_collect(mixer->inbox); /* late messages are folded by the next look */
    sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_ROOM,
                   overlap->destinations == 1 ? overlap->to->dst : -1, overlap->round);
    if (sgp_progress_must_end(mixer->progress)) *left = SGP_WORK_DONE;
    return SGP_OK;
}

/* Chunk by chunk until the push is complete, or the node wants the transport for another mixer. */
static sgp_status_t copy_later(sgp_mixer_t *mixer, sgp_work_t *left) {
    overlap_t *overlap = mixer->extra;
    for (void *place; (place = sgp_inbox_send_next(mixer->inbox, &overlap->send));) {
        bool finite = sgp_push_copy(mixer, &overlap->send, overlap->buffers, place);
        sgp_status_t status = sgp_push_commit(mixer, &overlap->send, finite);
        if (status != SGP_OK) return status;
        if (sgp_progress_recalled(mixer->progress)) return SGP_OK;
    }
    overlap->begun = false;
    *left = SGP_WORK_DONE;
    return SGP_OK;
}

static sgp_status_t push_later(sgp_mixer_t *mixer, sgp_work_t *left) {
    overlap_t *overlap = mixer->extra;
    uint64_t mark = sgp_mixer_mark(mixer);
    *left = SGP_WORK_UNFINISHED;
    sgp_status_t status = overlap->begun ? SGP_OK : begin_later(mixer, left);
    if (status == SGP_OK && overlap->begun) status = copy_later(mixer, left);
    sgp_trace_end(mixer->trace, SGP_TRACE_MESSAGES, SGP_TRACE_PUSH, mark);
    return status;
}

static void overlap_destroy(sgp_mixer_t *mixer) {
    overlap_t *overlap = mixer->extra;
    if (!overlap) return;
    sgp_memory_free(overlap->buffers);
    sgp_memory_free(overlap->largest);
    free(overlap->senders);
    free(overlap->to);
    free(overlap);
}

/* Of this round and those that are to come. */
static uint64_t first_exchanged(const sgp_mixer_t *mixer) {
    return mixer->round > mixer->entry ? mixer->round : mixer->entry;
}

static sgp_status_t overlap_create(sgp_mixer_t *mixer) {
    overlap_t *overlap = calloc(1, sizeof *overlap);
    mixer->extra = overlap;
    if (!overlap) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for its algorithm");
    size_t buffers = mixer->length - mixer->count;
    overlap->settled = first_exchanged(mixer);
    overlap->senders = calloc(sgp_holes_degree(mixer) + 1, sizeof *overlap->senders);
    overlap->to = calloc((size_t)mixer->transport->capacity, sizeof *overlap->to);
    overlap->buffers = sgp_memory_alloc((buffers + 1) * sizeof *overlap->buffers);
    if (!overlap->senders || !overlap->to || !overlap->buffers)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu buffers", buffers);
    if (!sgp_encoding_has_blocks(mixer->options.encoding)) return SGP_OK;
    size_t blocks = sgp_mixer_blocks(mixer);
    overlap->largest = sgp_memory_alloc(blocks * sizeof *overlap->largest);
    if (!overlap->largest)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu blocks", blocks);
    return SGP_OK;
}

static bool overlap_has_progress(const sgp_mixer_t *mixer) {
    return mixer->length * sizeof(float) >= SGP_PROGRESS_BYTES;
}

static sgp_status_t take(sgp_mixer_t *mixer, uint64_t deadline) {
    return mixer->progress ? sgp_progress_take(mixer->progress, deadline) : SGP_OK;
}

/* A step without arrivals. */
static sgp_status_t update_alone(sgp_mixer_t *mixer, const sgp_local_t *local) {
    overlap_t *overlap = mixer->extra;
    sgp_rounding_settle(&overlap->rounding, mixer);
    return sgp_local_update_all(mixer, local);
}

/* Update and absorb, chunk by chunk while it is in the cache; waits for late chunks at the end. */
static sgp_status_t update_and_absorb(sgp_mixer_t *mixer, const sgp_local_t *local,
                                      uint64_t deadline) {
    overlap_t *overlap = mixer->extra;
    uint64_t late = (uint64_t)mixer->options.overlap;
    if (mixer->round < overlap->settled + late) /* nothing was sent so long ago */
        return update_alone(mixer, local);
    sgp_absorption_t absorption;
    sgp_absorption_begin(&absorption, mixer, mixer->round - late, mixer->w, overlap->senders);
    if (local->optimizer) sgp_optimizer_begin(local->optimizer);
    float rate = (float)(local->learning_rate / mixer->w);
    for (size_t offset = 0; offset < mixer->length;) {
        size_t count = sgp_mixer_chunk_at(mixer, offset);
        uint64_t mark = sgp_mixer_mark(mixer);
        sgp_rounding_pay(&overlap->rounding, mixer, offset, count);
        bool finite = sgp_local_update(mixer, local, rate, offset, count, NULL, false);
        mark = sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, mark);
        if (!sgp_mixer_accepts(mixer, finite))
            return sgp_mixer_refuse(mixer, "parameters", offset, count);
        offset += count;
        sgp_status_t status = sgp_absorption_ready(&absorption, mixer, offset);
        sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
        if (status != SGP_OK) return status;
    }
    overlap->rounding.part = 0;
    return sgp_absorption_finish(&absorption, mixer, deadline);
}

static void keep_buffers(sgp_mixer_t *mixer) {
    overlap_t *overlap = mixer->extra;
    memcpy(overlap->buffers, mixer->z + mixer->count,
           (mixer->length - mixer->count) * sizeof *overlap->buffers);
}

static void hand_over(sgp_mixer_t *mixer, int destinations) {
    overlap_t *overlap = mixer->extra;
    memcpy(overlap->to, mixer->to, (size_t)destinations * sizeof *overlap->to);
    keep_buffers(mixer);
    overlap->destinations = destinations;
    overlap->round = mixer->round;
    sgp_progress_give(mixer->progress);
}

/* share: the kept part of the weight. owed: z gets the rounding error later. */
static sgp_status_t push_now(sgp_mixer_t *mixer, int destinations, double share, bool owed,
                             uint64_t deadline) {
    overlap_t *overlap = mixer->extra;
    sgp_header_t header = sgp_push_header(mixer, mixer->round);
    sgp_send_t send;
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_status_t status =
        sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, destinations, deadline, &send);
    if (status != SGP_OK) return status;
    for (void *place; (place = sgp_inbox_send_next(mixer->inbox, &send));) {
        bool finite = owed ? sgp_push_copy(mixer, &send, overlap->buffers, place)
                           : sgp_push_split(mixer, &send, place, share);
        status = sgp_push_commit(mixer, &send, finite);
        if (status != SGP_OK) return status;
    }
    sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
    return SGP_OK;
}

/* The first round whose messages this step may wait for. */
static uint64_t first_awaited(const sgp_mixer_t *mixer) {
    uint64_t late = (uint64_t)mixer->options.overlap;
    return mixer->round > late ? mixer->round - late : 0;
}

/* What is owed to z is a part of the weight that was kept: it is paid before weight comes back or is added. jumps: a step
 * of this node may be passed over. */
static sgp_status_t look_around(sgp_mixer_t *mixer, bool jumps) {
    overlap_t *overlap = mixer->extra;
    if (sgp_holes_are_due(mixer)) sgp_rounding_settle(&overlap->rounding, mixer);
    if (jumps) sgp_catch_up(mixer);
    sgp_holes_look(mixer);
    sgp_late_before(mixer, first_awaited(mixer));
    if (sgp_late_is_due(mixer)) sgp_rounding_settle(&overlap->rounding, mixer);
    return sgp_late_absorb(mixer);
}

static sgp_status_t overlap_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    overlap_t *overlap = mixer->extra;
    sgp_status_t status = take(mixer, deadline);
    if (status == SGP_OK && mixer->holes.elastic) status = look_around(mixer, true);
    if (status != SGP_OK) return status;
    if (!mixer->exchanges) return update_alone(mixer, local);
    status = update_and_absorb(mixer, local, deadline);
    if (status != SGP_OK) return status;
    double kept, before = mixer->w;
    int destinations = sgp_push_shares(mixer, mixer->round, before, &kept);
    sgp_questions_pushed(mixer, mixer->round, mixer->to, destinations);
    /* A caller that changes z without a hold does so before the next step. */
    bool stays = (local->optimizer || local->held) && !mixer->options.biased;
    bool owed = stays && sgp_mixer_is_lossy(mixer);
    if (owed) keep_buffers(mixer);
    if (owed) overlap->rounding = sgp_rounding_of(mixer, before, kept, overlap->buffers);
    if (stays && mixer->progress) hand_over(mixer, destinations);
    else status = push_now(mixer, destinations, kept / before, owed, deadline);
    if (!mixer->options.biased) mixer->w = kept;
    sgp_push_sent(mixer, destinations);
    return status;
}

static sgp_status_t overlap_hold(sgp_mixer_t *mixer, uint64_t deadline) {
    overlap_t *overlap = mixer->extra;
    sgp_status_t status = take(mixer, deadline);
    if (status == SGP_OK) sgp_rounding_settle(&overlap->rounding, mixer);
    return status;
}

static sgp_status_t overlap_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    overlap_t *overlap = mixer->extra;
    uint64_t late = (uint64_t)mixer->options.overlap;
    uint64_t round = mixer->round > late ? mixer->round - late : 0;
    if (round < overlap->settled) round = overlap->settled;
    sgp_status_t status = overlap_hold(mixer, deadline);
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    for (; round < mixer->round && status == SGP_OK; round++) {
        sgp_absorption_t absorption;
        sgp_absorption_begin(&absorption, mixer, round, mixer->w, overlap->senders);
        status = sgp_absorption_finish(&absorption, mixer, deadline);
    }
    overlap->settled = first_exchanged(mixer);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    return status == SGP_OK ? sgp_settle_late(mixer, deadline) : status;
}

/* ---- in parts: a chunk is absorbed once its last element has been given, and then leaves ----
 * This node copies it, not the progress thread: it leaves while the gradient is still being computed. */

static sgp_status_t parts_begin(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    overlap_t *overlap = mixer->extra;
    uint64_t late = (uint64_t)mixer->options.overlap;
    sgp_status_t status = take(mixer, deadline);
    if (status == SGP_OK && mixer->holes.elastic) status = look_around(mixer, false);
    sgp_rounding_in_parts(&overlap->rounding, mixer, overlap->largest);
    sgp_push_parts_init(step, mixer, mixer->w);
    if (mixer->exchanges && mixer->round >= overlap->settled + late)
        sgp_push_parts_expect(step, mixer, mixer->round - late, mixer->w);
    return status;
}

static void keep_buffers_of(sgp_mixer_t *mixer, const sgp_part_chunk_t *chunk) {
    overlap_t *overlap = mixer->extra;
    size_t end = chunk->begin + chunk->count;
    size_t begin = chunk->begin > mixer->count ? chunk->begin : mixer->count;
    if (begin < end)
        memcpy(overlap->buffers + (begin - mixer->count), mixer->z + begin,
               (end - begin) * sizeof *overlap->buffers);
}

/* The push leaves z as it is, and the rounding error is added later. */
static bool owes(const sgp_mixer_t *mixer, const sgp_local_t *local) {
    return local->optimizer && !mixer->options.biased && sgp_mixer_is_lossy(mixer);
}

/* It has been absorbed: the weight that is pushed is known from the first such chunk on. */
static sgp_status_t chunk_absorbed(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t index,
                                   uint64_t deadline) {
    overlap_t *overlap = mixer->extra;
    sgp_push_parts_t *push = step->push;
    const sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    sgp_status_t status = SGP_OK;
    if (mixer->exchanges && !push->begun)
        status = sgp_push_parts_begin(step, mixer, mixer->options.biased ? mixer->w : chunk->w,
                                      deadline);
    if (mixer->exchanges && status == SGP_OK) {
        bool owed = owes(mixer, &step->local);
        void *place = sgp_inbox_send_chunk(mixer->inbox, &push->send, index);
        if (owed) keep_buffers_of(mixer, chunk);
        bool finite = owed ? sgp_push_copy(mixer, &push->send, overlap->buffers, place)
                           : sgp_push_split(mixer, &push->send, place, push->share);
        status = sgp_push_commit(mixer, &push->send, finite);
    }
    if (status == SGP_OK) sgp_part_step_done(step, mixer, index);
    return status;
}

static sgp_status_t parts_give(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t index,
                               size_t offset, size_t count, bool whole, uint64_t deadline) {
    overlap_t *overlap = mixer->extra;
    sgp_rounding_pay(&overlap->rounding, mixer, offset, count);
    sgp_status_t status = sgp_part_step_update(step, mixer, offset, count);
    if (status != SGP_OK || !whole) return status;
    return sgp_push_parts_absorb_chunk(step, mixer, index, chunk_absorbed, deadline);
}

static sgp_status_t parts_absorb(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    return sgp_push_parts_absorb(step, mixer, chunk_absorbed, deadline);
}

static sgp_status_t parts_await(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t first,
                                size_t last, uint64_t deadline) {
    return sgp_push_parts_await(step, mixer, chunk_absorbed, first, last, deadline);
}

/* A chunk that waited for the caller's next call would reach its receivers after the next gradient's first part. */
static sgp_status_t parts_end(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    return parts_await(mixer, step, 0, step->chunks.count - 1, deadline);
}

static sgp_status_t parts_finish(sgp_mixer_t *mixer, sgp_part_step_t *step) {
    overlap_t *overlap = mixer->extra;
    overlap->rounding.part = 0;
    if (!mixer->exchanges) return SGP_OK;
    /* The weight of a message that was found torn after the push had begun is in it: some mass is made (holes.h). */
    double before = step->push->pushed, kept = step->push->kept;
    sgp_push_parts_finish(step, mixer);
    if (owes(mixer, &step->local))
        overlap->rounding = sgp_rounding_of(mixer, before, kept, overlap->buffers);
    if (!mixer->options.biased) mixer->w = kept;
    return SGP_OK;
}

static void parts_abandon(sgp_mixer_t *mixer, sgp_part_step_t *step) {
    sgp_push_parts_abandon(step, mixer);
}

static const sgp_part_ops_t overlap_parts = {
    .begin = parts_begin,
    .give = parts_give,
    .absorb = parts_absorb,
    .end = parts_end,
    .await = parts_await,
    .finish = parts_finish,
    .abandon = parts_abandon,
};

static void overlap_state(sgp_mixer_t *mixer, sgp_state_t *state) {
    overlap_t *overlap = mixer->extra;
    sgp_state_add(state, "overlap.settled", SGP_STATE_UINT64, &overlap->settled, 1);
}

const sgp_algorithm_ops_t sgp_algorithm_overlap = {
    .create = overlap_create,
    .destroy = overlap_destroy,
    .has_progress = overlap_has_progress,
    .work = push_later,
    .messages = overlap_messages,
    .step = overlap_step,
    .parts = &overlap_parts,
    .settle = overlap_settle,
    .hold = overlap_hold,
    .state = overlap_state,
};
