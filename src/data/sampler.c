/* SPDX-License-Identifier: Apache-2.0 */
#include "data/sampler.h"

#include "base/logging.h"
#include "base/random.h"

#include <inttypes.h>
#include <stdlib.h>

static sgp_status_t check_members(int rank, int size, int workers) {
    if (rank < 0 || rank >= size)
        return sgp_fail(SGP_ERR_INVALID, "rank is %d of %d nodes: should be 0 to %d", rank, size,
                        size - 1);
    if (workers < 0 || (workers > 0 && size % workers))
        return sgp_fail(SGP_ERR_INVALID, "%d processes are no whole number of nodes of %d workers",
                        size, workers);
    return SGP_OK;
}

static sgp_status_t check(const sampler_options_t *options) {
    if (options->count == 0)
        return sgp_fail(SGP_ERR_INVALID, "the training set has 0 samples: should be at least 1");
    if (options->batch < 1)
        return sgp_fail(SGP_ERR_INVALID, "batch is %d: should be at least 1", options->batch);
    return check_members(options->rank, options->size, options->workers);
}

sgp_status_t sampler_init(sampler_t *sampler, const sampler_options_t *options) {
    sgp_status_t status = check(options);
    if (status) return status;
    uint64_t *permutation = options->count <= SIZE_MAX / sizeof *permutation
                                ? malloc(options->count * sizeof *permutation)
                                : NULL;
    if (!permutation)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the order of %" PRIu64 " samples",
                        options->count);
    *sampler = (sampler_t){.options = *options,
                           .segment = {.count = options->count,
                                       .size = options->size,
                                       .workers = options->workers > 0 ? options->workers : 1,
                                       .batch = options->batch},
                           .rank = options->rank,
                           .permutation = permutation};
    sampler_begin_epoch(sampler, 0);
    return SGP_OK;
}

void sampler_fini(sampler_t *sampler) {
    free(sampler->permutation);
    sampler->permutation = NULL;
}

uint64_t sampler_steps(const sampler_t *sampler) {
    return cursor_end(&sampler->segment);
}

void sampler_begin_epoch(sampler_t *sampler, uint64_t epoch) {
    uint64_t count = sampler->options.count;
    for (uint64_t i = 0; i < count; i++) sampler->permutation[i] = i;
    sgp_random_t random;
    sgp_random_init(&random, sampler->options.seed, epoch);
    sgp_random_shuffle_u64(&random, sampler->permutation, count);
    sampler->segment.step = sampler->segment.begin = 0;
}

void sampler_begin_rest(sampler_t *sampler, uint64_t step, uint64_t position) {
    sampler->segment.step = step;
    sampler->segment.begin = position;
}

sgp_status_t sampler_set_members(sampler_t *sampler, uint64_t step, int rank, int size) {
    sgp_status_t status = check_members(rank, size, sampler->options.workers);
    if (status) return status;
    sampler->segment = cursor_next(&sampler->segment, step, size);
    sampler->rank = rank;
    return SGP_OK;
}

cursor_part_t sampler_part(const sampler_t *sampler, uint64_t step) {
    return cursor_part(&sampler->segment, step, sampler->rank);
}

int sampler_batch(const sampler_t *sampler, uint64_t step, uint64_t *indices) {
    cursor_part_t part = sampler_part(sampler, step);
    for (int i = 0; i < sampler->options.batch; i++)
        indices[i] = sampler_at(sampler, sampler_position(&part, i));
    return part.count;
}
