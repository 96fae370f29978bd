/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/watch_directory.h"

#include "cli/message.h"
#include "files/directory_lock.h"
#include "files/json.h"
#include "run/pacing.h"
#include "run/run_files.h"
#include "watch/watch_metrics.h"
#include "watch/watch_slow.h"
#include "watch/watch_view.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A process of a running run is silent if it has written no line for so many times the seconds between two, and these more. */
enum { SILENT_LINES = 3, SILENT_SECONDS = 5 };

struct watch_directory {
    char directory[PATH_MAX];
    watch_metrics_t metrics;
};

/* What the object is made from. */
typedef struct run {
    const char *directory;
    const watch_metrics_t *metrics;
    const json_t *options, *derived; /* of config.json */
    json_t *config, *summary;        /* owned; summary: NULL: none */
    const char *state;
    bool running;
    int processes; /* that the run began with */
} run_t;

/* ---- reading ---- */

static json_t *load(const char *directory, const char *name) {
    char path[PATH_MAX + 32], problem[FILES_JSON_PROBLEM];
    json_t *json = NULL;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return files_json_read(path, &json, problem) == SGP_OK ? json : NULL;
}

watch_directory_t *watch_directory_open(const char *directory) {
    char path[PATH_MAX + 32], problem[FILES_JSON_PROBLEM], clean[WATCH_PROBLEM];
    json_t *config = NULL;
    watch_clean(directory, clean, sizeof clean);
    watch_directory_t *source = calloc(1, sizeof *source);
    if (!source || snprintf(source->directory, PATH_MAX, "%s", directory) >= PATH_MAX) {
        message_error("%.300s: %s", clean, source ? "the path is too long" : "out of memory");
        free(source);
        return NULL;
    }
    snprintf(path, sizeof path, "%s/config.json", directory);
    sgp_status_t status = files_json_read(path, &config, problem);
    json_decref(config);
    watch_metrics_release(&source->metrics); /* the empty one has numbers that are not known */
    if (status == SGP_OK) return source;
    if (status == SGP_ERR_NOT_FOUND)
        message_error("%s: not the directory of a run (no config.json)", clean);
    else message_error("%s/config.json: %s", clean, problem);
    watch_directory_close(source);
    return NULL;
}

void watch_directory_close(watch_directory_t *source) {
    if (!source) return;
    watch_metrics_release(&source->metrics);
    free(source);
}

static bool is_newer(const char *directory, const char *name, const char *than) {
    char one[PATH_MAX + 32], other[PATH_MAX + 32];
    struct stat first, second;
    snprintf(one, sizeof one, "%s/%s", directory, name);
    snprintf(other, sizeof other, "%s/%s", directory, than);
    if (stat(one, &first) != 0 || stat(other, &second) != 0) return false;
    if (first.st_mtim.tv_sec != second.st_mtim.tv_sec)
        return first.st_mtim.tv_sec > second.st_mtim.tv_sec;
    return first.st_mtim.tv_nsec > second.st_mtim.tv_nsec;
}

/* A run that is being resumed has the summary of its earlier end until its first step. */
static void find_state(run_t *run) {
    const char *said = json_string_value(json_object_get(run->summary, "status"));
    bool held = directory_lock_is_held(run->directory);
    bool resumed = held && is_newer(run->directory, DIRECTORY_LOCK_FILE, "summary.json");
    if (run_files_finished(run->summary)) run->state = "finished";
    else if (run->summary && !resumed) run->state = said ? said : "failed";
    else run->state = held ? "running" : "killed";
    run->running = !strcmp(run->state, "running");
}

/* ---- numbers ---- */

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void add(json_t *object, const char *key, json_t *value) {
    json_object_set_new(object, key, value);
}

static void add_number(json_t *object, const char *key, double value) {
    if (isfinite(value) && value == floor(value) && fabs(value) < 1e15)
        add(object, key, json_integer((json_int_t)value));
    else add(object, key, files_json_number(value));
}

static void add_real(json_t *object, const char *key, double value) {
    add(object, key, files_json_number(value));
}

static void add_text(json_t *object, const char *key, const json_t *from, const char *name) {
    const char *text = json_string_value(json_object_get(from, name));
    add(object, key, json_string(text ? text : ""));
}

/* ---- members ---- */

static double age_of(const watch_process_t *process) {
    double age = pacing_wall_time() - process->time;
    return age < 0 ? 0 : age; /* clocks of machines differ */
}

static double update_of(const watch_process_t *process) {
    double ms = process->step_ms - process->gradient_ms - process->wait_ms;
    return ms < 0 ? 0 : ms;
}

/* Steps at whose end all nodes meet, which may take long. */
static bool is_between(const run_t *run, const watch_process_t *process) {
    double steps = number(run->derived, "steps_per_epoch");
    return steps >= 1 && fmod(process->step, steps) == 0;
}

