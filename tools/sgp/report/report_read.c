/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_read.h"

#include "cli/exit_status.h"
#include "cli/message.h"
#include "report/report_label.h"
#include "report/report_metrics.h"
#include "cli/text.h"

#include "files/directory_lock.h"
#include "files/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool report_is_run(const char *directory) {
    static const char *const files[] = {"config.json", "summary.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        if (access(path, F_OK) == 0) return true;
    }
    return false;
}

/* *json: NULL where the file is missing. Returns false after a line if it cannot be read. */
static bool load(const char *directory, const char *name, json_t **json) {
    char path[4096];
    json_error_t error;
    *json = NULL;
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) {
        message_error("%s: %s", directory, strerror(ENAMETOOLONG));
        return false;
    }
    if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) return true;
    *json = files_json_load(path, 0, &error);
    if (!*json) message_error("%s: %s", path, error.text);
    else if (!json_is_object(*json)) message_error("%s: not a JSON object", path);
    return json_is_object(*json);
}

static void copy(json_t *to, const json_t *from, const char *key) {
    json_t *value = json_object_get(from, key);
    if (value && !json_is_null(value)) json_object_set(to, key, value);
}

static void set_number(json_t *object, const char *key, double value) {
    if (isfinite(value)) json_object_set_new(object, key, json_real(value));
}

static void add_times(report_run_t *run) {
    double steps = 0, whole = 0, wait = 0;
    for (int i = 0; i < run->node_count; i++) {
        const report_node_t *node = &run->nodes[i];
        steps += node->steps;
        whole += node->steps * (node->gradient_ms + node->update_ms + node->wait_ms);
        wait += node->steps * node->wait_ms;
    }
    if (steps <= 0) return;
    json_object_set_new(run->result, "step_ms", json_pack("{s:f}", "mean", whole / steps));
    set_number(run->result, "wait_ms", wait / steps);
}

static void add_last_points(report_run_t *run) {
    if (run->loss.count) {
        const report_point_t *last = &run->loss.points[run->loss.count - 1];
        double workers = report_number(run, "workers_per_node");
        double samples = last->step * report_number(run, "batch_size") *
                         report_number(run, "nodes") * (workers > 1 ? workers : 1);
        set_number(run->result, "seconds", last->seconds);
        set_number(run->result, "samples_per_second", samples / last->seconds);
    }
    if (run->accuracy.count) {
        const report_point_t *last = &run->accuracy.points[run->accuracy.count - 1];
        json_object_set_new(
            run->result, "test_accuracy",
            json_pack("{s:f, s:f, s:f}", "mean", last->value, "min", last->low, "max", last->high));
    }
}

/* Makes the members of summary.json that the other files have. */
static void make_result(report_run_t *run, const json_t *last_epoch) {
    static const char *const options[] = {
        "algorithm",  "graph", "peers",     "overlap", "nodes", "workers_per_node", "model", "data",
        "batch_size", "seed",  "transport", "epochs",  "rounds"};
    const json_t *given = json_object_get(run->config, "options");
    run->result = json_object();
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        copy(run->result, given, options[i]);
    copy(run->result, json_object_get(run->config, "derived"), "parameters");
    copy(run->result, last_epoch, "average_model_accuracy");
    copy(run->result, last_epoch, "average_model_top5_accuracy");
    copy(run->result, last_epoch, "consensus_distance");
    json_object_set_new(
        run->result, "bad_pictures",
        json_pack("{s:f, s:f}", "replaced", run->replaced, "left_out", run->left_out));
    add_times(run);
    add_last_points(run);
}

/* An interrupted run has no final figures; those of its last whole epoch take their place. A run
 * that diverged has no figures worth showing. */
static void complete_result(report_run_t *run, const json_t *last_epoch) {
    json_t *own = run->result, *value;
    const char *key;
    make_result(run, last_epoch);
    json_object_foreach(own, key, value) {
        bool missing = json_is_null(value) ||
                       (json_is_object(value) && json_is_null(json_object_get(value, "mean")));
        if (!missing) json_object_set(run->result, key, value);
    }
    json_decref(own);
}

/* Reads the run's end. Versions before this field wrote a summary only of finished runs. */
static bool read_end(report_run_t *run) {
    const char *status = json_string_value(report_member(run, "status"));
    const char *reason = json_string_value(report_member(run, "reason"));
    run->status = text_clean(status ? status : run->result ? "finished" : "unfinished");
    run->reason = reason && *reason ? text_clean(reason) : NULL;
    return run->status;
}

static int read_run(const char *directory, report_run_t *run) {
    run->directory = text_clean(directory);
    if (!load(directory, "config.json", &run->config) ||
        !load(directory, "summary.json", &run->result))
        return EXIT_MISTAKE;
    if (!run->config && !run->result) {
        message_error("%s: not the directory of a run (no config.json)", directory);
        return EXIT_MISTAKE;
    }
    run->running = directory_lock_is_held(directory);
    if (!read_end(run)) {
        message_error("out of memory for %s", directory);
        return EXIT_FAILED;
    }
    json_t *last_epoch = report_metrics_read(directory, run);
    run->epochs_done = (int)json_integer_value(json_object_get(last_epoch, "epoch"));
    if (!run->result) make_result(run, last_epoch);
    else if (!report_finished(run) && strcmp(run->status, "diverged") != 0)
        complete_result(run, last_epoch);
    json_decref(last_epoch);
    return 0;
}

static int read_runs(const char *const *directories, int count, bool all, report_t *report) {
    int result = 0;
    *report = (report_t){.runs = calloc((size_t)count, sizeof *report->runs)};
    if (!report->runs) {
        message_error("out of memory for %d runs", count);
        return EXIT_FAILED;
    }
    for (int i = 0; i < count; i++) {
        report_run_t *run = &report->runs[report->count];
        int status = read_run(directories[i], run);
        if (!status) {
            report->count++;
            continue;
        }
        report_run_release(run);
        if (all) return status;
        if (!result) result = status;
    }
    if (report_label_runs(report)) return result;
    message_error("out of memory for %d runs", report->count);
    return result ? result : EXIT_FAILED;
}

int report_read(const char *const *directories, int count, report_t *report) {
    return read_runs(directories, count, true, report);
}

int report_read_good(const char *const *directories, int count, report_t *report) {
    return read_runs(directories, count, false, report);
}
