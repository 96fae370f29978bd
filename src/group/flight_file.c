/* SPDX-License-Identifier: Apache-2.0 */
#include "group/flight_file.h"

#include "base/constants.h"
#include "base/logging.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* ---- clocks and names ---- */

static uint64_t wall_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * SGP_SECOND + (uint64_t)now.tv_nsec;
}

sgp_clock_pair_t sgp_clock_pair(void) {
    sgp_clock_pair_t best = {.within = UINT64_MAX};
    for (int tries = 0; tries < 5; tries++) {
        uint64_t before = sgp_clock_now(), wall = wall_now(), after = sgp_clock_now();
        if (after - before >= best.within) continue;
        best = (sgp_clock_pair_t){before + (after - before) / 2, wall, after - before};
    }
    return best;
}

int sgp_flight_process(const sgp_transport_t *transport, int rank) {
    const sgp_ranks_t *ranks = &transport->ranks;
    return ranks->workers > 1 ? ranks->first + rank * ranks->stride : rank;
}

static const char *message_name(unsigned kind) {
    static const char *const names[] = {
        [SGP_KIND_CONTROL] = "collective",
        [SGP_KIND_PUSH] = "push",
        [SGP_KIND_REDUCE] = "reduce",
        [SGP_KIND_GATHER] = "gather",
        [SGP_KIND_ASK] = "ask",
        [SGP_KIND_ANSWER] = "answer",
        [SGP_KIND_REST] = "rest",
        [SGP_KIND_NOTICE] = "notice",
        [SGP_KIND_AGREE] = "agree",
        [SGP_KIND_VIEW] = "view",
        [SGP_KIND_WAIT] = "question",
        [SGP_KIND_PASSED] = "passed",
        [SGP_KIND_HEARD] = "heard",
        [SGP_KIND_STATE] = "state",
        [SGP_KIND_VERDICT] = "verdict",
        [SGP_KIND_REPAIR] = "repair",
    };
    return kind <= SGP_KIND_LAST && names[kind] ? names[kind] : "";
}

/* ---- JSON ---- */

/* Each byte that is not printable ASCII as the character of that number. */
static void put_text(FILE *file, const char *text) {
    putc('"', file);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\') fprintf(file, "\\%c", *at);
        else if (*at < 0x20 || *at > 0x7e) fprintf(file, "\\u%04x", *at);
        else putc(*at, file);
    }
    putc('"', file);
}

static void put_field(FILE *file, const char *name, const char *text) {
    fprintf(file, "\"%s\": ", name);
    put_text(file, text);
    fputs(",\n", file);
}

/* The first line of a file of the system; "": there is none. */
static void read_line(const char *path, char *line, int room) {
    FILE *file = fopen(path, "re");
    line[0] = 0;
    if (file && fgets(line, room, file)) line[strcspn(line, "\n")] = 0;
    if (file) fclose(file);
}

static void put_clock(FILE *file, const sgp_clock_pair_t *pair, const char *end) {
    fprintf(file, "{\"monotonic\": %" PRIu64 ", \"wall\": %" PRIu64 ", \"within\": %" PRIu64 "}%s",
            pair->monotonic, pair->wall, pair->within, end);
}

static void put_head(FILE *file, const sgp_transport_t *transport, int process,
                     const sgp_flight_cause_t *cause) {
    char host[128] = "", boot[64], run[20];
    int workers = transport->ranks.workers > 1 ? transport->ranks.workers : 1;
    gethostname(host, sizeof host - 1);
    read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    snprintf(run, sizeof run, "%016" PRIx64, transport->run);
    fputs("{\"format\": \"sgp-flight\", \"version\": 1,\n", file);
    put_field(file, "run", cause->run[0] ? cause->run : run);
    fprintf(file, "\"process\": %d, \"workers\": %d, \"incarnation\": %" PRIu32 ", \"pid\": %d,\n",
            process, workers, transport->incarnation, (int)getpid());
    put_field(file, "host", host);
    put_field(file, "boot", boot);
    put_field(file, "why", cause->why);
    put_field(file, "status", cause->status ? sgp_status_name(cause->status) : "");
    put_field(file, "text", cause->text ? cause->text : "");
    sgp_clock_pair_t now = sgp_clock_pair();
    fputs("\"clocks\": [", file);
    put_clock(file, &cause->began, ", ");
    put_clock(file, &now, "],\n");
}

/* ---- a group ---- */

static void put_missing(FILE *file, const sgp_flight_t *flight, int self,
                        const sgp_flight_want_t *want) {
    bool told = (want->what == SGP_FLIGHT_FOR_AGREEMENT || want->what == SGP_FLIGHT_FOR_PARTS) &&
                want->peer >= 0;
    const char *comma = "";
    fputs("\"missing\": [", file);
    for (int r = 0; r < flight->ranks; r++) {
        const sgp_flight_peer_t *peer = &flight->peers[r];
        bool missing = told && atomic_load(&peer->missing);
        if (want->what == SGP_FLIGHT_FOR_COLLECTIVE)
            missing = r != self && atomic_load(&peer->control) < want->step;
        if (!missing && r != want->peer) continue;
        fprintf(file, "%s%d", comma, r);
        comma = ", ";
    }
    fputs("]", file);
}

