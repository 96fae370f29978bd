/* SPDX-License-Identifier: Apache-2.0 */
#include "run/check.h"

#include "base/constants.h"
#include "base/logging.h"
#include "data/feed.h"
#include "mixing/mixer_internal.h"
#include "model/model.h"
#include "run/initial.h"
#include "run/machine.h"
#include "run/mixing_plan.h"
#include "run/option_rows.h"
#include "run/replica.h"

#include <string.h>

/* Vectors of P + S floats that a node holds at most: z, gradient, the optimizer's two, the average, and messages in
 * both directions. */
#define VECTORS_PER_NODE 8

/* Every option by its own row. */
static sgp_status_t check_rows(const train_options_t *options) {
    for (const option_t *option = train_option_rows; option->name; option++) {
        char text[OPTION_TEXT], wanted[OPTION_TEXT];
        if (option_valid(option, options)) continue;
        option_print(option, options, 6, text);
        return sgp_fail(SGP_ERR_INVALID, "%s is %s: must be %s", option->name,
                        *text ? text : "missing", option_wanted(option, wanted));
    }
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

static sgp_status_t check_slow_node(const train_options_t *options) {
    if (options->slow_rank < -1 || options->slow_rank >= options->nodes)
        return sgp_fail(SGP_ERR_INVALID, "slow-node is %d: must be at most %d, the last node",
                        options->slow_rank, options->nodes - 1);
    if (options->slow_rank >= 0 && !(options->slow_factor >= 1 && options->slow_factor <= 1e6))
        return sgp_fail(SGP_ERR_INVALID, "the factor of slow-node is %g: must be 1 to 1000000",
                        options->slow_factor);
    return SGP_OK;
}

static sgp_status_t check_warmup(const train_options_t *options) {
    if (options->warmup_epochs <= options->epochs) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "warmup-epochs is %g: must be at most the %d epochs",
                    options->warmup_epochs, options->epochs);
}

/* Its row takes a number below 0 for one that is not given, and train_options_settle replaces that. */
static sgp_status_t check_lr(const train_options_t *options) {
    if (options->lr > 0) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "lr is %g: must be a number above 0, 1e6 at most",
                    options->lr);
}

static sgp_status_t check_allreduce(const train_options_t *options) {
    if (!strcmp(options->allreduce, "own") || !strcmp(options->transport, "mpi")) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "allreduce is library, which is MPI's, with transport %s: transport mpi has "
                    "it, and allreduce own works with every transport",
                    options->transport);
}

/* The number of nodes may not be known yet. */
static sgp_status_t check_min_nodes(const train_options_t *options) {
    if (options->nodes == 0 || options->min_nodes <= options->nodes) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "min-nodes is %d: must be at most the %d nodes",
                    options->min_nodes, options->nodes);
}

/* Once the stages of the schedules are in order. */
static sgp_status_t check_max_nodes(const train_options_t *options) {
    if (options->max_nodes == 0 || options->nodes == 0) return SGP_OK;
    if (options->max_nodes < options->nodes)
        return sgp_fail(SGP_ERR_INVALID, "max-nodes is %d: must be at least the %d nodes",
                        options->max_nodes, options->nodes);
    const char *why = train_closed_because(options);
    if (options->max_nodes == options->nodes || !why) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "max-nodes is %d, of %d nodes: %s", options->max_nodes,
                    options->nodes, why);
}

/* Once the stages of the schedules are in order. */
static sgp_status_t check_on_loss(const train_options_t *options) {
    const char *why = train_stops_because(options);
    if (!why || !options->on_loss || strcmp(options->on_loss, "continue") != 0) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "on-loss is continue: %s", why);
}

/* Data that each node has for itself are divided already. */
static sgp_status_t check_data(const train_options_t *options) {
    bool split = options->split.kind != DIVISION_IID;
    const char *other = options->private_data ? "private-data" : "shard-per-node";
    if (split && train_keeps_parts(options))
        return sgp_fail(SGP_ERR_INVALID,
                        "split divides data that all nodes have, and with %s each node has its "
                        "own: only one of the two works",
                        other);
    if (options->private_data && options->shard_per_node)
        return sgp_fail(SGP_ERR_INVALID,
                        "shard-per-node gives each node a part of data that all have, and with "
                        "private-data each node has its own: only one of the two works");
    return SGP_OK;
}

/* Every stage. The mixer rejects invalid combinations. */
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
    sgp_status_t status = check_rows(options);
    if (!status) status = check_lr(options);
    if (!status) status = check_allreduce(options);
    if (!status) status = check_workers(options);
    if (!status) status = check_stages("algorithm", &options->algorithm, options->epochs);
    if (!status) status = check_stages("peers", &options->peers, options->epochs);
    if (!status) status = check_slow_node(options);
    if (!status) status = check_warmup(options);
    if (!status) status = check_mixing(options);
    if (!status) status = check_on_loss(options);
    if (!status) status = check_min_nodes(options);
    if (!status) status = check_max_nodes(options);
    if (!status) status = check_data(options);
    return status;
}

/* Approximate bytes of one process. */
static double memory_of_process(const train_options_t *options, const feed_shape_t *shape,
                                const model_t *model) {
    double floats = (double)model_parameter_count(model) + (double)model_buffer_count(model);
    return (double)model_memory_bytes(model) + VECTORS_PER_NODE * sizeof(float) * floats +
           feed_memory_bytes(shape, options->batch_size, replica_data_threads(options));
}

/* The processes on this machine must fit its memory. */
static sgp_status_t check_memory(const train_options_t *options, const feed_shape_t *shape,
                                 const model_t *model) {
    machine_memory_t machine = machine_memory("");
    int processes = options->here ? options->here : options->nodes * options->workers;
    double needed = memory_of_process(options, shape, model) * processes;
    const char *one = options->workers > 1 ? "worker" : "node";
    if (needed <= machine.bytes) return SGP_OK;
    return sgp_fail(
        SGP_ERR_INVALID, "%d %s%s of %s at batch-size %d need%s about %.1f GiB: %s %s %.1f",
        processes, one, processes == 1 ? "" : "s", options->model, options->batch_size,
        processes == 1 ? "s" : "", needed / 0x1p30, machine.limit ? machine.limit : "this machine",
        machine.limit ? "of its cgroup is" : "has", machine.bytes / 0x1p30);
}

/* Classes without samples, which count as none, show when the labels are read. A run that goes on with fewer nodes may leave
 * classes out. The number of nodes may not be known yet. */
sgp_status_t check_split(const train_options_t *options, const feed_shape_t *shape) {
    const division_rule_t *rule = &options->split;
    if (rule->kind == DIVISION_IID || options->resume || options->nodes == 0) return SGP_OK;
    return division_check(rule, options->nodes, shape->classes, shape->train_count);
}

sgp_status_t train_check(const train_options_t *options) {
    feed_shape_t shape;
    model_t *model;
    char path[TRAIN_PATH];
    sgp_status_t status = check_ranges(options);
    if (!status)
        status = feed_inspect(train_data_path(options, 0, path), options->limit_samples,
                              options->image_size, &shape);
    if (!status) status = check_split(options, &shape);
    if (status) return status;
    model_options_t model_options = replica_model_options(options, &shape);
    status = model_create(&model_options, &model);
    if (status) return status;
    status = check_memory(options, &shape, model);
    if (!status && !options->resume) status = initial_check(options, model);
    model_destroy(model);
    return status;
}
