/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/workers.h"

#include "base/log.h"
#include "base/memory.h"
#include "optimizer/optimizer.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 60000
#define MILLISECOND        1000000u /* in nanoseconds */

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

static const sgp_algorithm_ops_t *ops_of(const sgp_mixer_options_t *options) {
    if (options->algorithm == SGP_ALGORITHM_ALLREDUCE)
        return options->library_allreduce ? &sgp_algorithm_library_allreduce
                                          : &sgp_algorithm_allreduce;
    if (options->graph.size == 1) return &sgp_algorithm_lockstep; /* nobody to wait for */
    if (options->algorithm == SGP_ALGORITHM_ADPSGD) return &sgp_algorithm_pairs;
    if (options->overlap == SGP_OVERLAP_ASYNC) return &sgp_algorithm_async;
    return options->overlap ? &sgp_algorithm_overlap : &sgp_algorithm_lockstep;
}

/* Defaults, and the part of the options that can change later. */
static sgp_status_t adopt(sgp_mixer_t *mixer, const sgp_mixer_options_t *options) {
    sgp_mixer_options_t wanted = *options;
    if (wanted.graph.size != 0 && wanted.graph.size != mixer->size)
        return sgp_fail(SGP_ERR_INVALID, "mixer: a graph of %d nodes for a group of %d",
                        wanted.graph.size, mixer->size);
    wanted.graph.size = mixer->size;
    bool pairs =
        wanted.algorithm == SGP_ALGORITHM_ADPSGD || wanted.algorithm == SGP_ALGORITHM_DPSGD;
    if (pairs && wanted.graph.kind == SGP_GRAPH_EXPONENTIAL && options->graph.size == 0)
        wanted.graph.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL;
    if (wanted.local_steps == 0) wanted.local_steps = 1;
    if (wanted.encoding == SGP_ENCODING_DEFAULT) wanted.encoding = SGP_ENCODING_FLOAT32;
    wanted.count = mixer->all_count;
    wanted.buffers = mixer->all_length - mixer->all_count;
    wanted.workers = mixer->workers.group;
    sgp_status_t status = sgp_mixer_check(&wanted);
    if (status != SGP_OK) return status;
    if (mixer->size == 1) wanted.encoding = SGP_ENCODING_FLOAT32; /* nothing travels */
    mixer->options = wanted;
    mixer->graph = wanted.graph;
    mixer->ops = ops_of(&wanted);
    return SGP_OK;
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

/* Averages travel as float32 whatever the algorithm's messages do. */
static sgp_status_t prepare_transport(sgp_mixer_t *mixer) {
    sgp_status_t status = sgp_transport_prepare(
        mixer->transport, mixer->length * sgp_mixer_element(mixer), mixer->ops->messages(mixer));
    if (status != SGP_OK || !sgp_mixer_rounds(mixer)) return status;
    return sgp_transport_prepare(mixer->transport, mixer->length * sizeof(float), 2);
}

/* What depends on the algorithm and the graph. */
static sgp_status_t begin_algorithm(sgp_mixer_t *mixer) {
    size_t degree = (size_t)sgp_graph_max_degree(&mixer->graph);
    mixer->edges = calloc(degree + 1, sizeof *mixer->edges);
    if (!mixer->edges) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu edges", degree);
    sgp_status_t status = prepare_transport(mixer);
    if (status == SGP_OK && mixer->ops->create) status = mixer->ops->create(mixer);
    return status;
}

static void end_algorithm(sgp_mixer_t *mixer) {
    if (mixer->ops && mixer->ops->destroy) mixer->ops->destroy(mixer);
    mixer->extra = NULL;
    free(mixer->edges);
    mixer->edges = NULL;
}

/* Slow momentum can be switched on later, too. */
static sgp_status_t allocate_slow(sgp_mixer_t *mixer) {
    if (mixer->options.slow_every == 0 || mixer->slow) return SGP_OK;
    mixer->slow = sgp_memory_alloc(mixer->count * sizeof *mixer->slow);
    mixer->anchor = sgp_memory_alloc(mixer->count * sizeof *mixer->anchor);
    if (!mixer->slow || !mixer->anchor)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for the slow momentum of %zu numbers",
                        mixer->count);
    memcpy(mixer->anchor, mixer->z, mixer->count * sizeof *mixer->anchor);
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
    mixer->timeout = (uint64_t)timeout_ms * MILLISECOND;
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
static sgp_status_t prepare(sgp_mixer_t *mixer, const float *initial) {
    mixer->channel = sgp_group_new_channel(mixer->group);
    mixer->average_channel = sgp_group_new_channel(mixer->group);
    sgp_status_t status = allocate(mixer);
    if (status != SGP_OK) return status;
    if (initial) memcpy(mixer->all, initial, mixer->all_length * sizeof *initial);
    sgp_ledger_init(&mixer->ledger, mixer->z, mixer->length);
    status = allocate_slow(mixer);
    return status == SGP_OK ? begin_algorithm(mixer) : status;
}

sgp_status_t sgp_mixer_create(sgp_group_t *group, const sgp_mixer_options_t *options,
                              const float *initial, sgp_mixer_t **mixer) {
    sgp_mixer_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a mixer");
    init(made, group, options);
    sgp_status_t status = check(options);
    if (status == SGP_OK) status = adopt(made, options);
    bool taken = false; /* from the courier of another mixer */
    if (status == SGP_OK) status = sgp_group_take(group, made, &taken);
    if (status == SGP_OK) status = prepare(made, initial);
    if (taken) sgp_group_give(group);
    if (status != SGP_OK) {
        end_algorithm(made);
        release(made);
        return status;
    }
    *mixer = made;
    return SGP_OK;
}

void sgp_mixer_destroy(sgp_mixer_t *mixer) {
    if (!mixer) return;
    end_algorithm(mixer);
    bool taken; /* the courier of another mixer may be at the inbox */
    sgp_group_take(mixer->group, mixer, &taken);
    sgp_inbox_drop_channel(mixer->inbox, mixer->channel);
    sgp_inbox_drop_channel(mixer->inbox, mixer->average_channel);
    if (taken) sgp_group_give(mixer->group);
    release(mixer);
}

sgp_status_t sgp_mixer_switch(sgp_mixer_t *mixer, const sgp_mixer_options_t *options) {
    sgp_algorithm_t before = mixer->options.algorithm;
    uint64_t deadline = sgp_transport_now(mixer->transport) + mixer->timeout;
    sgp_status_t status = sgp_mixer_settle_segment(mixer);
    if (status != SGP_OK) return status;
    end_algorithm(mixer);
    status = adopt(mixer, options);
    if (status == SGP_OK && mixer->options.algorithm != before)
        status = sgp_mixer_agree(mixer, deadline);
    if (status == SGP_OK) status = allocate_slow(mixer);
    if (status == SGP_OK) status = begin_algorithm(mixer);
    return status == SGP_OK ? sgp_workers_share(mixer) : status;
}

float *sgp_mixer_parameters(sgp_mixer_t *mixer) {
    return mixer->all;
}
float *sgp_mixer_buffers(sgp_mixer_t *mixer) {
    return mixer->all + mixer->all_count;
}

void sgp_mixer_update(sgp_mixer_t *mixer, const sgp_local_t *local, float rate, size_t offset,
                      size_t count, float *copy) {
    size_t moved = 0;
    if (local->optimizer && offset < mixer->count) {
        moved = mixer->count - offset < count ? mixer->count - offset : count;
        sgp_optimizer_apply(local->optimizer, mixer->first + offset, moved, mixer->z + offset,
                            local->gradient + offset, rate, copy);
    }
    if (copy && moved < count)
        memcpy(copy + moved, mixer->z + offset + moved, (count - moved) * sizeof *copy);
    sgp_ledger_enter(&mixer->ledger, mixer->z, offset, count, mixer->w);
}

void sgp_mixer_update_all(sgp_mixer_t *mixer, const sgp_local_t *local) {
    if (local->optimizer) sgp_optimizer_begin(local->optimizer);
    float rate = (float)(local->learning_rate / mixer->w);
    uint64_t start = sgp_mixer_mark(mixer);
    sgp_mixer_update(mixer, local, rate, 0, mixer->length, NULL);
    sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, start);
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
    if (status == SGP_OK) status = step(mixer, local, deadline);
    if (taken) sgp_group_give(mixer->group);
    return status;
}

sgp_status_t sgp_mixer_step(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient,
                            float learning_rate) {
    sgp_status_t status = check_step(mixer, optimizer, gradient);
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

void sgp_mixer_statistics(const sgp_mixer_t *mixer, sgp_mixer_statistics_t *statistics) {
    sgp_transport_lock(mixer->transport); /* a courier counts, too */
    *statistics = mixer->statistics;
    sgp_transport_unlock(mixer->transport);
    statistics->refused = mixer->transport->counters.refused;
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
    sgp_status_t status = sgp_mixer_settle_segment(mixer);
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
