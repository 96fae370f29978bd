/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/parts.h"

#include "group/entering.h"
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/arrival.h"
#include "mixing/mixer_internal.h"
#include "mixing/outer.h"
#include "mixing/part_step.h"
#include "mixing/status_feed.h"

#include "base/logging.h"
#include "optimizer/optimizer_internal.h"
#include "transport/forked.h"

#include <inttypes.h>

/* ---- the frame of each call ---- */

/* The transport is this context's, and times are counted. */
typedef struct frame {
    bool taken; /* from the progress thread, which may work for other mixers */
    uint64_t start, waited, deadline;
} frame_t;

static uint64_t waited(const sgp_mixer_t *mixer) {
    return sgp_inbox_waited(mixer->inbox) + mixer->paused;
}

static sgp_status_t enter(sgp_mixer_t *mixer, frame_t *frame) {
    uint64_t now = sgp_transport_now(mixer->transport);
    *frame = (frame_t){.start = now, .waited = waited(mixer), .deadline = now + mixer->timeout};
    sgp_status_t status = sgp_forked_check(mixer->transport);
    if (status == SGP_OK) status = sgp_group_take(mixer->group, NULL, &frame->taken);
    sgp_transport_attend(mixer->transport, true);
    return status;
}

static void count_times(sgp_mixer_t *mixer, const frame_t *frame) {
    sgp_mixer_statistics_t *statistics = &mixer->statistics;
    uint64_t spent = sgp_transport_now(mixer->transport) - frame->start;
    uint64_t slept = waited(mixer) - frame->waited;
    statistics->step_ns += spent;
    statistics->wait_ns += slept;
    statistics->last_step_ns += spent;
    statistics->last_wait_ns += slept;
}

/* A step that meets an error is over, and the run is over for this mixer. */
static void fail(sgp_mixer_t *mixer, sgp_status_t status) {
    sgp_part_step_t *step = mixer->parts;
    mixer->ops->parts->abandon(mixer, step);
    step->phase = SGP_PARTS_FAILED;
    step->failure = status;
}

static sgp_status_t leave(sgp_mixer_t *mixer, const frame_t *frame, sgp_status_t status) {
    if (status != SGP_OK) fail(mixer, status);
    sgp_transport_attend(mixer->transport, false);
    if (frame->taken || mixer->progress) sgp_group_give(mixer->group);
    count_times(mixer, frame);
    if (mixer->parts->phase == SGP_PARTS_NONE) sgp_status_feed_end(mixer, false);
    return status;
}

/* SGP_OK: the mixer's step in parts, if there was one, has not failed. */
static sgp_status_t check_failure(const sgp_mixer_t *mixer) {
    const sgp_part_step_t *step = mixer->parts;
    if (!step || step->phase != SGP_PARTS_FAILED) return SGP_OK;
    return sgp_fail(step->failure,
                    "the run is over for this mixer: its step %" PRIu64 " in parts has failed (%s)",
                    mixer->step, sgp_status_message(step->failure));
}

static sgp_part_phase_t phase_of(const sgp_mixer_t *mixer) {
    return mixer->parts ? mixer->parts->phase : SGP_PARTS_NONE;
}

/* ---- begin ---- */

static bool is_slow_update_due(const sgp_mixer_t *mixer) {
    int every = mixer->options.slow_every;
    return every > 0 && (mixer->step + 1) % (uint64_t)every == 0;
}

static bool is_outer_push_due(const sgp_mixer_t *mixer) {
    return sgp_outer_by_push(mixer) && sgp_mixer_ends_round(mixer);
}

static sgp_status_t check_support(const sgp_mixer_t *mixer) {
    const char *what = NULL;
    if (mixer->options.algorithm == SGP_ALGORITHM_ADPSGD) what = "adpsgd";
    else if (sgp_mixer_has_workers(mixer)) what = "workers";
    else if (mixer->options.overlap == SGP_OVERLAP_ASYNC) what = "an overlap without bound";
    else if (mixer->ops == &sgp_algorithm_library_allreduce) what = "an all-reduce by the library";
    else if (is_slow_update_due(mixer)) what = "slow momentum, which is due in this step";
    else if (is_outer_push_due(mixer)) what = "an outer step by push, which is due in this step";
    else if (!mixer->ops->parts) what = sgp_algorithm_name(mixer->options.algorithm);
    if (!what) return SGP_OK;
    return sgp_fail(SGP_ERR_UNSUPPORTED, "begin: no step in parts with %s; sgp_mixer_step works",
                    what);
}

