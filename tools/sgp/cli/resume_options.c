/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/resume_options.h"

#include "cli/message.h"

#include "run/config.h"
#include "files/json.h"
#include "run/run_files.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- from config.json to arguments ---- */

static sgp_status_t load(const char *directory, const char *name, json_t **json,
                         char problem[FILES_JSON_PROBLEM]) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return files_json_read(path, json, problem);
}

/* "batch_size" or "batch-size". */
static bool same_name(const char *key, const char *name) {
    for (; *key && *name; key++, name++)
        if (*key != *name && !(*key == '_' && *name == '-')) return false;
    return *key == *name;
}

static const option_t *find(const char *key) {
    for (size_t i = 0; i < settings_table.count; i++)
        if (same_name(key, settings_table.options[i].name)) return &settings_table.options[i];
    return NULL;
}

static void append(resume_t *resume, char *text) {
    char **argv = realloc(resume->argv, ((size_t)resume->argc + 1) * sizeof *argv);
    if (!text || !argv) {
        message_error("out of memory for the options of a run");
        exit(1);
    }
    resume->argv = argv;
    argv[resume->argc++] = text;
}

__attribute__((format(printf, 2, 3))) static void add(resume_t *resume, const char *format, ...) {
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) text = NULL;
    va_end(arguments);
    append(resume, text);
}

/* Flags: those that switch on, and the two that can switch off. */
static void add_flag(resume_t *resume, const char *key, bool on) {
    bool off = !on && (strcmp(key, "augment") == 0 || strcmp(key, "nesterov") == 0);
    if (off) add(resume, "--no-%s", key);
    else if (on && strcmp(key, "nesterov") != 0) add(resume, "--%s", find(key)->name);
}

/* A 0 where the command line starts higher is the default that it cannot say. */
static void add_value(resume_t *resume, const option_t *option, const json_t *value) {
    bool number = json_is_number(value);
    if (number && option->min > 0 && json_number_value(value) == 0) return;
    add(resume, "--%s", option->name);
    if (json_is_integer(value)) add(resume, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (number) add(resume, "%.17g", json_real_value(value));
    else add(resume, "%s", json_string_value(value));
}

static void add_slow_node(resume_t *resume, const json_t *value) {
    add(resume, "--slow-node");
    add(resume, "%" JSON_INTEGER_FORMAT ":%.17g",
        json_integer_value(json_object_get(value, "rank")),
        json_number_value(json_object_get(value, "factor")));
}

/* The directory is where it is now, whatever it was called then. Returns false if the option is not
 * one of this version. */
static bool add_option(resume_t *resume, const char *key, const json_t *value) {
    const option_t *option = find(strcmp(key, "nesterov") == 0 ? "no-nesterov" : key);
    if (json_is_null(value) || strcmp(key, "output") == 0) return true;
    if (!option) return false;
    if (json_is_boolean(value)) add_flag(resume, key, json_is_true(value));
    else if (strcmp(key, "slow_node") == 0) add_slow_node(resume, value);
    else if (json_is_number(value) || json_is_string(value)) add_value(resume, option, value);
    else return false;
    return true;
}

static bool make_arguments(resume_t *resume, const char *directory, const json_t *options) {
    const char *key;
    json_t *value;
    if (!json_is_object(options)) {
        message_error("--resume %s: its config.json has no \"options\": not of a run", directory);
        return false;
    }
    add(resume, "train");
    json_object_foreach((json_t *)options, key, value) {
        if (add_option(resume, key, value)) continue;
        message_error("--resume %s: its config.json has an option %s that this version of sgp does "
                      "not know",
                      directory, key);
        return false;
    }
    return true;
}

/* ---- what may change ---- */

/* Those that leave the result as it is; data may have moved, and their checksum tells. */
static bool may_change(const char *key) {
    static const char names[] = "output, checkpoint_every, checkpoint_minutes, keep_going, "
                                "transport, tensorboard, trace, data";
    return options_listed(names, key);
}

static char *text_of(const json_t *value) {
    return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | FILES_JSON_FLAGS);
}

