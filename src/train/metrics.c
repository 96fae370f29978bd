/* SPDX-License-Identifier: Apache-2.0 */
#include "train/metrics.h"

#include "base/log.h"
#include "train/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(metrics_record_t) * METRICS_PER_EPOCH <= 64 << 10, "fits one gather");

void metrics_init(metrics_t *metrics, uint64_t steps_per_epoch) {
    memset(metrics, 0, sizeof *metrics);
    metrics->interval = (steps_per_epoch + METRICS_PER_EPOCH - 1) / METRICS_PER_EPOCH;
}

static void close_line(metrics_t *metrics) {
    metrics_record_t *line = &metrics->lines[metrics->count++];
    double steps = (double)metrics->open_steps;
    *line = metrics->open;
    line->mean.step_ms /= steps;
    line->mean.gradient_ms /= steps;
    line->mean.wait_ms /= steps;
    memset(&metrics->open, 0, sizeof metrics->open);
    metrics->open_steps = 0;
}

void metrics_add(metrics_t *metrics, const metrics_step_t *step, uint64_t number, bool last) {
    metrics_record_t *open = &metrics->open;
    open->step = (double)number;
    open->mean.loss_sum += step->loss_sum;
    open->mean.samples += step->samples;
    open->mean.step_ms += step->step_ms;
    open->mean.gradient_ms += step->gradient_ms;
    open->mean.wait_ms += step->wait_ms;
    open->mean.lr = step->lr;
    open->mean.seconds = step->seconds;
    open->mean.weight = step->weight;
    if (++metrics->open_steps == metrics->interval || last) close_line(metrics);
}

static json_t *record_json(const metrics_record_t *record, int epoch, int node) {
    const metrics_step_t *mean = &record->mean;
    return json_pack("{s:i, s:I, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "epoch", epoch, "step",
                     (json_int_t)record->step, "node", node, "seconds",
                     train_json_number(mean->seconds), "loss",
                     train_json_number(mean->loss_sum / mean->samples), "lr",
                     train_json_number(mean->lr), "step_ms", train_json_number(mean->step_ms),
                     "gradient_ms", train_json_number(mean->gradient_ms), "wait_ms",
                     train_json_number(mean->wait_ms), "weight", train_json_number(mean->weight));
}

static json_t *epoch_json(const metrics_epoch_t *epoch, const metrics_node_t *result, int node) {
    const sgp_mixer_consensus_t *consensus = &epoch->consensus;
    return json_pack(
        "{s:i, s:I, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "epoch", epoch->epoch, "step",
        (json_int_t)epoch->step, "node", node, "seconds", train_json_number(result->seconds),
        "train_loss", train_json_number(result->train_loss), "test_loss",
        train_json_number(result->test_loss), "test_accuracy",
        train_json_number(result->test_accuracy), "average_model_accuracy",
        train_json_number(epoch->average_model_accuracy), "consensus_distance",
        train_json_number(consensus->distance), "w_total", train_json_number(consensus->w_total),
        "drift", train_json_number(consensus->drift));
}

/* Takes json (NULL: out of memory). */
static bool print_line(FILE *stream, json_t *json) {
    bool printed = json && json_dumpf(json, stream, JSON_COMPACT | TRAIN_JSON_FLAGS) == 0 &&
                   fputc('\n', stream) != EOF;
    json_decref(json);
    return printed;
}

char *metrics_text(const metrics_record_t *records, int size, int count,
                   const metrics_epoch_t *epoch, const metrics_node_t *nodes) {
    char *text = NULL;
    size_t length;
    FILE *stream = open_memstream(&text, &length);
    if (!stream) return NULL;
    bool printed = true;
    for (int i = 0; i < count; i++)
        for (int node = 0; node < size && printed; node++)
            printed =
                print_line(stream, record_json(&records[node * count + i], epoch->epoch, node));
    for (int node = 0; node < size && printed; node++)
        printed = print_line(stream, epoch_json(epoch, &nodes[node], node));
    if (fclose(stream) == 0 && printed) return text;
    free(text);
    return NULL;
}

sgp_status_t metrics_flush(metrics_t *metrics, sgp_group_t *group, const char *directory,
                           const metrics_epoch_t *epoch, const metrics_node_t *nodes) {
    int size = sgp_group_size(group), count = metrics->count;
    metrics_record_t *all = malloc((size_t)size * (size_t)count * sizeof *all);
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the metrics of %d nodes", size);
    char *text = NULL;
    sgp_status_t status = sgp_group_gather(group, metrics->lines, (size_t)count * sizeof *all, all);
    metrics->count = 0;
    if (status || sgp_group_rank(group) != 0 || !directory) goto free_all;
    text = metrics_text(all, size, count, epoch, nodes);
    if (text) status = file_append(directory, METRICS_FILE, text, strlen(text));
    else status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the metrics of %d nodes", size);
    free(text);
free_all:
    free(all);
    return status;
}
