/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/claim.h"

#include "cli/message.h"

#include "run/config.h"
#include "run/run_id.h"
#include "files/json.h"
#include "run/run_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TOKEN "SGP_LOCK"

/* ---- the directory's contents ---- */

static json_t *load(const char *directory, const char *name) {
    char path[OUTPUT_PATH + 32], problem[FILES_JSON_PROBLEM];
    json_t *json = NULL;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return files_json_read(path, &json, problem) == SGP_OK ? json : NULL;
}

static bool refuse(const char *directory, const char *what) {
    message_error("--output %s: holds %s: give another directory, or --overwrite", directory, what);
    return false;
}

/* Quoted if a shell would not read it as one word. */
static void print_word(const char *path, char *text, size_t room) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "/._-+=:,@%";
    bool quoted = path[strspn(path, plain)] != '\0' && !strchr(path, '\'');
    snprintf(text, room, quoted ? "'%s'" : "%s", path);
}

static bool refuse_unfinished(const char *directory, const json_t *options,
                              const train_options_t *run) {
    char what[CONFIG_KEY + CONFIG_VALUE + 32], word[OUTPUT_PATH + 2];
    config_difference_t difference;
    if (config_differs(options, run, &difference)) {
        snprintf(what, sizeof what, "another run (%s is %s)", difference.key, difference.there);
        return refuse(directory, what);
    }
    print_word(directory, word, sizeof word);
    json_int_t before = json_integer_value(json_object_get(options, "nodes"));
    if (before == run->nodes)
        message_error("--output %s: holds this run, unfinished: sgp train --resume %s", directory,
                      word);
    else
        message_error("--output %s: holds this run, unfinished, with %d nodes: sgp train --resume "
                      "%s --nodes %d",
                      directory, (int)before, word, run->nodes);
    return false;
}

bool claim_allows(const settings_t *settings, const char *directory) {
    if (settings->overwrite || !run_files_exist(directory)) return true;
    json_t *summary = load(directory, "summary.json"), *config = load(directory, "config.json");
    const json_t *options = json_object_get(config, "options");
    if (run_files_finished(summary)) refuse(directory, "a finished run");
    else if (!json_is_object(options)) refuse(directory, "files of a run without its config.json");
    else refuse_unfinished(directory, options, &settings->run);
    json_decref(config);
    json_decref(summary);
    return false;
}

/* ---- the lock ---- */

static void say_busy(const char *option, const char *directory, const directory_lock_t *lock) {
    if (lock->pid == 0)
        message_error("--%s %s: another process is working there", option, directory);
    else
        message_error("--%s %s: process %ld on %s is working there", option, directory, lock->pid,
                      lock->host);
}

static void say_failed(const char *option, const char *directory) {
    const char *why = errno == EEXIST ? "it is not a lock of sgp" : strerror(errno);
    message_error("--%s %s/" DIRECTORY_LOCK_FILE ": cannot be locked: %s", option, directory, why);
}

static bool same_directory(const char *one, const char *other) {
    struct stat first, second;
    return stat(one, &first) == 0 && stat(other, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* Whether the run continues in its own directory. */
static bool continues(const settings_t *settings, const char *output) {
    return settings->run.resume && same_directory(settings->run.resume, output);
}

/* A directory that is only read need not be writable. */
static bool lock_source(const settings_t *settings, claim_t *claim) {
    const char *source = settings->run.resume;
    if (!source || continues(settings, claim->output)) return true;
    if (directory_lock_take(source, claim->token, &claim->source) != DIRECTORY_LOCK_BUSY)
        return true;
    say_busy("resume", source, &claim->source);
    return false;
}

/* Once a directory is locked. checked: another process has checked its contents. */
static bool look(const settings_t *settings, bool checked, claim_t *claim) {
    bool same = continues(settings, claim->output);
    if (same && settings->overwrite) {
        message_error("--overwrite begins a new run, --resume %s continues one: leave one out",
                      settings->run.resume);
        return false;
    }
    if (same || checked) return true;
    claim->clears = settings->overwrite;
    return claim_allows(settings, claim->output);
}

/* *again: another run has the directory, and its name was not asked for: try another name. */
static bool lock_output(const settings_t *settings, bool *again, claim_t *claim) {
    const char *option = continues(settings, claim->output) ? "resume" : "output";
    directory_lock_state_t state = directory_lock_take(claim->output, claim->token, &claim->lock);
    *again = state == DIRECTORY_LOCK_BUSY && !settings->run.output;
    if (*again) return true;
    if (state == DIRECTORY_LOCK_BUSY) say_busy(option, claim->output, &claim->lock);
    if (state == DIRECTORY_LOCK_FAILED) say_failed(option, claim->output);
    if (state == DIRECTORY_LOCK_BUSY || state == DIRECTORY_LOCK_FAILED) return false;
    bool launched = getenv(TOKEN) != NULL;
    if (state == DIRECTORY_LOCK_UNSUPPORTED && !launched && !settings->quiet)
        message_line("%s: no locks on this file system: nothing keeps a second run out",
                     claim->output);
    return look(settings,
                state == DIRECTORY_LOCK_SHARED || (state == DIRECTORY_LOCK_UNSUPPORTED && launched),
                claim);
}

static void name_output(const settings_t *settings, claim_t *claim) {
    char algorithms[TRAIN_STAGES_TEXT];
    const train_options_t *run = &settings->run;
    if (run->output) snprintf(claim->output, sizeof claim->output, "%s", run->output);
    else output_name(run->model, train_algorithms_text(&run->algorithm, algorithms), claim->output);
}

static bool find_token(claim_t *claim) {
    const char *token = getenv(TOKEN);
    if (!token || strlen(token) != DIRECTORY_LOCK_TOKEN - 1)
        return run_id_draw(claim->token) == SGP_OK;
    strcpy(claim->token, token);
    return true;
}

bool claim_begin(const settings_t *settings, claim_t *claim) {
    bool again = true;
    if (!find_token(claim)) return false;
    while (again) {
        name_output(settings, claim);
        if (!output_prepare(claim->output, OUTPUT_ROOM)) return false;
        if (!lock_output(settings, &again, claim)) return false;
    }
    return lock_source(settings, claim);
}

bool claim_follow(const settings_t *settings, claim_t *claim) {
    snprintf(claim->output, sizeof claim->output, "%s", settings->run.output);
    if (!output_prepare(claim->output, 1)) return false;
    directory_lock_state_t state = directory_lock_take(claim->output, claim->token, &claim->lock);
    if (state == DIRECTORY_LOCK_BUSY) say_busy("output", claim->output, &claim->lock);
    if (state == DIRECTORY_LOCK_FAILED) say_failed("output", claim->output);
    if (state == DIRECTORY_LOCK_BUSY || state == DIRECTORY_LOCK_FAILED) return false;
    return look(settings, state != DIRECTORY_LOCK_FIRST, claim);
}

bool claim_clear(const claim_t *claim) {
    return !claim->clears || run_files_remove(claim->output) == SGP_OK;
}

void claim_export(const claim_t *claim) {
    setenv(TOKEN, claim->token, 1);
}

void claim_release(claim_t *claim) {
    directory_lock_release(&claim->source);
    directory_lock_release(&claim->lock);
}
