/* SPDX-License-Identifier: Apache-2.0 */
/* The calls on a mixer, at the top of the room: mixer.c -> the algorithm -> push.c or reduce.c -> the inbox. */
#include "group/entering.h"
#include "mixing/algorithm.h"
#include "mixing/arrival.h"
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/holes.h"
#include "mixing/late.h"
#include "mixing/mixer_internal.h"
#include "mixing/part_step.h"
#include "mixing/progress_thread.h"
#include "mixing/questions.h"
#include "mixing/round_graph.h"
#include "mixing/slow_update.h"
#include "mixing/status_feed.h"
#include "mixing/workers.h"

#include "base/constants.h"
#include "base/logging.h"
#include "base/memory.h"
#include "mixing/kernels.h"
#include "optimizer/optimizer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 60000

static sgp_status_t check(const sgp_mixer_options_t *options) {
    if (options->count == 0)
        return sgp_fail(SGP_ERR_INVALID, "mixer: count is 0, must be at least 1");
    if (options->count > SIZE_MAX / 8 || options->buffers > SIZE_MAX / 8)
        return sgp_fail(SGP_ERR_INVALID, "mixer: %zu parameters and %zu buffers are too many",
                        options->count, options->buffers);
    if (options->timeout_ms < 0)
        return sgp_fail(SGP_ERR_INVALID, "mixer: timeout is %d ms, must be above 0",
                        options->timeout_ms);
    if ((uintptr_t)options->vector % SGP_ALIGNMENT != 0)
        return sgp_fail(SGP_ERR_INVALID, "mixer: the vector is at %p: must be %d-byte aligned",
                        (void *)options->vector, SGP_ALIGNMENT);
    size_t workers = options->workers ? (size_t)sgp_group_size(options->workers) : 1;
    if ((options->count + options->buffers + 15) / 16 < workers)
        return sgp_fail(
            SGP_ERR_INVALID,
            "mixer: %zu numbers for %zu workers of a node: each worker needs at least 16",
            options->count + options->buffers, workers);
    return SGP_OK;
}

static sgp_status_t allocate(sgp_mixer_t *mixer, float *vector) {
    mixer->all = vector;
    if (!vector) mixer->all = mixer->own = sgp_memory_alloc(mixer->all_length * sizeof *mixer->all);
    size_t seats = (size_t)sgp_group_transport(mixer->group)->capacity;
    mixer->to = calloc(seats + 1, sizeof *mixer->to);
    mixer->weights = calloc(seats, sizeof *mixer->weights);
    if (!mixer->all || !mixer->to || !mixer->weights)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->all_length);
    mixer->z = mixer->all + mixer->first;
    sgp_status_t status = sgp_holes_init(mixer);
    if (status == SGP_OK && mixer->holes.elastic) status = sgp_late_init(mixer);
    if (status == SGP_OK && mixer->holes.elastic) status = sgp_questions_init(mixer);
    if (status == SGP_OK) status = sgp_arrival_init(mixer);
    if (status == SGP_OK) status = sgp_reducer_init(&mixer->reducer, mixer->group, mixer->length);
    return status == SGP_OK ? sgp_workers_init(mixer) : status;
}

/* The vector, and the segment of it that this process mixes: all of it, or a worker's. */
static void init_lengths(sgp_mixer_t *mixer, const sgp_mixer_options_t *options) {
    mixer->all_count = options->count;
    mixer->all_length = options->count + options->buffers;
    sgp_segment_t segment = {0, mixer->all_length};
    if (options->workers && sgp_group_size(options->workers) > 1) {
        mixer->workers.group = options->workers;
        segment = sgp_segment_of(mixer->all_length, sgp_group_rank(options->workers),
                                 sgp_group_size(options->workers));
    }
    size_t parameters = segment.end < options->count ? segment.end : options->count;
    mixer->first = segment.begin;
    mixer->length = segment.end - segment.begin;
    mixer->count = parameters > segment.begin ? parameters - segment.begin : 0;
}

static void init(sgp_mixer_t *mixer, sgp_group_t *group, const sgp_mixer_options_t *options) {
    mixer->group = group;
    mixer->inbox = sgp_group_inbox(group);
    mixer->transport = sgp_group_transport(group);
    mixer->rank = sgp_group_rank(group);
    mixer->size = mixer->transport->capacity;
    mixer->founders = sgp_group_size(group);
    init_lengths(mixer, options);
    int timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    mixer->timeout = (uint64_t)timeout_ms * SGP_MILLISECOND;
    mixer->w = 1;
}

