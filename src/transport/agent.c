/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/agent.h"

#include "base/constants.h"
#include "base/logging.h"

#include <string.h>
#include <time.h>

void sgp_agent_init(sgp_agent_t *agent, int rank) {
    *agent = (sgp_agent_t){.rank = rank};
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
    pthread_mutex_lock(&agent->gate); /* until the thread's name is known to both */
    pthread_mutex_unlock(&agent->gate);
    sgp_log_set_rank(agent->rank);
    agent->body(agent->context);
    return NULL;
}

sgp_status_t sgp_agent_start(sgp_agent_t *agent, void (*body)(void *context), void *context) {
    agent->body = body;
    agent->context = context;
    pthread_mutex_lock(&agent->gate);
    int error = pthread_create(&agent->thread, NULL, agent_main, agent);
    agent->running = error == 0;
    pthread_mutex_unlock(&agent->gate);
    if (!error) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "a thread for messages cannot be started: %s",
                    strerror(error));
}

void sgp_agent_join(sgp_agent_t *agent) {
    pthread_join(agent->thread, NULL);
    agent->running = false;
}

static bool is_agent(const sgp_agent_t *agent) {
    return agent->running && pthread_equal(pthread_self(), agent->thread);
}

void sgp_agent_pause(sgp_agent_t *agent, uint64_t deadline) {
    struct timespec until = {.tv_sec = (time_t)(deadline / SGP_SECOND),
                             .tv_nsec = (long)(deadline % SGP_SECOND)};
    bool *signalled = &agent->signalled[is_agent(agent)];
    pthread_mutex_unlock(&agent->lock);
    pthread_mutex_lock(&agent->gate);
    int error = 0;
    while (!*signalled && !error)
        error = pthread_cond_timedwait(&agent->changed, &agent->gate, &until);
    *signalled = false;
    pthread_mutex_unlock(&agent->gate);
    pthread_mutex_lock(&agent->lock);
}

bool sgp_agent_signal(sgp_agent_t *agent) {
    bool first = !is_agent(agent);
    pthread_mutex_lock(&agent->gate);
    agent->signalled[first] = true;
    pthread_cond_broadcast(&agent->changed);
    pthread_mutex_unlock(&agent->gate);
    return first;
}