static sgp_status_t begin(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_part_step_t *step = mixer->parts;
    if (!sgp_group_has_lease(mixer->group)) {
        sgp_status_t status = sgp_inbox_look(mixer->inbox, false);
        if (status != SGP_OK) return status;
    }
    mixer->exchanges = sgp_mixer_ends_round(mixer) && mixer->round >= mixer->entry;
    sgp_status_feed_begin(mixer);
    sgp_flight_step(mixer->transport->flight, mixer->step, mixer->round);
    sgp_status_t status = mixer->ops->parts->begin(mixer, step, deadline);
    step->rate = (float)(step->local.learning_rate / mixer->w); /* begin can take weight back */
    if (status == SGP_OK && step->local.optimizer) sgp_optimizer_begin(step->local.optimizer);
    return status;
}

sgp_status_t sgp_mixer_do_begin(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                                const float *gradient, float learning_rate) {
    frame_t frame;
    sgp_status_t status = sgp_parts_complete(mixer, "begin");
    if (status == SGP_OK) status = sgp_mixer_refuse_held(mixer, "begin");
    if (status == SGP_OK) status = sgp_mixer_check_step(mixer, optimizer, gradient);
    if (status == SGP_OK) status = check_support(mixer);
    if (status == SGP_OK) status = sgp_mixer_check_losses(mixer);
    if (status == SGP_OK) status = sgp_part_step_make(mixer);
    if (status != SGP_OK) return status;
    mixer->parts->phase = SGP_PARTS_GIVEN;
    mixer->parts->local =
        (sgp_local_t){.optimizer = optimizer, .gradient = gradient, .learning_rate = learning_rate};
    mixer->statistics.last_step_ns = mixer->statistics.last_wait_ns = 0;
    sgp_newcomers_begin_step(mixer->group);
    status = enter(mixer, &frame);
    if (status == SGP_OK) status = sgp_arrival_serve(mixer, frame.deadline);
    if (status == SGP_OK) status = begin(mixer, frame.deadline);
    leave(mixer, &frame, status);
    if (status == SGP_ERR_NO_MEMORY) mixer->parts->phase = SGP_PARTS_NONE; /* nothing has moved */
    return status;
}

/* ---- part ---- */

static sgp_status_t check_range(const sgp_mixer_t *mixer, const char *call, size_t offset,
                                size_t count) {
    if (offset <= mixer->all_length && count <= mixer->all_length - offset) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "%s: %zu elements from element %zu on: must lie within the %zu of the vector",
                    call, count, offset, mixer->all_length);
}

static sgp_status_t check_part(const sgp_mixer_t *mixer, size_t offset, size_t count) {
    sgp_status_t status = check_failure(mixer);
    if (status != SGP_OK) return status;
    if (phase_of(mixer) != SGP_PARTS_GIVEN)
        return sgp_fail(SGP_ERR_INVALID, "part: no step has begun; sgp_mixer_begin comes first");
    status = check_range(mixer, "part", offset, count);
    if (status != SGP_OK || count == 0) return status;
    if (sgp_part_chunks_are_missing(&mixer->parts->chunks, offset, count)) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "part: of %zu elements from element %zu on some have been given in this step",
                    count, offset);
}

static sgp_status_t give(sgp_mixer_t *mixer, size_t offset, size_t count, uint64_t deadline) {
    const sgp_part_ops_t *ops = mixer->ops->parts;
    sgp_part_step_t *step = mixer->parts;
    size_t end = offset + count, index = sgp_part_chunks_at(&step->chunks, offset);
    for (sgp_status_t status; offset < end; index++) {
        const sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
        size_t stop = chunk->begin + chunk->count, here = (end < stop ? end : stop) - offset;
        bool whole = sgp_part_chunks_give(&step->chunks, index, offset, here);
        status = ops->give(mixer, step, index, offset, here, whole, deadline);
        if (status != SGP_OK) return status;
        offset += here;
    }
    return ops->absorb(mixer, step, deadline);
}

