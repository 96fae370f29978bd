/* SPDX-License-Identifier: Apache-2.0 */
#include "files/tensorboard.h"

#include "base/logging.h"
#include "run/pacing.h"
#include "files/event_record.h"
#include "files/atomic_file.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALL = -1 }; /* nodes */

/* Names the file of a node, or of ALL, below the run's directory. */
static void name_file(const tensorboard_t *tensorboard, int node, char name[256]) {
    char part[48] = "all";
    int workers = tensorboard->workers;
    if (node != ALL && workers <= 1) snprintf(part, sizeof part, "node-%d", node);
    if (node != ALL && workers > 1)
        snprintf(part, sizeof part, "node-%d-worker-%d", node / workers, node % workers);
    snprintf(name, 256, TENSORBOARD_DIRECTORY "/%s/%s", part, tensorboard->file);
}

/* directory: below output, may be there already. */
static sgp_status_t make_directory(const char *output, const char *directory) {
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", output, directory);
    if (length < (int)sizeof path && (mkdir(path, 0777) == 0 || errno == EEXIST)) return SGP_OK;
    return sgp_fail(SGP_ERR_IO, "%s: cannot be made: %s", path, strerror(errno));
}

static sgp_status_t begin_file(const tensorboard_t *tensorboard, int node, double now,
                               uint64_t step) {
    char name[256], directory[256];
    event_record_t version, start;
    name_file(tensorboard, node, name);
    snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(name, '/') - name), name);
    sgp_status_t status = make_directory(tensorboard->output, directory);
    if (status) return status;
    event_record_version(&version, now);
    event_record_start(&start, now, (int64_t)step + 1);
    const atomic_file_part_t parts[] = {{version.bytes, version.length},
                                        {start.bytes, start.length}};
    return atomic_file_replace(tensorboard->output, name, parts, 2);
}

sgp_status_t tensorboard_begin(tensorboard_t *tensorboard, const char *output, int size,
                               int workers, uint64_t step) {
    char host[65] = "";
    double now = clock_date();
    if (gethostname(host, sizeof host - 1) != 0 || !host[0]) snprintf(host, sizeof host, "host");
    *tensorboard = (tensorboard_t){.workers = workers, .output = output};
    snprintf(tensorboard->file, sizeof tensorboard->file, TENSORBOARD_PREFIX "%010lld.%s.%ld",
             (long long)now, host, (long)getpid());
    sgp_status_t status = make_directory(output, TENSORBOARD_DIRECTORY);
    for (int node = ALL; node < size && !status; node++)
        status = begin_file(tensorboard, node, now, step);
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

/* Behind the lines. everywhere: what only the whole run has. */
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

/* Means over the nodes. */
static metrics_record_t mean_line(const metrics_lines_t *lines, int line) {
    metrics_record_t mean = {.mean.samples = 1};
    for (int i = 0; i < lines->size; i++) {
        const metrics_record_t *record = &lines->records[i * lines->count + line];
        mean.step = record->step;
        mean.mean.lr = record->mean.lr;
        mean.mean.loss_sum += record->mean.loss_sum / record->mean.samples / lines->size;
        mean.mean.step_ms += record->mean.step_ms / lines->size;
        mean.mean.gradient_ms += record->mean.gradient_ms / lines->size;
        mean.mean.wait_ms += record->mean.wait_ms / lines->size;
        mean.mean.weight += record->mean.weight / lines->size;
        mean.mean.seconds += record->mean.seconds / lines->size;
    }
    return mean;
}

static metrics_node_t mean_node(const metrics_node_t *nodes, int size) {
    metrics_node_t mean = {0};
    for (int i = 0; i < size; i++) {
        mean.seconds += nodes[i].seconds / size;
        mean.train_loss += nodes[i].train_loss / size;
        mean.test_loss += nodes[i].test_loss / size;
        mean.test_accuracy += nodes[i].test_accuracy / size;
    }
    return mean;
}

static sgp_status_t write_file(const tensorboard_t *tensorboard, int node, records_t *records,
                               const metrics_lines_t *lines, const metrics_epoch_t *epoch,
                               const metrics_node_t *nodes, double ended) {
    metrics_node_t result = node == ALL ? mean_node(nodes, lines->size) : nodes[node];
    char name[256];
    records->length = 0;
    for (int i = 0; i < lines->count; i++) {
        metrics_record_t line =
            node == ALL ? mean_line(lines, i) : lines->records[node * lines->count + i];
        double wall_time = ended - (result.seconds - line.mean.seconds);
        add_line(records, wall_time, &line, lines->distances[i]);
    }
    add_end(records, ended, epoch, &result, node == ALL);
    name_file(tensorboard, node, name);
    return atomic_file_append(tensorboard->output, name, records->bytes, records->length);
}

sgp_status_t tensorboard_write(const tensorboard_t *tensorboard, const metrics_lines_t *lines,
                               const metrics_epoch_t *epoch, const metrics_node_t *nodes,
                               double ended) {
    records_t records = {.bytes = malloc(((size_t)lines->count + 1) * EVENT_RECORD_BYTES)};
    if (!records.bytes) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for event files");
    sgp_status_t status = SGP_OK;
    for (int node = ALL; node < lines->size && !status; node++)
        status = write_file(tensorboard, node, &records, lines, epoch, nodes, ended);
    free(records.bytes);
    return status;
}