void sgp_mixer_set_timeout(sgp_mixer_t *mixer, uint64_t timeout) {
    mixer->timeout = timeout;
}

static void release(sgp_mixer_t *mixer) {
    sgp_part_step_destroy(mixer);
    sgp_workers_fini(mixer);
    sgp_reducer_fini(&mixer->reducer);
    sgp_questions_fini(mixer);
    sgp_late_fini(mixer);
    sgp_arrival_fini(mixer);
    sgp_holes_fini(mixer);
    sgp_memory_free(mixer->own);
    sgp_memory_free(mixer->outer_momentum);
    sgp_memory_free(mixer->outer_anchor);
    free(mixer->to);
    free(mixer->weights);
    free(mixer);
}

/* The last step that can fail is behind: a caller's vector has kept its contents until here. */
static void set_initial(sgp_mixer_t *mixer, const float *initial) {
    if (initial && initial != mixer->all)
        memcpy(mixer->all, initial, mixer->all_length * sizeof *initial);
    sgp_ledger_init(&mixer->ledger, mixer->z, mixer->length);
    sgp_algorithm_begin_outer(mixer);
}

/* The channels come first: all nodes must count them alike, also a node on which a later call fails. */
static sgp_status_t prepare(sgp_mixer_t *mixer, const sgp_mixer_options_t *options,
                            const float *initial) {
    mixer->channel = sgp_group_new_channel(mixer->group);
    mixer->average_channel = sgp_group_new_channel(mixer->group);
    sgp_status_t status = allocate(mixer, options->vector);
    bool comes = sgp_newcomer_is_entering(mixer->group);
    mixer->options = *options;
    if (status == SGP_OK) status = sgp_arrival_wait(mixer);
    if (status == SGP_OK) status = sgp_algorithm_make(mixer, options);
    if (status != SGP_OK) return status;
    set_initial(mixer, comes ? NULL : initial);
    sgp_arrival_finish(mixer);
    sgp_algorithm_start(mixer);
    return sgp_algorithm_resume(mixer);
}

sgp_status_t sgp_mixer_do_create(sgp_group_t *group, const sgp_mixer_options_t *options,
                                 const float *initial, sgp_mixer_t **mixer) {
    sgp_mixer_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a mixer");
    init(made, group, options);
    sgp_status_t status = check(options);
    sgp_mixer_options_t full;
    if (status == SGP_OK) status = sgp_algorithm_check(made, options, &full);
    bool taken = false; /* from the progress thread of another mixer */
    if (status == SGP_OK) status = sgp_group_take(group, NULL, &taken);
    if (status == SGP_OK) status = prepare(made, &full, initial);
    if (taken) sgp_group_give(group);
    if (status != SGP_OK) {
        release(made);
        return status;
    }
    *mixer = made;
    return SGP_OK;
}

void sgp_mixer_do_destroy(sgp_mixer_t *mixer) {
    if (!mixer) return;
    sgp_status_feed_end(mixer, true);
    sgp_status_feed_stop(mixer);
    sgp_progress_stop(mixer);
    bool taken; /* from the progress thread, which works for other mixers */
    sgp_group_take(mixer->group, NULL, &taken);
    sgp_algorithm_end(mixer);
    sgp_inbox_drop_channel(mixer->inbox, mixer->channel);
    sgp_inbox_drop_channel(mixer->inbox, mixer->average_channel);
    if (sgp_group_has_lease(mixer->group)) sgp_group_give(mixer->group);
    release(mixer);
}

float *sgp_mixer_parameters(sgp_mixer_t *mixer) {
    return mixer->all;
}
float *sgp_mixer_buffers(sgp_mixer_t *mixer) {
    return mixer->all + mixer->all_count;
}

/* Nanoseconds asleep so far, on this node's own thread. */
static uint64_t waited(const sgp_mixer_t *mixer) {
    const sgp_inbox_t *inside = mixer->workers.reducer.inbox;
    return sgp_inbox_waited(mixer->inbox) + mixer->paused + (inside ? sgp_inbox_waited(inside) : 0);
}

