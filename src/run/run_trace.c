/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_trace.h"

#include "base/constants.h"
#include "base/logging.h"
#include "run/agreement.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define GATHER_SPANS (SGP_GATHER_BYTES / sizeof(sgp_trace_span_t)) /* the most of one gather */

/* The spans that a node contributes to one call of run_trace_gather. */
typedef struct offer {
    uint64_t first[SGP_TRACE_CONTEXTS]; /* spans in earlier calls */
    uint64_t count[SGP_TRACE_CONTEXTS]; /* spans in this one */
    uint64_t dropped[SGP_TRACE_CONTEXTS];
    uint64_t origin; /* of the file; 0: this node does not have it */
} offer_t;

sgp_status_t run_trace_begin(run_trace_t *run_trace, const char *directory, size_t spans,
                             int workers) {
    *run_trace = (run_trace_t){.room = spans, .workers = workers, .writes = directory};
    sgp_status_t status = sgp_trace_create(spans, &run_trace->trace);
    uint64_t origin = run_trace->origin = sgp_trace_begin(run_trace->trace);
    if (!status && directory)
        status = trace_file_create(&run_trace->file, directory, RUN_TRACE_FILE, origin, "node 0");
    if (status) run_trace_fini(run_trace);
    return status;
}

void run_trace_take_over(run_trace_t *run_trace, const char *directory) {
    run_trace->writes = true;
    trace_file_adopt(&run_trace->file, directory, RUN_TRACE_FILE, run_trace->origin, "node 0");
}

void run_trace_fini(run_trace_t *run_trace) {
    sgp_trace_destroy(run_trace->trace);
    *run_trace = (run_trace_t){0};
}

/* ---- writing ---- */

static trace_file_track_t track_of(int process, int context) {
    return (trace_file_track_t){.process = process + 1,
                                .thread = process * SGP_TRACE_CONTEXTS + context + 1};
}

/* "node 3", or "node 3, worker 1" where a node has several. */
static void name_process(const run_trace_t *run_trace, int process, char name[48]) {
    int workers = run_trace->workers > 1 ? run_trace->workers : 1;
    int length = snprintf(name, 48, "node %d", process / workers);
    if (workers > 1) snprintf(name + length, 48 - (size_t)length, ", worker %d", process % workers);
}

/* Names the tracks that have spans for the first time. */
static void write_names(run_trace_t *run_trace, int process, const offer_t *offer) {
    static const char *const contexts[] = {"computing", "messages"};
    char name[48];
    name_process(run_trace, process, name);
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++)
        if (offer->first[c] == 0 && offer->count[c] > 0)
            trace_file_name(&run_trace->file, track_of(process, c), name, process, contexts[c], c);
}

static void write_span(run_trace_t *run_trace, int process, int context,
                       const sgp_trace_span_t *span) {
    trace_file_span(&run_trace->file, track_of(process, context),
                    sgp_trace_kind_name((sgp_trace_kind_t)span->kind), span->start, span->end,
                    span->step);
}

/* Reports the spans that found no room: in the file, and once in the log. */
static void report_dropped(run_trace_t *run_trace, const offer_t *offers, int size) {
    uint64_t all = 0;
    for (int process = 0; process < size; process++) {
        uint64_t dropped = 0;
        char label[48];
        for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) dropped += offers[process].dropped[c];
        all += dropped;
        if (dropped == 0) continue;
        snprintf(label, sizeof label, "%" PRIu64 " later spans left out", dropped);
        trace_file_label(&run_trace->file, track_of(process, 0), label);
    }
    if (all > 0 && !run_trace->warned)
        sgp_log(SGP_LOG_WARNING,
                "%s/" RUN_TRACE_FILE " is full: it holds the first %zu spans of each node and "
                "nothing later",
                run_trace->file.directory, run_trace->room);
    run_trace->warned = all > 0;
}

/* ---- handing over ---- */

static offer_t make_offer(const run_trace_t *run_trace) {
    offer_t offer = {.origin = run_trace->writes ? run_trace->origin : 0};
    const sgp_trace_span_t *spans;
    sgp_trace_flush(run_trace->trace, SGP_TRACE_COMPUTING);
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) {
        sgp_trace_context_t context = (sgp_trace_context_t)c;
        offer.first[c] = run_trace->taken[c];
        offer.count[c] = sgp_trace_read(run_trace->trace, context, run_trace->taken[c], &spans);
        offer.dropped[c] = sgp_trace_dropped(run_trace->trace, context);
    }
    return offer;
}

static uint64_t offered(const offer_t *offer) {
    uint64_t count = 0;
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) count += offer->count[c];
    return count;
}

