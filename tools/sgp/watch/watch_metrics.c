/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/watch_metrics.h"

#include "base/constants.h"
#include "base/regular.h"
#include "files/json.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

bool watch_metrics_extend(watch_metrics_t *metrics, int size) {
    if (size <= metrics->size) return true;
    watch_process_t *more = realloc(metrics->process, (size_t)size * sizeof *more);
    if (!more) return false;
    int workers = metrics->workers > 1 ? metrics->workers : 1;
    for (int i = metrics->size; i < size; i++)
        more[i] = (watch_process_t){.node = i / workers,
                                    .worker = i % workers,
                                    .seconds = NAN,
                                    .loss = NAN,
                                    .step_ms = NAN,
                                    .gradient_ms = NAN,
                                    .wait_ms = NAN,
                                    .weight = NAN,
                                    .samples_per_second = NAN,
                                    .accuracy = NAN,
                                    .time = NAN,
                                    .every = NAN};
    metrics->process = more;
    metrics->size = size;
    return true;
}

/* ---- curves ---- */

static void add_point(watch_curve_t *curve, watch_point_t point) {
    if (!isfinite(point.value) || !isfinite(point.step)) return;
    curve->last = point;
    if (curve->stride == 0) curve->stride = 1;
    if (curve->skipped++ % curve->stride != 0) return;
    if (curve->count == WATCH_POINTS) {
        for (int i = 0; i < WATCH_POINTS / 2; i++) curve->point[i] = curve->point[2 * i];
        curve->count = WATCH_POINTS / 2;
        curve->stride *= 2;
    }
    curve->point[curve->count++] = point;
}

static void close_moment(watch_moment_t *moment, watch_curve_t *curve) {
    if (moment->count > 0)
        add_point(curve, (watch_point_t){moment->sum.seconds / moment->count,
                                         moment->sum.step / moment->count,
                                         moment->sum.value / moment->count});
    *moment = (watch_moment_t){.last = -1};
}

/* A moment ends where the processes start over. */
static void add_to_moment(watch_moment_t *moment, watch_curve_t *curve, int process,
                          const json_t *line, const char *key) {
    double value = number(line, key);
    if (moment->count > 0 && process <= moment->last) close_moment(moment, curve);
    moment->last = process;
    if (!isfinite(value)) return;
    moment->count++;
    moment->sum.seconds += number(line, "seconds");
    moment->sum.step += number(line, "step");
    moment->sum.value += value;
}

/* ---- lines ---- */

/* -1: of no process. */
static int process_of(watch_metrics_t *metrics, const json_t *line) {
    double node = number(line, "node"), worker = number(line, "worker");
    int workers = metrics->workers > 1 ? metrics->workers : 1;
    double process = node * workers + (isfinite(worker) ? worker : 0);
    if (!(node >= 0 && process >= 0 && process < SGP_MOST_PROCESSES)) return -1;
    return watch_metrics_extend(metrics, (int)process + 1) ? (int)process : -1;
}

void watch_metrics_losses(watch_metrics_t *metrics, const json_t *losses, int epoch) {
    for (size_t i = 0; i < json_array_size(losses); i++) {
        const json_t *loss = json_array_get(losses, i);
        const char *reason = json_string_value(json_object_get(loss, "reason"));
        double rank = number(loss, "node"), step = number(loss, "step");
        if (!(rank >= 0 && rank < SGP_MOST_PROCESSES) || !(step >= 0)) continue;
        if (!watch_metrics_extend(metrics, (int)rank + 1)) return;
        watch_process_t *process = &metrics->process[(int)rank];
        process->lost_step = step > 0 ? step : 1;
        process->lost_epoch = epoch;
        process->left = json_is_true(json_object_get(loss, "left"));
        snprintf(process->reason, sizeof process->reason, "%s", reason ? reason : "");
    }
}

static int whole(double value) {
    return (int)fmin(fmax(value, 0), INT_MAX); /* fmax(NAN, 0) is 0 */
}

static void enter_epoch(watch_process_t *process, int epoch) {
    process->epoch = epoch;
    if (epoch <= process->lost_epoch) return;
    process->lost_step = 0;
    process->lost_epoch = 0;
}

static void take_step(watch_process_t *process, const json_t *line, double step) {
    process->step = step;
    enter_epoch(process, whole(number(line, "epoch")));
    process->seconds = number(line, "seconds");
    process->loss = number(line, "loss");
    process->step_ms = number(line, "step_ms");
    process->gradient_ms = number(line, "gradient_ms");
    process->wait_ms = number(line, "wait_ms");
    process->weight = number(line, "weight");
}

