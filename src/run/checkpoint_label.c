/* SPDX-License-Identifier: Apache-2.0 */
#include "run/checkpoint_label.h"

#include "base/constants.h"
#include "run/config.h"
#include "run/run_id.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The keys of the origin, as in epochs_t. */
#define EPOCH            "epoch"
#define EPOCH_START      "epoch_start"
#define SEGMENT_STEP     "segment_step"
#define SEGMENT_POSITION "segment_position"
#define RESUMED_STEP     "resumed_step"
#define RESUMED_NODES    "resumed_nodes"

__attribute__((format(printf, 3, 4))) static void
add_text(checkpoint_label_t *label, const char *key, const char *format, ...) {
    char *text = label->texts[label->count];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, CHECKPOINT_LABEL_TEXT, format, arguments);
    va_end(arguments);
    label->pairs[label->count++] = (safetensors_pair_t){key, text};
}

static void add_number(checkpoint_label_t *label, const char *key, uint64_t number) {
    add_text(label, key, "%" PRIu64, number);
}

/* In the order in which differences are looked for: the most telling one first. */
void checkpoint_label_init(checkpoint_label_t *label, const train_options_t *options, int nodes,
                           const replica_t *replica, const char *id, uint64_t step, int rank) {
    char fingerprint[CONTENT_HASH_TEXT];
    train_options_t written = *options;
    written.nodes = nodes;
    config_fingerprint(&written, replica, fingerprint);
    label->count = 0;
    add_text(label, "kind", "checkpoint");
    add_text(label, "model", "%s", options->model);
    add_text(label, "nodes", "%d", nodes);
    add_text(label, "workers_per_node", "%d", options->workers);
    add_text(label, "parameters", "%zu", replica->parameters);
    add_text(label, "buffers", "%zu", replica->buffers);
    add_text(label, "data_checksum", "%016" PRIx64, feed_checksum(replica->feed));
    add_text(label, "options", "%s", fingerprint);
    add_text(label, RUN_ID_KEY, "%s", *id ? id : "unknown");
    add_text(label, "step", "%" PRIu64, step);
    add_text(label, "rank", "%d", rank);
}

static sgp_status_t no_checkpoint(const tensor_file_t *file, char problem[TENSOR_FILE_PROBLEM]) {
    snprintf(problem, TENSOR_FILE_PROBLEM, "%.300s: is not the checkpoint of a node", file->path);
    return SGP_ERR_FORMAT;
}

sgp_status_t checkpoint_label_compare(const tensor_file_t *file, const checkpoint_label_t *label,
                                      char problem[TENSOR_FILE_PROBLEM]) {
    tensor_file_cover_t cover = tensor_file_cover(file);
    bool old = cover == TENSOR_FILE_DATA; /* from before there were ids */
    if (cover == TENSOR_FILE_NOTHING) return no_checkpoint(file, problem);
    for (int i = 0; i < label->count; i++) {
        const safetensors_pair_t *pair = &label->pairs[i];
        const char *found = tensor_file_text(file, pair->key);
        if (found && strcmp(found, pair->value) == 0) continue;
        if (old && strcmp(pair->key, RUN_ID_KEY) == 0) continue;
        if (i == 0 || !found) return no_checkpoint(file, problem);
        snprintf(problem, TENSOR_FILE_PROBLEM,
                 "%.300s: is of another run: %s is %.40s there and %.40s here", file->path,
                 pair->key, found, pair->value);
        return SGP_ERR_MISMATCH;
    }
    return SGP_OK;
}

/* ---- the origin ---- */

void checkpoint_label_add_origin(checkpoint_label_t *label, const checkpoint_origin_t *origin,
                                 uint64_t step) {
    const epochs_t *epochs = &origin->epochs;
    uint64_t epoch = epochs_finished(epochs, step);
    bool same = epoch == epochs->epoch;
    add_number(label, EPOCH, epoch);
    add_number(label, EPOCH_START, epochs_start(epochs, epoch));
    add_number(label, SEGMENT_STEP, same ? epochs->first : 0);
    add_number(label, SEGMENT_POSITION, same ? epochs->position : 0);
    add_number(label, RESUMED_STEP, origin->resumed.step);
    add_text(label, RESUMED_NODES, "%d", origin->resumed.nodes);
}

/* A number of `most` at most. */
static bool read_number(const tensor_file_t *file, const char *key, uint64_t most,
                        uint64_t *number) {
    const char *text = tensor_file_text(file, key);
    char *end;
    if (!text || *text < '0' || *text > '9') return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0 && *number <= most;
}

sgp_status_t checkpoint_label_nodes(const tensor_file_t *file, int *nodes,
                                    char problem[TENSOR_FILE_PROBLEM]) {
    uint64_t number;
    if (!read_number(file, "nodes", SGP_MOST_PROCESSES, &number) || number == 0)
        return no_checkpoint(file, problem);
    *nodes = (int)number;
    return SGP_OK;
}

/* Steps for each sample of an epoch, at most: a step divides at least one, and a sample that was given to a lost node is
 * divided again. */
enum { STEPS_PER_SAMPLE = 4 };

static bool read_epochs(const tensor_file_t *file, uint64_t step, epochs_t *epochs) {
    return read_number(file, EPOCH, epochs->count, &epochs->epoch) &&
           read_number(file, EPOCH_START, step, &epochs->start) &&
           read_number(file, SEGMENT_STEP, step - epochs->start, &epochs->first) &&
           read_number(file, SEGMENT_POSITION, epochs->samples - 1, &epochs->position) &&
           epochs->start <= STEPS_PER_SAMPLE * epochs->epoch * epochs->samples &&
           epochs->first <= STEPS_PER_SAMPLE * epochs->samples &&
           epochs_finished(epochs, step) == epochs->epoch && step <= epochs_total(epochs);
}

sgp_status_t checkpoint_label_origin(const tensor_file_t *file, const train_options_t *options,
                                     const replica_t *replica, uint64_t step,
                                     checkpoint_origin_t *origin,
                                     char problem[TENSOR_FILE_PROBLEM]) {
    uint64_t nodes = 0;
    memset(origin, 0, sizeof *origin);
    sgp_status_t status = checkpoint_label_nodes(file, &origin->nodes, problem);
    if (status) return status;
    origin->epochs = replica_epochs(options, origin->nodes, replica->feed);
    if (!tensor_file_text(file, EPOCH)) return SGP_OK;
    bool good = read_epochs(file, step, &origin->epochs) &&
                read_number(file, RESUMED_STEP, step, &origin->resumed.step) &&
                read_number(file, RESUMED_NODES, SGP_MOST_PROCESSES, &nodes);
    origin->resumed.nodes = (int)nodes;
    if (good) return SGP_OK;
    snprintf(problem, TENSOR_FILE_PROBLEM, "%.300s: its label has a place that no run comes to",
             file->path);
    return SGP_ERR_FORMAT;
}

bool checkpoint_origin_same(const checkpoint_origin_t *one, const checkpoint_origin_t *other) {
    const epochs_t *a = &one->epochs, *b = &other->epochs;
    return one->nodes == other->nodes && a->epoch == b->epoch && a->start == b->start &&
           a->first == b->first && a->position == b->position &&
           one->resumed.step == other->resumed.step && one->resumed.nodes == other->resumed.nodes;
}
