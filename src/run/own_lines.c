/* SPDX-License-Identifier: Apache-2.0 */
#include "run/own_lines.h"

#include "base/bytes.h"
#include "base/constants.h"
#include "base/regular.h"
#include "files/json.h"

#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BASE64 = sodium_base64_VARIANT_ORIGINAL,
    PROBE_BYTES = PROBE_MAX * 4,
    LINE_MOST = 1 << 20, /* bytes; longer ones are of no run */
};

void own_lines_name(int process, char name[OWN_LINES_NAME]) {
    snprintf(name, OWN_LINES_NAME, "metrics-%d.jsonl", process);
}

bool own_lines_is_name(const char *name, int *process) {
    char again[OWN_LINES_NAME];
    if (sscanf(name, "metrics-%d.jsonl", process) != 1 || *process < 0) return false;
    own_lines_name(*process, again);
    return strcmp(name, again) == 0;
}

void own_lines_release(own_lines_t *own) {
    json_decref(own->losses);
    memset(own, 0, sizeof *own);
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* A whole number from `least` to `most`; else -1. */
static int64_t whole(const json_t *object, const char *key, int64_t least, int64_t most) {
    const json_t *value = json_object_get(object, key);
    json_int_t got = json_is_integer(value) ? json_integer_value(value) : -1;
    return got >= least && got <= most ? got : -1;
}

static bool take_text(const json_t *object, const char *key, char *text, size_t room) {
    const char *value = json_string_value(json_object_get(object, key));
    if (!value || strlen(value) >= room) return false;
    strcpy(text, value);
    return true;
}

static bool take_head(own_lines_t *own, const json_t *line) {
    own_lines_head_t head = {
        .epoch = (int)whole(line, "epoch", 1, INT_MAX),
        .process = (int)whole(line, "process", 0, SGP_MOST_PROCESSES - 1),
        .node = (int)whole(line, "node", 0, SGP_MOST_PROCESSES - 1),
        .workers = json_object_get(line, "worker"),
        .pid = whole(line, "pid", 1, INT64_MAX),
        .every = number(line, "every"),
    };
    if (head.workers) head.worker = (int)whole(line, "worker", 0, SGP_MOST_PROCESSES - 1);
    if (head.epoch < 1 || head.process < 0 || head.node < 0 || head.worker < 0 || head.pid < 1 ||
        !(head.every > 0) || !take_text(line, RUN_ID_KEY, head.run_id, sizeof head.run_id) ||
        !take_text(line, "host", head.host, sizeof head.host))
        return false;
    own->head = head;
    return true;
}

static bool take_record(const json_t *line, metrics_record_t *record) {
    int64_t step = whole(line, "step", 1, (int64_t)1 << 53);
    *record = (metrics_record_t){.step = (double)step,
                                 .mean = {.loss_sum = number(line, "loss"),
                                          .samples = 1,
                                          .lr = number(line, "lr"),
                                          .step_ms = number(line, "step_ms"),
                                          .gradient_ms = number(line, "gradient_ms"),
                                          .wait_ms = number(line, "wait_ms"),
                                          .seconds = number(line, "seconds"),
                                          .weight = number(line, "weight")}};
    return step > 0;
}

/* The first probe of a file decides their size. */
static bool take_probe(own_lines_t *own, const char *text) {
    unsigned char bytes[PROBE_BYTES];
    size_t length;
    if (sodium_base642bin(bytes, sizeof bytes, text, strlen(text), NULL, &length, NULL, BASE64))
        return false;
    if (length % 4 || own->count >= METRICS_PER_EPOCH) return false;
    if (own->count == 0) own->probe = length / 4;
    if (length != 4 * own->probe) return false;
    float *probe = own->probes + own->count * own->probe;
    for (size_t i = 0; i < own->probe; i++) {
        uint32_t bits = (uint32_t)sgp_bytes_get(bytes + 4 * i, 4);
        memcpy(&probe[i], &bits, sizeof bits);
    }
    return true;
}

static bool take_line(own_lines_t *own, json_t *line) {
    metrics_record_t record;
    const char *probe = json_string_value(json_object_get(line, "probe"));
    json_t *losses = json_object_get(line, "losses");
    if (own->head.epoch == 0) return take_head(own, line);
    if (whole(line, "epoch", 1, INT_MAX) != own->head.epoch || !take_record(line, &record))
        return false;
    if (probe) {
        if (!take_probe(own, probe)) return false;
        own->lines[own->count++] = record;
        return true;
    }
    own->has_recent = true;
    own->recent = (own_lines_recent_t){.record = record,
                                       .time = number(line, "time"),
                                       .samples_per_second = number(line, "samples_per_second")};
    json_decref(own->losses);
    own->losses = json_is_array(losses) ? json_incref(losses) : NULL;
    return true;
}

bool own_lines_parse(own_lines_t *own, const char *line, size_t length) {
    json_t *object = files_json_parse(line, length, 0, NULL);
    bool taken = json_is_object(object) && take_line(own, object);
    json_decref(object);
    return taken;
}

/* false: no memory. */
static bool read_lines(own_lines_t *own, FILE *file) {
    char *line = NULL;
    size_t room = 0;
    bool good = true;
    for (ssize_t length; good && !own->bad && (length = getline(&line, &room, file)) > 0;) {
        if (line[length - 1] != '\n') break; /* not all of it is there yet */
        bool taken = length < LINE_MOST && own_lines_parse(own, line, (size_t)length - 1);
        good = !files_json_failed();
        own->bad = good && !taken;
        if (good) own->at += length;
    }
    free(line);
    return good;
}

/* Whether the file still begins with the line that was read. */
static bool is_same(const own_lines_t *own, FILE *file) {
    char *line = NULL;
    size_t room = 0;
    own_lines_t now = {.at = 0};
    ssize_t length = own->at > 0 ? getline(&line, &room, file) : 0;
    bool same = length > 0 && own_lines_parse(&now, line, (size_t)length - 1) &&
                now.head.epoch == own->head.epoch && now.head.pid == own->head.pid;
    free(line);
    return same && fseek(file, own->at, SEEK_SET) == 0;
}

bool own_lines_look(own_lines_t *own, const char *directory, int process) {
    char path[PATH_MAX], name[OWN_LINES_NAME], problem[SGP_REGULAR_PROBLEM];
    int descriptor = -1;
    own_lines_name(process, name);
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= PATH_MAX ||
        sgp_regular_open(path, &descriptor, problem)) {
        own_lines_release(own);
        return true;
    }
    FILE *file = fdopen(descriptor, "r");
    if (!file) {
        close(descriptor);
        return false;
    }
    if (!is_same(own, file)) {
        own_lines_release(own);
        rewind(file);
    }
    bool good = read_lines(own, file);
    fclose(file);
    return good;
}

