/* SPDX-License-Identifier: Apache-2.0 */
#include "files/timeline.h"

#include "base/constants.h"
#include "base/logging.h"
#include "run/agreement.h"
#include "files/atomic_file.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GATHER_SPANS (SGP_GATHER_BYTES / sizeof(sgp_trace_span_t)) /* the most of one gather */

static const char head[] = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n"
                           "{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": 1, \"args\": "
                           "{\"name\": \"node 0\"}}";
static const char tail[] = "\n]}\n";

/* What a node has to say at a meeting. */
typedef struct offer {
    uint64_t first[SGP_TRACE_CONTEXTS]; /* spans that it handed over before */
    uint64_t count[SGP_TRACE_CONTEXTS]; /* and has to hand over now */
    uint64_t dropped[SGP_TRACE_CONTEXTS];
} offer_t;

sgp_status_t timeline_begin(timeline_t *timeline, const char *directory, size_t spans) {
    const atomic_file_part_t parts[] = {{head, sizeof head - 1}, {tail, sizeof tail - 1}};
    *timeline = (timeline_t){.room = spans, .directory = directory, .end = (long)sizeof head - 1};
    sgp_status_t status = sgp_trace_create(spans, &timeline->trace);
    timeline->origin = sgp_trace_begin(timeline->trace);
    if (!status && directory) status = atomic_file_replace(directory, TIMELINE_FILE, parts, 2);
    if (status) timeline_fini(timeline);
    return status;
}

void timeline_fini(timeline_t *timeline) {
    sgp_trace_destroy(timeline->trace);
    *timeline = (timeline_t){0};
}

/* ---- the file ---- */

static FILE *open_file(const timeline_t *timeline, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/" TIMELINE_FILE, timeline->directory);
    FILE *file = fopen(path, "r+e");
    if (file && fseek(file, timeline->end, SEEK_SET) == 0) return file;
    sgp_fail(SGP_ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    if (file) fclose(file);
    return NULL;
}

/* The file never gets shorter, so a new tail covers the old one; but a full disk takes the new events
 * back. */
static sgp_status_t close_file(timeline_t *timeline, FILE *file, const char *path) {
    long end = ftell(file);
    fputs(tail, file);
    bool written = end >= 0 && !ferror(file);
    if (fclose(file) == 0 && written) {
        timeline->end = end;
        return SGP_OK;
    }
    sgp_fail(SGP_ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    if (truncate(path, timeline->end) == 0)
        atomic_file_append(timeline->directory, TIMELINE_FILE, tail, sizeof tail - 1);
    return SGP_ERR_IO;
}

/* Viewers take 0 for the idle process and its thread, and some want threads to differ in all. */
static int process_of(int node) {
    return node + 1;
}

static int thread_of(int node, int context) {
    return node * SGP_TRACE_CONTEXTS + context + 1;
}

static void print_about(FILE *file, const char *what, int node, int context) {
    fprintf(file, ",\n{\"ph\": \"M\", \"name\": \"%s\", \"pid\": %d, \"tid\": %d, \"args\": ", what,
            process_of(node), thread_of(node, context));
}

static void print_process_name(const timeline_t *timeline, FILE *file, int process) {
    int workers = timeline->workers > 1 ? timeline->workers : 1;
    fprintf(file, "{\"name\": \"node %d", process / workers);
    if (workers > 1) fprintf(file, ", worker %d", process % workers);
    fprintf(file, "\"}}");
}

/* The names of tracks that have spans for the first time. */
static void print_names(const timeline_t *timeline, FILE *file, int node, const offer_t *offer) {
    static const char *const contexts[] = {"computing", "messages"};
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) {
        if (offer->first[c] > 0 || offer->count[c] == 0) continue;
        print_about(file, "process_name", node, c);
        print_process_name(timeline, file, node);
        print_about(file, "process_sort_index", node, c);
        fprintf(file, "{\"sort_index\": %d}}", node);
        print_about(file, "thread_name", node, c);
        fprintf(file, "{\"name\": \"%s\"}}", contexts[c]);
        print_about(file, "thread_sort_index", node, c);
        fprintf(file, "{\"sort_index\": %d}}", c);
    }
}

/* Nanoseconds as microseconds. */
static void print_time(FILE *file, const char *name, uint64_t ns) {
    fprintf(file, "\"%s\": %" PRIu64 ".%03u, ", name, ns / 1000, (unsigned)(ns % 1000));
}

/* What of it lies behind the run's beginning. */
static void print_span(const timeline_t *timeline, FILE *file, int node, int context,
                       const sgp_trace_span_t *span) {
    uint64_t start = span->start > timeline->origin ? span->start : timeline->origin;
    if (span->end <= start) return;
    fprintf(file, ",\n{\"ph\": \"X\", \"name\": \"%s\", \"pid\": %d, \"tid\": %d, ",
            sgp_trace_kind_name((sgp_trace_kind_t)span->kind), process_of(node),
            thread_of(node, context));
    print_time(file, "ts", start - timeline->origin);
    print_time(file, "dur", span->end - start);
    fprintf(file, "\"args\": {\"step\": %" PRIu32 "}}", span->step);
}

/* Says in the file, and once in the log, what found no room. */
static void tell_dropped(timeline_t *timeline, FILE *file, const offer_t *offers, int size) {
    uint64_t all = 0;
    for (int node = 0; node < size; node++) {
        uint64_t dropped = 0;
        for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) dropped += offers[node].dropped[c];
        all += dropped;
        if (dropped == 0) continue;
        print_about(file, "process_labels", node, 0);
        fprintf(file, "{\"labels\": \"%" PRIu64 " later spans left out\"}}", dropped);
    }
    if (all > 0 && !timeline->told)
        sgp_log(SGP_LOG_WARNING,
                "%s/" TIMELINE_FILE " is full: it holds the first %zu spans of each node and "
                "nothing later",
                timeline->directory, timeline->room);
    timeline->told = all > 0;
}

