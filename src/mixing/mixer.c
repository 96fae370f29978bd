/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithm.h"
#include "mixing/progress_thread.h"
#include "mixing/workers.h"

#include "base/constants.h"
#include "base/logging.h"
#include "base/memory.h"
#include "mixing/kernels.h"
#include "optimizer/optimizer_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 60000

static const struct {
    sgp_algorithm_t algorithm;
    const char *name;
} names[] = {
    {SGP_ALGORITHM_SGP, "sgp"},       {SGP_ALGORITHM_ALLREDUCE, "allreduce"},
    {SGP_ALGORITHM_OSGP, "osgp"},     {SGP_ALGORITHM_DPSGD, "dpsgd"},
    {SGP_ALGORITHM_ADPSGD, "adpsgd"},
};

#define ALGORITHMS (sizeof names / sizeof *names)

const char *sgp_algorithm_name(sgp_algorithm_t algorithm) {
    for (size_t i = 0; i < ALGORITHMS; i++)
        if (names[i].algorithm == algorithm) return names[i].name;
    return "unknown";
}

sgp_status_t sgp_algorithm_parse(const char *name, sgp_algorithm_t *algorithm) {
    for (size_t i = 0; i < ALGORITHMS; i++)
        if (!strcmp(names[i].name, name)) return *algorithm = names[i].algorithm, SGP_OK;
    return SGP_ERR_NOT_FOUND;
}

static sgp_status_t check(const sgp_mixer_options_t *options) {
    if (options->count == 0)
        return sgp_fail(SGP_ERR_INVALID, "mixer: count is 0, must be at least 1");
    if (options->count > SIZE_MAX / 8 || options->buffers > SIZE_MAX / 8)
        return sgp_fail(SGP_ERR_INVALID, "mixer: %zu parameters and %zu buffers are too many",
                        options->count, options->buffers);
    if (options->timeout_ms < 0)
        return sgp_fail(SGP_ERR_INVALID, "mixer: timeout is %d ms, must be above 0",
                        options->timeout_ms);
    size_t workers = options->workers ? (size_t)sgp_group_size(options->workers) : 1;
    if ((options->count + options->buffers + 15) / 16 < workers)
        return sgp_fail(SGP_ERR_INVALID,
                        "mixer: %zu numbers for %zu workers of a node: each needs 16",
                        options->count + options->buffers, workers);
    return SGP_OK;
}

static sgp_status_t allocate(sgp_mixer_t *mixer) {
    mixer->all = sgp_memory_alloc(mixer->all_length * sizeof *mixer->all);
    mixer->to = calloc((size_t)mixer->size + 1, sizeof *mixer->to);
    mixer->weights = calloc((size_t)mixer->size, sizeof *mixer->weights);
    if (!mixer->all || !mixer->to || !mixer->weights)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->all_length);
    mixer->z = mixer->all + mixer->first;
    sgp_status_t status = sgp_reducer_init(&mixer->reducer, mixer->group, mixer->length);
    return status == SGP_OK ? sgp_workers_init(mixer) : status;
}

/* The vector, and what of it this process mixes: all, or a worker's segment. */
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
    mixer->size = sgp_group_size(group);
    init_lengths(mixer, options);
    int timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    mixer->timeout = (uint64_t)timeout_ms * SGP_MILLISECOND;
    mixer->w = 1;
}

static void release(sgp_mixer_t *mixer) {
    sgp_workers_fini(mixer);
    sgp_reducer_fini(&mixer->reducer);
    sgp_memory_free(mixer->all);
    sgp_memory_free(mixer->slow);
    sgp_memory_free(mixer->anchor);
    free(mixer->to);
    free(mixer->weights);
    free(mixer);
}

/* The channels come first: they are counted alike on all nodes, also where something fails. */
static sgp_status_t prepare(sgp_mixer_t *mixer, const sgp_mixer_options_t *options,
                            const float *initial) {
    mixer->channel = sgp_group_new_channel(mixer->group);
    mixer->average_channel = sgp_group_new_channel(mixer->group);
    sgp_status_t status = allocate(mixer);
    if (status != SGP_OK) return status;
    if (initial) memcpy(mixer->all, initial, mixer->all_length * sizeof *initial);
    sgp_ledger_init(&mixer->ledger, mixer->z, mixer->length);
    status = sgp_algorithm_make(mixer, options);
    if (status != SGP_OK) return status;
    sgp_algorithm_start(mixer);
    return sgp_mixer_resume(mixer);
}