static const char *condition_of(const run_t *run, const watch_process_t *process) {
    if (process->lost_step > 0) return process->left ? "left" : "gone";
    if (!run->running) return strcmp(run->state, "killed") ? "left" : "gone";
    if (!process->known) return "joining";
    double limit = SILENT_LINES * process->every + SILENT_SECONDS;
    return age_of(process) > limit && !is_between(run, process) ? "silent" : "live";
}

static double speed_of(const run_t *run, const watch_process_t *process) {
    if (isfinite(process->samples_per_second)) return process->samples_per_second;
    return number(run->options, "batch_size") / process->step_ms * 1e3;
}

static json_t *member_json(const run_t *run, int seat) {
    const watch_process_t *process = &run->metrics->process[seat];
    json_t *member = json_object();
    bool lost = process->lost_step > 0;
    add(member, "seat", json_integer(seat));
    if (run->metrics->workers > 1) {
        add(member, "node", json_integer(process->node));
        add(member, "worker", json_integer(process->worker));
    }
    add(member, "condition", json_string(condition_of(run, process)));
    add(member, "slow", json_false());
    json_t *host = json_string(process->host), *reason = json_string(process->reason);
    add(member, "host", host ? host : json_string(""));
    add(member, "reason", lost && reason ? json_incref(reason) : json_string(""));
    json_decref(reason);
    add_number(member, "gone_step", lost ? process->lost_step : NAN);
    add_number(member, "step", process->step);
    add(member, "epoch", json_integer(process->epoch));
    add_real(member, "age", age_of(process));
    add_real(member, "samples_per_second", run->running && !lost ? speed_of(run, process) : NAN);
    add_real(member, "step_ms", process->step_ms);
    add_real(member, "compute_ms", process->gradient_ms);
    add_real(member, "update_ms", update_of(process));
    add_real(member, "wait_ms", process->wait_ms);
    add_real(member, "weight", process->weight);
    add_real(member, "loss", process->loss);
    add_real(member, "accuracy", process->accuracy);
    return member;
}

static json_t *members_json(const run_t *run) {
    json_t *members = json_array();
    for (int i = 0; i < run->metrics->size; i++) {
        bool used = i < run->processes || run->metrics->process[i].known;
        if (used) json_array_append_new(members, member_json(run, i));
    }
    watch_slow_mark(members);
    return members;
}

/* ---- curves ---- */

static json_t *point_json(const watch_point_t *point) {
    json_t *array = json_array();
    json_array_append_new(array, files_json_number(point->seconds));
    json_array_append_new(array, files_json_number(point->step));
    json_array_append_new(array, files_json_number(point->value));
    return array;
}

/* open: the moment that further lines may belong to. */
static json_t *curve_json(const watch_curve_t *curve, const watch_moment_t *open) {
    json_t *points = json_array();
    watch_point_t last = curve->last;
    double shown = -1;
    if (open->count > 0)
        last = (watch_point_t){open->sum.seconds / open->count, open->sum.step / open->count,
                               open->sum.value / open->count};
    int most = curve->count < WATCH_POINTS ? curve->count : WATCH_POINTS - 1;
    for (int i = 0; i < most; i++) {
        shown = curve->point[i].step;
        json_array_append_new(points, point_json(&curve->point[i]));
    }
    if (last.step > shown && last.step > 0) json_array_append_new(points, point_json(&last));
    return points;
}

/* ---- the whole ---- */

/* Over the members that are live; of a run that has ended, over all. */
typedef struct sums {
    int live, count, losses, accuracies;
    double step, step_min, epoch, seconds, speed, loss, accuracy;
} sums_t;

static void add_member(sums_t *sums, const run_t *run, const json_t *member, double seconds) {
    const char *condition = json_string_value(json_object_get(member, "condition"));
    bool live = !strcmp(condition, "live");
    double step = number(member, "step"), loss = number(member, "loss"),
           accuracy = number(member, "accuracy");
    sums->live += live;
    if (run->running ? !live : !strcmp(condition, "joining")) return;
    sums->step_min = sums->count++ ? fmin(sums->step_min, step) : step;
    sums->step = fmax(sums->step, step);
    sums->epoch = fmax(sums->epoch, number(member, "epoch"));
    sums->seconds = fmax(sums->seconds, seconds);
    if (isfinite(number(member, "samples_per_second")))
        sums->speed += number(member, "samples_per_second");
    if (isfinite(loss)) sums->losses++, sums->loss += loss;
    if (isfinite(accuracy)) sums->accuracies++, sums->accuracy += accuracy;
}

static sums_t sum_up(const run_t *run, const json_t *members) {
    sums_t sums = {.seconds = NAN};
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        size_t seat = (size_t)json_integer_value(json_object_get(member, "seat"));
        add_member(&sums, run, member, run->metrics->process[seat].seconds);
    }
    return sums;
}

/* A summary has the final figure. */
static double final(const run_t *run, const char *key, double otherwise) {
    double value = number(run->summary, key);
    return !run->running && isfinite(value) ? value : otherwise;
}

