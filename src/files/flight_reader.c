/* SPDX-License-Identifier: Apache-2.0 */
#include "files/flight_reader.h"

#include "files/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_PROCESSES 65536           /* ranks, and numbers of processes, are below it */
#define MOST_TIME      (INT64_MAX / 4) /* times can be added and subtracted */
#define MOST_EVENTS    65536           /* of a ring */

/* What is being read, and the first thing that was wrong with it. */
typedef struct reader {
    flight_node_t *node;
    int first, stride; /* of the group's ranks */
    const char *wrong; /* static; NULL: nothing so far */
} reader_t;

static const char no_memory[] = "memory";

static void fail(reader_t *reader, const char *wrong) {
    if (!reader->wrong) reader->wrong = wrong;
}

/* ---- fields ---- */

static int64_t number(reader_t *reader, const json_t *value, const char *name, int64_t least,
                      int64_t most) {
    json_int_t found = json_integer_value(value);
    if (json_is_integer(value) && found >= least && found <= most) return found;
    fail(reader, name);
    return least;
}

static int64_t field(reader_t *reader, const json_t *object, const char *name, int64_t least,
                     int64_t most) {
    return number(reader, json_object_get(object, name), name, least, most);
}

static int64_t time_field(reader_t *reader, const json_t *object, const char *name) {
    return field(reader, object, name, 0, MOST_TIME);
}

static uint64_t count_field(reader_t *reader, const json_t *object, const char *name) {
    return (uint64_t)field(reader, object, name, 0, INT64_MAX);
}

/* What does not fit is cut off, and control characters are replaced. */
static void copy(char *to, size_t room, const char *text) {
    snprintf(to, room, "%s", text);
    for (unsigned char *at = (unsigned char *)to; *at; at++)
        if (*at < 0x20 || *at > 0x7e) *at = '?';
}

static void text_field(reader_t *reader, const json_t *object, const char *name, char *to,
                       size_t room) {
    const char *text = json_string_value(json_object_get(object, name));
    if (!text) fail(reader, name);
    copy(to, room, text ? text : "");
}

static bool bool_field(reader_t *reader, const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    if (!json_is_boolean(value)) fail(reader, name);
    return json_is_true(value);
}

static const json_t *array_field(reader_t *reader, const json_t *object, const char *name,
                                 size_t most) {
    const json_t *value = json_object_get(object, name);
    if (!json_is_array(value) || json_array_size(value) > most) fail(reader, name);
    return reader->wrong ? NULL : value;
}

/* A rank as a process. */
static int process_of(reader_t *reader, const json_t *value, const char *name) {
    int64_t rank = number(reader, value, name, -1, MOST_PROCESSES - 1);
    int64_t process = rank < 0 ? -1 : reader->first + rank * reader->stride;
    if (process >= MOST_PROCESSES) fail(reader, name);
    return reader->wrong ? -1 : (int)process;
}

/* ---- waits ---- */

static sgp_flight_what_t what_of(const char *name) {
    for (unsigned w = 0; w < SGP_FLIGHT_WHATS; w++)
        if (strcmp(name, sgp_flight_what_name(w)) == 0) return (sgp_flight_what_t)w;
    return SGP_FLIGHT_FOR_OTHER;
}

static void read_missing(reader_t *reader, const json_t *object, flight_wait_t *wait) {
    const json_t *list = array_field(reader, object, "missing", MOST_PROCESSES);
    size_t count = json_array_size(list);
    if (!count) return;
    wait->missing = calloc(count, sizeof *wait->missing);
    if (!wait->missing) {
        fail(reader, no_memory);
        return;
    }
    wait->missing_count = count;
    for (size_t i = 0; i < count; i++) {
        wait->missing[i] = process_of(reader, json_array_get(list, i), "missing");
        if (wait->missing[i] < 0) fail(reader, "missing");
    }
}

