/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/agent.h"

#include "base/constants.h"
#include "base/logging.h"
#include "base/thread.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

/* ---- how its contexts sleep; gate held ---- */

static sgp_agent_t *agent_of(const sgp_contexts_t *contexts) {
    return (sgp_agent_t *)((char *)contexts - offsetof(sgp_agent_t, contexts));
}

static int self(const sgp_contexts_t *contexts) {
    bool is_agent = contexts->of[SGP_CONTEXT_AGENT].state != SGP_CONTEXT_ENDED &&
                    pthread_equal(pthread_self(), agent_of(contexts)->thread);
    return is_agent ? SGP_CONTEXT_AGENT : SGP_CONTEXT_FIRST;
}

static void sleep_here(sgp_contexts_t *contexts, int which) {
    sgp_agent_t *agent = agent_of(contexts);
    const sgp_context_t *context = &contexts->of[which];
    struct timespec until = {.tv_sec = (time_t)(context->deadline / SGP_SECOND),
                             .tv_nsec = (long)(context->deadline % SGP_SECOND)};
    int error = 0;
    while (!context->poked && !error)
        error = pthread_cond_timedwait(&agent->changed, &agent->gate, &until);
}

static void wake(sgp_contexts_t *contexts, int which) {
    (void)which;
    pthread_cond_broadcast(&agent_of(contexts)->changed);
}

static const sgp_contexts_ops_t contexts_ops = {.self = self, .sleep = sleep_here, .wake = wake};

/* ---- the calls ---- */

void sgp_agent_init(sgp_agent_t *agent, int rank) {
    *agent = (sgp_agent_t){.rank = rank};
    sgp_contexts_init(&agent->contexts, &contexts_ops);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&agent->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&agent->lock, NULL);
    pthread_mutex_init(&agent->gate, NULL);
}

void sgp_agent_fini(sgp_agent_t *agent) {
    pthread_cond_destroy(&agent->changed);
    pthread_mutex_destroy(&agent->lock);
    pthread_mutex_destroy(&agent->gate);
}

static void *agent_main(void *argument) {
    sgp_agent_t *agent = argument;
    pthread_mutex_lock(&agent->gate); /* until agent->thread is set */
    pthread_mutex_unlock(&agent->gate);
    sgp_log_set_rank(agent->rank);
    agent->contexts.body(agent->contexts.body_context);
    pthread_mutex_lock(&agent->gate);
    sgp_contexts_end_agent(&agent->contexts);
    pthread_mutex_unlock(&agent->gate);
    return NULL;
}

sgp_status_t sgp_agent_start(sgp_agent_t *agent, void (*body)(void *context), void *context) {
    pthread_mutex_lock(&agent->gate);
    int error = sgp_thread_start(&agent->thread, agent_main, agent);
    if (!error) sgp_contexts_begin_agent(&agent->contexts, body, context);
    pthread_mutex_unlock(&agent->gate);
    if (!error) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "a thread for messages cannot be started: %s",
                    strerror(error));
}

void sgp_agent_join(sgp_agent_t *agent) {
    pthread_mutex_lock(&agent->gate);
    sgp_contexts_await_agent(&agent->contexts);
    sgp_contexts_take_poke(&agent->contexts); /* its end is no signal */
    pthread_mutex_unlock(&agent->gate);
    pthread_join(agent->thread, NULL);
}

void sgp_agent_pause(sgp_agent_t *agent, uint64_t deadline) {
    pthread_mutex_unlock(&agent->lock);
    pthread_mutex_lock(&agent->gate);
    sgp_contexts_pause(&agent->contexts, deadline);
    pthread_mutex_unlock(&agent->gate);
    pthread_mutex_lock(&agent->lock);
}

bool sgp_agent_signal(sgp_agent_t *agent) {
    pthread_mutex_lock(&agent->gate);
    bool first = sgp_contexts_signal(&agent->contexts) == SGP_CONTEXT_FIRST;
    pthread_mutex_unlock(&agent->gate);
    return first;
}
