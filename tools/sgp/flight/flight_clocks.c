/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the events of several machines on one time axis. */
#include "flight/flight_view.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_MACHINES = 256 };

/* Between machines a and b: the offset of b less that of a is at least low[a][b], or a message of a arrives at b before it was
 * begun. */
typedef struct bounds {
    int machines;
    int64_t *low; /* (machines, machines) INT64_MIN: no message */
} bounds_t;

static int64_t *low_of(const bounds_t *bounds, int from, int to) {
    return &bounds->low[(size_t)from * (size_t)bounds->machines + (size_t)to];
}

static void find_machines(flight_files_t *files) {
    files->machines = 0;
    for (size_t i = 0; i < files->count; i++) {
        flight_source_t *source = &files->sources[i];
        const flight_clock_t *clock = &source->node.clocks[1];
        size_t same = 0;
        while (strcmp(files->sources[same].node.boot, source->node.boot) != 0) same++;
        source->machine = same < i ? files->sources[same].machine : files->machines++;
        source->offset = same < i ? files->sources[same].offset : clock->wall - clock->monotonic;
    }
}

/* ---- messages ---- */

typedef struct begun {
    uint64_t id;
    int64_t time;
} begun_t;

static int compare_ids(const void *a, const void *b) {
    uint64_t first = ((const begun_t *)a)->id, second = ((const begun_t *)b)->id;
    return (first > second) - (first < second);
}

/* The messages of a process in its first group, the whole one. Numbered for each sender, so the id names one. */
static begun_t *list_begun(const flight_source_t *source, size_t *count) {
    const flight_group_t *group = &source->node.groups[0];
    size_t room = group->event_count[SGP_FLIGHT_MESSAGES];
    begun_t *list = calloc(room + 1, sizeof *list);
    *count = 0;
    for (size_t i = 0; list && i < room; i++) {
        const flight_event_t *event = &group->events[SGP_FLIGHT_MESSAGES][i];
        if (event->kind == SGP_FLIGHT_BEGUN)
            list[(*count)++] = (begun_t){event->number, event->time};
    }
    if (list) qsort(list, *count, sizeof *list, compare_ids);
    return list;
}

static void compare_arrivals(const bounds_t *bounds, const flight_source_t *sender,
                             const begun_t *begun, size_t count, const flight_source_t *receiver) {
    const flight_group_t *group = &receiver->node.groups[0];
    int64_t *low = low_of(bounds, sender->machine, receiver->machine);
    for (size_t i = 0; i < group->event_count[SGP_FLIGHT_MESSAGES]; i++) {
        const flight_event_t *event = &group->events[SGP_FLIGHT_MESSAGES][i];
        bool arrives = event->kind == SGP_FLIGHT_ARRIVING || event->kind == SGP_FLIGHT_ARRIVED;
        if (!arrives || event->peer != sender->node.process) continue;
        begun_t key = {.id = event->number};
        const begun_t *found = bsearch(&key, begun, count, sizeof *begun, compare_ids);
        if (found && found->time - event->time > *low) *low = found->time - event->time;
    }
}

static bool find_bounds(const flight_files_t *files, const bounds_t *bounds) {
    for (size_t s = 0; s < files->count; s++) {
        size_t count;
        begun_t *begun = list_begun(&files->sources[s], &count);
        if (!begun) return false;
        for (size_t r = 0; r < files->count; r++)
            if (files->sources[r].machine != files->sources[s].machine)
                compare_arrivals(bounds, &files->sources[s], begun, count, &files->sources[r]);
        free(begun);
    }
    return true;
}

/* ---- offsets ---- */

/* Moves the offset of machine m as little as the messages from and to the machines before it allow. *doubt: between the bounds; -1:
 * one is missing. */
static int64_t place(const bounds_t *bounds, const int64_t *offsets, int m, int64_t offset,
                     int64_t *doubt) {
    int64_t least = INT64_MIN, most = INT64_MAX;
    for (int p = 0; p < m; p++) {
        int64_t to = *low_of(bounds, p, m), from = *low_of(bounds, m, p);
        if (to != INT64_MIN && offsets[p] + to > least) least = offsets[p] + to;
        if (from != INT64_MIN && offsets[p] - from < most) most = offsets[p] - from;
    }
    bool both = least != INT64_MIN && most != INT64_MAX;
    *doubt = both && most > least ? most - least : both ? 0 : -1;
    if (both && least > most) return least + (most - least) / 2; /* a clock was set meanwhile */
    if (offset < least) return least;
    return offset > most ? most : offset;
}

static void apply(flight_files_t *files, const bounds_t *bounds, int64_t *offsets) {
    for (size_t i = 0; i < files->count; i++)
        offsets[files->sources[i].machine] = files->sources[i].offset;
    files->doubt = 0;
    for (int m = 1; m < files->machines; m++) {
        int64_t doubt;
        offsets[m] = place(bounds, offsets, m, offsets[m], &doubt);
        if (doubt < 0 || files->doubt < 0) files->doubt = -1;
        else if (doubt > files->doubt) files->doubt = doubt;
    }
    for (size_t i = 0; i < files->count; i++)
        files->sources[i].offset = offsets[files->sources[i].machine];
}

bool flight_clocks_align(flight_files_t *files) {
    find_machines(files);
    files->doubt = files->machines > 1 ? -1 : 0;
    if (files->machines == 1 || files->machines > MOST_MACHINES) return true;
    size_t machines = (size_t)files->machines;
    bounds_t bounds = {.machines = files->machines,
                       .low = malloc(machines * machines * sizeof *bounds.low)};
    int64_t *offsets = calloc(machines, sizeof *offsets);
    bool done = bounds.low && offsets;
    for (size_t i = 0; done && i < machines * machines; i++) bounds.low[i] = INT64_MIN;
    done = done && find_bounds(files, &bounds);
    if (done) apply(files, &bounds, offsets);
    free(bounds.low);
    free(offsets);
    return done;
}
