/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const json_t *member(const json_t *object, const char *key) {
    char name[32];
    const char *dot = strchr(key, '.');
    if (!dot) return json_object_get(object, key);
    snprintf(name, sizeof name, "%.*s", (int)(dot - key), key);
    return member(json_object_get(object, name), dot + 1);
}

const json_t *report_member(const report_run_t *run, const char *key) {
    return member(run->result, key);
}

double report_number(const report_run_t *run, const char *key) {
    const json_t *value = member(run->result, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

double report_accuracy(const report_run_t *run) {
    double averaged = report_number(run, "average_model_accuracy");
    return isfinite(averaged) ? averaged : report_number(run, "test_accuracy.mean");
}

bool report_finished(const report_run_t *run) {
    return strcmp(run->status, "finished") == 0;
}

bool report_gossips(const report_run_t *run) {
    const char *algorithm = json_string_value(report_member(run, "algorithm"));
    bool none = algorithm && (!strcmp(algorithm, "allreduce") || !strcmp(algorithm, "server"));
    return !none;
}

bool report_differs(const report_t *report, const char *key) {
    const json_t *first = report_member(&report->runs[0], key);
    for (int i = 1; i < report->count; i++) {
        const json_t *other = report_member(&report->runs[i], key);
        if (first != other && !json_equal(first, other)) return true;
    }
    return false;
}

void report_run_release(report_run_t *run) {
    free(run->directory);
    free(run->label);
    free(run->status);
    free(run->reason);
    json_decref(run->config);
    json_decref(run->result);
    free(run->loss.points);
    free(run->accuracy.points);
    free(run->consensus.points);
    free(run->evaluations.points);
    free(run->step_ms.points);
    free(run->efficiency.points);
    free(run->hours.points);
    free(run->nodes);
    *run = (report_run_t){0};
}

void report_release(report_t *report) {
    for (int i = 0; i < report->count; i++) report_run_release(&report->runs[i]);
    json_decref(report->simulation);
    free(report->runs);
    *report = (report_t){0};
}
