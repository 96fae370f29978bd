/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/loopback/arrivals.h"

#include <stdlib.h>

/* Ties are broken by sender and message, never by the order of threads. */
static bool earlier(const delivery_t *a, const delivery_t *b) {
    if (a->time != b->time) return a->time < b->time;
    if (a->src != b->src) return a->src < b->src;
    if (a->id != b->id) return a->id < b->id;
    if (a->offset != b->offset) return a->offset < b->offset;
    return a->dst < b->dst;
}

bool sgp_arrivals_reserve(arrivals_t *arrivals, size_t room) {
    if (room <= arrivals->room) return true;
    delivery_t **heap = realloc(arrivals->heap, 2 * room * sizeof *heap);
    if (!heap) return false;
    arrivals->heap = heap;
    arrivals->room = 2 * room;
    return true;
}

void sgp_arrivals_put(arrivals_t *arrivals, delivery_t *delivery) {
    delivery_t **heap = arrivals->heap;
    size_t at = arrivals->count++;
    while (at > 0 && earlier(delivery, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = delivery;
}

delivery_t *sgp_arrivals_first(const arrivals_t *arrivals) {
    return arrivals->count ? arrivals->heap[0] : NULL;
}

delivery_t *sgp_arrivals_take(arrivals_t *arrivals) {
    if (!arrivals->count) return NULL;
    delivery_t **heap = arrivals->heap, *top = heap[0], *last = heap[--arrivals->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= arrivals->count) break;
        if (child + 1 < arrivals->count && earlier(heap[child + 1], heap[child])) child++;
        if (!earlier(heap[child], last)) break;
        heap[at] = heap[child];
        at = child;
    }
    if (arrivals->count) heap[at] = last;
    return top;
}

void sgp_arrivals_remove(arrivals_t *arrivals,
                         bool (*wanted)(void *context, const delivery_t *delivery),
                         void (*dropped)(void *context, delivery_t *delivery), void *context) {
    size_t count = arrivals->count;
    arrivals->count = 0;
    for (size_t i = 0; i < count; i++) { /* put writes no place beyond i */
        delivery_t *delivery = arrivals->heap[i];
        if (wanted(context, delivery)) dropped(context, delivery);
        else sgp_arrivals_put(arrivals, delivery);
    }
}

bool sgp_arrivals_any(const arrivals_t *arrivals, int src, int dst) {
    for (size_t i = 0; i < arrivals->count; i++) {
        const delivery_t *at = arrivals->heap[i];
        if (at->src == src && at->dst == dst && at->time != UINT64_MAX) return true;
    }
    return false;
}

void sgp_arrivals_fini(arrivals_t *arrivals) {
    free(arrivals->heap);
}
