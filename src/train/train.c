/* SPDX-License-Identifier: Apache-2.0 */
#include "train/train.h"

#include "base/log.h"
#include "train/agreement.h"
#include "train/check.h"
#include "train/config.h"
#include "train/json.h"
#include "train/run.h"
#include "train/safetensors.h"
#include "train/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static sgp_status_t check_place(const train_options_t *options, const sgp_group_t *group) {
    if (options->nodes == sgp_group_size(group)) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "nodes is %d: must be %d, the size of the group",
                    options->nodes, sgp_group_size(group));
}

static sgp_status_t begin_files(run_t *run) {
    if (!run_writes(run)) return SGP_OK;
    const char *output = run->options->output;
    sgp_status_t status =
        train_json_write(output, "config.json", config_json(run->options, &run->replica));
    if (!status) status = file_replace(output, METRICS_FILE, NULL, 0);
    if (!status && run->options->tensorboard)
        status = tensorboard_begin(&run->tensorboard, output, run->size, run->step);
    return status;
}

static sgp_status_t begin_trace(run_t *run) {
    if (!run->options->trace) return SGP_OK;
    return timeline_begin(&run->timeline, run_writes(run) ? run->options->output : NULL,
                          TIMELINE_SPANS);
}

/* What a node can do alone. */
static sgp_status_t prepare_alone(run_t *run) {
    sgp_status_t status = check_ranges(run->options);
    if (!status) status = check_place(run->options, run->group);
    if (!status) status = replica_init(&run->replica, run->options, run->rank);
    if (status) return status;
    metrics_init(&run->metrics, run->replica.steps_per_epoch, run->replica.parameters);
    status = times_init(&run->times, run->replica.schedule.steps);
    if (status) replica_fini(&run->replica);
    return status;
}

static void release(run_t *run) {
    times_fini(&run->times);
    replica_fini(&run->replica); /* the mixer, which records */
    timeline_fini(&run->timeline);
}

/* A node whose data are missing tells the others, and nobody starts before all can and want the
 * same. */
static sgp_status_t prepare(run_t *run) {
    agreement_t agreement;
    sgp_status_t own = prepare_alone(run);
    sgp_status_t status = agreement_share(run->group, own);
    if (own) return own;
    if (status) goto fini;
    config_agreement(run->options, &run->replica, &agreement);
    status = agreement_check(run->group, &agreement);
    if (status) goto fini;
    own = replica_join(&run->replica, run->options, run->group);
    if (!own) own = begin_files(run);
    if (!own) own = begin_trace(run);
    status = agreement_share(run->group, own);
    if (!status) return SGP_OK;
fini:
    release(run);
    return status;
}

static void hash_parameters(const replica_t *replica, char text[33]) {
    static const char digits[] = "0123456789abcdef";
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash,
                             XXH3_128bits(replica->average, replica->parameters * sizeof(float)));
    for (int i = 0; i < 16; i++) {
        text[2 * i] = digits[hash.digest[i] >> 4];
        text[2 * i + 1] = digits[hash.digest[i] & 15];
    }
    text[32] = '\0';
}

/* Counters over all nodes, and the mean wait. */
static sgp_status_t gather_messages(const run_t *run, train_summary_t *summary) {
    sgp_mixer_statistics_t mine;
    sgp_mixer_statistics(run->replica.mixer, &mine);
    sgp_mixer_statistics_t *all = malloc((size_t)run->size * sizeof *all);
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes' counters", run->size);
    sgp_status_t status = sgp_group_gather(run->group, &mine, sizeof mine, all);
    for (int i = 0; i < run->size && !status; i++) {
        summary->messages.sent += all[i].sent;
        summary->messages.received += all[i].received;
        summary->messages.late += all[i].late;
        summary->messages.refused += all[i].refused;
        summary->messages.resent += all[i].resent;
        summary->messages.reabsorbed += all[i].reabsorbed;
        summary->wait_ms += (double)all[i].wait_ns * 1e-6 / (double)run->step / (double)run->size;
    }
    free(all);
    return status;
}