/* ---- handing over ---- */

static offer_t make_offer(const timeline_t *timeline) {
    offer_t offer;
    const sgp_trace_span_t *spans;
    sgp_trace_flush(timeline->trace, SGP_TRACE_COMPUTING);
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) {
        sgp_trace_context_t context = (sgp_trace_context_t)c;
        offer.first[c] = timeline->taken[c];
        offer.count[c] = sgp_trace_read(timeline->trace, context, timeline->taken[c], &spans);
        offer.dropped[c] = sgp_trace_dropped(timeline->trace, context);
    }
    return offer;
}

static uint64_t offered(const offer_t *offer) {
    uint64_t count = 0;
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) count += offer->count[c];
    return count;
}

/* Span i of those on offer, one track after the other, of which nothing is taken yet. */
static sgp_trace_span_t offered_span(const timeline_t *timeline, const offer_t *offer, uint64_t i) {
    const sgp_trace_span_t *spans;
    int c = 0;
    for (; i >= offer->count[c]; c++) i -= offer->count[c];
    sgp_trace_read(timeline->trace, (sgp_trace_context_t)c, timeline->taken[c], &spans);
    return spans[i];
}

static void take(timeline_t *timeline, const offer_t *offer) {
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) timeline->taken[c] += offer->count[c];
}

/* Prints spans [done, done + part) of those a node has on offer, as far as there are so many. */
static void print_part(const timeline_t *timeline, FILE *file, int node, const offer_t *offer,
                       uint64_t done, uint64_t part, const sgp_trace_span_t *spans) {
    uint64_t count = offered(offer);
    for (uint64_t i = done; i < count && i < done + part; i++)
        print_span(timeline, file, node, i >= offer->count[0], &spans[i - done]);
}

/* Part after part, each of all nodes. file: NULL on those that write none. all: (size, GATHER_SPANS),
 * mine: (GATHER_SPANS). */
static sgp_status_t hand_over(const timeline_t *timeline, sgp_group_t *group, FILE *file,
                              const offer_t *offers, sgp_trace_span_t *mine,
                              sgp_trace_span_t *all) {
    int size = sgp_group_size(group);
    const offer_t *own = &offers[sgp_group_rank(group)];
    uint64_t most = 0;
    for (int node = 0; node < size; node++)
        if (offered(&offers[node]) > most) most = offered(&offers[node]);
    for (uint64_t done = 0, part; done < most; done += part) {
        part = most - done < GATHER_SPANS ? most - done : GATHER_SPANS;
        for (uint64_t i = 0; i < part; i++)
            mine[i] = done + i < offered(own) ? offered_span(timeline, own, done + i)
                                              : (sgp_trace_span_t){0};
        sgp_status_t status = sgp_group_gather(group, mine, part * sizeof *mine, all);
        if (status) return status;
        for (int node = 0; node < size && file; node++)
            print_part(timeline, file, node, &offers[node], done, part,
                       all + (uint64_t)node * part);
    }
    return SGP_OK;
}

/* A node without memory or file still takes part, so that nobody waits for it. */
static sgp_status_t gather(timeline_t *timeline, sgp_group_t *group, offer_t *offers,
                           sgp_trace_span_t *spans) {
    char path[PATH_MAX];
    int size = sgp_group_size(group);
    offer_t mine = make_offer(timeline);
    sgp_status_t status = sgp_group_gather(group, &mine, sizeof mine, offers);
    if (status) return status;
    FILE *file = timeline->directory ? open_file(timeline, path) : NULL;
    status = agreement_share(group, timeline->directory && !file ? SGP_ERR_IO : SGP_OK);
    if (status) goto close;
    for (int node = 0; node < size && file; node++)
        print_names(timeline, file, node, &offers[node]);
    status = hand_over(timeline, group, file, offers, spans, spans + GATHER_SPANS);
    if (!status) take(timeline, &mine);
    if (!status && file) tell_dropped(timeline, file, offers, size);
close:
    if (!file) return status;
    sgp_status_t closed = close_file(timeline, file, path);
    return status ? status : closed;
}

sgp_status_t timeline_meet(timeline_t *timeline, sgp_group_t *group) {
    size_t size = (size_t)sgp_group_size(group);
    offer_t *offers = malloc(size * sizeof *offers);
    sgp_trace_span_t *spans = malloc((size + 1) * GATHER_SPANS * sizeof *spans);
    sgp_status_t status = SGP_OK;
    if (!offers || !spans)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the trace of %zu nodes", size);
    status = agreement_share(group, status);
    if (!status) status = gather(timeline, group, offers, spans);
    free(offers);
    free(spans);
    return agreement_share(group, status);
}

void timeline_rescue(timeline_t *timeline) {
    char path[PATH_MAX];
    FILE *file = timeline->directory ? open_file(timeline, path) : NULL;
    if (!file) return;
    offer_t offer = make_offer(timeline);
    print_names(timeline, file, 0, &offer);
    for (uint64_t i = 0; i < offered(&offer); i++) {
        sgp_trace_span_t span = offered_span(timeline, &offer, i);
        print_part(timeline, file, 0, &offer, i, 1, &span);
    }
    take(timeline, &offer);
    tell_dropped(timeline, file, &offer, 1);
    close_file(timeline, file, path);
}