static sgp_status_t step_by_algorithm(sgp_mixer_t *mixer, const sgp_local_t *local,
                                      uint64_t deadline) {
    mixer->exchanges = sgp_mixer_ends_round(mixer) && mixer->round >= mixer->entry;
    sgp_transport_at(mixer->transport, mixer->step);
    sgp_status_feed_begin(mixer);
    sgp_flight_step(mixer->transport->flight, mixer->step, mixer->round);
    sgp_transport_attend(mixer->transport, true);
    sgp_status_t status = mixer->ops->step(mixer, local, deadline);
    sgp_transport_attend(mixer->transport, false);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    if (status != SGP_OK) return status;
    sgp_mixer_count_step(mixer);
    return sgp_slow_due(mixer) ? sgp_slow_update(mixer, local->learning_rate, deadline) : SGP_OK;
}

static sgp_status_t step_segment(sgp_mixer_t *mixer, const sgp_local_t *local) {
    sgp_membership_t *membership = sgp_group_membership(mixer->group);
    bool taken;
    sgp_newcomers_begin_step(mixer->group);
    sgp_status_t status = sgp_group_take(mixer->group, sgp_progress_owner(mixer), &taken);
    /* With an agent the watch is called when the agent waits, and when the transport is taken from it. */
    if (status == SGP_OK && !sgp_group_has_lease(mixer->group))
        status = sgp_inbox_look(mixer->inbox, false);
    if (status == SGP_OK && membership) status = sgp_membership_await_quorum(membership);
    uint64_t deadline = sgp_transport_now(mixer->transport) + mixer->timeout; /* after a pause */
    if (status == SGP_OK) status = sgp_arrival_serve(mixer, deadline);
    if (status == SGP_OK) status = step_by_algorithm(mixer, local, deadline);
    if (taken || mixer->progress) sgp_group_give(mixer->group);
    return status;
}

static sgp_status_t step_with_workers(sgp_mixer_t *mixer, sgp_local_t *local) {
    sgp_status_t status = sgp_workers_reduce(mixer, local);
    if (status == SGP_OK) status = step_segment(mixer, local);
    return status == SGP_OK ? sgp_workers_share(mixer) : status;
}

/* An outer update divides by the rate: without one it would be left out in silence. */
static sgp_status_t check_end_of_hold(const sgp_mixer_t *mixer, float learning_rate) {
    if (!sgp_slow_due_at(mixer, mixer->step + 1) || (learning_rate > 0 && isfinite(learning_rate)))
        return SGP_OK;
    return sgp_fail(
        SGP_ERR_INVALID,
        "step: an outer update (slow momentum) is due and needs the learning rate, which "
        "is %g: sgp_mixer_step(mixer, NULL, NULL, rate)",
        (double)learning_rate);
}

/* A hold ends with a step without an optimizer. */
static sgp_status_t check_hold(const sgp_mixer_t *mixer, const sgp_optimizer_t *optimizer,
                               float learning_rate) {
    if (optimizer || !mixer->held) return sgp_mixer_refuse_held(mixer, "step");
    return check_end_of_hold(mixer, learning_rate);
}

sgp_status_t sgp_mixer_do_step(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                               const float *gradient, float learning_rate) {
    sgp_status_t status = check_hold(mixer, optimizer, learning_rate);
    if (status == SGP_OK) status = sgp_mixer_check_step(mixer, optimizer, gradient);
    if (status == SGP_OK) status = sgp_mixer_check_losses(mixer);
    if (status != SGP_OK) return status;
    sgp_local_t local = {optimizer, gradient, learning_rate, mixer->held};
    mixer->held = false;
    uint64_t start = sgp_transport_now(mixer->transport), before = waited(mixer);
    status = sgp_mixer_has_workers(mixer) ? step_with_workers(mixer, &local)
                                          : step_segment(mixer, &local);
    sgp_mixer_statistics_t *statistics = &mixer->statistics;
    statistics->last_step_ns = sgp_transport_now(mixer->transport) - start;
    statistics->last_wait_ns = waited(mixer) - before;
    statistics->step_ns += statistics->last_step_ns;
    statistics->wait_ns += statistics->last_wait_ns;
    if (status == SGP_OK) statistics->steps++;
    sgp_status_feed_end(mixer, false);
    return status;
}