/* Span i of this node's offer, one track after the other. None of them is counted as taken yet. */
static sgp_trace_span_t offered_span(const run_trace_t *run_trace, const offer_t *offer,
                                     uint64_t i) {
    const sgp_trace_span_t *spans;
    int c = 0;
    for (; i >= offer->count[c]; c++) i -= offer->count[c];
    sgp_trace_read(run_trace->trace, (sgp_trace_context_t)c, run_trace->taken[c], &spans);
    return spans[i];
}

static void take(run_trace_t *run_trace, const offer_t *offer) {
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) run_trace->taken[c] += offer->count[c];
}

/* Writes spans [done, done + part) of a process's offer, as far as there are so many. */
static void write_part(run_trace_t *run_trace, int process, const offer_t *offer, uint64_t done,
                       uint64_t part, const sgp_trace_span_t *spans) {
    uint64_t count = offered(offer);
    for (uint64_t i = done; i < count && i < done + part; i++)
        write_span(run_trace, process, i >= offer->count[0], &spans[i - done]);
}

/* One part of all nodes' spans after the other. all: (size, GATHER_SPANS), mine: (GATHER_SPANS). */
static sgp_status_t hand_over(run_trace_t *run_trace, sgp_group_t *group, const offer_t *offers,
                              sgp_trace_span_t *mine, sgp_trace_span_t *all) {
    int size = sgp_group_capacity(group);
    const offer_t *own = &offers[sgp_group_rank(group)];
    uint64_t most = 0;
    for (int process = 0; process < size; process++)
        if (offered(&offers[process]) > most) most = offered(&offers[process]);
    for (uint64_t done = 0, part; done < most; done += part) {
        part = most - done < GATHER_SPANS ? most - done : GATHER_SPANS;
        for (uint64_t i = 0; i < part; i++)
            mine[i] = done + i < offered(own) ? offered_span(run_trace, own, done + i)
                                              : (sgp_trace_span_t){0};
        sgp_status_t status = sgp_group_gather(group, mine, part * sizeof *mine, all);
        if (status) return status;
        for (int process = 0; process < size && run_trace->writes; process++)
            write_part(run_trace, process, &offers[process], done, part,
                       all + (uint64_t)process * part);
    }
    return SGP_OK;
}

/* A node whose file cannot be opened still takes part in the gathers, so that no node waits for
 * it. */
static sgp_status_t gather(run_trace_t *run_trace, sgp_group_t *group, offer_t *offers,
                           sgp_trace_span_t *spans) {
    int size = sgp_group_capacity(group);
    offer_t mine = make_offer(run_trace);
    sgp_status_t status = sgp_group_gather(group, &mine, sizeof mine, offers);
    if (status) return status;
    for (int process = 0; process < size; process++)
        if (offers[process].origin) run_trace->origin = offers[process].origin;
    sgp_status_t opened = run_trace->writes ? trace_file_open(&run_trace->file) : SGP_OK;
    status = agreement_share(group, opened);
    if (status) goto close;
    for (int process = 0; process < size && run_trace->writes; process++)
        write_names(run_trace, process, &offers[process]);
    status = hand_over(run_trace, group, offers, spans, spans + GATHER_SPANS);
    if (!status) take(run_trace, &mine);
    if (!status && run_trace->writes) report_dropped(run_trace, offers, size);
close:
    if (!run_trace->writes || opened) return status;
    sgp_status_t closed = trace_file_close(&run_trace->file);
    return status ? status : closed;
}

sgp_status_t run_trace_gather(run_trace_t *run_trace, sgp_group_t *group) {
    size_t size = (size_t)sgp_group_capacity(group);
    offer_t *offers = malloc(size * sizeof *offers);
    sgp_trace_span_t *spans = malloc((size + 1) * GATHER_SPANS * sizeof *spans);
    sgp_status_t status = SGP_OK;
    if (!offers || !spans)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the trace of %zu nodes", size);
    status = agreement_share(group, status);
    if (!status) status = gather(run_trace, group, offers, spans);
    free(offers);
    free(spans);
    return agreement_share(group, status);
}

void run_trace_write_own(run_trace_t *run_trace) {
    if (!run_trace->writes || trace_file_open(&run_trace->file)) return;
    offer_t offer = make_offer(run_trace);
    write_names(run_trace, 0, &offer);
    for (uint64_t i = 0; i < offered(&offer); i++) {
        sgp_trace_span_t span = offered_span(run_trace, &offer, i);
        write_part(run_trace, 0, &offer, i, 1, &span);
    }
    take(run_trace, &offer);
    report_dropped(run_trace, &offer, 1);
    trace_file_close(&run_trace->file);
}
