/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/resume_options.h"

#include "cli/message.h"

#include "run/config.h"
#include "files/json.h"
#include "run/run_files.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>

static sgp_status_t load(const char *directory, const char *name, json_t **json,
                         char problem[FILES_JSON_PROBLEM]) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return files_json_read(path, json, problem);
}

static json_t *load_config(const char *directory) {
    char problem[FILES_JSON_PROBLEM];
    json_t *config = NULL;
    sgp_status_t status = load(directory, "config.json", &config, problem);
    if (status == SGP_ERR_NOT_FOUND)
        message_error("--resume %s: no run there: it has no config.json", directory);
    else if (status) message_error("--resume %s: its config.json %s", directory, problem);
    else if (!json_is_object(json_object_get(config, "options")))
        message_error("--resume %s: its config.json has no \"options\": not of a run", directory);
    return config;
}

static bool refuse(const char *directory, const config_mistake_t *mistake) {
    char about[PATH_MAX];
    if (!mistake->option) {
        message_error("--resume %s: its config.json has an option %s that this version of sgp does "
                      "not know",
                      directory, mistake->key);
        return false;
    }
    snprintf(about, sizeof about, "%s/config.json", directory);
    message_about(about);
    options_refuse(mistake->option, mistake->text);
    message_about(NULL);
    return false;
}

static bool compare(const char *directory, const json_t *options, const train_options_t *run) {
    config_difference_t difference;
    if (!config_differs(options, run, &difference)) return true;
    message_error("--resume %s: %s is %s in that run and %s was asked for: leave it out to go "
                  "on, or start a new run without --resume",
                  directory, difference.key, difference.there, difference.here);
    return false;
}

bool resume_settings(json_t **config, int argc, char **argv, settings_t *settings) {
    const char *directory = settings->run.resume;
    config_mistake_t mistake;
    *config = load_config(directory);
    const json_t *options = json_object_get(*config, "options");
    if (!json_is_object(options)) return false;
    settings_init(settings);
    settings->run.output = directory; /* where the run is now, whatever it was called before */
    if (!config_options_read(options, &settings->run, &mistake)) return refuse(directory, &mistake);
    return settings_parse(settings, argc, argv) && compare(directory, options, &settings->run);
}

/* ---- a run that has ended ---- */

/* NAN for null, a number that does not exist. */
static double number(const json_t *object, const char *group, const char *name) {
    if (group) object = json_object_get(object, group);
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* The figures that summary_print shows. */
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
