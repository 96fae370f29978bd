/* SPDX-License-Identifier: Apache-2.0 */
#include "run/resize.h"

#include "base/logging.h"
#include "mixing/mixer_internal.h"
#include "run/average_mean.h"
#include "run/checkpoint.h"
#include "run/checkpoint_folder.h"
#include "run/mass.h"
#include "run/run_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void resize_place(run_t *run, uint64_t step) {
    replica_t *replica = &run->replica;
    const checkpoint_origin_t *origin = &run->origin;
    if (resize_happens(run)) {
        replica->epochs = epochs_continue(&origin->epochs, step, replica->epochs.batch);
        run->resumed = (train_resumed_t){.step = step, .nodes = origin->nodes};
    } else {
        replica->epochs = origin->epochs;
        run->resumed = origin->resumed;
    }
}

/* ---- an item of the state ---- */

/* How the state of N nodes follows from that of M. */
typedef enum rule {
    RULE_MEAN,  /* over the nodes; of float32 */
    RULE_MODEL, /* the mean weighted by w */
    RULE_TWIN,  /* of node (rank mod M) */
    RULE_SHARE, /* the sum over all, divided equally; of doubles */
    RULE_DEALT, /* the sum over processes rank, rank + N, ...; of integers */
    RULE_ROUND, /* the twin's mixer.round: no message of an earlier round is under way */
    RULE_FRESH, /* as in a new run */
} rule_t;

static const struct {
    const char *name;
    rule_t rule;
} rules[] = {
    {"run.times", RULE_TWIN},
    {"run.epoch", RULE_SHARE},
    {"run.split_nodes", RULE_FRESH},
    {"run.bad", RULE_DEALT},
    {"run.bad_before", RULE_DEALT},
    {"metrics.open", RULE_FRESH},
    {"metrics.open_steps", RULE_FRESH},
    {"metrics.count", RULE_FRESH},
    {"metrics.lines", RULE_FRESH},
    {"metrics.probes", RULE_FRESH},
    {"mixer.z", RULE_MODEL},
    {"mixer.weight", RULE_FRESH},
    {"mixer.ledger", RULE_FRESH},
    {"mixer.statistics", RULE_DEALT},
    {"server.staleness", RULE_DEALT},
    {"overlap.settled", RULE_ROUND},
    {"modulo.ranges", RULE_FRESH},
    {"modulo.moved", RULE_FRESH},
};

/* The files, and the place of this process among those that continue. */
typedef struct reading {
    const run_t *run;
    average_source_t source;
    char *problem; /* (TENSOR_FILE_PROBLEM) */
} reading_t;

/* A single node sends nothing, so its file has no rounding errors of messages. */
static rule_t rule_of(const reading_t *reading, const sgp_state_item_t *item) {
    if (reading->source.nodes == 1 && strncmp(item->name, "feedback.", 9) == 0) return RULE_FRESH;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (strcmp(item->name, rules[i].name) == 0) return rules[i].rule;
    return item->kind == SGP_STATE_FLOAT32 ? RULE_MEAN : RULE_TWIN;
}

static int twin_of(const reading_t *reading) {
    const average_source_t *source = &reading->source;
    return reading->run->node % source->nodes * source->workers + reading->run->worker;
}

/* Reads the item of one process to `data` (item->count). */
static sgp_status_t read_item(const reading_t *reading, int process, const sgp_state_item_t *item,
                              void *data) {
    char name[CHECKPOINT_ITEM_NAME];
    const tensor_file_t *file = &reading->source.files[process];
    checkpoint_item_name(item, name);
    const tensor_file_entry_t *entry = tensor_file_find(file, name);
    if (!entry && checkpoint_may_lack(item)) return SGP_OK;
    if (!entry || entry->dtype != checkpoint_item_dtype(item) ||
        tensor_file_entry_count(entry) != item->count)
        return average_say(file, reading->problem, "has no such %s", name);
    return tensor_file_read(file, entry->begin, (size_t)(entry->end - entry->begin), data,
                            reading->problem);
}

enum { SUMS = 32 }; /* numbers of an item that is added up, at most */

/* Over all processes, divided equally among those of this run. */
static sgp_status_t read_share(const reading_t *reading, const sgp_state_item_t *item) {
    double sums[SUMS] = {0}, part[SUMS], *mine = item->data;
    sgp_status_t status = SGP_OK;
    for (int f = 0; f < reading->source.count && !status; f++) {
        status = read_item(reading, f, item, part);
        for (size_t i = 0; i < item->count && !status; i++) sums[i] += part[i];
    }
    for (size_t i = 0; i < item->count && !status; i++) mine[i] = sums[i] / reading->run->founders;
    return status;
}

