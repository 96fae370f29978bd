/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/mixer.h"

#include "base/log.h"
#include "base/memory.h"
#include "optimizer/optimizer.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 60000
#define MILLISECOND        1000000u /* in nanoseconds */

static const struct {
    sgp_algorithm_t algorithm;
    const sgp_algorithm_ops_t *ops;
} algorithms[] = {
    {SGP_ALGORITHM_SGP, &sgp_algorithm_sgp},
    {SGP_ALGORITHM_ALLREDUCE, &sgp_algorithm_allreduce},
};

#define ALGORITHMS (sizeof algorithms / sizeof *algorithms)

static const sgp_algorithm_ops_t *ops_of(sgp_algorithm_t algorithm) {
    for (size_t i = 0; i < ALGORITHMS; i++)
        if (algorithms[i].algorithm == algorithm) return algorithms[i].ops;
    return NULL;
}

const char *sgp_algorithm_name(sgp_algorithm_t algorithm) {
    const sgp_algorithm_ops_t *ops = ops_of(algorithm);
    return ops ? ops->name : "unknown";
}

sgp_status_t sgp_algorithm_parse(const char *name, sgp_algorithm_t *algorithm) {
    for (size_t i = 0; i < ALGORITHMS; i++)
        if (!strcmp(algorithms[i].ops->name, name))
            return *algorithm = algorithms[i].algorithm, SGP_OK;
    return SGP_ERR_NOT_FOUND;
}

static sgp_status_t check(const sgp_mixer_options_t *options, const sgp_mixer_t *mixer) {
    if (!mixer->ops)
        return sgp_fail(SGP_ERR_INVALID, "mixer: no algorithm of number %d",
                        (int)options->algorithm);
    if (options->count == 0)
        return sgp_fail(SGP_ERR_INVALID, "mixer: count is 0, must be at least 1");
    if (options->count > SIZE_MAX / 8 || options->buffers > SIZE_MAX / 8)
        return sgp_fail(SGP_ERR_INVALID, "mixer: %zu parameters and %zu buffers are too many",
                        options->count, options->buffers);
    if (options->timeout_ms < 0)
        return sgp_fail(SGP_ERR_INVALID, "mixer: timeout is %d ms, must be above 0",
                        options->timeout_ms);
    if (options->graph.size != 0 && options->graph.size != mixer->size)
        return sgp_fail(SGP_ERR_INVALID, "mixer: a graph of %d nodes for a group of %d",
                        options->graph.size, mixer->size);
    return sgp_graph_check(&mixer->graph);
}

static sgp_status_t allocate(sgp_mixer_t *mixer) {
    size_t degree = (size_t)sgp_graph_max_degree(&mixer->graph), size = (size_t)mixer->size;
    size_t chunk = sgp_mixer_chunk(mixer);
    mixer->z = sgp_memory_alloc(mixer->length * sizeof *mixer->z);
    mixer->edges = calloc(degree + 1, sizeof *mixer->edges);
    mixer->to = calloc(size + 1, sizeof *mixer->to);
    mixer->sends = calloc(size + 1, sizeof *mixer->sends);
    mixer->scratch = sgp_memory_alloc(chunk * sizeof *mixer->scratch);
    mixer->sums = sgp_memory_alloc(chunk * sizeof *mixer->sums);
    if (!mixer->z || !mixer->edges || !mixer->to || !mixer->sends || !mixer->scratch ||
        !mixer->sums)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->length);
    return sgp_transport_prepare(mixer->transport, mixer->length * sizeof(float),
                                 mixer->ops->messages(mixer));
}

static void init(sgp_mixer_t *mixer, sgp_group_t *group, const sgp_mixer_options_t *options) {
    mixer->ops = ops_of(options->algorithm);
    mixer->group = group;
    mixer->inbox = sgp_group_inbox(group);
    mixer->transport = sgp_group_transport(group);
    mixer->rank = sgp_group_rank(group);
    mixer->size = sgp_group_size(group);
    mixer->count = options->count;
    mixer->length = options->count + options->buffers;
    mixer->graph = options->graph;
    mixer->graph.size = mixer->size;
    int timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    mixer->timeout = (uint64_t)timeout_ms * MILLISECOND;
    mixer->w = 1;
}

