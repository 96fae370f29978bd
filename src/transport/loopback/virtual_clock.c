/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/loopback/virtual_clock.h"

/* The next event of sleeping contexts: whether one was poked, and the earliest deadline. false: a context works, or none
 * sleeps. */
static bool find_next(const sgp_loopback_t *hub, bool *poked, uint64_t *next) {
    bool sleeping = false;
    for (int r = 0; r < hub->options.size; r++) {
        const rank_t *rank = &hub->ranks[r];
        if (rank->state != RANK_WORKS) continue;
        for (int c = 0; c < SGP_CONTEXTS; c++) {
            const sgp_context_t *context = &rank->contexts.of[c];
            if (context->state == SGP_CONTEXT_WORKS) return false;
            if (!sgp_context_sleeps(context)) continue;
            sleeping = true;
            *poked |= context->poked;
            if (context->deadline < *next) *next = context->deadline;
        }
    }
    return sleeping;
}

/* Wakes one context of a rank at a time, the agent first, so that the result does not depend on the order of threads: the
 * other one is due again when this one sleeps. */
static bool wake_due(rank_t *rank) {
    for (int c = SGP_CONTEXTS - 1; c >= 0; c--) {
        const sgp_context_t *context = &rank->contexts.of[c];
        bool arrived = context->state == SGP_CONTEXT_WAITS && rank->first;
        if (!sgp_context_sleeps(context) ||
            !(arrived || context->poked || context->deadline <= rank->hub->clock))
            continue;
        sgp_contexts_end_sleep(&rank->contexts, c);
        return true;
    }
    return false;
}

/* Moves the clock to the next event. Messages are delivered here only, so a rank's queue does not depend on the order of
 * threads. */
static void move_clock(sgp_loopback_t *hub, uint64_t next) {
    const delivery_t *first = sgp_arrivals_first(&hub->arrivals);
    if (first && first->time < next) next = first->time;
    if (next > hub->clock) hub->clock = next;
    while ((first = sgp_arrivals_first(&hub->arrivals)) && first->time <= hub->clock) {
        delivery_t *delivery = sgp_arrivals_take(&hub->arrivals);
        sgp_hub_queue_put(&hub->ranks[delivery->dst], delivery);
    }
}

void sgp_virtual_clock_advance(sgp_loopback_t *hub) {
    for (bool woken = false; !woken;) {
        uint64_t next = UINT64_MAX;
        bool poked = false;
        if (!find_next(hub, &poked, &next)) return;
        if (!poked) move_clock(hub, next);
        for (int r = 0; r < hub->options.size; r++)
            if (hub->ranks[r].state == RANK_WORKS) woken |= wake_due(&hub->ranks[r]);
    }
}