static sgp_status_t read_dealt(const reading_t *reading, const sgp_state_item_t *item) {
    uint64_t part[SUMS], *mine = item->data;
    sgp_status_t status = SGP_OK;
    memset(mine, 0, item->count * sizeof *mine);
    for (int f = reading->run->rank; f < reading->source.count && !status;
         f += reading->run->founders) {
        status = read_item(reading, f, item, part);
        for (size_t i = 0; i < item->count && !status; i++) mine[i] += part[i];
    }
    return status;
}

/* ---- the model ---- */

/* Each worker has the weights of its segment. */
static sgp_status_t check_weights(const reading_t *reading, uint64_t step) {
    const average_source_t *source = &reading->source;
    for (int worker = 0; worker < source->workers; worker++) {
        double total = 0, weight;
        for (int f = worker; f < source->count; f += source->workers) {
            sgp_status_t status = average_weight(&source->files[f], &weight, reading->problem);
            if (status) return status;
            total += weight;
        }
        bool good = fabs(total / source->nodes - 1) <= MASS_DRIFT;
        if (good || !run_leads(reading->run)) continue;
        sgp_log(SGP_LOG_WARNING,
                "the push-sum weights in the checkpoint of step %" PRIu64
                " add up to %.6g: must be %d, the number of its nodes",
                step, total, source->nodes);
    }
    return SGP_OK;
}

static sgp_status_t read_model(const reading_t *reading, const sgp_state_item_t *item) {
    const average_source_t *source = &reading->source;
    average_vector_t *vectors = calloc((size_t)source->count, sizeof *vectors);
    if (!vectors) {
        snprintf(reading->problem, TENSOR_FILE_PROBLEM, "no memory for %d files", source->count);
        return SGP_ERR_NO_MEMORY;
    }
    sgp_status_t status = average_vectors(source, vectors, reading->problem);
    if (!status && vectors[0].length != item->count)
        status = average_say(&source->files[0], reading->problem, "has another model");
    if (!status) status = average_model(source, vectors, item->data, reading->problem);
    free(vectors);
    return status;
}

/* ---- all of it ---- */

static sgp_status_t fill(const reading_t *reading, const sgp_state_item_t *item) {
    char name[CHECKPOINT_ITEM_NAME];
    sgp_state_item_t round = {.name = "mixer.round", .kind = SGP_STATE_UINT64, .count = 1};
    switch (rule_of(reading, item)) {
    case RULE_MODEL:
        return read_model(reading, item);
    case RULE_MEAN:
        checkpoint_item_name(item, name);
        return average_array(&reading->source, reading->run->worker, name, item->data, item->count,
                             reading->problem);
    case RULE_TWIN:
        return read_item(reading, twin_of(reading), item, item->data);
    case RULE_ROUND:
        round.data = item->data;
        return read_item(reading, twin_of(reading), &round, round.data);
    case RULE_SHARE:
        return read_share(reading, item);
    case RULE_DEALT:
        return read_dealt(reading, item);
    case RULE_FRESH:
        break;
    }
    return SGP_OK;
}

/* Opens the files of the checkpoint. problem: (TENSOR_FILE_PROBLEM). */
static sgp_status_t open_all(reading_t *reading, const run_t *run, const char *directory,
                             uint64_t step, char *problem) {
    char folder[PATH_MAX];
    *reading = (reading_t){.run = run, .problem = problem};
    sgp_status_t status = checkpoint_folder(directory, step, folder);
    if (status) snprintf(problem, TENSOR_FILE_PROBLEM, "its path is too long");
    else status = average_open_checked(folder, &reading->source, problem);
    if (status || reading->source.nodes == run->origin.nodes) return status;
    snprintf(problem, TENSOR_FILE_PROBLEM, "%.300s: its files have changed", folder);
    average_close(&reading->source);
    return SGP_ERR_FORMAT;
}

sgp_status_t resize_read(run_t *run, const char *directory, uint64_t step) {
    char problem[TENSOR_FILE_PROBLEM];
    reading_t reading;
    sgp_state_t state = {0};
    uint64_t steps = epochs_total(&run->origin.epochs);
    if (step > steps)
        return sgp_fail(SGP_ERR_MISMATCH,
                        "%s: a checkpoint of step %" PRIu64 " in a run of %" PRIu64 " steps",
                        directory, step, steps);
    sgp_status_t status = open_all(&reading, run, directory, step, problem);
    if (status) return sgp_fail(status, "%s", problem);
    run->times.count = step;
    checkpoint_state(run, &state);
    status = check_weights(&reading, step);
    for (size_t i = 0; i < state.count && !status; i++) status = fill(&reading, &state.items[i]);
    if (!status) status = run_data_load(run, &reading.source.files[0], problem);
    average_close(&reading.source);
    if (status) return sgp_fail(status, "%s", problem);
    if (run->step != step)
        return sgp_fail(SGP_ERR_FORMAT, "%s: its step is out of range", reading.source.folder);
    return sgp_mixer_replaced(run->replica.mixer);
}

