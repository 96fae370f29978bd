/* SPDX-License-Identifier: Apache-2.0 */
#include "run/live_merge.h"

#include "base/logging.h"

#include <stdlib.h>
#include <string.h>

static sgp_status_t no_memory(int size) {
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the lines of %d nodes", size);
}

sgp_status_t live_merge_init(live_merge_t *merge, int size, const char *directory,
                             const char *run_id) {
    *merge = (live_merge_t){.size = size, .directory = directory, .run_id = run_id};
    merge->there = calloc((size_t)size, sizeof *merge->there);
    merge->own = calloc((size_t)size, sizeof *merge->own);
    if (merge->there && merge->own) return SGP_OK;
    live_merge_fini(merge);
    return no_memory(size);
}

void live_merge_restart(live_merge_t *merge) {
    for (int i = 0; i < merge->size && merge->own; i++) {
        if (merge->own[i]) own_lines_release(merge->own[i]);
        free(merge->own[i]);
        merge->own[i] = NULL;
    }
    merge->epoch = 0;
}

void live_merge_fini(live_merge_t *merge) {
    live_merge_restart(merge);
    free(merge->there);
    free(merge->own);
    *merge = (live_merge_t){0};
}

static void begin_epoch(live_merge_t *merge, int epoch, const bool *there) {
    live_merge_restart(merge);
    merge->epoch = epoch;
    merge->taken = 0;
    merge->frozen = false;
    memcpy(merge->there, there, (size_t)merge->size * sizeof *there);
}

/* A lost process has no more lines from here on. */
static void follow(live_merge_t *merge, const bool *there) {
    for (int i = 0; i < merge->size; i++) {
        if (there[i] && !merge->there[i]) merge->frozen = true;
        merge->there[i] = merge->there[i] && there[i];
    }
}

/* Lines that all have. */
static int complete(live_merge_t *merge, bool *good) {
    int count = METRICS_PER_EPOCH;
    size_t probe = 0;
    *good = true;
    for (int i = 0; i < merge->size && *good && count > merge->taken; i++) {
        if (!merge->there[i]) continue;
        if (!merge->own[i]) merge->own[i] = calloc(1, sizeof *merge->own[i]);
        own_lines_t *own = merge->own[i];
        *good = own && own_lines_look(own, merge->directory, i);
        if (!*good) return 0;
        bool ours = own->head.epoch == merge->epoch && own->head.process == i && !own->bad &&
                    strcmp(own->head.run_id, merge->run_id) == 0;
        if (!ours || own->count == 0 || (probe && own->probe != probe)) return 0;
        probe = own->probe;
        if ((int)own->count < count) count = (int)own->count;
    }
    return count;
}

/* probe: of the others; 0: of any size. */
static bool counts(const own_lines_t *own, int count, size_t probe) {
    return own && (int)own->count >= count && (probe == 0 || own->probe == probe);
}

/* probes: (size, probe) scratch. */
static void fill(own_lines_t *const *own, metrics_lines_t *lines, float *probes, size_t probe) {
    for (int line = lines->first; line < lines->count; line++) {
        int nodes = 0;
        for (int i = 0; i < lines->size; i++) {
            if (!lines->there[i]) continue;
            lines->records[i * lines->count + line] = own[i]->lines[line];
            memcpy(probes + (size_t)nodes++ * probe, own[i]->probes + (size_t)line * probe,
                   probe * sizeof *probes);
        }
        lines->distances[line] = probe_distance(probes, nodes, probe, probe);
    }
}

sgp_status_t live_merge_lines(own_lines_t *const *own, int size, const bool *there, int first,
                              int count, metrics_lines_t *lines) {
    metrics_lines_t made = {.size = size, .count = count, .first = first};
    size_t probe = 0;
    made.there = calloc((size_t)size, sizeof *made.there);
    made.records = calloc((size_t)size * (size_t)count + 1, sizeof *made.records);
    made.distances = calloc((size_t)count + 1, sizeof *made.distances);
    for (int i = 0; i < size && made.there; i++) {
        made.there[i] = there[i] && counts(own[i], count, probe);
        if (made.there[i]) probe = own[i]->probe;
    }
    float *probes = malloc((size_t)size * probe * sizeof *probes + 1);
    bool good = made.there && made.records && made.distances && probes;
    if (good) {
        fill(own, &made, probes, probe);
        *lines = made;
    } else metrics_release(&made);
    free(probes);
    return good ? SGP_OK : no_memory(size);
}

sgp_status_t live_merge_look(live_merge_t *merge, int epoch, const bool *there,
                             metrics_lines_t *lines) {
    bool good = true;
    *lines = (metrics_lines_t){0};
    if (epoch != merge->epoch) begin_epoch(merge, epoch, there);
    follow(merge, there);
    int count = merge->frozen ? 0 : complete(merge, &good);
    if (!good) return no_memory(merge->size);
    if (count <= merge->taken) return SGP_OK;
    return live_merge_lines(merge->own, merge->size, merge->there, merge->taken, count, lines);
}

void live_merge_taken(live_merge_t *merge, const metrics_lines_t *lines) {
    merge->taken = lines->count;
}