void sgp_mixer_do_statistics(const sgp_mixer_t *mixer, sgp_mixer_statistics_t *statistics) {
    sgp_transport_lock(mixer->transport); /* a progress thread counts, too */
    *statistics = mixer->statistics;
    sgp_transport_unlock(mixer->transport);
    statistics->refused = mixer->transport->counters.refused;
    statistics->resent = mixer->transport->counters.resent;
    statistics->weight = mixer->w;
}

/* ---- changes by the caller ---- */

static sgp_status_t check_change(const sgp_mixer_t *mixer, size_t offset, size_t count,
                                 const float *change) {
    if (offset > mixer->all_length || count > mixer->all_length - offset)
        return sgp_fail(
            SGP_ERR_INVALID,
            "add: %zu elements from element %zu on: must lie within the %zu of the vector", count,
            offset, mixer->all_length);
    if (!change && count > 0) return sgp_fail(SGP_ERR_INVALID, "add: no change is given");
    if (sgp_mixer_accepts(mixer, sgp_is_finite(count, change))) return SGP_OK;
    return sgp_fail_at(SGP_LOG_INFO, SGP_ERR_NOT_FINITE,
                       "add: elements %zu to %zu of the change are not all finite", offset,
                       offset + count - 1);
}

/* z <- z + change / w on the part of [offset, offset + count) that lies in a segment of weight w. */
static void add_to_segment(sgp_mixer_t *mixer, sgp_segment_t segment, double w, size_t offset,
                           size_t count, const float *change) {
    size_t begin = offset > segment.begin ? offset : segment.begin, end = offset + count;
    if (end > segment.end) end = segment.end;
    if (begin < end)
        sgp_add_scaled(end - begin, mixer->all + begin, change + (begin - offset), (float)(1 / w));
}

/* A change of the numerator, like a local step: the ledger enters it at this weight, with the caller's own changes before
 * it. */
static void add_to_own(sgp_mixer_t *mixer, size_t offset, size_t count, const float *change) {
    sgp_segment_t own = {mixer->first, mixer->first + mixer->length};
    add_to_segment(mixer, own, mixer->w, offset, count, change);
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    sgp_ledger_close(&mixer->ledger, mixer->z);
}

/* During a hold each worker has made changes of its own to all of the vector, of which the step will take the mean: so
 * each adds the change to every segment. */
static sgp_status_t add_held(sgp_mixer_t *mixer, size_t offset, size_t count, const float *change) {
    add_to_own(mixer, offset, count, change);
    if (!sgp_mixer_has_workers(mixer)) return SGP_OK;
    int size = sgp_group_size(mixer->workers.group), own = sgp_group_rank(mixer->workers.group);
    double weights[size];
    for (int m = 0; m < size; m++) weights[m] = m == own ? mixer->w : 0;
    sgp_status_t status = sgp_workers_sum(mixer, weights, size);
    for (int m = 0; m < size && status == SGP_OK; m++)
        if (m != own)
            add_to_segment(mixer, sgp_segment_of(mixer->all_length, m, size), weights[m], offset,
                           count, change);
    return status;
}

sgp_status_t sgp_mixer_do_add(sgp_mixer_t *mixer, size_t offset, size_t count,
                              const float *change) {
    sgp_status_t status = check_change(mixer, offset, count, change);
    if (status != SGP_OK || count == 0) return status;
    if (mixer->held) return add_held(mixer, offset, count, change);
    uint64_t deadline = sgp_transport_now(mixer->transport) + mixer->timeout;
    status = sgp_algorithm_hold(mixer, deadline);
    if (status != SGP_OK) return status;
    add_to_own(mixer, offset, count, change);
    status = sgp_algorithm_resume(mixer);
    if (status != SGP_OK || !sgp_mixer_has_workers(mixer)) return status;
    return sgp_workers_share(mixer);
}

/* ---- for the program ---- */

/* The progress thread reads mixer->trace, so it must not work meanwhile. */
void sgp_mixer_trace(sgp_mixer_t *mixer, sgp_trace_t *trace) {
    uint64_t deadline = sgp_transport_now(mixer->transport) + mixer->timeout;
    bool held = !mixer->held && sgp_algorithm_hold(mixer, deadline) == SGP_OK;
    mixer->trace = trace;
    if (held) sgp_algorithm_resume(mixer);
}

