/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/loopback/virtual_clock.h"

#include "base/random.h"
#include "transport/loopback/hearing.h"

static bool is_stalled(const rank_t *rank) {
    const sgp_loopback_t *hub = rank->hub;
    return sgp_faults_runs_at(&hub->faults, rank->transport.rank, hub->clock) > hub->clock;
}

/* It is to wake, or would be if its rank did not stand still. */
static bool is_due(const rank_t *rank, const sgp_context_t *context) {
    bool arrived = context->state == SGP_CONTEXT_WAITS && rank->first;
    return arrived || context->poked || context->deadline <= rank->hub->clock;
}

/* When a sleeping context wakes, if nothing happens before. */
static uint64_t wakes_at(const rank_t *rank, const sgp_context_t *context) {
    bool at_end = is_stalled(rank) && is_due(rank, context);
    return sgp_faults_runs_at(&rank->hub->faults, rank->transport.rank,
                              at_end ? rank->hub->clock : context->deadline);
}

/* Now: it was poked, or a chunk has arrived. With one context at a time others than the one that was woken can be due. */
static bool is_due_now(const rank_t *rank, const sgp_context_t *context) {
    bool arrived = context->state == SGP_CONTEXT_WAITS && rank->first;
    return (arrived || context->poked) && !is_stalled(rank);
}

/* The next event of sleeping contexts: whether one is due now, and the earliest time at which one wakes. false: a context
 * works, or none sleeps. */
static bool find_next(const sgp_loopback_t *hub, bool *due, uint64_t *next) {
    bool sleeping = false;
    for (int r = 0; r < hub->options.seats; r++) {
        const rank_t *rank = &hub->ranks[r];
        if (rank->state != RANK_WORKS) continue;
        for (int c = 0; c < SGP_CONTEXTS; c++) {
            const sgp_context_t *context = &rank->contexts.of[c];
            if (context->state == SGP_CONTEXT_WORKS) return false;
            if (!sgp_context_sleeps(context)) continue;
            sleeping = true;
            *due |= is_due_now(rank, context);
            uint64_t time = wakes_at(rank, context);
            if (time < *next) *next = time;
        }
    }
    return sleeping;
}

/* Wakes one context of a rank at a time, the agent first, so that the result does not depend on the order of threads: the
 * other one is due again when this one sleeps. */
static bool wake_due(rank_t *rank) {
    for (int c = SGP_CONTEXTS - 1; c >= 0; c--) {
        const sgp_context_t *context = &rank->contexts.of[c];
        if (!sgp_context_sleeps(context) || !is_due(rank, context) || is_stalled(rank)) continue;
        sgp_contexts_end_sleep(&rank->contexts, c);
        return true;
    }
    return false;
}

/* Wakes all ranks that are due, or one of them. false: none is. */
static bool wake_ranks(sgp_loopback_t *hub) {
    int size = hub->options.seats, first = 0;
    bool woken = false;
    if (hub->options.one_at_a_time) {
        sgp_random_t random;
        sgp_random_init(&random, hub->options.seed, hub->turns++);
        first = (int)sgp_random_below(&random, (uint64_t)size);
    }
    for (int i = 0; i < size && !(woken && hub->options.one_at_a_time); i++) {
        rank_t *rank = &hub->ranks[(first + i) % size];
        if (rank->state == RANK_WORKS) woken |= wake_due(rank);
    }
    return woken;
}

/* Moves the clock to the next event. Messages are delivered here only, so a rank's queue does not depend on the order of
 * threads. */
static void move_clock(sgp_loopback_t *hub, uint64_t next) {
    const delivery_t *first = sgp_arrivals_first(&hub->arrivals);
    if (first && first->time < next) next = first->time;
    if (next > hub->clock) hub->clock = next;
    while ((first = sgp_arrivals_first(&hub->arrivals)) && first->time <= hub->clock &&
           first->time != SGP_NEVER) {
        delivery_t *delivery = sgp_arrivals_take(&hub->arrivals);
        sgp_hub_queue_put(&hub->ranks[delivery->dst], delivery);
    }
}

/* Ends the ranks whose time has come. */
static void kill_due(sgp_loopback_t *hub) {
    for (int rank; (rank = sgp_faults_take_kill(&hub->faults, hub->clock)) >= 0;)
        sgp_hub_end_rank(&hub->ranks[rank], RANK_LOST, true);
}

/* When a rank dies next, or falls silent, or is heard again. */
static uint64_t next_fault(const sgp_loopback_t *hub) {
    uint64_t kill = sgp_faults_next_kill(&hub->faults), silence = sgp_hearing_next(hub);
    return kill < silence ? kill : silence;
}

void sgp_virtual_clock_advance(sgp_loopback_t *hub) {
    for (bool woken = false; !woken;) {
        uint64_t next = next_fault(hub);
        bool due = false;
        if (!find_next(hub, &due, &next)) return;
        if (!due) {
            move_clock(hub, next);
            kill_due(hub);
            sgp_hearing_look(hub);
        }
        woken = wake_ranks(hub);
    }
}