/* One option of both runs. */
static bool option_differs(const char *key, const json_t *there, const json_t *here,
                           resume_difference_t *difference) {
    char *before = text_of(there), *now = text_of(here);
    bool same = before && now && strcmp(before, now) == 0;
    snprintf(difference->name, RESUME_TEXT, "%s", key);
    snprintf(difference->there, RESUME_TEXT, "%s", before ? before : "?");
    snprintf(difference->here, RESUME_TEXT, "%s", now ? now : "?");
    free(before);
    free(now);
    return !same;
}

bool resume_differs(const json_t *options, const train_options_t *run,
                    resume_difference_t *difference) {
    json_t *here = config_options_json(run), *value;
    const char *key;
    bool differs = here == NULL;
    *difference = (resume_difference_t){"?", "?", "?"};
    json_object_foreach(here, key, value) {
        const json_t *there = json_object_get(options, key);
        if (differs || !there || may_change(key)) continue;
        differs = option_differs(key, there, value, difference);
    }
    json_decref(here);
    return differs;
}

static bool compare(const char *directory, const json_t *options, const train_options_t *run) {
    resume_difference_t difference;
    if (!resume_differs(options, run, &difference)) return true;
    message_error("--resume %s: %s is %s in that run and %s was asked for: leave it out to go "
                  "on, or start a new run without --resume",
                  directory, difference.name, difference.there, difference.here);
    return false;
}

/* ---- the whole ---- */

static bool parse_both(resume_t *resume, int argc, char **argv, settings_t *settings) {
    char about[PATH_MAX];
    const char *directory = settings->run.resume;
    int first;
    settings_init(settings);
    settings->run.output = directory;
    snprintf(about, sizeof about, "%s/config.json", directory);
    message_about(about);
    bool good = options_parse(&settings_table, resume->argc, resume->argv, settings, &first);
    message_about(NULL);
    if (!good || !options_parse(&settings_table, argc, argv, settings, &first)) return false;
    settings_finish(settings);
    return true;
}

bool resume_settings(resume_t *resume, int argc, char **argv, settings_t *settings) {
    const char *directory = settings->run.resume;
    char problem[FILES_JSON_PROBLEM];
    json_t *config;
    *resume = (resume_t){0};
    sgp_status_t status = load(directory, "config.json", &config, problem);
    if (status == SGP_ERR_NOT_FOUND)
        message_error("--resume %s: no run there: it has no config.json", directory);
    else if (status) message_error("--resume %s: its config.json %s", directory, problem);
    if (status) return false;
    const json_t *options = json_object_get(config, "options");
    bool good = make_arguments(resume, directory, options) &&
                parse_both(resume, argc, argv, settings) &&
                compare(directory, options, &settings->run);
    json_decref(config);
    return good;
}

void resume_release(resume_t *resume) {
    for (int i = 0; i < resume->argc; i++) free(resume->argv[i]);
    free(resume->argv);
    *resume = (resume_t){0};
}

/* ---- a run that has ended ---- */

/* null is a number that does not exist. */
static double number(const json_t *object, const char *group, const char *name) {
    if (group) object = json_object_get(object, group);
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* What summary_print shows. */
static void fill(const json_t *json, train_summary_t *summary) {
    *summary = (train_summary_t){
        .steps = (uint64_t)json_integer_value(json_object_get(json, "steps")),
        .seconds = number(json, NULL, "seconds"),
        .samples_per_second = number(json, NULL, "samples_per_second"),
        .wait_ms = number(json, NULL, "wait_ms"),
        .average_model_accuracy = number(json, NULL, "average_model_accuracy"),
        .test_accuracy = {number(json, "test_accuracy", "mean"),
                          number(json, "test_accuracy", "min"),
                          number(json, "test_accuracy", "max")},
        .consensus = {.distance = number(json, NULL, "consensus_distance"),
                      .drift = number(json, "mass", "drift")},
    };
    summary->step_ms.mean = number(json, "step_ms", "mean");
    summary->step_ms.p50 = number(json, "step_ms", "p50");
    summary->step_ms.p99 = number(json, "step_ms", "p99");
}

bool resume_finished(const char *directory, train_summary_t *summary) {
    char problem[FILES_JSON_PROBLEM];
    json_t *json;
    if (load(directory, "summary.json", &json, problem) != SGP_OK) return false;
    bool finished = run_files_finished(json);
    if (finished) fill(json, summary);
    json_decref(json);
    return finished;
}