sgp_status_t sgp_mixer_do_create(sgp_group_t *group, const sgp_mixer_options_t *options,
                                 const float *initial, sgp_mixer_t **mixer) {
    sgp_mixer_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a mixer");
    init(made, group, options);
    sgp_status_t status = check(options);
    sgp_mixer_options_t wanted;
    if (status == SGP_OK) status = sgp_algorithm_check(made, options, &wanted);
    bool taken = false; /* from the courier of another mixer */
    if (status == SGP_OK) status = sgp_group_take(group, made, &taken);
    if (status == SGP_OK) status = prepare(made, &wanted, initial);
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
    sgp_courier_stop(mixer);
    bool taken; /* the courier of another mixer may be at the transport */
    sgp_group_take(mixer->group, mixer, &taken);
    sgp_algorithm_end(mixer);
    sgp_inbox_drop_channel(mixer->inbox, mixer->channel);
    sgp_inbox_drop_channel(mixer->inbox, mixer->average_channel);
    if (taken) sgp_group_give(mixer->group);
    release(mixer);
}

float *sgp_mixer_parameters(sgp_mixer_t *mixer) {
    return mixer->all;
}
float *sgp_mixer_buffers(sgp_mixer_t *mixer) {
    return mixer->all + mixer->all_count;
}

sgp_status_t sgp_mixer_refuse(const sgp_mixer_t *mixer, const char *what, size_t offset,
                              size_t count) {
    sgp_log(SGP_LOG_INFO, "step %" PRIu64 ": of elements %zu to %zu of the %s some are not finite",
            mixer->step, mixer->first + offset, mixer->first + offset + count - 1, what);
    return SGP_ERR_NOT_FINITE;
}

bool sgp_mixer_update(sgp_mixer_t *mixer, const sgp_local_t *local, float rate, size_t offset,
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
    else if (local->optimizer) /* buffers; without an optimizer the copy of the push checks z */
        finite &= sgp_is_finite(count - moved, mixer->z + offset + moved);
    sgp_ledger_enter(&mixer->ledger, mixer->z, offset, count, mixer->w);
    return finite;
}

sgp_status_t sgp_mixer_update_all(sgp_mixer_t *mixer, const sgp_local_t *local) {
    if (local->optimizer) sgp_optimizer_begin(local->optimizer);
    float rate = (float)(local->learning_rate / mixer->w);
    uint64_t start = sgp_mixer_mark(mixer);
    bool finite = sgp_mixer_update(mixer, local, rate, 0, mixer->length, NULL, false);
    sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, start);
    if (sgp_mixer_accepts(mixer, finite)) return SGP_OK;
    return sgp_mixer_refuse(mixer, "parameters", 0, mixer->length);
}

static sgp_status_t check_step(const sgp_mixer_t *mixer, const sgp_optimizer_t *optimizer,
                               const float *gradient) {
    if (!optimizer) return SGP_OK;
    if (sgp_optimizer_count(optimizer) != mixer->all_count)
        return sgp_fail(SGP_ERR_INVALID,
                        "step: the optimizer is for %zu parameters and the mixer has %zu",
                        sgp_optimizer_count(optimizer), mixer->all_count);
    if (!gradient) return sgp_fail(SGP_ERR_INVALID, "step: an optimizer needs a gradient");
    return SGP_OK;
}

/* Asleep so far, in this node's own context. */
static uint64_t waited(const sgp_mixer_t *mixer) {
    const sgp_inbox_t *inside = mixer->workers.reducer.inbox;
    return sgp_inbox_waited(mixer->inbox) + mixer->paused + (inside ? sgp_inbox_waited(inside) : 0);
}

static sgp_status_t step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    mixer->exchanges = (mixer->step + 1) % (uint64_t)mixer->options.local_steps == 0;
    sgp_transport_attend(mixer->transport, true);
    sgp_status_t status = mixer->ops->step(mixer, local, deadline);
    sgp_transport_attend(mixer->transport, false);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    if (status != SGP_OK) return status;
    mixer->step++;
    mixer->round += mixer->exchanges;
    int every = mixer->options.slow_every;
    if (every == 0 || mixer->step % (uint64_t)every != 0) return SGP_OK;
    return sgp_mixer_slow(mixer, local->learning_rate, deadline);
}

static sgp_status_t step_segment(sgp_mixer_t *mixer, const sgp_local_t *local) {
    uint64_t deadline = sgp_transport_now(mixer->transport) + mixer->timeout;
    bool taken;
    sgp_status_t status = sgp_group_take(mixer->group, mixer, &taken);
    /* With an agent it is looked when the agent waits, and when it is taken from it. */
    if (status == SGP_OK && !sgp_group_has_lease(mixer->group))
        status = sgp_inbox_look(mixer->inbox, false);
    if (status == SGP_OK) status = step(mixer, local, deadline);
    if (taken) sgp_group_give(mixer->group);
    return status;
}

