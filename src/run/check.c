/* SPDX-License-Identifier: Apache-2.0 */
#include "run/check.h"

#include "base/constants.h"
#include "base/logging.h"
#include "data/dataset.h"
#include "mixing/mixer_internal.h"
#include "model/model.h"
#include "run/machine.h"
#include "run/schedule.h"

#include <math.h>
#include <string.h>

#define MAX_EPOCHS 1000000

/* Vectors of P + S floats that a node holds at most: z, gradient, the optimizer's two, the average,
 * and what is on its way in and out. */
#define VECTORS_PER_NODE 8

void train_options_init(train_options_t *options) {
    *options = (train_options_t){
        .model = "lenet",
        .data = "fashion-mnist",
        .algorithm = train_stages_of(SGP_ALGORITHM_SGP),
        .peers = train_stages_of(1),
        .graph = TRAIN_BY_ALGORITHM,
        .overlap = TRAIN_BY_ALGORITHM,
        .local_steps = 1,
        .nodes = 4,
        .workers = 1,
        .epochs = 5,
        .batch_size = 32,
        .lr = 0.1,
        .warmup_epochs = -1,
        .lr_schedule = "step",
        .momentum = 0.9,
        .nesterov = true,
        .weight_decay = 1e-4,
        .optimizer = "sgd",
        .seed = 1,
        .checkpoint_minutes = 10,
        .transport = "auto",
        .allreduce = "own",
        .encoding = SGP_ENCODING_FLOAT32,
        .slow_rank = -1,
        .slow_factor = 1,
    };
}

static sgp_status_t check_integer(const char *name, int64_t value, int64_t min, int64_t max) {
    if (value < min)
        return sgp_fail(SGP_ERR_INVALID, "%s is %lld: must be at least %lld", name,
                        (long long)value, (long long)min);
    if (value > max)
        return sgp_fail(SGP_ERR_INVALID, "%s is %lld: must be at most %lld", name, (long long)value,
                        (long long)max);
    return SGP_OK;
}

static sgp_status_t check_stages(const char *name, const train_stages_t *stages, int epochs) {
    int last = stages->count > 0 ? stages->stage[stages->count - 1].epoch : -1;
    if (stages->count < 1 || stages->count > TRAIN_STAGES || stages->stage[0].epoch != 0)
        return sgp_fail(SGP_ERR_INVALID, "the schedule of %s must begin with epoch 0", name);
    if (last >= epochs)
        return sgp_fail(SGP_ERR_INVALID,
                        "%s changes in epoch %d: must be below the %d epochs, which count from 0",
                        name, last, epochs);
    return SGP_OK;
}

static sgp_status_t check_workers(const train_options_t *options) {
    if (options->workers >= 1 && options->workers <= SGP_MOST_PROCESSES / options->nodes)
        return SGP_OK;
    return sgp_fail(
        SGP_ERR_INVALID, "workers-per-node is %d: must be 1 to %d with %d nodes (%d processes)",
        options->workers, SGP_MOST_PROCESSES / options->nodes, options->nodes, SGP_MOST_PROCESSES);
}

static sgp_status_t check_sizes(const train_options_t *options) {
    sgp_status_t status = check_integer("nodes", options->nodes, 1, SGP_MOST_PROCESSES);
    if (!status) status = check_integer("epochs", options->epochs, 1, MAX_EPOCHS);
    if (!status) status = check_integer("batch-size", options->batch_size, 1, 1 << 20);
    if (!status) status = check_integer("limit-samples", options->limit_samples, 0, UINT32_MAX);
    if (!status) status = check_workers(options);
    if (!status)
        status = check_integer("checkpoint-every", options->checkpoint_every, 0, INT64_MAX);
    if (!status) status = check_stages("algorithm", &options->algorithm, options->epochs);
    if (!status) status = check_stages("peers", &options->peers, options->epochs);
    if (!status) status = check_integer("slow-node", options->slow_rank, -1, options->nodes - 1);
    return status;
}