static void read_wait(reader_t *reader, const json_t *object, const char *name,
                      flight_wait_t *wait) {
    const json_t *value = json_object_get(object, name);
    char what[FLIGHT_NAME];
    if (json_is_null(value)) return;
    if (!json_is_object(value)) fail(reader, name);
    text_field(reader, value, "for", what, sizeof what);
    wait->there = true;
    wait->what = what_of(what);
    wait->peer = process_of(reader, json_object_get(value, "peer"), "peer");
    wait->step = count_field(reader, value, "step");
    wait->since = time_field(reader, value, "since");
    wait->woke = time_field(reader, value, "woke");
    wait->asleep = bool_field(reader, value, "asleep");
    read_missing(reader, value, wait);
}

/* ---- peers ---- */

static flight_fate_t fate_of(const char *name) {
    if (strcmp(name, "left") == 0) return FLIGHT_LEFT;
    if (strcmp(name, "lost") == 0) return FLIGHT_LOST;
    return strcmp(name, "absent") == 0 ? FLIGHT_ABSENT : FLIGHT_PRESENT;
}

static void read_peer(reader_t *reader, const json_t *object, flight_peer_t *peer) {
    char fate[FLIGHT_NAME];
    text_field(reader, object, "state", fate, sizeof fate);
    text_field(reader, object, "why", peer->why, sizeof peer->why);
    peer->fate = fate_of(fate);
    peer->process = process_of(reader, json_object_get(object, "rank"), "rank");
    peer->silent = field(reader, object, "silent", 0, 255) != 0;
    peer->step = count_field(reader, object, "step");
    peer->arrived = time_field(reader, object, "arrived");
    peer->sent = time_field(reader, object, "sent");
    peer->arrived_step = count_field(reader, object, "arrived_step");
    peer->sent_step = count_field(reader, object, "sent_step");
    if (peer->process < 0) fail(reader, "rank");
}

static void read_peers(reader_t *reader, const json_t *object, flight_group_t *group) {
    const json_t *list = array_field(reader, object, "peers", MOST_PROCESSES);
    size_t count = json_array_size(list);
    if (!count) return;
    group->peers = calloc(count, sizeof *group->peers);
    if (!group->peers) {
        fail(reader, no_memory);
        return;
    }
    for (size_t i = 0; i < count && !reader->wrong; i++, group->peer_count++)
        read_peer(reader, json_array_get(list, i), &group->peers[i]);
}

/* ---- events ---- */

static uint8_t name_of(flight_node_t *node, const char *text) {
    char name[FLIGHT_NAME];
    copy(name, sizeof name, text);
    for (size_t i = 0; i < node->name_count; i++)
        if (strcmp(node->names[i], name) == 0) return (uint8_t)i;
    if (node->name_count == FLIGHT_NAMES) return 0;
    memcpy(node->names[node->name_count], name, sizeof name);
    return (uint8_t)node->name_count++;
}

static uint8_t kind_of(const char *name) {
    for (unsigned k = 0; k < SGP_FLIGHT_KINDS; k++)
        if (strcmp(name, sgp_flight_kind_name(k)) == 0) return (uint8_t)k;
    return SGP_FLIGHT_KINDS;
}

/* [time, kind, peer, step, number, text, channel] */
static void read_event(reader_t *reader, const json_t *row, flight_event_t *event) {
    const char *kind = json_string_value(json_array_get(row, 1)),
               *text = json_string_value(json_array_get(row, 5));
    if (!kind || !text || json_array_size(row) < 7) {
        fail(reader, "events");
        return;
    }
    event->time = number(reader, json_array_get(row, 0), "events", 0, MOST_TIME);
    event->kind = kind_of(kind);
    event->peer = process_of(reader, json_array_get(row, 2), "events");
    event->step = (uint64_t)number(reader, json_array_get(row, 3), "events", 0, INT64_MAX);
    event->number = (uint64_t)number(reader, json_array_get(row, 4), "events", 0, INT64_MAX);
    event->name = name_of(reader->node, text);
    event->channel = (uint32_t)number(reader, json_array_get(row, 6), "events", 0, UINT32_MAX);
}

