/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/loopback/turns.h"

#include "base/clock.h"
#include "base/constants.h"
#include "transport/loopback/virtual_clock.h"

#include <stddef.h>
#include <time.h>

static rank_t *rank_of_contexts(const sgp_contexts_t *contexts) {
    return (rank_t *)((char *)contexts - offsetof(rank_t, contexts));
}

static int self(const sgp_contexts_t *contexts) {
    bool is_agent = contexts->of[SGP_CONTEXT_AGENT].state != SGP_CONTEXT_ENDED &&
                    pthread_equal(pthread_self(), rank_of_contexts(contexts)->agent);
    return is_agent ? SGP_CONTEXT_AGENT : SGP_CONTEXT_FIRST;
}

/* In virtual time a poke alone wakes nobody: the clock ends the sleep. The thread gets its turn when the lock is free: it would
 * wait for it at once. */
static void wake_virtual(rank_t *rank, int which) {
    sgp_loopback_t *hub = rank->hub;
    if (rank->state == RANK_WORKS && sgp_context_sleeps(&rank->contexts.of[which])) return;
    if (hub->next_turn) sem_post(hub->next_turn);
    hub->next_turn = &rank->turn[which];
}

static void wake(sgp_contexts_t *contexts, int which) {
    rank_t *rank = rank_of_contexts(contexts);
    if (rank->hub->options.virtual_time) wake_virtual(rank, which);
    else pthread_cond_signal(&rank->changed[which]);
}

void sgp_turns_lock(sgp_loopback_t *hub) {
    pthread_mutex_lock(&hub->lock);
}

void sgp_turns_unlock(sgp_loopback_t *hub) {
    sem_t *turn = hub->next_turn;
    hub->next_turn = NULL;
    pthread_mutex_unlock(&hub->lock);
    if (turn) sem_post(turn);
}

static void sleep_virtual(rank_t *rank, int which) {
    sgp_virtual_clock_advance(rank->hub);
    const sgp_context_t *context = &rank->contexts.of[which];
    /* Time does not wake a rank that is gone; its agent may still have to end. */
    while (sgp_context_sleeps(context) && !(rank->state != RANK_WORKS && context->poked)) {
        sgp_turns_unlock(rank->hub);
        while (sem_wait(&rank->turn[which]) != 0) {
        }
        sgp_turns_lock(rank->hub);
    }
}

static void sleep_real(rank_t *rank, int which) {
    const sgp_context_t *context = &rank->contexts.of[which];
    struct timespec until = {.tv_sec = (time_t)(context->deadline / SGP_SECOND),
                             .tv_nsec = (long)(context->deadline % SGP_SECOND)};
    while (!(context->state == SGP_CONTEXT_WAITS && rank->first) && !context->poked &&
           sgp_clock_now() < context->deadline)
        pthread_cond_timedwait(&rank->changed[which], &rank->hub->lock, &until);
}

static void sleep_here(sgp_contexts_t *contexts, int which) {
    rank_t *rank = rank_of_contexts(contexts);
    if (rank->hub->options.virtual_time) sleep_virtual(rank, which);
    else sleep_real(rank, which);
}

static const sgp_contexts_ops_t ops = {.self = self, .sleep = sleep_here, .wake = wake};

void sgp_turns_begin(rank_t *rank) {
    sgp_contexts_init(&rank->contexts, &ops);
}

void sgp_turns_init(rank_t *rank) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    for (int c = 0; c < SGP_CONTEXTS; c++) {
        pthread_cond_init(&rank->changed[c], &attributes);
        sem_init(&rank->turn[c], 0, 0);
    }
    pthread_condattr_destroy(&attributes);
}

void sgp_turns_fini(rank_t *rank) {
    for (int c = 0; c < SGP_CONTEXTS; c++) {
        pthread_cond_destroy(&rank->changed[c]);
        sem_destroy(&rank->turn[c]);
    }
}
