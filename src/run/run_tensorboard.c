/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_tensorboard.h"

#include "base/logging.h"
#include "files/atomic_file.h"
#include "files/event_record.h"
#include "run/pacing.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = -1 }; /* the means over all processes */

/* The sub-run of a process, or of ALL: the name of its directory. */
static void name_part(const run_tensorboard_t *board, int process, char name[48]) {
    int workers = board->workers;
    if (process == ALL) snprintf(name, 48, "all");
    else if (workers <= 1) snprintf(name, 48, "node-%d", process);
    else snprintf(name, 48, "node-%d-worker-%d", process / workers, process % workers);
}

/* The file of a process, or of ALL, below the run's directory. */
static void name_file(const run_tensorboard_t *board, int process, char name[256]) {
    char part[48];
    name_part(board, process, part);
    snprintf(name, 256, RUN_TENSORBOARD_DIRECTORY "/%s/%s", part, board->file);
}

static sgp_status_t begin_file(const run_tensorboard_t *board, int process, double now,
                               uint64_t step) {
    char part[48], directory[64], name[256];
    name_part(board, process, part);
    snprintf(directory, sizeof directory, RUN_TENSORBOARD_DIRECTORY "/%s", part);
    sgp_status_t status = atomic_file_make_directory(board->output, directory);
    name_file(board, process, name);
    return status ? status : event_file_begin(board->output, name, now, (int64_t)step + 1);
}

sgp_status_t run_tensorboard_begin(run_tensorboard_t *board, const char *output, int size,
                                   int workers, uint64_t step) {
    double now = pacing_wall_time();
    *board = (run_tensorboard_t){.workers = workers, .output = output};
    event_file_name(now, board->file);
    sgp_status_t status = atomic_file_make_directory(output, RUN_TENSORBOARD_DIRECTORY);
    for (int process = ALL; process < size && !status; process++)
        status = begin_file(board, process, now, step);
    return status;
}

/* Records one after the other. */
typedef struct records {
    uint8_t *bytes;
    size_t length;
} records_t;

static void add_event(records_t *records, double wall_time, double step,
                      const event_record_scalar_t *scalars, size_t count) {
    event_record_t event;
    event_record_scalars(&event, wall_time, (int64_t)step, scalars, count);
    memcpy(records->bytes + records->length, event.bytes, event.length);
    records->length += event.length;
}

static void add_line(records_t *records, double wall_time, const metrics_record_t *line,
                     double distance) {
    const metrics_step_t *mean = &line->mean;
    const event_record_scalar_t scalars[] = {{"train/loss", mean->loss_sum / mean->samples},
                                             {"train/lr", mean->lr},
                                             {"time/step_ms", mean->step_ms},
                                             {"time/gradient_ms", mean->gradient_ms},
                                             {"time/wait_ms", mean->wait_ms},
                                             {"mixing/weight", mean->weight},
                                             {"mixing/consensus_distance", distance}};
    add_event(records, wall_time, line->step, scalars, sizeof scalars / sizeof *scalars);
}

/* After the lines. everywhere: of all nodes, with the values that only the whole run has. */
static void add_end(records_t *records, double wall_time, const metrics_epoch_t *epoch,
                    const metrics_node_t *node, bool everywhere) {
    const event_record_scalar_t scalars[] = {
        {"test/loss", node->test_loss},
        {"test/accuracy", node->test_accuracy},
        {"epoch/train_loss", node->train_loss},
        {"test/average_model_accuracy", epoch->average_model_accuracy},
        {"epoch/consensus_distance", epoch->consensus.distance}};
    add_event(records, wall_time, (double)epoch->step, scalars, everywhere ? 5 : 3);
}

static int processes(const metrics_lines_t *lines) {
    int count = 0;
    for (int i = 0; i < lines->size; i++) count += metrics_has(lines, i);
    return count;
}

