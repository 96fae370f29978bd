/* SPDX-License-Identifier: Apache-2.0 */
#include "run/replica.h"

#include "base/logging.h"
#include "base/memory.h"
#include "base/random.h"
#include "run/mixing_plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Stream of the random numbers that replace a gradient; differs from the sampler's and the
 * loader's. */
#define STAND_IN_STREAM ((uint64_t)3 << 62)

static model_precision_t precision_of(const char *name) {
    if (strcmp(name, "bfloat16") == 0) return MODEL_BFLOAT16;
    return strcmp(name, "auto") == 0 ? MODEL_AUTO : MODEL_FLOAT32;
}

model_options_t replica_model_options(const train_options_t *options, const feed_shape_t *shape) {
    return (model_options_t){.name = options->model,
                             .batch = options->batch_size,
                             .height = shape->height,
                             .width = shape->width,
                             .channels = shape->channels,
                             .classes = shape->classes,
                             .label_smoothing = options->label_smoothing,
                             .threads = options->threads,
                             .precision = precision_of(options->precision)};
}

int replica_data_threads(const train_options_t *options) {
    int threads = options->threads > 0 ? options->threads : 1;
    return options->data_threads > 0 ? options->data_threads : (threads + 3) / 4;
}

static sgp_status_t create_model(replica_t *replica, const train_options_t *options) {
    model_options_t model_options = replica_model_options(options, feed_shape(replica->feed));
    sgp_status_t status = model_create(&model_options, &replica->model);
    if (status) return status;
    replica->parameters = model_parameter_count(replica->model);
    replica->buffers = model_buffer_count(replica->model);
    return SGP_OK;
}

epochs_t replica_epochs(const train_options_t *options, int nodes, const feed_t *feed) {
    uint64_t processes = (uint64_t)nodes * (uint64_t)options->workers;
    return epochs_make((uint64_t)options->epochs, feed_epoch_samples(feed, nodes),
                       processes * (uint64_t)options->batch_size);
}

double replica_rate(const replica_t *replica, uint64_t k) {
    return schedule_rate(&replica->schedule, epochs_even_step(&replica->epochs, k));
}

double replica_epochs_done(const replica_t *replica, uint64_t step) {
    return epochs_even_step(&replica->epochs, step) / (double)replica->steps_per_epoch;
}

/* Longer local steps than the run has would leave it without an exchange. */
static sgp_status_t check_outer_steps(const train_options_t *options, uint64_t steps_per_epoch) {
    uint64_t steps = steps_per_epoch * (uint64_t)options->epochs, some = steps / 10;
    if (!(options->outer_lr > 0) || (uint64_t)options->local_steps <= steps) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "local-steps is %d: the run has %" PRIu64 " steps (%" PRIu64
                    " in each of %d epochs), so there would be no outer step; "
                    "at most %" PRIu64 " make ten",
                    options->local_steps, steps, steps_per_epoch, options->epochs,
                    some > 0 ? some : 1);
}

static sgp_status_t create_feed(replica_t *replica, const train_options_t *options, int rank) {
    char path[TRAIN_PATH];
    feed_options_t feed = {.data = train_data_path(options, rank / options->workers, path),
                           .limit = options->limit_samples,
                           .image_size = options->image_size,
                           .batch = options->batch_size,
                           .rank = rank,
                           .size = options->nodes * options->workers,
                           .workers = options->workers,
                           .seed = options->seed,
                           .augment = options->augment,
                           .jitter = (float)options->color_jitter,
                           .threads = replica_data_threads(options),
                           .skip_bad = strcmp(options->on_bad_image, "skip") == 0,
                           .shard_per_node = options->shard_per_node,
                           .split = options->split,
                           .private_data = options->private_data};
    sgp_status_t status = feed_create(&feed, &replica->feed);
    if (status != SGP_OK) return status;
    replica_plan(replica, options);
    return check_outer_steps(options, replica->steps_per_epoch);
}

void replica_plan(replica_t *replica, const train_options_t *options) {
    replica->steps_per_epoch = feed_steps(replica->feed);
    replica->epochs = replica_epochs(options, options->nodes, replica->feed);
    replica->schedule = schedule_make(options, options->nodes, replica->steps_per_epoch);
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

static sgp_optimizer_kind_t optimizer_kind(const char *name) {
    if (!strcmp(name, "adam")) return SGP_OPTIMIZER_ADAM;
    return strcmp(name, "adamw") ? SGP_OPTIMIZER_SGD : SGP_OPTIMIZER_ADAMW;
}

static sgp_status_t create_optimizer(replica_t *replica, const train_options_t *options) {
    sgp_range_t *ranges = calloc(model_tensor_count(replica->model), sizeof *ranges);
    if (!ranges) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the optimizer's ranges");
    sgp_optimizer_kind_t kind = optimizer_kind(options->optimizer);
    sgp_optimizer_options_t optimizer = {
        .count = replica->parameters,
        .kind = kind,
        .momentum = kind == SGP_OPTIMIZER_SGD ? (float)options->momentum : 0,
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
    size_t length = replica->parameters + replica->buffers;
    replica->gradient = sgp_memory_alloc(replica->parameters * sizeof *replica->gradient);
    replica->average = sgp_memory_alloc(length * sizeof *replica->average);
    if (!replica->gradient || !replica->average)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for vectors of %zu parameters",
                        replica->parameters);
    if (options->compute_ms > 0) fill_stand_in(replica, options->seed, rank);
    return SGP_OK;
}

sgp_status_t replica_init(replica_t *replica, const train_options_t *options, int rank) {
    memset(replica, 0, sizeof *replica);
    sgp_status_t status = create_feed(replica, options, rank);
    if (!status) status = create_model(replica, options);
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
    model_destroy(replica->model);
    feed_destroy(replica->feed);
    sgp_memory_free(replica->gradient);
    sgp_memory_free(replica->average);
    memset(replica, 0, sizeof *replica);
}

model_file_normalisation_t replica_normalisation(const replica_t *replica) {
    const feed_t *feed = replica->feed;
    return (model_file_normalisation_t){.channels = feed_shape(feed)->channels,
                                        .mean = (float *)feed_mean(feed),
                                        .deviation = (float *)feed_deviation(feed)};
}
