/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trace.h"

#include "base/logging.h"
#include "base/memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct track {
    /* The context's own. */
    sgp_trace_span_t open; /* the last one, while it can grow */
    bool is_open;
    uint32_t step;
    uint64_t end;            /* of the last one */
    sgp_trace_span_t *spans; /* (capacity) written once, before count says so */
    /* The reader's as well. */
    atomic_size_t count;
    _Atomic uint64_t dropped;
} track_t;

struct sgp_trace {
    size_t capacity; /* of each track */
    track_t tracks[SGP_TRACE_CONTEXTS];
};

sgp_status_t sgp_trace_create(size_t spans, sgp_trace_t **trace) {
    sgp_trace_t *made = calloc(1, sizeof *made);
    if (!made) goto fail;
    made->capacity = spans;
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) {
        made->tracks[c].spans = sgp_memory_alloc(spans * sizeof(sgp_trace_span_t));
        if (!made->tracks[c].spans) goto fail;
    }
    *trace = made;
    return SGP_OK;
fail:
    sgp_trace_destroy(made);
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a trace of %zu spans", spans);
}

void sgp_trace_destroy(sgp_trace_t *trace) {
    if (!trace) return;
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) sgp_memory_free(trace->tracks[c].spans);
    free(trace);
}

static void close_span(const sgp_trace_t *trace, track_t *track) {
    track->is_open = false;
    if (track->open.end - track->open.start < SGP_TRACE_SHORTEST_NS) return;
    size_t count = atomic_load_explicit(&track->count, memory_order_relaxed);
    if (count == trace->capacity) {
        atomic_fetch_add_explicit(&track->dropped, 1, memory_order_relaxed);
        return;
    }
    track->spans[count] = track->open;
    atomic_store_explicit(&track->count, count + 1, memory_order_release);
}

void sgp_trace_add(sgp_trace_t *trace, sgp_trace_context_t context, sgp_trace_kind_t kind,
                   uint64_t start, uint64_t end) {
    track_t *track = &trace->tracks[context];
    sgp_trace_span_t *open = &track->open;
    if (start < track->end) start = track->end;
    if (end <= start) return;
    track->end = end;
    if (track->is_open && open->kind == (uint32_t)kind && open->step == track->step &&
        start < open->end + SGP_TRACE_TOUCH_NS) {
        open->end = end;
        return;
    }
    if (track->is_open) close_span(trace, track);
    *open =
        (sgp_trace_span_t){.start = start, .end = end, .step = track->step, .kind = (uint32_t)kind};
    track->is_open = true;
}

void sgp_trace_step(sgp_trace_t *trace, sgp_trace_context_t context, uint64_t step) {
    if (trace) trace->tracks[context].step = (uint32_t)step;
}

void sgp_trace_flush(sgp_trace_t *trace, sgp_trace_context_t context) {
    if (trace && trace->tracks[context].is_open) close_span(trace, &trace->tracks[context]);
}

size_t sgp_trace_read(const sgp_trace_t *trace, sgp_trace_context_t context, size_t first,
                      const sgp_trace_span_t **spans) {
    const track_t *track = &trace->tracks[context];
    size_t count = atomic_load_explicit(&track->count, memory_order_acquire);
    *spans = track->spans + first;
    return count - first;
}

uint64_t sgp_trace_dropped(const sgp_trace_t *trace, sgp_trace_context_t context) {
    return atomic_load_explicit(&trace->tracks[context].dropped, memory_order_relaxed);
}

const char *sgp_trace_kind_name(sgp_trace_kind_t kind) {
    static const char *const names[] = {
#define NAME(name, text) text,
        SGP_TRACE_KIND_MAP(NAME)
#undef NAME
    };
    return (unsigned)kind < SGP_TRACE_KINDS ? names[kind] : "unknown";
}
