/* SPDX-License-Identifier: Apache-2.0 */
#include "data/sampler.h"

#include "base/logging.h"
#include "base/random.h"

#include <stdlib.h>

static sgp_status_t check(const sampler_options_t *options) {
    if (options->count == 0)
        return sgp_fail(SGP_ERR_INVALID, "the training set has 0 samples: should be at least 1");
    if (options->batch < 1)
        return sgp_fail(SGP_ERR_INVALID, "batch is %d: should be at least 1", options->batch);
    if (options->rank < 0 || options->rank >= options->size)
        return sgp_fail(SGP_ERR_INVALID, "rank is %d of %d nodes: should be 0 to %d", options->rank,
                        options->size, options->size - 1);
    if (options->workers < 0 || (options->workers > 0 && options->size % options->workers))
        return sgp_fail(SGP_ERR_INVALID, "%d processes are no whole number of nodes of %d workers",
                        options->size, options->workers);
    return SGP_OK;
}

sgp_status_t sampler_init(sampler_t *sampler, const sampler_options_t *options) {
    sgp_status_t status = check(options);
    if (status) return status;
    uint32_t *permutation = malloc(options->count * sizeof *permutation);
    if (!permutation)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the order of %u samples", options->count);
    *sampler = (sampler_t){.options = *options, .permutation = permutation};
    sampler_begin_epoch(sampler, 0);
    return SGP_OK;
}

void sampler_fini(sampler_t *sampler) {
    free(sampler->permutation);
    sampler->permutation = NULL;
}

static uint64_t samples_per_step(const sampler_t *sampler) {
    return (uint64_t)sampler->options.size * (uint64_t)sampler->options.batch;
}

uint64_t sampler_steps(const sampler_t *sampler) {
    uint64_t per_step = samples_per_step(sampler);
    return (sampler->options.count + per_step - 1) / per_step;
}

void sampler_begin_epoch(sampler_t *sampler, uint64_t epoch) {
    uint32_t count = sampler->options.count;
    for (uint32_t i = 0; i < count; i++) sampler->permutation[i] = i;
    sgp_random_t random;
    sgp_random_init(&random, sampler->options.seed, epoch);
    sgp_random_shuffle(&random, sampler->permutation, count);
}

/* Entries of the permutation. */
typedef struct entries {
    uint64_t first, count;
} entries_t;

/* The first (count mod parts) parts have one more. */
static entries_t part_of(entries_t whole, uint64_t part, uint64_t parts) {
    uint64_t share = whole.count / parts, more = whole.count % parts;
    return (entries_t){.first = whole.first + part * share + (part < more ? part : more),
                       .count = share + (part < more)};
}

int sampler_batch(const sampler_t *sampler, uint64_t step, uint32_t *indices) {
    const sampler_options_t *options = &sampler->options;
    uint64_t workers = options->workers > 0 ? (uint64_t)options->workers : 1;
    uint64_t nodes = (uint64_t)options->size / workers, rank = (uint64_t)options->rank;
    uint64_t start = step * samples_per_step(sampler);
    uint64_t left = start < options->count ? options->count - start : 0;
    if (left > samples_per_step(sampler)) left = samples_per_step(sampler);
    entries_t node = part_of((entries_t){start, left}, rank / workers, nodes);
    entries_t mine = part_of(node, rank % workers, workers);
    int valid = (int)mine.count;
    uint64_t wrapped = start + rank * (uint64_t)options->batch;
    for (int i = 0; i < options->batch; i++) {
        uint64_t position = (i < valid ? mine.first : wrapped) + (uint64_t)i;
        indices[i] = sampler->permutation[position % options->count];
    }
    return valid;
}
