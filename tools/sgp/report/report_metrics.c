/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_metrics.h"

#include "cli/message.h"

#include "base/constants.h"
#include "files/json.h"
#include "run/config.h"
#include "run/live_merge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value over several nodes. */
typedef struct spread {
    double sum, low, high;
    int count;
} spread_t;

/* The lines of one kind and step, one of each node or of each of its workers. */
typedef struct moment {
    int last;        /* node of the last line; -1: no line yet */
    int last_worker; /* worker of the last line */
    spread_t step, seconds, value, consensus;
} moment_t;

typedef struct reader {
    report_run_t *run;
    moment_t step, epoch;
    json_t *last_epoch;
    double *last_steps; /* (run->node_count) */
    double covered; /* steps that the last line covers; the node's other workers cover as many */
    double *ends;   /* (finished) steps of the run at the end of each epoch */
    int finished;
    double last_step; /* of all lines */
} reader_t;

/* The node and worker that wrote a line. */
typedef struct source {
    int node, worker;
} source_t;

static double number(const json_t *line, const char *key) {
    const json_t *value = json_object_get(line, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void spread_add(spread_t *spread, double value) {
    if (!isfinite(value)) return;
    if (spread->count == 0 || value < spread->low) spread->low = value;
    if (spread->count == 0 || value > spread->high) spread->high = value;
    spread->sum += value;
    spread->count++;
}

static double spread_mean(const spread_t *spread) {
    return spread->count ? spread->sum / spread->count : NAN;
}

/* Without memory for another point the curve stays short. */
static void curve_add(report_curve_t *curve, const moment_t *moment, const spread_t *spread) {
    report_point_t point = {.step = spread_mean(&moment->step),
                            .seconds = spread_mean(&moment->seconds),
                            .value = spread_mean(spread),
                            .low = spread->low,
                            .high = spread->high};
    if (!isfinite(point.step) || !isfinite(point.seconds) || !isfinite(point.value)) return;
    if (curve->count == curve->room) {
        int room = curve->room ? 2 * curve->room : 64;
        report_point_t *more = realloc(curve->points, (size_t)room * sizeof *more);
        if (!more) return;
        curve->points = more;
        curve->room = room;
    }
    curve->points[curve->count++] = point;
}

static void close_moment(reader_t *reader, moment_t *moment) {
    report_run_t *run = reader->run;
    bool step = moment == &reader->step;
    if (moment->last >= 0) {
        curve_add(step ? &run->loss : &run->accuracy, moment, &moment->value);
        curve_add(step ? &run->consensus : &run->evaluations, moment, &moment->consensus);
    }
    *moment = (moment_t){.last = -1};
}

/* Nodes may be at different steps: a moment ends where the node numbers start over. */
static void add_to_moment(reader_t *reader, moment_t *moment, const json_t *line, source_t source,
                          const char *key) {
    bool follows = source.node > moment->last ||
                   (source.node == moment->last && source.worker > moment->last_worker);
    if (!follows) close_moment(reader, moment);
    moment->last = source.node;
    moment->last_worker = source.worker;
    spread_add(&moment->step, number(line, "step"));
    spread_add(&moment->seconds, number(line, "seconds"));
    spread_add(&moment->value, number(line, key));
    spread_add(&moment->consensus, number(line, "consensus_distance"));
}

static bool make_room(reader_t *reader, int nodes) {
    report_run_t *run = reader->run;
    if (nodes <= run->node_count) return true;
    report_node_t *more = realloc(run->nodes, (size_t)nodes * sizeof *more);
    if (more) run->nodes = more;
    double *steps = realloc(reader->last_steps, (size_t)nodes * sizeof *steps);
    if (steps) reader->last_steps = steps;
    if (!more || !steps) return false;
    for (int i = run->node_count; i < nodes; i++) {
        run->nodes[i] = (report_node_t){.node = i};
        steps[i] = 0;
    }
    run->node_count = nodes;
    return true;
}

/* A line holds means over the steps since the node's line before it. */
static void add_times(reader_t *reader, const json_t *line, source_t source) {
    int node = source.node;
    double whole = number(line, "step_ms"), gradient = number(line, "gradient_ms");
    double wait = number(line, "wait_ms"), step = number(line, "step");
    if (!isfinite(whole + gradient + wait + step) || !make_room(reader, node + 1)) return;
    report_node_t *sums = &reader->run->nodes[node];
    if (source.worker == 0) reader->covered = step - reader->last_steps[node];
    double steps = fmax(reader->covered, 1);
    reader->last_steps[node] = step;
    sums->steps += steps;
    sums->gradient_ms += steps * gradient;
    sums->wait_ms += steps * wait;
    sums->update_ms += steps * fmax(whole - gradient - wait, 0);
}

/* Without memory the curves follow the steps of a whole epoch. */
static void add_end(reader_t *reader, double epoch, double step) {
    if (epoch != reader->finished + 1) return;
    double *more = realloc(reader->ends, (size_t)(reader->finished + 1) * sizeof *more);
    if (!more) return;
    more[reader->finished++] = step;
    reader->ends = more;
}

/* bad: of one process in one epoch; earlier versions did not count them. */
static void add_bad_pictures(report_run_t *run, const json_t *bad) {
    run->replaced += fmax(number(bad, "replaced"), 0);
    run->left_out += fmax(number(bad, "left_out"), 0);
}

/* Returns false for a line that no run writes. */
static bool add_line(reader_t *reader, json_t *line) {
    double node = number(line, "node"), step = number(line, "step");
    double worker = json_object_get(line, "worker") ? number(line, "worker") : 0;
    bool epoch = json_object_get(line, "test_accuracy");
    if (!(node >= 0 && node < SGP_MOST_PROCESSES) || !(step >= 0)) return false;
    if (!(worker >= 0 && worker < SGP_MOST_PROCESSES)) return false;
    source_t source = {(int)node, (int)worker};
    reader->last_step = fmax(reader->last_step, step);
    if (!epoch && !json_object_get(line, "loss")) return false;
    if (!epoch) {
        close_moment(reader, &reader->epoch);
        add_times(reader, line, source);
        add_to_moment(reader, &reader->step, line, source, "loss");
        return true;
    }
    close_moment(reader, &reader->step);
    add_to_moment(reader, &reader->epoch, line, source, "test_accuracy");
    add_end(reader, number(line, "epoch"), step);
    add_bad_pictures(reader->run, json_object_get(line, "bad_pictures"));
    json_decref(reader->last_epoch);
    reader->last_epoch = json_incref(line);
    return true;
}

static void read_line(reader_t *reader, const char *text, size_t length) {
    json_t *line = files_json_parse(text, length, 0, NULL);
    if (!line || !add_line(reader, line)) reader->run->damaged_lines++;
    json_decref(line);
}

static void read_lines(reader_t *reader, FILE *file) {
    char *text = NULL;
    size_t room = 0;
    for (ssize_t length; (length = getline(&text, &room, file)) >= 0;)
        if (length > 1 || *text != '\n') read_line(reader, text, (size_t)length);
    free(text);
}

/* ---- an epoch that is under way, or was when the run was killed ---- */

/* Whether the process has line i, and metrics.jsonl has not. */
static bool has_more(const reader_t *reader, const own_lines_t *own, int i) {
    return own && own->head.epoch == reader->finished + 1 && i < (int)own->count &&
           own->lines[i].step > reader->last_step;
}

/* Of a node. */
static int count_workers(own_lines_t *const *own, int size) {
    int workers = 1;
    for (int p = 0; p < size; p++)
        if (own[p] && own[p]->head.worker >= workers) workers = own[p]->head.worker + 1;
    return workers;
}

/* Reads line i of all processes that have made it, as metrics.jsonl would have it. there: (size) scratch. */
static void read_own_line(reader_t *reader, own_lines_t *const *own, int size, int i, bool *there) {
    metrics_epoch_t epoch = {.epoch = reader->finished + 1};
    metrics_lines_t lines;
    bool any = false;
    for (int p = 0; p < size; p++) any |= there[p] = has_more(reader, own[p], i);
    if (!any || live_merge_lines(own, size, there, i, i + 1, &lines)) return;
    lines.workers = count_workers(own, size);
    char *text = metrics_text(&lines, &epoch, NULL);
    for (char *line = text, *end; line && (end = strchr(line, '\n')); line = end + 1)
        read_line(reader, line, (size_t)(end - line));
    free(text);
    metrics_release(&lines);
    close_moment(reader, &reader->step);
}

/* Without memory the curves end earlier. */
static void read_own_lines(reader_t *reader, const char *directory) {
    own_lines_t **own;
    int size;
    if (own_lines_read_all(directory, &own, &size)) return;
    bool *there = calloc((size_t)size + 1, sizeof *there);
    for (int i = 0; i < METRICS_PER_EPOCH && there; i++) read_own_line(reader, own, size, i, there);
    free(there);
    own_lines_free(own, size);
}

static void finish_nodes(report_run_t *run) {
    for (int i = 0; i < run->node_count; i++) {
        report_node_t *node = &run->nodes[i];
        if (node->steps <= 0) continue;
        node->gradient_ms /= node->steps;
        node->update_ms /= node->steps;
        node->wait_ms /= node->steps;
    }
}

/* One point for each of REPORT_POINTS equal parts: the mean of the part. */
static void thin(report_curve_t *curve) {
    int count = curve->count;
    if (count <= REPORT_POINTS) return;
    for (int i = 0; i < REPORT_POINTS; i++) {
        int begin = (int)((int64_t)i * count / REPORT_POINTS);
        int end = (int)((int64_t)(i + 1) * count / REPORT_POINTS);
        report_point_t mean = curve->points[begin];
        for (int j = begin + 1; j < end; j++) {
            const report_point_t *point = &curve->points[j];
            mean.step += point->step;
            mean.seconds += point->seconds;
            mean.value += point->value;
            mean.low = fmin(mean.low, point->low);
            mean.high = fmax(mean.high, point->high);
        }
        mean.step /= end - begin;
        mean.seconds /= end - begin;
        mean.value /= end - begin;
        curve->points[i] = mean;
    }
    curve->count = REPORT_POINTS;
}

/* Where the number of nodes has changed, epochs differ in their steps: between the ends of two a step counts by its
 * share of them. */
static double epoch_of(const reader_t *reader, double step, double steps_per_epoch) {
    double before = 0;
    for (int i = 0; i < reader->finished; i++) {
        if (step <= reader->ends[i]) return i + (step - before) / (reader->ends[i] - before);
        before = reader->ends[i];
    }
    return reader->finished + (step - before) / steps_per_epoch;
}

/* steps_per_epoch: from config.json, or from the last evaluation. */
static void finish_curve(const reader_t *reader, report_curve_t *curve, double steps_per_epoch) {
    bool changed = json_object_get(reader->run->config, CONFIG_RESUMED);
    thin(curve);
    for (int i = 0; i < curve->count; i++) {
        report_point_t *point = &curve->points[i];
        point->epoch = changed ? epoch_of(reader, point->step, steps_per_epoch)
                               : point->step / steps_per_epoch;
    }
}

static double steps_per_epoch(const report_run_t *run, const json_t *last_epoch) {
    double steps = number(json_object_get(run->config, "derived"), "steps_per_epoch");
    if (!(steps >= 1)) steps = number(last_epoch, "step") / number(last_epoch, "epoch");
    return steps >= 1 && isfinite(steps) ? steps : 1;
}

json_t *report_metrics_read(const char *directory, report_run_t *run) {
    char path[4096 + sizeof METRICS_FILE];
    reader_t reader = {.run = run, .step.last = -1, .epoch.last = -1};
    snprintf(path, sizeof path, "%s/" METRICS_FILE, directory);
    FILE *file = fopen(path, "re");
    if (!file) return NULL;
    read_lines(&reader, file);
    fclose(file);
    close_moment(&reader, &reader.step);
    close_moment(&reader, &reader.epoch);
    read_own_lines(&reader, directory);
    free(reader.last_steps);
    finish_nodes(run);
    double steps = steps_per_epoch(run, reader.last_epoch);
    finish_curve(&reader, &run->loss, steps);
    finish_curve(&reader, &run->accuracy, steps);
    finish_curve(&reader, &run->consensus, steps);
    finish_curve(&reader, &run->evaluations, steps);
    free(reader.ends);
    if (run->consensus.count == 0) {
        run->consensus = run->evaluations;
        run->evaluations = (report_curve_t){0};
    }
    if (run->damaged_lines)
        message_error("%s: %d damaged line%s left out", path, run->damaged_lines,
                      run->damaged_lines == 1 ? "" : "s");
    return reader.last_epoch;
}
