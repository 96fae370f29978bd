/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/workers.h"

#include "base/logging.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Messages of the vector's length: a fast worker sends its part of the next step while a slow one still reads that of
 * this step. */
#define UNDER_WAY 2

/* Another mixer of that group may have given the transport to its progress thread. */
static sgp_status_t prepare(sgp_workers_t *workers, size_t bytes) {
    bool taken;
    sgp_status_t status = sgp_group_take(workers->group, NULL, &taken);
    if (status == SGP_OK)
        status = sgp_transport_prepare(workers->reducer.transport, bytes, UNDER_WAY);
    if (status == SGP_OK) workers->room = bytes;
    if (taken) sgp_group_give(workers->group);
    return status;
}

sgp_status_t sgp_workers_init(sgp_mixer_t *mixer) {
    sgp_workers_t *workers = &mixer->workers;
    if (!workers->group) return SGP_OK;
    workers->channel = sgp_group_new_channel(workers->group);
    workers->mine = sgp_memory_alloc(mixer->length * sizeof *workers->mine);
    if (!workers->mine)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->length);
    sgp_status_t status = sgp_reducer_init(&workers->reducer, workers->group, mixer->all_length);
    return status == SGP_OK ? prepare(workers, mixer->all_length * sizeof(float)) : status;
}

void sgp_workers_fini(sgp_mixer_t *mixer) {
    sgp_workers_t *workers = &mixer->workers;
    bool taken = false;
    if (workers->group) sgp_group_take(workers->group, NULL, &taken);
    if (workers->reducer.inbox) sgp_inbox_drop_channel(workers->reducer.inbox, workers->channel);
    if (workers->room)
        sgp_transport_unprepare(workers->reducer.transport, workers->room, UNDER_WAY);
    if (taken) sgp_group_give(workers->group);
    sgp_reducer_fini(&workers->reducer);
    sgp_memory_free(workers->mine);
}

/* The time limit of a collective call: a worker may wait for another node meanwhile. */
static uint64_t deadline_of(const sgp_mixer_t *mixer) {
    uint64_t timeout = sgp_group_timeout(mixer->workers.group);
    if (timeout < mixer->timeout) timeout = mixer->timeout;
    return sgp_transport_now(mixer->workers.reducer.transport) + timeout;
}

static sgp_status_t run(sgp_mixer_t *mixer, sgp_reduce_t *reduce,
                        sgp_status_t (*half)(sgp_reduce_t *reduce)) {
    sgp_workers_t *workers = &mixer->workers;
    bool taken;
    sgp_status_t status = sgp_group_take(workers->group, NULL, &taken);
    reduce->reducer = &workers->reducer;
    reduce->channel = workers->channel;
    reduce->step = workers->calls++;
    reduce->deadline = deadline_of(mixer);
    reduce->trace = mixer->trace;
    reduce->weight = 1;
    reduce->unchecked = mixer->options.allow_not_finite;
    if (status == SGP_OK) status = half(reduce);
    if (taken) sgp_group_give(workers->group);
    return status;
}

/* ---- reduce ---- */

typedef struct source {
    sgp_mixer_t *mixer;
    const sgp_local_t *local;
} source_t;

static const float *changed_part(sgp_reduce_t *reduce, size_t offset, size_t count,
                                 float *scratch) {
    const source_t *source = reduce->context;
    const sgp_mixer_t *mixer = source->mixer;
    if (!source->local->optimizer) return mixer->all + offset;
    return sgp_reduce_joined(source->local->gradient, mixer->all_count,
                             mixer->all + mixer->all_count, offset, count, scratch);
}

static void keep_mean(sgp_reduce_t *reduce, size_t offset, size_t count, const float *mean) {
    const source_t *source = reduce->context;
    sgp_mixer_t *mixer = source->mixer;
    size_t at = offset - mixer->first, gradients = 0;
    if (source->local->optimizer && at < mixer->count) {
        gradients = mixer->count - at < count ? mixer->count - at : count;
        memcpy(mixer->workers.mine + at, mean, gradients * sizeof *mean);
    }
    memcpy(mixer->z + at + gradients, mean + gradients, (count - gradients) * sizeof *mean);
}

sgp_status_t sgp_workers_reduce(sgp_mixer_t *mixer, sgp_local_t *local) {
    source_t source = {mixer, local};
    sgp_reduce_t reduce = {.part = changed_part, .result = keep_mean, .context = &source};
    sgp_status_t status = run(mixer, &reduce, sgp_reduce_scatter);
    local->gradient = mixer->workers.mine;
    return status;
}

/* ---- share ---- */

typedef struct copy {
    const float *from; /* (length) our segment */
    float *to;         /* (P + S) or NULL */
    size_t first;
} copy_t;

static const float *own_part(sgp_reduce_t *reduce, size_t offset, size_t count, float *scratch) {
    const copy_t *copy = reduce->context;
    (void)count, (void)scratch;
    return copy->from + (offset - copy->first);
}

static void keep_part(sgp_reduce_t *reduce, size_t offset, size_t count, const float *values) {
    const copy_t *copy = reduce->context;
    if (copy->to) memcpy(copy->to + offset, values, count * sizeof *values);
}

static sgp_status_t gather(sgp_mixer_t *mixer, const float *from, float *to) {
    copy_t copy = {from, to, mixer->first};
    sgp_reduce_t reduce = {.part = own_part, .result = keep_part, .context = &copy};
    return run(mixer, &reduce, sgp_reduce_gather);
}

sgp_status_t sgp_workers_share(sgp_mixer_t *mixer) {
    return gather(mixer, mixer->z, mixer->all);
}

sgp_status_t sgp_workers_share_mine(sgp_mixer_t *mixer, float *whole) {
    const float *mine = mixer->workers.mine;
    if (whole) memcpy(whole + mixer->first, mine, mixer->length * sizeof *mine);
    return gather(mixer, mine, whole);
}

sgp_status_t sgp_workers_sum(sgp_mixer_t *mixer, double *values, int count) {
    sgp_group_t *group = mixer->workers.group;
    size_t numbers = (size_t)count, size = (size_t)sgp_group_size(group);
    double *all = calloc(size * numbers, sizeof *all);
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the sums of %zu workers", size);
    sgp_status_t status = sgp_group_gather(group, values, numbers * sizeof *values, all);
    for (size_t i = 0; i < numbers && status == SGP_OK; i++) {
        values[i] = 0;
        for (size_t m = 0; m < size; m++) values[i] += all[m * numbers + i];
    }
    free(all);
    return status;
}
