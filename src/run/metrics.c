/* SPDX-License-Identifier: Apache-2.0 */
#include "run/metrics.h"

#include "base/constants.h"
#include "base/logging.h"
#include "run/agreement.h"
#include "run/presence.h"
#include "run/summary.h"
#include "files/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof((metrics_t *)0)->lines <= SGP_GATHER_BYTES, "fits one gather");
_Static_assert(sizeof((metrics_t *)0)->probes <= SGP_GATHER_BYTES, "fits one gather");

void metrics_init(metrics_t *metrics, uint64_t steps_per_epoch, size_t parameters) {
    memset(metrics, 0, sizeof *metrics);
    probe_init(&metrics->probe, parameters);
    metrics_begin(metrics, steps_per_epoch);
}

void metrics_begin(metrics_t *metrics, uint64_t steps) {
    metrics->interval = (steps + METRICS_PER_EPOCH - 1) / METRICS_PER_EPOCH;
}

/* The last line is as long as it must be. */
bool metrics_are_right(const metrics_t *metrics) {
    if (metrics->count >= METRICS_PER_EPOCH - 1)
        return metrics->count == METRICS_PER_EPOCH - 1 ||
               (metrics->count == METRICS_PER_EPOCH && metrics->open_steps == 0);
    return metrics->open_steps <= metrics->interval;
}

/* The probe's values have been taken. */
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

/* Where the probe's values of the next line go: (probe.count). */
static float *open_probe(metrics_t *metrics) {
    return metrics->probes + metrics->count * metrics->probe.count;
}

void metrics_cut(metrics_t *metrics) {
    if (metrics->open_steps == 0) return;
    for (size_t i = 0; i < metrics->probe.count; i++) open_probe(metrics)[i] = NAN;
    close_line(metrics);
}

void metrics_end(metrics_t *metrics, const float *z) {
    if (metrics->open_steps == 0) return;
    probe_take(&metrics->probe, z, open_probe(metrics));
    close_line(metrics);
}

void metrics_add(metrics_t *metrics, const metrics_step_t *step, const float *z, uint64_t number) {
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
    /* After a loss there are more steps than lines have room for: the last line is long. */
    bool full = metrics->count == METRICS_PER_EPOCH - 1;
    if (++metrics->open_steps >= metrics->interval && !full) metrics_end(metrics, z);
}

static void add_records(sgp_state_t *state, const char *name, metrics_record_t *records,
                        size_t count) {
    sgp_state_add(state, name, SGP_STATE_FLOAT64, records,
                  count * (sizeof *records / sizeof(double)));
}

void metrics_state(metrics_t *metrics, sgp_state_t *state) {
    add_records(state, "metrics.open", &metrics->open, 1);
    sgp_state_add(state, "metrics.open_steps", SGP_STATE_UINT64, &metrics->open_steps, 1);
    sgp_state_add(state, "metrics.count", SGP_STATE_UINT64, &metrics->count, 1);
    add_records(state, "metrics.lines", metrics->lines, METRICS_PER_EPOCH);
    sgp_state_add(state, "metrics.probes", SGP_STATE_FLOAT32, metrics->probes,
                  METRICS_PER_EPOCH * metrics->probe.count);
}

/* The fields that say where a line comes from. */
static json_t *line_json(int epoch, double step, const metrics_lines_t *lines, int process) {
    int workers = lines->workers > 1 ? lines->workers : 1;
    json_t *line = json_pack("{s:i, s:I, s:i}", "epoch", epoch, "step", (json_int_t)step, "node",
                             process / workers);
    if (line && workers > 1) json_object_set_new(line, "worker", json_integer(process % workers));
    return line;
}

/* Takes both (NULL: out of memory). */
static json_t *joined(json_t *line, json_t *more) {
    int failed = json_object_update(line, more);
    json_decref(more);
    if (!failed) return line;
    json_decref(line);
    return NULL;
}

static json_t *record_json(const metrics_record_t *record, double distance) {
    const metrics_step_t *mean = &record->mean;
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "seconds", files_json_number(mean->seconds),
        "loss", files_json_number(mean->loss_sum / mean->samples), "lr",
        files_json_number(mean->lr), "step_ms", files_json_number(mean->step_ms), "gradient_ms",
        files_json_number(mean->gradient_ms), "wait_ms", files_json_number(mean->wait_ms), "weight",
        files_json_number(mean->weight), "consensus_distance", files_json_number(distance));
}

static json_t *bad_json(const metrics_node_t *result) {
    return json_pack("{s:I, s:I}", "replaced", (json_int_t)result->replaced, "left_out",
                     (json_int_t)result->left_out);
}