/* ---- the lines of the epoch's first part ---- */

/* The lines of one process, the open one among them. */
static sgp_status_t read_lines(const reading_t *reading, int process, metrics_t *metrics) {
    sgp_state_t state = {0};
    sgp_status_t status = SGP_OK;
    metrics_state(metrics, &state);
    for (size_t i = 0; i < state.count && !status; i++)
        status = read_item(reading, process, &state.items[i], state.items[i].data);
    if (status) return status;
    if (!metrics_are_right(metrics))
        return average_say(&reading->source.files[process], reading->problem,
                           "its metrics are out of range");
    metrics_cut(metrics);
    return SGP_OK;
}

/* Moves the lines of all processes to where the file's text is made from. metrics: (source.count). */
static sgp_status_t join_lines(const reading_t *reading, const metrics_t *metrics,
                               metrics_lines_t *lines) {
    size_t size = (size_t)reading->source.count, count = (size_t)metrics[0].count;
    *lines = (metrics_lines_t){
        .size = (int)size, .count = (int)count, .workers = reading->source.workers};
    for (size_t i = 1; i < size; i++)
        if (metrics[i].count != count)
            return average_say(&reading->source.files[i], reading->problem,
                               "has other metrics than node 0's");
    lines->records = calloc(size * count + 1, sizeof *lines->records);
    lines->distances = calloc(count + 1, sizeof *lines->distances);
    if (!lines->records || !lines->distances) {
        snprintf(reading->problem, TENSOR_FILE_PROBLEM, "no memory for %zu lines", count);
        return SGP_ERR_NO_MEMORY;
    }
    size_t stride = sizeof *metrics / sizeof(float), each = metrics[0].probe.count;
    for (size_t i = 0; i < size; i++)
        memcpy(lines->records + i * count, metrics[i].lines, count * sizeof *lines->records);
    for (size_t i = 0; i < count; i++)
        lines->distances[i] =
            probe_distance(metrics[0].probes + i * each, lines->size, stride, each);
    return SGP_OK;
}

static sgp_status_t read_all_lines(const reading_t *reading, metrics_lines_t *lines) {
    const average_source_t *source = &reading->source;
    metrics_t *metrics = calloc((size_t)source->count, sizeof *metrics);
    sgp_status_t status = metrics ? SGP_OK : SGP_ERR_NO_MEMORY;
    if (status) snprintf(reading->problem, TENSOR_FILE_PROBLEM, "no memory for metrics");
    for (int f = 0; f < source->count && !status; f++) {
        metrics_init(&metrics[f], reading->run->origin.epochs.steps,
                     reading->run->replica.parameters);
        status = read_lines(reading, f, &metrics[f]);
    }
    if (!status) status = join_lines(reading, metrics, lines);
    free(metrics);
    return status;
}

sgp_status_t resize_write_lines(const run_t *run) {
    char problem[TENSOR_FILE_PROBLEM];
    reading_t reading;
    metrics_lines_t lines = {0};
    if (!resize_happens(run)) return SGP_OK;
    sgp_status_t status = open_all(&reading, run, run->options->resume, run->step, problem);
    if (status) return sgp_fail(status, "%s", problem);
    status = read_all_lines(&reading, &lines);
    average_close(&reading.source);
    if (status) sgp_log(SGP_LOG_ERROR, "%s", problem);
    metrics_epoch_t epoch = {.epoch = (int)epochs_finished(&run->replica.epochs, run->step) + 1};
    if (!status) status = metrics_write(&lines, run->options->output, &epoch, NULL);
    metrics_release(&lines);
    return status;
}

void resize_report(const run_t *run) {
    const epochs_t *epochs = &run->replica.epochs;
    if (!run_leads(run) || !resize_happens(run) || !run->callbacks.resized) return;
    uint64_t epoch = epochs_finished(epochs, run->step);
    train_resized_t resized = {.from = run->resumed,
                               .nodes = run->options->nodes,
                               .epoch = (int)epoch + 1,
                               .epochs = run->options->epochs,
                               .taken = epochs_taken(epochs, run->step),
                               .samples = epochs->samples,
                               .steps = epochs_total(epochs) - run->step};
    run->callbacks.resized(&resized, run->callbacks.user);
}