static void put_wait(FILE *file, const char *name, const sgp_transport_t *transport,
                     const sgp_flight_wait_t *wait) {
    const sgp_flight_want_t *want = &wait->want;
    if (wait->since == 0) {
        fprintf(file, "  \"%s\": null,\n", name);
        return;
    }
    fprintf(file,
            "  \"%s\": {\"for\": \"%s\", \"peer\": %d, \"step\": %" PRIu64 ", \"since\": %" PRIu64
            ", \"woke\": %" PRIu64 ", \"asleep\": %s, ",
            name, sgp_flight_what_name((unsigned)want->what), want->peer, want->step & INT64_MAX,
            wait->since, wait->woke, wait->asleep ? "true" : "false");
    put_missing(file, transport->flight, transport->rank, want);
    fputs("},\n", file);
}

static void put_state(FILE *file, const sgp_transport_t *transport) {
    const sgp_flight_t *flight = transport->flight;
    const char *call = (const char *)atomic_load_explicit(&flight->call, memory_order_acquire);
    uint64_t steps = atomic_load(&flight->steps);
    sgp_flight_wait_t caller = sgp_flight_waits(flight, SGP_FLIGHT_CALLER),
                      messages = sgp_flight_waits(flight, SGP_FLIGHT_MESSAGES),
                      failed = {.since = 0};
    if (atomic_load_explicit(&flight->has_failed, memory_order_acquire)) failed = flight->failed;
    fprintf(file,
            "  \"steps\": %" PRIu64 ", \"called\": %" PRIu64 ", \"returned\": %" PRIu64
            ", \"call\": ",
            steps, atomic_load(&flight->called), atomic_load(&flight->returned));
    put_text(file, call ? call : "");
    fputs(",\n", file);
    put_wait(file, "caller", transport, &caller);
    put_wait(file, "messages", transport, &messages);
    put_wait(file, "failed", transport, &failed);
}

static const char *state_name(sgp_fate_state_t state) {
    static const char *const names[] = {[SGP_FATE_PRESENT] = "present",
                                        [SGP_FATE_LEFT] = "left",
                                        [SGP_FATE_LOST] = "lost",
                                        [SGP_FATE_ABSENT] = "absent"};
    return names[state];
}

/* One line for each other rank. */
static void put_peers(FILE *file, const sgp_transport_t *transport) {
    const char *comma = "";
    fputs("  \"peers\": [", file);
    for (int r = 0; r < transport->capacity; r++) {
        const sgp_flight_peer_t *peer = &transport->flight->peers[r];
        sgp_fate_t fate = sgp_fates_of(transport->fates, r);
        char why[160] = "";
        if (r == transport->rank) continue;
        if (fate.state == SGP_FATE_LOST) sgp_fates_why(transport->fates, r, why, sizeof why);
        fprintf(file,
                "%s\n    {\"rank\": %d, \"state\": \"%s\", \"silent\": %u, \"step\": %" PRIu64
                ", \"arrived\": %" PRIu64 ", \"arrived_step\": %" PRIu64 ", \"sent\": %" PRIu64
                ", \"sent_step\": %" PRIu64 ", \"why\": ",
                comma, r, state_name(fate.state), sgp_fates_silence(transport->fates, r),
                sgp_fates_pulse(transport->fates, r).step, atomic_load(&peer->arrived),
                atomic_load(&peer->arrived_step), atomic_load(&peer->sent),
                atomic_load(&peer->sent_step));
        put_text(file, why);
        putc('}', file);
        comma = ",";
    }
    fputs("],\n", file);
}

static bool is_call(const sgp_flight_event_t *event) {
    return event->kind == SGP_FLIGHT_CALL || event->kind == SGP_FLIGHT_RETURN;
}

/* What the detail says, and the name of a call. */
static const char *text_of(const sgp_flight_event_t *event) {
    switch ((sgp_flight_kind_t)event->kind) {
    case SGP_FLIGHT_CALL:
    case SGP_FLIGHT_RETURN:
        return (const char *)(uintptr_t)event->number;
    case SGP_FLIGHT_WAIT:
    case SGP_FLIGHT_WAITED:
        return sgp_flight_what_name(event->detail);
    case SGP_FLIGHT_LOST:
        return sgp_cause_text((sgp_cause_t)event->detail);
    case SGP_FLIGHT_BEGUN:
    case SGP_FLIGHT_SENT:
    case SGP_FLIGHT_ARRIVING:
    case SGP_FLIGHT_ARRIVED:
    case SGP_FLIGHT_REFUSED:
        return message_name(event->detail);
    default:
        return "";
    }
}