static void release(sgp_mixer_t *mixer) {
    sgp_memory_free(mixer->z);
    sgp_memory_free(mixer->scratch);
    sgp_memory_free(mixer->sums);
    free(mixer->edges);
    free(mixer->to);
    free(mixer->sends);
    free(mixer);
}

sgp_status_t sgp_mixer_create(sgp_group_t *group, const sgp_mixer_options_t *options,
                              const float *initial, sgp_mixer_t **mixer) {
    sgp_mixer_t *made = calloc(1, sizeof *made);
    if (!made) return SGP_ERR_NO_MEMORY;
    init(made, group, options);
    sgp_status_t status = check(options, made);
    if (status == SGP_OK) status = allocate(made);
    if (status != SGP_OK) {
        release(made);
        return status;
    }
    if (initial) memcpy(made->z, initial, made->length * sizeof *initial);
    sgp_ledger_init(&made->ledger, made->z, made->length);
    made->channel = sgp_group_new_channel(group);
    made->average_channel = sgp_group_new_channel(group);
    *mixer = made;
    return SGP_OK;
}

void sgp_mixer_destroy(sgp_mixer_t *mixer) {
    if (!mixer) return;
    sgp_inbox_drop_channel(mixer->inbox, mixer->channel);
    sgp_inbox_drop_channel(mixer->inbox, mixer->average_channel);
    release(mixer);
}

float *sgp_mixer_parameters(sgp_mixer_t *mixer) {
    return mixer->z;
}
float *sgp_mixer_buffers(sgp_mixer_t *mixer) {
    return mixer->z + mixer->count;
}

void sgp_mixer_update(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient,
                      float learning_rate, size_t offset, size_t count, float *copy) {
    size_t moved = 0;
    if (optimizer && offset < mixer->count) {
        moved = mixer->count - offset < count ? mixer->count - offset : count;
        sgp_optimizer_apply(optimizer, offset, moved, mixer->z + offset, gradient + offset,
                            learning_rate, copy);
    }
    if (copy && moved < count)
        memcpy(copy + moved, mixer->z + offset + moved, (count - moved) * sizeof *copy);
    sgp_ledger_enter(&mixer->ledger, mixer->z, offset, count, mixer->w);
}

static sgp_status_t check_step(const sgp_mixer_t *mixer, const sgp_optimizer_t *optimizer,
                               const float *gradient) {
    if (!optimizer) return SGP_OK;
    if (sgp_optimizer_count(optimizer) != mixer->count)
        return sgp_fail(SGP_ERR_INVALID,
                        "step: the optimizer is for %zu parameters and the mixer has %zu",
                        sgp_optimizer_count(optimizer), mixer->count);
    if (!gradient) return sgp_fail(SGP_ERR_INVALID, "step: an optimizer needs a gradient");
    return SGP_OK;
}

sgp_status_t sgp_mixer_step(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient,
                            float learning_rate) {
    sgp_status_t status = check_step(mixer, optimizer, gradient);
    if (status != SGP_OK) return status;
    uint64_t start = sgp_transport_now(mixer->transport);
    uint64_t waited = sgp_inbox_waited(mixer->inbox);
    sgp_transport_attend(mixer->transport, true);
    status = mixer->ops->step(mixer, optimizer, gradient, learning_rate, start + mixer->timeout);
    sgp_transport_attend(mixer->transport, false);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    sgp_mixer_statistics_t *statistics = &mixer->statistics;
    statistics->last_step_ns = sgp_transport_now(mixer->transport) - start;
    statistics->last_wait_ns = sgp_inbox_waited(mixer->inbox) - waited;
    statistics->step_ns += statistics->last_step_ns;
    statistics->wait_ns += statistics->last_wait_ns;
    if (status != SGP_OK) return status;
    statistics->steps++;
    mixer->step++;
    return SGP_OK;
}

void sgp_mixer_statistics(const sgp_mixer_t *mixer, sgp_mixer_statistics_t *statistics) {
    *statistics = mixer->statistics;
    statistics->refused = mixer->transport->counters.refused;
    statistics->weight = mixer->w;
}
