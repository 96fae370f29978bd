/* SPDX-License-Identifier: Apache-2.0 */
/* The agent (transport.h) of a transport whose contexts are threads in real time: a thread, the lock that both share, and
 * pause and signal. Embedded by shm and mpi; never sends or receives. */
#ifndef SGP_TRANSPORT_AGENT_H
#define SGP_TRANSPORT_AGENT_H

#include "transport/contexts.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Embedded; fields are private. */
typedef struct sgp_agent {
    pthread_mutex_t lock; /* the transport's lock, between the two contexts */
    pthread_mutex_t gate; /* of the fields below */
    pthread_cond_t changed;
    sgp_contexts_t contexts;
    pthread_t thread; /* while the agent has not ended */
    int rank;
} sgp_agent_t;

/* rank: of its log lines. */
void sgp_agent_init(sgp_agent_t *agent, int rank);
void sgp_agent_fini(sgp_agent_t *agent);

/* As the transport's calls of the same names. */
sgp_status_t sgp_agent_start(sgp_agent_t *agent, void (*body)(void *context), void *context);
void sgp_agent_join(sgp_agent_t *agent);
void sgp_agent_pause(sgp_agent_t *agent, uint64_t deadline);

/* Wakes the other context from sgp_agent_pause. true: the caller is the first context, so the transport must also wake the
 * agent from its own wait. */
bool sgp_agent_signal(sgp_agent_t *agent);

#endif