/* Makes room for the process. */
static bool extend(own_lines_t ***own, int *size, int process) {
    if (process < *size) return true;
    own_lines_t **more = realloc(*own, ((size_t)process + 1) * sizeof *more);
    if (!more) return false;
    memset(more + *size, 0, (size_t)(process + 1 - *size) * sizeof *more);
    *own = more;
    *size = process + 1;
    return true;
}

/* false: no memory. */
static bool read_one(const char *directory, int process, own_lines_t **place) {
    own_lines_t *own = calloc(1, sizeof *own);
    if (!own) return false;
    bool good = own_lines_look(own, directory, process);
    if (good && own->head.epoch > 0 && own->head.process == process) {
        *place = own;
        return true;
    }
    own_lines_release(own);
    free(own);
    return good;
}

sgp_status_t own_lines_read_all(const char *directory, own_lines_t ***own, int *size) {
    DIR *folder = opendir(directory);
    *own = NULL;
    *size = 0;
    if (!folder) return SGP_OK;
    bool good = true;
    int process;
    for (struct dirent *entry; good && (entry = readdir(folder));) {
        if (!own_lines_is_name(entry->d_name, &process) || process >= SGP_MOST_PROCESSES) continue;
        good = extend(own, size, process) && read_one(directory, process, &(*own)[process]);
    }
    closedir(folder);
    if (good) return SGP_OK;
    own_lines_free(*own, *size);
    *own = NULL;
    *size = 0;
    return SGP_ERR_NO_MEMORY;
}

void own_lines_free(own_lines_t **own, int size) {
    for (int i = 0; i < size; i++) {
        if (own[i]) own_lines_release(own[i]);
        free(own[i]);
    }
    free(own);
}