static void take_line(watch_metrics_t *metrics, const json_t *line) {
    int p = process_of(metrics, line);
    double step = number(line, "step");
    if (p < 0 || !(step >= 0)) return;
    watch_process_t *process = &metrics->process[p];
    process->known = true;
    if (json_object_get(line, "loss")) {
        close_moment(&metrics->ends, &metrics->accuracy);
        add_to_moment(&metrics->steps, &metrics->loss, p, line, "loss");
        take_step(process, line, step);
    } else if (json_object_get(line, "test_accuracy")) {
        close_moment(&metrics->steps, &metrics->loss);
        add_to_moment(&metrics->ends, &metrics->accuracy, p, line, "test_accuracy");
        process->accuracy = number(line, "test_accuracy");
        metrics->epoch = number(line, "epoch");
        metrics->average_accuracy = number(line, "average_model_accuracy");
        watch_metrics_losses(metrics, json_object_get(line, "losses"), whole(metrics->epoch));
    } else return;
    double distance = number(line, "consensus_distance");
    if (!isfinite(distance)) return;
    metrics->distance = distance;
    metrics->distance_step = step;
}

void watch_metrics_line(watch_metrics_t *metrics, const char *text, size_t length) {
    json_t *line = files_json_parse(text, length, 0, NULL);
    if (json_is_object(line)) take_line(metrics, line);
    json_decref(line);
}

/* ---- files ---- */

static void forget(watch_metrics_t *metrics) {
    int workers = metrics->workers;
    free(metrics->process);
    *metrics = (watch_metrics_t){.workers = workers, .distance = NAN, .average_accuracy = NAN};
    metrics->steps.last = metrics->ends.last = -1;
}

void watch_metrics_release(watch_metrics_t *metrics) {
    forget(metrics);
}

/* A file that was replaced, as a resumed run does, is read from its beginning. */
static void find_place(watch_metrics_t *metrics, FILE *file) {
    struct stat found;
    if (fstat(fileno(file), &found) != 0) return;
    if (metrics->at == 0 || found.st_size < metrics->at || metrics->device != found.st_dev ||
        metrics->inode != found.st_ino)
        forget(metrics);
    metrics->device = found.st_dev;
    metrics->inode = found.st_ino;
    fseek(file, metrics->at, SEEK_SET);
}

static bool read_file(watch_metrics_t *metrics, const char *directory) {
    char path[PATH_MAX], problem[SGP_REGULAR_PROBLEM], *line = NULL;
    size_t room = 0;
    int descriptor = -1;
    if (snprintf(path, sizeof path, "%s/" METRICS_FILE, directory) >= PATH_MAX ||
        sgp_regular_open(path, &descriptor, problem)) {
        forget(metrics);
        return true;
    }
    FILE *file = fdopen(descriptor, "r");
    if (!file) {
        close(descriptor);
        return false;
    }
    find_place(metrics, file);
    for (ssize_t length; (length = getline(&line, &room, file)) > 0 && line[length - 1] == '\n';) {
        watch_metrics_line(metrics, line, (size_t)length - 1);
        metrics->at += length;
    }
    free(line);
    fclose(file);
    return true;
}

/* The newest of what a process tells of itself. */
static const metrics_record_t *newest(const own_lines_t *own) {
    const metrics_record_t *made = own->count > 0 ? &own->lines[own->count - 1] : NULL;
    if (!own->has_recent) return made;
    return made && made->step > own->recent.record.step ? made : &own->recent.record;
}

static void take_own(watch_metrics_t *metrics, int p, const own_lines_t *own) {
    watch_metrics_losses(metrics, own->losses, own->head.epoch);
    watch_process_t *process = &metrics->process[p];
    const metrics_record_t *record = newest(own);
    process->known = true;
    process->every = own->head.every;
    snprintf(process->host, sizeof process->host, "%s", own->head.host);
    if (own->has_recent) {
        process->time = own->recent.time;
        process->samples_per_second = own->recent.samples_per_second;
    }
    if (!record || record->step < process->step) return;
    const metrics_step_t *mean = &record->mean;
    process->step = record->step;
    enter_epoch(process, own->head.epoch);
    process->seconds = mean->seconds;
    process->loss = mean->loss_sum;
    process->step_ms = mean->step_ms;
    process->gradient_ms = mean->gradient_ms;
    process->wait_ms = mean->wait_ms;
    process->weight = mean->weight;
}

bool watch_metrics_read(watch_metrics_t *metrics, const char *directory) {
    own_lines_t **own;
    int size;
    if (!read_file(metrics, directory) || own_lines_read_all(directory, &own, &size)) return false;
    bool good = watch_metrics_extend(metrics, size);
    for (int p = 0; p < size && good; p++)
        if (own[p]) take_own(metrics, p, own[p]);
    own_lines_free(own, size);
    return good;
}