/* With nothing under way the workers already have the same z after each step. */
sgp_status_t sgp_mixer_settle(sgp_mixer_t *mixer) {
    if (!mixer->ops->settle) return SGP_OK;
    bool taken; /* from the progress thread of another mixer */
    sgp_status_t status = sgp_group_take(mixer->group, sgp_progress_owner(mixer), &taken);
    if (status == SGP_OK) status = sgp_algorithm_settle(mixer);
    if (taken) sgp_group_give(mixer->group);
    if (status != SGP_OK || !sgp_mixer_has_workers(mixer)) return status;
    return sgp_workers_share(mixer);
}

sgp_status_t sgp_mixer_resume(sgp_mixer_t *mixer) {
    return sgp_algorithm_resume(mixer);
}

void sgp_mixer_state(sgp_mixer_t *mixer, sgp_state_t *state) {
    sgp_ledger_t *ledger = &mixer->ledger;
    sgp_state_add(state, "mixer.z", SGP_STATE_FLOAT32, mixer->all, mixer->all_length);
    sgp_state_add(state, "mixer.weight", SGP_STATE_FLOAT64, &mixer->w, 1);
    sgp_state_add(state, "mixer.step", SGP_STATE_UINT64, &mixer->step, 1);
    sgp_state_add(state, "mixer.round", SGP_STATE_UINT64, &mixer->round, 1);
    sgp_state_add(state, "mixer.ledger", SGP_STATE_FLOAT64, ledger->made, ledger->samples);
    sgp_state_add(state, "mixer.statistics", SGP_STATE_UINT64, &mixer->statistics,
                  offsetof(sgp_mixer_statistics_t, weight) / sizeof(uint64_t));
    if (mixer->outer_kind != SGP_OUTER_NONE) {
        const char *momentum = mixer->outer_kind == SGP_OUTER_SLOW ? "mixer.slow" : "mixer.outer";
        sgp_state_add(state, momentum, SGP_STATE_FLOAT32, mixer->outer_momentum, mixer->count);
        sgp_state_add(state, "mixer.anchor", SGP_STATE_FLOAT32, mixer->outer_anchor, mixer->count);
    }
    if (mixer->ops->state) mixer->ops->state(mixer, state);
}

void sgp_mixer_state_alone(const sgp_mixer_t *mixer, sgp_state_t *state, sgp_alone_t *alone) {
    *alone = (sgp_alone_t){.weight = 1, .settled = mixer->round, .ledger = mixer->ledger};
    sgp_ledger_restart(&alone->ledger, mixer->z, alone->weight);
    for (size_t i = 0; i < state->count; i++) {
        sgp_state_item_t *item = &state->items[i];
        if (strcmp(item->name, "mixer.weight") == 0) item->data = &alone->weight;
        if (strcmp(item->name, "mixer.ledger") == 0) item->data = alone->ledger.made;
        if (strcmp(item->name, "overlap.settled") == 0) item->data = &alone->settled;
    }
}

sgp_status_t sgp_mixer_restored(sgp_mixer_t *mixer) {
    sgp_algorithm_number_rounds(mixer);
    sgp_questions_restart(mixer);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    return sgp_algorithm_resume(mixer);
}

sgp_status_t sgp_mixer_replaced(sgp_mixer_t *mixer) {
    sgp_algorithm_number_rounds(mixer);
    mixer->w = 1;
    sgp_ledger_init(&mixer->ledger, mixer->z, mixer->length);
    return sgp_algorithm_resume(mixer);
}

uint64_t sgp_mixer_steps(const sgp_mixer_t *mixer) {
    return mixer->step;
}

/* A message carries its round, the last step of which ends with the push. Where nodes do not wait, it is numbered by
 * receiver. */
bool sgp_mixer_known_steps(const sgp_mixer_t *mixer, int rank, uint64_t *steps) {
    *steps = 0;
    if (mixer->options.overlap == SGP_OVERLAP_ASYNC ||
        sgp_algorithm_info(mixer->options.algorithm)->unpaced ||
        mixer->options.algorithm == SGP_ALGORITHM_ALLREDUCE)
        return false;
    uint64_t pushed = sgp_inbox_pushed(mixer->inbox, rank);
    sgp_moment_t moment = sgp_round_moment(mixer);
    *steps = pushed > 0 ? sgp_moment_step(&moment, pushed - 1) + 1 : 0;
    return true;
}