sgp_status_t sgp_mixer_do_part(sgp_mixer_t *mixer, size_t offset, size_t count) {
    frame_t frame;
    sgp_status_t status = check_part(mixer, offset, count);
    if (status != SGP_OK || count == 0) return status;
    status = enter(mixer, &frame);
    if (status == SGP_OK) status = give(mixer, offset, count, frame.deadline);
    return leave(mixer, &frame, status);
}

/* ---- end and wait ---- */

/* Once the last chunk is as after the step. */
static sgp_status_t finish(sgp_mixer_t *mixer) {
    sgp_part_step_t *step = mixer->parts;
    if (step->chunks.undone > 0) return SGP_OK;
    sgp_status_t status = mixer->ops->parts->finish(mixer, step);
    if (status != SGP_OK) return status;
    step->phase = SGP_PARTS_NONE;
    sgp_mixer_count_step(mixer);
    mixer->statistics.steps++;
    return SGP_OK;
}

static sgp_status_t end(sgp_mixer_t *mixer, uint64_t deadline) {
    const sgp_part_ops_t *ops = mixer->ops->parts;
    mixer->parts->phase = SGP_PARTS_ENDED;
    sgp_status_t status = (ops->end ? ops->end : ops->absorb)(mixer, mixer->parts, deadline);
    return status == SGP_OK ? finish(mixer) : status;
}

sgp_status_t sgp_mixer_do_end(sgp_mixer_t *mixer) {
    frame_t frame;
    sgp_status_t status = check_failure(mixer);
    if (status != SGP_OK) return status;
    if (phase_of(mixer) != SGP_PARTS_GIVEN)
        return sgp_fail(SGP_ERR_INVALID, "end: no step has begun; sgp_mixer_begin comes first");
    if (mixer->parts->chunks.missing > 0)
        return sgp_fail(SGP_ERR_INVALID, "end: element %zu of the vector has not been given",
                        sgp_part_chunks_first_missing(&mixer->parts->chunks));
    status = enter(mixer, &frame);
    if (status == SGP_OK) status = end(mixer, frame.deadline);
    return leave(mixer, &frame, status);
}

/* For a range of a step that has ended; count > 0. */
static sgp_status_t await(sgp_mixer_t *mixer, size_t offset, size_t count) {
    frame_t frame;
    sgp_part_step_t *step = mixer->parts;
    size_t first = sgp_part_chunks_at(&step->chunks, offset);
    size_t last = sgp_part_chunks_at(&step->chunks, offset + count - 1);
    sgp_status_t status = enter(mixer, &frame);
    if (status == SGP_OK)
        status = mixer->ops->parts->await(mixer, step, first, last, frame.deadline);
    if (status == SGP_OK) status = finish(mixer);
    return leave(mixer, &frame, status);
}

sgp_status_t sgp_mixer_do_wait(sgp_mixer_t *mixer, size_t offset, size_t count) {
    sgp_status_t status = check_failure(mixer);
    if (status == SGP_OK) status = check_range(mixer, "wait", offset, count);
    if (status != SGP_OK) return status;
    if (phase_of(mixer) == SGP_PARTS_GIVEN)
        return sgp_fail(SGP_ERR_INVALID, "wait: the step has not ended; sgp_mixer_end comes first");
    if (phase_of(mixer) == SGP_PARTS_NONE || count == 0) return SGP_OK;
    return await(mixer, offset, count);
}

/* ---- for the other calls ---- */

sgp_status_t sgp_parts_complete(sgp_mixer_t *mixer, const char *call) {
    sgp_status_t status = check_failure(mixer);
    if (status != SGP_OK) return status;
    if (phase_of(mixer) == SGP_PARTS_GIVEN)
        return sgp_fail(SGP_ERR_INVALID,
                        "%s: a step in parts has begun; its parts and sgp_mixer_end come first",
                        call);
    return phase_of(mixer) == SGP_PARTS_ENDED ? await(mixer, 0, mixer->length) : SGP_OK;
}

void sgp_parts_destroy(sgp_mixer_t *mixer) {
    sgp_part_step_t *step = mixer->parts;
    if (!step) return;
    if (step->phase == SGP_PARTS_GIVEN || step->phase == SGP_PARTS_ENDED) {
        bool taken; /* from the progress thread, which may work for other mixers */
        sgp_group_take(mixer->group, NULL, &taken);
        mixer->ops->parts->abandon(mixer, step);
        if (taken) sgp_group_give(mixer->group);
    }
    sgp_part_step_destroy(mixer);
}