/* Means over the processes that are there. */
static metrics_record_t mean_line(const metrics_lines_t *lines, int line) {
    metrics_record_t mean = {.mean.samples = 1};
    int count = processes(lines);
    for (int i = 0; i < lines->size; i++) {
        if (!metrics_has(lines, i)) continue;
        const metrics_record_t *record = &lines->records[i * lines->count + line];
        mean.step = record->step;
        mean.mean.lr = record->mean.lr;
        mean.mean.loss_sum += record->mean.loss_sum / record->mean.samples / count;
        mean.mean.step_ms += record->mean.step_ms / count;
        mean.mean.gradient_ms += record->mean.gradient_ms / count;
        mean.mean.wait_ms += record->mean.wait_ms / count;
        mean.mean.weight += record->mean.weight / count;
        mean.mean.seconds += record->mean.seconds / count;
    }
    return mean;
}

static metrics_node_t mean_node(const metrics_lines_t *lines, const metrics_node_t *nodes) {
    metrics_node_t mean = {0};
    int count = processes(lines);
    for (int i = 0; i < lines->size; i++) {
        if (!metrics_has(lines, i)) continue;
        mean.seconds += nodes[i].seconds / count;
        mean.train_loss += nodes[i].train_loss / count;
        mean.test_loss += nodes[i].test_loss / count;
        mean.test_accuracy += nodes[i].test_accuracy / count;
    }
    return mean;
}

/* The lines of a process, or of ALL, from `first` on. began: the time of its second 0. Returns the time of the last one. */
static double add_lines(records_t *records, int process, const metrics_lines_t *lines,
                        double began) {
    double wall_time = 0;
    for (int i = lines->first; i < lines->count; i++) {
        metrics_record_t line =
            process == ALL ? mean_line(lines, i) : lines->records[process * lines->count + i];
        wall_time = began + line.mean.seconds;
        add_line(records, wall_time, &line, lines->distances[i]);
    }
    return wall_time;
}

static sgp_status_t append(const run_tensorboard_t *board, int process, const records_t *records) {
    char name[256];
    name_file(board, process, name);
    return atomic_file_append(board->output, name, records->bytes, records->length);
}

static sgp_status_t write_end(const run_tensorboard_t *board, int process, records_t *records,
                              const metrics_lines_t *lines, const metrics_epoch_t *epoch,
                              const metrics_node_t *nodes, double ended) {
    metrics_node_t result = process == ALL ? mean_node(lines, nodes) : nodes[process];
    double began = board->began > 0 ? board->began : ended - result.seconds;
    double last = add_lines(records, process, lines, began);
    add_end(records, fmax(ended, last), epoch, &result, process == ALL);
    return append(board, process, records);
}

/* Room for the lines and the end of an epoch. */
static sgp_status_t make_room(records_t *records, const metrics_lines_t *lines) {
    records->bytes = malloc(((size_t)lines->count + 1) * EVENT_RECORD_BYTES);
    return records->bytes ? SGP_OK : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for event files");
}

sgp_status_t run_tensorboard_write_lines(run_tensorboard_t *board, const metrics_lines_t *lines,
                                         double began) {
    records_t records = {.length = 0};
    sgp_status_t status = make_room(&records, lines);
    if (board->began == 0) board->began = began;
    for (int process = ALL; process < lines->size && !status; process++) {
        if (process != ALL && !metrics_has(lines, process)) continue;
        records.length = 0;
        add_lines(&records, process, lines, board->began);
        status = append(board, process, &records);
    }
    free(records.bytes);
    return status;
}

sgp_status_t run_tensorboard_write(run_tensorboard_t *board, const metrics_lines_t *lines,
                                   const metrics_epoch_t *epoch, const metrics_node_t *nodes,
                                   double ended) {
    records_t records = {.length = 0};
    sgp_status_t status = make_room(&records, lines);
    for (int process = ALL; process < lines->size && !status; process++) {
        if (process != ALL && !metrics_has(lines, process)) continue;
        records.length = 0;
        status = write_end(board, process, &records, lines, epoch, nodes, ended);
    }
    free(records.bytes);
    board->began = 0;
    return status;
}