/* [time, kind, peer, step, number, text, channel] */
static void put_event(FILE *file, const sgp_flight_event_t *event) {
    uint64_t number = is_call(event) ? event->detail : event->number & INT64_MAX;
    fprintf(file, "\n[%" PRIu64 ", \"%s\", %d, %" PRIu64 ", %" PRIu64 ", ", event->time,
            sgp_flight_kind_name(event->kind), event->peer, event->step & INT64_MAX, number);
    put_text(file, text_of(event));
    fprintf(file, ", %" PRIu32 "]", event->channel);
}

static void put_events(FILE *file, const char *name, const sgp_flight_t *flight,
                       sgp_flight_context_t context, sgp_flight_event_t *events, const char *end) {
    uint64_t before;
    size_t count = sgp_flight_read(flight, context, events, &before);
    fprintf(file, "  \"%s\": {\"before\": %" PRIu64 ", \"events\": [", name, before);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) putc(',', file);
        put_event(file, &events[i]);
    }
    fprintf(file, "]}%s\n", end);
}

/* events: (SGP_FLIGHT_EVENTS) scratch. */
static void put_group(FILE *file, const sgp_transport_t *transport, sgp_flight_event_t *events) {
    const sgp_ranks_t *ranks = &transport->ranks;
    bool several = ranks->workers > 1;
    fprintf(file, "{ \"transport\": ");
    put_text(file, transport->ops->name);
    fprintf(file,
            ", \"rank\": %d, \"size\": %d, \"capacity\": %d, \"first\": %d, \"stride\": %d, "
            "\"elastic\": %s,\n",
            transport->rank, transport->size, transport->capacity, several ? ranks->first : 0,
            several ? ranks->stride : 1, transport->elastic ? "true" : "false");
    put_state(file, transport);
    put_peers(file, transport);
    put_events(file, "calls", transport->flight, SGP_FLIGHT_CALLER, events, ",");
    put_events(file, "traffic", transport->flight, SGP_FLIGHT_MESSAGES, events, "}");
}

static void put_groups(FILE *file, const sgp_flight_source_t *sources, int process,
                       sgp_flight_event_t *events) {
    const char *comma = "";
    fputs("\"groups\": [", file);
    for (const sgp_flight_source_t *at = sources; at; at = at->next) {
        if (sgp_flight_process(at->transport, at->transport->rank) != process) continue;
        fputs(comma, file);
        put_group(file, at->transport, events);
        comma = ",\n";
    }
    fputs("]}\n", file);
}

/* ---- the file ---- */

/* With the folders above it. */
static void make_folder(const char *folder) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", folder);
    for (char *at = path + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        mkdir(path, 0777);
        *at = '/';
    }
    mkdir(path, 0777);
}

static sgp_status_t fail(const char *path) {
    return sgp_fail_at(SGP_LOG_WARNING, SGP_ERR_IO, "%s: cannot be written: %s", path,
                       strerror(errno));
}

static sgp_status_t write_whole(const char *path, const sgp_flight_source_t *first,
                                const sgp_flight_source_t *sources, int process,
                                const sgp_flight_cause_t *cause) {
    char fresh[PATH_MAX + 16];
    sgp_flight_event_t *events = malloc(SGP_FLIGHT_EVENTS * sizeof *events);
    if (!events)
        return sgp_fail_at(SGP_LOG_WARNING, SGP_ERR_NO_MEMORY, "no memory to write %s", path);
    snprintf(fresh, sizeof fresh, "%s.part", path);
    FILE *file = fopen(fresh, "we");
    if (file) {
        put_head(file, first->transport, process, cause);
        put_groups(file, sources, process, events);
    }
    free(events);
    bool written = file && !ferror(file);
    if (file) written &= fclose(file) == 0;
    if (written && rename(fresh, path) == 0) return SGP_OK;
    sgp_status_t status = fail(path);
    if (file) unlink(fresh);
    return status;
}

/* A run that has failed because its disk is full needs the rest for its own last files. */
static sgp_status_t check_space(const char *folder) {
    struct statvfs disk;
    if (statvfs(folder, &disk) != 0 ||
        (uint64_t)disk.f_bavail * disk.f_frsize >= SGP_FLIGHT_LEAST_SPACE)
        return SGP_OK;
    return sgp_fail_at(SGP_LOG_WARNING, SGP_ERR_IO,
                       "%s: the flight recorder is not written: less than %d MiB are free there",
                       folder, (int)(SGP_FLIGHT_LEAST_SPACE >> 20));
}

sgp_status_t sgp_flight_file_write(const char *folder, const sgp_flight_source_t *sources,
                                   int process, const sgp_flight_cause_t *cause, char *path,
                                   size_t room) {
    const sgp_flight_source_t *first = sources;
    while (first && sgp_flight_process(first->transport, first->transport->rank) != process)
        first = first->next;
    if (!first) return SGP_OK;
    uint32_t incarnation = first->transport->incarnation;
    make_folder(folder);
    sgp_status_t status = check_space(folder);
    if (status != SGP_OK) return status;
    if (incarnation == 0) snprintf(path, room, "%s/flight-%d.json", folder, process);
    else snprintf(path, room, "%s/flight-%d.%" PRIu32 ".json", folder, process, incarnation);
    return write_whole(path, first, sources, process, cause);
}
