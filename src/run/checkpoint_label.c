/* SPDX-License-Identifier: Apache-2.0 */
#include "run/checkpoint_label.h"

#include "run/config.h"
#include "run/run_id.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static void
add_text(checkpoint_label_t *label, const char *key, const char *format, ...) {
    char *text = label->texts[label->count];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, CHECKPOINT_LABEL_TEXT, format, arguments);
    va_end(arguments);
    label->pairs[label->count++] = (safetensors_pair_t){key, text};
}

/* In the order in which differences are looked for: the most telling one first. */
void checkpoint_label_init(checkpoint_label_t *label, const train_options_t *options,
                           const replica_t *replica, const char *id, uint64_t step, int rank) {
    char fingerprint[CONTENT_HASH_TEXT];
    config_fingerprint(options, replica, fingerprint);
    label->count = 0;
    add_text(label, "kind", "checkpoint");
    add_text(label, "model", "%s", options->model);
    add_text(label, "nodes", "%d", options->nodes);
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

static sgp_status_t compare(const tensor_file_t *file, const checkpoint_label_t *label,
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

sgp_status_t checkpoint_label_check(const char *path, const checkpoint_label_t *label,
                                    char problem[TENSOR_FILE_PROBLEM]) {
    tensor_file_t file;
    sgp_status_t status = tensor_file_open(path, &file, problem);
    if (status) return status;
    status = tensor_file_check(&file, problem);
    if (!status) status = compare(&file, label, problem);
    tensor_file_close(&file);
    return status;
}