static sgp_status_t summarise(const run_t *run, train_summary_t *summary) {
    double samples = (double)run->replica.dataset->train.count * run->options->epochs;
    times_summary_t times;
    *summary = (train_summary_t){
        .parameters = run->replica.parameters,
        .steps = run->step,
        .seconds = run->all_seconds,
        .samples_per_second = samples / run->all_seconds,
        .train_loss = run->train_loss,
        .test_accuracy = run->test_accuracy,
        .average_model_accuracy = run->average_model_accuracy,
        .consensus = run->consensus,
    };
    hash_parameters(&run->replica, summary->parameters_hash);
    sgp_status_t status = times_gather(&run->times, run->group, &times);
    if (status) return status;
    summary->step_ms.mean = times.mean;
    summary->step_ms.p50 = times.p50;
    summary->step_ms.p99 = times.p99;
    return gather_messages(run, summary);
}

static sgp_status_t write_model(const run_t *run, const char *hash) {
    const replica_t *replica = &run->replica;
    size_t count = model_tensor_count(replica->model);
    safetensors_tensor_t *tensors = calloc(count, sizeof *tensors);
    if (!tensors) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu tensors", count);
    for (size_t i = 0; i < count; i++) {
        const model_tensor_t *tensor = model_tensor(replica->model, i);
        size_t start = tensor->is_buffer ? replica->parameters : 0;
        tensors[i] = (safetensors_tensor_t){.name = tensor->name,
                                            .dims = tensor->dims,
                                            .shape = tensor->shape,
                                            .data = replica->average + start + tensor->offset};
    }
    const safetensors_pair_t metadata[] = {
        {"format", "pt"}, /* plain layouts, as PyTorch has them */
        {"sgp_version", SGP_VERSION},
        {"model", run->options->model},
        {"parameters_hash", hash}};
    sgp_status_t status = safetensors_write(run->options->output, "model.safetensors", tensors,
                                            count, metadata, sizeof metadata / sizeof metadata[0]);
    free(tensors);
    return status;
}

static sgp_status_t end_files(const run_t *run, const train_summary_t *summary) {
    if (!run_writes(run)) return SGP_OK;
    sgp_status_t status = write_model(run, summary->parameters_hash);
    if (status) return status;
    return train_json_write(run->options->output, "summary.json",
                            train_summary_json(run->options, summary));
}

/* What the schedules of algorithm and peers say about this epoch. */
static sgp_status_t enter_epoch(run_t *run, uint64_t epoch) {
    if (!train_mixer_changes(run->options, epoch)) return SGP_OK;
    sgp_mixer_options_t mixer = train_mixer_options(run->options, epoch);
    return sgp_mixer_switch(run->replica.mixer, &mixer);
}

static sgp_status_t run_all(run_t *run, train_summary_t *summary) {
    sgp_status_t status = SGP_OK;
    for (uint64_t epoch = 0; epoch < (uint64_t)run->options->epochs && !status; epoch++) {
        status = enter_epoch(run, epoch);
        if (!status) status = run_steps(run, epoch);
        if (!status) status = run_meet(run, epoch);
    }
    if (!status && run->timeline.trace) status = timeline_meet(&run->timeline, run->group);
    train_summary_t result;
    if (!status) status = summarise(run, &result);
    if (!status) status = agreement_share(run->group, end_files(run, &result));
    if (!status) *summary = result;
    return status;
}

sgp_status_t train_run(const train_options_t *options, sgp_group_t *group,
                       const train_callbacks_t *callbacks, train_summary_t *summary) {
    run_t *run = calloc(1, sizeof *run);
    if (!run) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a run");
    run->options = options;
    run->group = group;
    run->rank = sgp_group_rank(group);
    run->size = sgp_group_size(group);
    if (callbacks) run->callbacks = *callbacks;
    run->test_accuracy = (train_spread_t){NAN, NAN, NAN};
    run->average_model_accuracy = run->train_loss = run->consensus.distance = NAN;
    sgp_status_t status = prepare(run);
    if (!status) {
        status = run_all(run, summary);
        if (status && run->timeline.trace) timeline_rescue(&run->timeline);
        release(run);
    }
    free(run);
    return status;
}
