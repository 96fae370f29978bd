/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/simulated/actor_contexts.h"

#include "base/logging.h"

#define FOREVER 1e6 /* seconds; a longer sleep has no deadline */

void sgp_actor_resume(const rank_t *rank) {
    sgp_log_set_rank(rank->transport.rank);
}

static rank_t *rank_of_contexts(const sgp_contexts_t *contexts) {
    return (rank_t *)((char *)contexts - offsetof(rank_t, contexts));
}

static int self(const sgp_contexts_t *contexts) {
    const rank_t *rank = rank_of_contexts(contexts);
    bool is_agent = rank->cluster->grid->self() == &rank->actors[SGP_CONTEXT_AGENT];
    return is_agent ? SGP_CONTEXT_AGENT : SGP_CONTEXT_FIRST;
}

/* Yields. */
static void wake(sgp_contexts_t *contexts, int which) {
    rank_t *rank = rank_of_contexts(contexts);
    actor_t *actor = &rank->actors[which];
    if (!sgp_context_sleeps(&contexts->of[which]) || actor->woken) return;
    actor->woken = true;
    rank->cluster->grid->release(actor->semaphore);
}

static void sleep_here(sgp_contexts_t *contexts, int which) {
    rank_t *rank = rank_of_contexts(contexts);
    actor_t *actor = &rank->actors[which];
    const sgp_simgrid_binding_t *grid = rank->cluster->grid;
    double seconds = (double)contexts->of[which].deadline * 1e-9 - grid->now();
    if (seconds <= 0) return;
    if (seconds > FOREVER) seconds = -1;
    actor->woken = false;
    /* A release at the very moment of the deadline remains to be taken. */
    if (!grid->acquire(actor->semaphore, seconds) && actor->woken)
        grid->acquire(actor->semaphore, -1);
    sgp_actor_resume(rank);
}

static const sgp_contexts_ops_t contexts_ops = {.self = self, .sleep = sleep_here, .wake = wake};

void sgp_actor_contexts_init(rank_t *rank) {
    sgp_contexts_init(&rank->contexts, &contexts_ops);
    for (int c = 0; c < SGP_CONTEXTS; c++)
        rank->actors[c] = (actor_t){.rank = rank, .semaphore = rank->cluster->grid->semaphore()};
}

void sgp_actor_contexts_fini(rank_t *rank) {
    for (int c = 0; c < SGP_CONTEXTS; c++) rank->cluster->grid->destroy(rank->actors[c].semaphore);
}

void sgp_actor_expect(rank_t *receiver, uint64_t arrives) {
    for (int c = 0; c < SGP_CONTEXTS; c++) {
        const sgp_context_t *context = &receiver->contexts.of[c];
        if (context->state == SGP_CONTEXT_WAITS && context->deadline > arrives)
            wake(&receiver->contexts, c);
    }
}
