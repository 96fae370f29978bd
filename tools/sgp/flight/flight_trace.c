/* SPDX-License-Identifier: Apache-2.0 */
/* All events on one time axis, for ui.perfetto.dev: each process has the tracks of its calls, its waits and its messages. */
#include "flight/flight_view.h"
#include "cli/exit_status.h"
#include "cli/message.h"

#include "files/trace_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS, OWN_WAITS, WAITS, MESSAGES, TRACKS };

typedef struct trace {
    trace_file_t file;
    const flight_source_t *source; /* that is being written */
} trace_t;

static trace_file_track_t track_of(const trace_t *trace, int track) {
    int process = trace->source->node.process;
    return (trace_file_track_t){process + 1, process * TRACKS + track + 1};
}

static uint64_t common(const trace_t *trace, int64_t time) {
    int64_t at = time + trace->source->offset;
    return at > 0 ? (uint64_t)at : 0;
}

static void name_tracks(trace_t *trace) {
    static const char *const names[] = {"calls", "waits for its thread", "waits", "messages"};
    char name[MESSAGE_NODE];
    int process = trace->source->node.process;
    message_node(process, name);
    for (int t = 0; t < TRACKS; t++)
        trace_file_name(&trace->file, track_of(trace, t), name, process, names[t], t);
}

/* Names come from a file, so they must not end a string of the trace. */
static void plain(char to[FLIGHT_NAME], const char *text) {
    snprintf(to, FLIGHT_NAME, "%.*s", FLIGHT_NAME - 1, text);
    for (char *at = to; *at; at++)
        if (*at == '"' || *at == '\\') *at = '\'';
}

static void write_wait(trace_t *trace, int track, const char *what, int peer, uint64_t step,
                       int64_t since, int64_t end) {
    char name[FLIGHT_NAME + 32], safe[FLIGHT_NAME];
    plain(safe, what);
    if (peer >= 0) snprintf(name, sizeof name, "%s of %d", safe, peer);
    else snprintf(name, sizeof name, "%s", safe);
    trace_file_span(&trace->file, track_of(trace, track), name, common(trace, since),
                    common(trace, end), (uint32_t)step);
}

/* The last wait has no end in the ring. */
static void write_last_wait(trace_t *trace, int track, const flight_wait_t *wait) {
    int64_t end = wait->asleep ? trace->source->node.clocks[1].monotonic : wait->woke;
    if (wait->there)
        write_wait(trace, track, sgp_flight_what_name((unsigned)wait->what), wait->peer, wait->step,
                   wait->since, end);
}

static void write_calls(trace_t *trace, const flight_group_t *group) {
    const flight_node_t *node = &trace->source->node;
    int64_t begun = 0;
    uint64_t step = 0;
    char name[FLIGHT_NAME];
    for (size_t i = 0; i < group->event_count[SGP_FLIGHT_CALLER]; i++) {
        const flight_event_t *event = &group->events[SGP_FLIGHT_CALLER][i];
        if (event->kind == SGP_FLIGHT_CALL) begun = event->time;
        if (event->kind == SGP_FLIGHT_STEP) step = event->step;
        if (event->kind == SGP_FLIGHT_WAITED)
            write_wait(trace, OWN_WAITS, node->names[event->name], event->peer, event->step,
                       (int64_t)event->number, event->time);
        if (event->kind != SGP_FLIGHT_RETURN || !begun) continue;
        plain(name, node->names[event->name]);
        trace_file_span(&trace->file, track_of(trace, CALLS), name, common(trace, begun),
                        common(trace, event->time), (uint32_t)step);
        begun = 0;
    }
    plain(name, group->call);
    if (name[0])
        trace_file_span(&trace->file, track_of(trace, CALLS), name, common(trace, group->called),
                        common(trace, node->clocks[1].monotonic), (uint32_t)group->steps);
}

/* A message's number in the trace, of its sender and its id. Pushes and parts alone: other messages are not between two nodes. */
static uint64_t arrow_of(int sender, uint64_t id) {
    return ((uint64_t)sender << 44) + (id & ((UINT64_C(1) << 44) - 1)) + 1;
}

static void write_message(trace_t *trace, const flight_event_t *event) {
    const flight_node_t *node = &trace->source->node;
    trace_file_track_t track = track_of(trace, MESSAGES);
    uint64_t time = common(trace, event->time);
    char name[2 * FLIGHT_NAME], text[FLIGHT_NAME], safe[FLIGHT_NAME];
    plain(safe, node->names[event->name]);
    snprintf(name, sizeof name, "%s %s", sgp_flight_kind_name(event->kind), safe);
    if (event->peer >= 0) snprintf(text, sizeof text, "process %d", event->peer);
    else snprintf(text, sizeof text, "several");
    trace_file_instant(&trace->file, track, name, time, event->step, text);
    if (event->kind == SGP_FLIGHT_BEGUN)
        trace_file_arrow(&trace->file, track, true, arrow_of(node->process, event->number), time);
    if (event->kind == SGP_FLIGHT_ARRIVED && event->peer >= 0)
        trace_file_arrow(&trace->file, track, false, arrow_of(event->peer, event->number), time);
}

static void write_traffic(trace_t *trace, const flight_group_t *group) {
    const flight_node_t *node = &trace->source->node;
    for (size_t i = 0; i < group->event_count[SGP_FLIGHT_MESSAGES]; i++) {
        const flight_event_t *event = &group->events[SGP_FLIGHT_MESSAGES][i];
        if (event->kind == SGP_FLIGHT_WAITED)
            write_wait(trace, WAITS, node->names[event->name], event->peer, event->step,
                       (int64_t)event->number, event->time);
        else if (event->kind != SGP_FLIGHT_WAIT) write_message(trace, event);
    }
}

static void write_source(trace_t *trace, const flight_source_t *source) {
    trace->source = source;
    name_tracks(trace);
    for (size_t g = 0; g < source->node.group_count; g++) {
        const flight_group_t *group = &source->node.groups[g];
        write_calls(trace, group);
        write_traffic(trace, group);
        write_last_wait(trace, OWN_WAITS, &group->caller);
        write_last_wait(trace, WAITS, &group->messages);
    }
}

/* The first event of all; of times that are far from each other, as of damaged files, still one that all can be after. */
static uint64_t origin_of(const flight_files_t *files) {
    trace_t trace = {.source = NULL};
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < files->count; i++) {
        trace.source = &files->sources[i];
        uint64_t began = common(&trace, files->sources[i].node.clocks[0].monotonic);
        if (began < first) first = began;
    }
    return first;
}

int flight_trace_write(const flight_files_t *files, const char *path) {
    const char *slash = strrchr(path, '/');
    char *directory = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    const char *folder = slash == path ? "/" : directory, *name = slash ? slash + 1 : path;
    trace_t trace = {.source = NULL};
    if (!directory) {
        message_error("flight: out of memory");
        return EXIT_FAILED;
    }
    sgp_status_t status = trace_file_create(&trace.file, folder, name, origin_of(files), "sgp");
    if (status == SGP_OK) status = trace_file_open(&trace.file);
    if (status == SGP_OK) {
        for (size_t i = 0; i < files->count; i++) write_source(&trace, &files->sources[i]);
        status = trace_file_close(&trace.file);
    }
    free(directory);
    return status == SGP_OK ? 0 : EXIT_FAILED; /* the library has logged why */
}