/* Not only where a step waits for the lost node: an algorithm that waits for nothing would go on without it. */
static sgp_status_t look_who_is_lost(const sgp_mixer_t *mixer) {
    sgp_inbox_t *inboxes[] = {mixer->inbox, mixer->workers.reducer.inbox};
    for (size_t i = 0; i < sizeof inboxes / sizeof *inboxes; i++) {
        sgp_transport_t *transport = inboxes[i] ? sgp_inbox_transport(inboxes[i]) : NULL;
        if (transport && sgp_transport_lost_peer(transport) >= 0)
            return sgp_transport_fail_lost(transport, NULL);
    }
    return SGP_OK;
}

sgp_status_t sgp_mixer_do_step(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                               const float *gradient, float learning_rate) {
    sgp_status_t status = check_step(mixer, optimizer, gradient);
    if (status == SGP_OK) status = look_who_is_lost(mixer);
    if (status != SGP_OK) return status;
    sgp_local_t local = {optimizer, gradient, learning_rate};
    uint64_t start = sgp_transport_now(mixer->transport), before = waited(mixer);
    status = sgp_workers_reduce(mixer, &local);
    if (status == SGP_OK) status = step_segment(mixer, &local);
    if (status == SGP_OK) status = sgp_workers_share(mixer);
    sgp_mixer_statistics_t *statistics = &mixer->statistics;
    statistics->last_step_ns = sgp_transport_now(mixer->transport) - start;
    statistics->last_wait_ns = waited(mixer) - before;
    statistics->step_ns += statistics->last_step_ns;
    statistics->wait_ns += statistics->last_wait_ns;
    if (status == SGP_OK) statistics->steps++;
    return status;
}

void sgp_mixer_do_statistics(const sgp_mixer_t *mixer, sgp_mixer_statistics_t *statistics) {
    sgp_transport_lock(mixer->transport); /* a courier counts, too */
    *statistics = mixer->statistics;
    sgp_transport_unlock(mixer->transport);
    statistics->refused = mixer->transport->counters.refused;
    statistics->resent = mixer->transport->counters.resent;
    statistics->weight = mixer->w;
}

void sgp_mixer_trace(sgp_mixer_t *mixer, sgp_trace_t *trace) {
    /* Not while a courier is at work: it would look at trace meanwhile. */
    uint64_t deadline = sgp_transport_now(mixer->transport) + mixer->timeout;
    bool held = mixer->ops->hold && mixer->ops->hold(mixer, deadline) == SGP_OK;
    mixer->trace = trace;
    if (held) sgp_mixer_resume(mixer);
}

sgp_status_t sgp_mixer_settle_segment(sgp_mixer_t *mixer) {
    if (!mixer->ops->settle) return SGP_OK;
    /* As patient as a collective call: where nobody waits in a step, the slowest is waited for here.
     */
    uint64_t timeout = sgp_group_timeout(mixer->group);
    if (timeout < mixer->timeout) timeout = mixer->timeout;
    return mixer->ops->settle(mixer, sgp_transport_now(mixer->transport) + timeout);
}

/* Without anything in flight z is whole on all workers after each step. */
sgp_status_t sgp_mixer_settle(sgp_mixer_t *mixer) {
    if (!mixer->ops->settle) return SGP_OK;
    bool taken; /* from the courier of another mixer */
    sgp_status_t status = sgp_group_take(mixer->group, mixer, &taken);
    if (status == SGP_OK) status = sgp_mixer_settle_segment(mixer);
    if (taken) sgp_group_give(mixer->group);
    return status == SGP_OK ? sgp_workers_share(mixer) : status;
}

sgp_status_t sgp_mixer_resume(sgp_mixer_t *mixer) {
    return mixer->ops->resume ? mixer->ops->resume(mixer) : SGP_OK;
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
    if (mixer->slow) {
        sgp_state_add(state, "mixer.slow", SGP_STATE_FLOAT32, mixer->slow, mixer->count);
        sgp_state_add(state, "mixer.anchor", SGP_STATE_FLOAT32, mixer->anchor, mixer->count);
    }
    if (mixer->ops->state) mixer->ops->state(mixer, state);
}

sgp_status_t sgp_mixer_restored(sgp_mixer_t *mixer) {
    sgp_ledger_close(&mixer->ledger, mixer->z);
    return sgp_mixer_resume(mixer);
}