static int compare_times(const void *a, const void *b) {
    int64_t first = ((const flight_event_t *)a)->time, second = ((const flight_event_t *)b)->time;
    return (first > second) - (first < second);
}

static void read_events(reader_t *reader, const json_t *object, const char *name,
                        flight_group_t *group, int context) {
    const json_t *track = json_object_get(object, name);
    group->before[context] = count_field(reader, track, "before");
    const json_t *list = array_field(reader, track, "events", MOST_EVENTS);
    size_t count = json_array_size(list);
    if (!count) return;
    flight_event_t *events = group->events[context] = calloc(count, sizeof *events);
    if (!events) {
        fail(reader, no_memory);
        return;
    }
    for (size_t i = 0; i < count && !reader->wrong; i++)
        read_event(reader, json_array_get(list, i), &events[i]);
    group->event_count[context] = count;
    qsort(events, count, sizeof *events, compare_times);
}

/* ---- the whole ---- */

static void read_group(reader_t *reader, const json_t *object, flight_group_t *group) {
    reader->first = (int)field(reader, object, "first", 0, MOST_PROCESSES - 1);
    reader->stride = (int)field(reader, object, "stride", 1, MOST_PROCESSES);
    group->process = process_of(reader, json_object_get(object, "rank"), "rank");
    if (group->process < 0) fail(reader, "rank");
    group->size = (int)field(reader, object, "size", 1, MOST_PROCESSES);
    group->capacity = (int)field(reader, object, "capacity", 1, MOST_PROCESSES);
    group->elastic = bool_field(reader, object, "elastic");
    group->steps = count_field(reader, object, "steps");
    group->called = time_field(reader, object, "called");
    group->returned = time_field(reader, object, "returned");
    text_field(reader, object, "call", group->call, sizeof group->call);
    text_field(reader, object, "transport", group->transport, sizeof group->transport);
    read_wait(reader, object, "caller", &group->caller);
    read_wait(reader, object, "messages", &group->messages);
    read_wait(reader, object, "failed", &group->failed);
    read_peers(reader, object, group);
    read_events(reader, object, "calls", group, SGP_FLIGHT_CALLER);
    read_events(reader, object, "traffic", group, SGP_FLIGHT_MESSAGES);
}

static void read_clock(reader_t *reader, const json_t *object, flight_clock_t *clock) {
    clock->monotonic = time_field(reader, object, "monotonic");
    clock->wall = time_field(reader, object, "wall");
    clock->within = time_field(reader, object, "within");
}

static void read_head(reader_t *reader, const json_t *json) {
    flight_node_t *node = reader->node;
    const json_t *clocks = array_field(reader, json, "clocks", 2);
    text_field(reader, json, "run", node->run, sizeof node->run);
    text_field(reader, json, "host", node->host, sizeof node->host);
    text_field(reader, json, "boot", node->boot, sizeof node->boot);
    text_field(reader, json, "why", node->why, sizeof node->why);
    text_field(reader, json, "status", node->status, sizeof node->status);
    text_field(reader, json, "text", node->text, sizeof node->text);
    node->process = (int)field(reader, json, "process", 0, MOST_PROCESSES - 1);
    node->workers = (int)field(reader, json, "workers", 1, MOST_PROCESSES);
    node->incarnation = field(reader, json, "incarnation", 0, UINT32_MAX);
    node->pid = field(reader, json, "pid", 0, INT32_MAX);
    for (size_t i = 0; i < 2; i++) read_clock(reader, json_array_get(clocks, i), &node->clocks[i]);
}

static void read_node(reader_t *reader, const json_t *json) {
    flight_node_t *node = reader->node;
    read_head(reader, json);
    const json_t *groups = array_field(reader, json, "groups", FLIGHT_GROUPS);
    if (json_array_size(groups) == 0) fail(reader, "groups");
    for (size_t i = 0; i < json_array_size(groups) && !reader->wrong; i++)
        read_group(reader, json_array_get(groups, i), &node->groups[node->group_count++]);
}