static double final_accuracy(const run_t *run, double otherwise) {
    double value = number(json_object_get(run->summary, "test_accuracy"), "mean");
    return !run->running && isfinite(value) ? value : otherwise;
}

static void add_sums(json_t *json, const run_t *run, const sums_t *sums) {
    double step = final(run, "steps", sums->step), steps = number(run->derived, "steps");
    double seconds = final(run, "seconds", sums->seconds);
    add_real(json, "seconds", seconds);
    add_real(json, "seconds_left",
             run->running && step > 0 && steps >= step ? (steps - step) * seconds / step : NAN);
    add_number(json, "step", step);
    add_number(json, "step_min", sums->step_min);
    add_number(json, "steps", steps);
    add_number(json, "epoch", sums->epoch);
    add_number(json, "epochs", number(run->options, "epochs"));
    add_real(json, "samples_per_second",
             final(run, "samples_per_second", run->running ? sums->speed : NAN));
    add_real(json, "loss",
             final(run, "train_loss", sums->losses ? sums->loss / sums->losses : NAN));
    add_real(json, "accuracy",
             final_accuracy(run, sums->accuracies ? sums->accuracy / sums->accuracies : NAN));
    add_real(json, "average_model_accuracy",
             final(run, "average_model_accuracy", run->metrics->average_accuracy));
    add_real(json, "distance", final(run, "consensus_distance", run->metrics->distance));
    add_number(json, "distance_step", run->metrics->distance_step);
    add(json, "live", json_integer(sums->live));
}

static const char *base_name(const char *directory) {
    const char *slash = strrchr(directory, '/');
    return slash && slash[1] ? slash + 1 : directory;
}

static void add_facts(json_t *json, const run_t *run) {
    static const char *const texts[] = {"algorithm", "graph", "encoding",
                                        "transport", "model", "data"};
    json_t *name = json_string(base_name(run->directory)),
           *directory = json_string(run->directory); /* NULL: not UTF-8 */
    add(json, "version", json_integer(1));
    add(json, "run", name ? name : json_string(""));
    add(json, "directory", directory ? directory : json_string(""));
    add_text(json, "run_id", run->config, "run_id");
    add(json, "state", json_string(run->state));
    add_text(json, "reason", run->running ? NULL : run->summary, "reason");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const json_t *known = json_object_get(run->summary, texts[i]) ? run->summary : run->options;
        add_text(json, texts[i], known, texts[i]);
    }
    add(json, "self", json_null());
    add(json, "finished", json_boolean(!strcmp(run->state, "finished")));
}

static json_t *make_json(const run_t *run) {
    json_t *json = json_object(), *members = members_json(run), *curves = json_object();
    sums_t sums = sum_up(run, members);
    add_facts(json, run);
    add_sums(json, run, &sums);
    add(json, "total", json_integer((json_int_t)json_array_size(members)));
    add(json, "members", members);
    add(json, "edges", json_array());
    add(curves, "loss", curve_json(&run->metrics->loss, &run->metrics->steps));
    add(curves, "accuracy", curve_json(&run->metrics->accuracy, &run->metrics->ends));
    add(json, "curves", curves);
    add(json, "log", json_array());
    if (!files_json_failed()) return json;
    json_decref(json);
    return NULL;
}

static int whole(const json_t *object, const char *key, int otherwise) {
    double value = number(object, key);
    return value >= 1 && value < 65536 ? (int)value : otherwise;
}

static bool read_numbers(watch_directory_t *source, run_t *run) {
    watch_metrics_t *metrics = &source->metrics;
    metrics->workers = whole(run->options, "workers_per_node", 1);
    run->processes = whole(run->options, "nodes", 1) * metrics->workers;
    if (!watch_metrics_read(metrics, source->directory)) return false;
    if (run->processes > 65536 || !watch_metrics_extend(metrics, run->processes)) return false;
    if (!run->running)
        watch_metrics_losses(metrics, json_object_get(run->summary, "losses"), INT_MAX);
    return true;
}

bool watch_directory_read(watch_directory_t *source, json_t **json, char problem[WATCH_PROBLEM]) {
    run_t run = {.directory = source->directory, .metrics = &source->metrics};
    run.config = load(source->directory, "config.json");
    run.summary = load(source->directory, "summary.json");
    run.options = json_object_get(run.config, "options");
    run.derived = json_object_get(run.config, "derived");
    char clean[400];
    watch_clean(source->directory, clean, sizeof clean);
    *json = NULL;
    if (!run.config) snprintf(problem, WATCH_PROBLEM, "%s: its config.json is gone", clean);
    else {
        find_state(&run);
        bool good = read_numbers(source, &run);
        files_json_begin();
        *json = good ? make_json(&run) : NULL;
        if (!*json) snprintf(problem, WATCH_PROBLEM, "%s: no memory", clean);
    }
    json_decref(run.config);
    json_decref(run.summary);
    return *json;
}