static json_t *epoch_json(const metrics_epoch_t *epoch, const metrics_node_t *result) {
    const sgp_mixer_consensus_t *consensus = &epoch->consensus;
    json_t *object = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "seconds",
        files_json_number(result->seconds), "train_loss", files_json_number(result->train_loss),
        "test_loss", files_json_number(result->test_loss), "test_accuracy",
        files_json_number(result->test_accuracy), "average_model_accuracy",
        files_json_number(epoch->average_model_accuracy), "consensus_distance",
        files_json_number(consensus->distance), "w_total", files_json_number(consensus->w_total),
        "drift", files_json_number(consensus->drift), "test_top5_accuracy",
        files_json_number(result->test_accuracy5), "average_model_top5_accuracy",
        files_json_number(epoch->average_model_accuracy5), "bad_pictures", bad_json(result));
    if (!object || epoch->loss_count == 0 ||
        json_object_set_new(object, "losses",
                            summary_losses_json(epoch->losses, epoch->loss_count)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* Takes json (NULL: out of memory). */
static bool print_line(FILE *stream, json_t *json) {
    bool printed = json && json_dumpf(json, stream, JSON_COMPACT | FILES_JSON_FLAGS) == 0 &&
                   fputc('\n', stream) != EOF;
    json_decref(json);
    return printed;
}

static bool print_record(FILE *stream, const metrics_lines_t *lines, const metrics_epoch_t *epoch,
                         int node, int i) {
    const metrics_record_t *record = &lines->records[node * lines->count + i];
    return print_line(stream, joined(line_json(epoch->epoch, record->step, lines, node),
                                     record_json(record, lines->distances[i])));
}

char *metrics_text(const metrics_lines_t *lines, const metrics_epoch_t *epoch,
                   const metrics_node_t *nodes) {
    char *text = NULL;
    size_t length;
    FILE *stream = open_memstream(&text, &length);
    if (!stream) return NULL;
    files_json_begin();
    bool printed = true;
    for (int i = lines->first; i < lines->count; i++)
        for (int node = 0; node < lines->size && printed; node++)
            if (metrics_has(lines, node)) printed = print_record(stream, lines, epoch, node, i);
    for (int node = 0; nodes && node < lines->size && printed; node++)
        if (metrics_has(lines, node))
            printed =
                print_line(stream, joined(line_json(epoch->epoch, (double)epoch->step, lines, node),
                                          epoch_json(epoch, &nodes[node])));
    if (fclose(stream) == 0 && printed && !files_json_failed()) return text;
    free(text);
    return NULL;
}

/* Notes which nodes are there, and moves their probes together. probes: (size, each). Returns how many. */
static int take_presence(const sgp_group_t *group, metrics_lines_t *lines, float *probes,
                         size_t each) {
    size_t there = 0;
    for (int r = 0; r < lines->size; r++) {
        lines->there[r] = presence_has(group, r);
        if (!lines->there[r]) continue;
        memmove(probes + there++ * each, probes + (size_t)r * each, each * sizeof *probes);
    }
    return (int)there;
}

/* probes: (size, lines, coordinates) scratch. */
static sgp_status_t gather(metrics_t *metrics, sgp_group_t *group, metrics_lines_t *lines,
                           float *probes) {
    size_t count = metrics->count, line = metrics->probe.count;
    sgp_status_t status =
        sgp_group_gather(group, metrics->lines, count * sizeof *lines->records, lines->records);
    if (!status)
        status = sgp_group_gather(group, metrics->probes, count * line * sizeof *probes, probes);
    if (status) return status;
    int there = take_presence(group, lines, probes, count * line);
    for (size_t i = 0; i < count; i++)
        lines->distances[i] = probe_distance(probes + i * line, there, count * line, line);
    return SGP_OK;
}

sgp_status_t metrics_gather(metrics_t *metrics, sgp_group_t *group, metrics_lines_t *lines) {
    size_t size = (size_t)sgp_group_capacity(group), count = metrics->count;
    metrics_lines_t all = {.size = (int)size, .count = (int)count};
    all.records = malloc(size * count * sizeof *all.records);
    all.distances = malloc(count * sizeof *all.distances);
    all.there = malloc(size * sizeof *all.there);
    float *probes = malloc(size * count * metrics->probe.count * sizeof *probes);
    sgp_status_t status = SGP_OK;
    if (!all.records || !all.distances || !all.there || !probes)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the metrics of %zu nodes", size);
    status = agreement_share(group, status);
    if (!status) status = gather(metrics, group, &all, probes);
    free(probes);
    if (status) metrics_release(&all);
    else *lines = all;
    metrics->count = 0;
    return status;
}

void metrics_release(metrics_lines_t *lines) {
    free(lines->records);
    free(lines->distances);
    free(lines->there);
    *lines = (metrics_lines_t){0};
}

sgp_status_t metrics_write(const metrics_lines_t *lines, const char *directory,
                           const metrics_epoch_t *epoch, const metrics_node_t *nodes) {
    char *text = metrics_text(lines, epoch, nodes);
    if (!text)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the metrics of %d nodes", lines->size);
    sgp_status_t status = atomic_file_append(directory, METRICS_FILE, text, strlen(text));
    free(text);
    return status;
}