static bool is_ours(const json_t *json) {
    const char *format = json_string_value(json_object_get(json, "format"));
    return format && strcmp(format, "sgp-flight") == 0;
}

static sgp_status_t read_json(const json_t *json, flight_node_t *node,
                              char problem[FLIGHT_PROBLEM]) {
    reader_t reader = {.node = node};
    if (!is_ours(json)) {
        snprintf(problem, FLIGHT_PROBLEM, "not a file of sgp's flight recorder");
        return SGP_ERR_FORMAT;
    }
    if (json_integer_value(json_object_get(json, "version")) != 1) {
        snprintf(problem, FLIGHT_PROBLEM, "version %lld of the format: this program reads 1",
                 (long long)json_integer_value(json_object_get(json, "version")));
        return SGP_ERR_FORMAT;
    }
    node->name_count = 1;
    read_node(&reader, json);
    if (!reader.wrong) return SGP_OK;
    if (reader.wrong == no_memory) {
        snprintf(problem, FLIGHT_PROBLEM, "out of memory");
        return SGP_ERR_NO_MEMORY;
    }
    snprintf(problem, FLIGHT_PROBLEM, "damaged: \"%s\" is missing or out of range", reader.wrong);
    return SGP_ERR_FORMAT;
}

sgp_status_t flight_parse(const char *bytes, size_t count, flight_node_t *node,
                          char problem[FLIGHT_PROBLEM]) {
    json_error_t error;
    *node = (flight_node_t){.process = 0};
    if (count > FLIGHT_BYTES) {
        snprintf(problem, FLIGHT_PROBLEM, "larger than %d MiB, which no such file is",
                 FLIGHT_BYTES >> 20);
        return SGP_ERR_FORMAT;
    }
    json_t *json = files_json_parse(bytes, count, JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        bool memory = files_json_failed();
        if (memory) snprintf(problem, FLIGHT_PROBLEM, "out of memory");
        else snprintf(problem, FLIGHT_PROBLEM, "damaged: no JSON from line %d on", error.line);
        return memory ? SGP_ERR_NO_MEMORY : SGP_ERR_FORMAT;
    }
    sgp_status_t status = read_json(json, node, problem);
    json_decref(json);
    if (status != SGP_OK) flight_release(node);
    return status;
}

/* The whole file; NULL: problem says why. */
static char *load(int file, size_t *count, char problem[FLIGHT_PROBLEM]) {
    struct stat about;
    if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size > FLIGHT_BYTES) {
        snprintf(problem, FLIGHT_PROBLEM, "no regular file of at most %d MiB", FLIGHT_BYTES >> 20);
        return NULL;
    }
    size_t room = (size_t)about.st_size;
    char *bytes = malloc(room + 1);
    if (!bytes) snprintf(problem, FLIGHT_PROBLEM, "out of memory");
    ssize_t got = 1;
    for (*count = 0; bytes && *count < room && got > 0; *count += got > 0 ? (size_t)got : 0)
        got = read(file, bytes + *count, room - *count);
    return bytes;
}

sgp_status_t flight_read(const char *path, flight_node_t *node, char problem[FLIGHT_PROBLEM]) {
    size_t count = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *node = (flight_node_t){.process = 0};
    if (file < 0) {
        snprintf(problem, FLIGHT_PROBLEM, "cannot be opened: %s", strerror(errno));
        return SGP_ERR_IO;
    }
    char *bytes = load(file, &count, problem);
    close(file);
    if (!bytes) return SGP_ERR_FORMAT;
    sgp_status_t status = flight_parse(bytes, count, node, problem);
    free(bytes);
    return status;
}

void flight_release(flight_node_t *node) {
    for (size_t g = 0; g < FLIGHT_GROUPS; g++) {
        flight_group_t *group = &node->groups[g];
        free(group->caller.missing);
        free(group->messages.missing);
        free(group->failed.missing);
        free(group->peers);
        for (int c = 0; c < SGP_FLIGHT_CONTEXTS; c++) free(group->events[c]);
    }
    *node = (flight_node_t){.process = 0};
}