static bool is_one_of(const char *name, const char *const *names /* ends with NULL */) {
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

static sgp_status_t check_names(const train_options_t *options) {
    static const char *const optimizers[] = {"sgd", "adam", NULL};
    static const char *const transports[] = {"auto", "shm", "tcp", "mpi", "loopback", NULL};
    static const char *const allreduces[] = {"own", "library", NULL};
    schedule_kind_t kind;
    if (!options->model || !options->data || !options->lr_schedule || !options->optimizer ||
        !options->transport || !options->allreduce)
        return sgp_fail(SGP_ERR_INVALID,
                        "model, data, lr-schedule, optimizer, transport or allreduce is NULL");
    if (schedule_parse(options->lr_schedule, &kind))
        return sgp_fail(SGP_ERR_INVALID, "lr-schedule is %s: must be one of %s",
                        options->lr_schedule, schedule_names());
    if (!is_one_of(options->optimizer, optimizers))
        return sgp_fail(SGP_ERR_INVALID, "optimizer is %s: must be sgd or adam",
                        options->optimizer);
    if (!is_one_of(options->transport, transports))
        return sgp_fail(SGP_ERR_INVALID, "transport is %s: must be auto, shm, tcp, mpi or loopback",
                        options->transport);
    if (!is_one_of(options->allreduce, allreduces))
        return sgp_fail(SGP_ERR_INVALID, "allreduce is %s: must be own or library",
                        options->allreduce);
    if (!strcmp(options->allreduce, "library") && strcmp(options->transport, "mpi") != 0)
        return sgp_fail(
            SGP_ERR_INVALID,
            "allreduce is library, which is MPI's, with transport %s: transport mpi has it, and "
            "allreduce own works with every transport",
            options->transport);
    return SGP_OK;
}

/* Written so that NaN fails. */
static sgp_status_t check_rates(const train_options_t *options) {
    if (!(options->lr > 0 && isfinite(options->lr)))
        return sgp_fail(SGP_ERR_INVALID, "lr is %g: must be a number above 0", options->lr);
    if (!(options->warmup_epochs <= options->epochs))
        return sgp_fail(SGP_ERR_INVALID, "warmup-epochs is %g: must be at most the %d epochs",
                        options->warmup_epochs, options->epochs);
    if (!(options->momentum >= 0 && options->momentum < 1))
        return sgp_fail(SGP_ERR_INVALID, "momentum is %g: must be at least 0 and below 1",
                        options->momentum);
    if (!(options->weight_decay >= 0 && isfinite(options->weight_decay)))
        return sgp_fail(SGP_ERR_INVALID, "weight-decay is %g: must be a number of at least 0",
                        options->weight_decay);
    if (!(options->compute_ms >= 0 && options->compute_ms <= 1e6))
        return sgp_fail(SGP_ERR_INVALID, "compute-ms is %g: must be 0 to 1000000",
                        options->compute_ms);
    if (!(options->checkpoint_minutes >= 0 && options->checkpoint_minutes <= 1e6))
        return sgp_fail(SGP_ERR_INVALID, "checkpoint-minutes is %g: must be 0 to 1000000",
                        options->checkpoint_minutes);
    if (options->slow_rank >= 0 && !(options->slow_factor >= 1 && options->slow_factor <= 1e6))
        return sgp_fail(SGP_ERR_INVALID, "the factor of slow-node is %g: must be 1 to 1000000",
                        options->slow_factor);
    return SGP_OK;
}

/* Of every stage; what cannot be combined is for the mixer to say. */
static sgp_status_t check_mixing(const train_options_t *options) {
    for (int epoch = 0; epoch < options->epochs; epoch++) {
        if (epoch > 0 && !train_mixer_changes(options, (uint64_t)epoch)) continue;
        sgp_mixer_options_t mixer = train_mixer_options(options, (uint64_t)epoch);
        sgp_status_t status = sgp_mixer_check(&mixer);
        if (status) return status;
    }
    return SGP_OK;
}

sgp_status_t check_ranges(const train_options_t *options) {
    sgp_status_t status = check_names(options);
    if (!status) status = check_sizes(options);
    if (!status) status = check_rates(options);
    if (!status) status = check_mixing(options);
    return status;
}

/* Bytes of one process, about. */
static double memory_of_process(const dataset_shape_t *shape, const model_t *model) {
    double floats = (double)model_parameter_count(model) + (double)model_buffer_count(model);
    double pixels = (double)shape->height * shape->width * shape->channels;
    return (double)model_memory_bytes(model) + VECTORS_PER_NODE * sizeof(float) * floats +
           pixels * ((double)shape->train_count + shape->test_count);
}

/* Of the processes that are on this machine. */
static sgp_status_t check_memory(const train_options_t *options, const dataset_shape_t *shape,
                                 const model_t *model) {
    machine_memory_t machine = machine_memory("");
    int processes = options->here ? options->here : options->nodes * options->workers;
    double needed = memory_of_process(shape, model) * processes;
    const char *one = options->workers > 1 ? "worker" : "node";
    if (needed <= machine.bytes) return SGP_OK;
    return sgp_fail(
        SGP_ERR_INVALID, "%d %s%s of %s at batch-size %d need%s about %.1f GiB: %s %s %.1f",
        processes, one, processes == 1 ? "" : "s", options->model, options->batch_size,
        processes == 1 ? "s" : "", needed / 0x1p30, machine.limit ? machine.limit : "this machine",
        machine.limit ? "of its cgroup is" : "has", machine.bytes / 0x1p30);
}

sgp_status_t train_check(const train_options_t *options) {
    dataset_shape_t shape;
    model_t *model;
    sgp_status_t status = check_ranges(options);
    if (!status) status = dataset_inspect(options->data, &shape);
    if (status) return status;
    if (options->limit_samples > shape.train_count)
        return sgp_fail(SGP_ERR_INVALID,
                        "limit-samples is %lld: must be at most %u, the training samples of %s",
                        (long long)options->limit_samples, shape.train_count, options->data);
    model_options_t model_options = {.name = options->model,
                                     .batch = options->batch_size,
                                     .height = shape.height,
                                     .width = shape.width,
                                     .channels = shape.channels,
                                     .classes = shape.classes};
    status = model_create(&model_options, &model);
    if (status) return status;
    status = check_memory(options, &shape, model);
    model_destroy(model);
    return status;
}
