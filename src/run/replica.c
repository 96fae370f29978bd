/* SPDX-License-Identifier: Apache-2.0 */
#include "run/replica.h"

#include "base/logging.h"
#include "base/memory.h"
#include "base/random.h"
#include "run/mixing_plan.h"

#include <stdlib.h>
#include <string.h>

/* Stream of the random numbers that replace a gradient; differs from the sampler's and the
 * loader's. */
#define STAND_IN_STREAM ((uint64_t)3 << 62)

static sgp_status_t create_model(replica_t *replica, const train_options_t *options) {
    const dataset_shape_t *shape = &replica->dataset->shape;
    model_options_t model_options = {.name = options->model,
                                     .batch = options->batch_size,
                                     .height = shape->height,
                                     .width = shape->width,
                                     .channels = shape->channels,
                                     .classes = shape->classes};
    sgp_status_t status = model_create(&model_options, &replica->model);
    if (status) return status;
    replica->parameters = model_parameter_count(replica->model);
    replica->buffers = model_buffer_count(replica->model);
    return SGP_OK;
}

static sgp_status_t create_feed(replica_t *replica, const train_options_t *options, int rank) {
    sampler_options_t sampler = {.count = replica->dataset->train.count,
                                 .rank = rank,
                                 .size = options->nodes * options->workers,
                                 .workers = options->workers,
                                 .batch = options->batch_size,
                                 .seed = options->seed};
    loader_init(&replica->loader, &(loader_options_t){.dataset = replica->dataset,
                                                      .augment = options->augment,
                                                      .seed = options->seed,
                                                      .rank = rank / options->workers});
    sgp_status_t status = sampler_init(&replica->sampler, &sampler);
    if (status) return status;
    replica->steps_per_epoch = sampler_steps(&replica->sampler);
    replica->schedule = schedule_make(options, replica->steps_per_epoch);
    return SGP_OK;
}

/* The ranges without weight decay, with adjacent ones joined. ranges: (model_tensor_count). */
static size_t find_no_decay(const model_t *model, sgp_range_t *ranges) {
    size_t count = 0;
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const model_tensor_t *tensor = model_tensor(model, i);
        if (tensor->is_buffer || tensor->decays) continue;
        sgp_range_t *last = count > 0 ? &ranges[count - 1] : NULL;
        if (last && last->offset + last->count == tensor->offset) last->count += tensor->count;
        else ranges[count++] = (sgp_range_t){tensor->offset, tensor->count};
    }
    return count;
}

static sgp_status_t create_optimizer(replica_t *replica, const train_options_t *options) {
    sgp_range_t *ranges = calloc(model_tensor_count(replica->model), sizeof *ranges);
    if (!ranges) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the optimizer's ranges");
    bool adam = strcmp(options->optimizer, "adam") == 0;
    sgp_optimizer_options_t optimizer = {
        .count = replica->parameters,
        .kind = adam ? SGP_OPTIMIZER_ADAM : SGP_OPTIMIZER_SGD,
        .momentum = adam ? 0 : (float)options->momentum,
        .heavy_ball = !options->nesterov,
        .weight_decay = (float)options->weight_decay,
        .no_decay = ranges,
        .no_decay_count = find_no_decay(replica->model, ranges),
    };
    sgp_status_t status = sgp_optimizer_create(&optimizer, &replica->optimizer);
    free(ranges);
    return status;
}

/* With compute_ms the gradient is small constant noise that differs between nodes, so that there is
 * something to average. */
static void fill_stand_in(replica_t *replica, uint64_t seed, int rank) {
    sgp_random_t random;
    sgp_random_init(&random, seed, STAND_IN_STREAM + (uint64_t)rank);
    for (size_t i = 0; i < replica->parameters; i++)
        replica->gradient[i] = (float)(1e-3 * (sgp_random_double(&random) - 0.5));
}

static sgp_status_t allocate(replica_t *replica, const train_options_t *options, int rank) {
    size_t batch = (size_t)options->batch_size;
    size_t length = replica->parameters + replica->buffers;
    replica->indices = sgp_memory_alloc(batch * sizeof *replica->indices);
    replica->images =
        sgp_memory_alloc(batch * loader_sample_floats(&replica->loader) * sizeof *replica->images);
    replica->labels = sgp_memory_alloc(batch * sizeof *replica->labels);
    replica->gradient = sgp_memory_alloc(replica->parameters * sizeof *replica->gradient);
    replica->average = sgp_memory_alloc(length * sizeof *replica->average);
    if (!replica->indices || !replica->images || !replica->labels || !replica->gradient ||
        !replica->average)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a batch of %d samples and %zu parameters",
                        options->batch_size, replica->parameters);
    if (options->compute_ms > 0) fill_stand_in(replica, options->seed, rank);
    return SGP_OK;
}

sgp_status_t replica_init(replica_t *replica, const train_options_t *options, int rank) {
    memset(replica, 0, sizeof *replica);
    sgp_status_t status = dataset_load(options->data, options->limit_samples, &replica->dataset);
    if (!status) status = create_model(replica, options);
    if (!status) status = create_feed(replica, options, rank);
    if (!status) status = create_optimizer(replica, options);
    if (!status) status = allocate(replica, options, rank);
    if (status) replica_fini(replica);
    return status;
}

sgp_status_t replica_join(replica_t *replica, const train_options_t *options, uint64_t epoch,
                          sgp_group_t *nodes, sgp_group_t *workers) {
    sgp_mixer_options_t mixer = train_mixer_options(options, epoch);
    mixer.workers = workers;
    mixer.count = replica->parameters;
    mixer.buffers = replica->buffers;
    if (!replica->initial_hash[0])
        model_init_parameters(replica->model, options->seed, replica->average,
                              replica->average + replica->parameters);
    return sgp_mixer_create(nodes, &mixer, replica->average, &replica->mixer);
}

/* Also after a failed init: members that were not created are NULL. */
void replica_fini(replica_t *replica) {
    sgp_mixer_destroy(replica->mixer);
    sgp_optimizer_destroy(replica->optimizer);
    sampler_fini(&replica->sampler);
    model_destroy(replica->model);
    dataset_destroy(replica->dataset);
    sgp_memory_free(replica->indices);
    sgp_memory_free(replica->images);
    sgp_memory_free(replica->labels);
    sgp_memory_free(replica->gradient);
    sgp_memory_free(replica->average);
    memset(replica, 0, sizeof *replica);
}

model_file_normalisation_t replica_normalisation(const replica_t *replica) {
    dataset_t *dataset = replica->dataset;
    return (model_file_normalisation_t){.channels = dataset->shape.channels,
                                        .mean = dataset->mean,
                                        .deviation = dataset->deviation};
}
