/* SPDX-License-Identifier: Apache-2.0 */
/* The lease of a group's transport: an agent (transport/transport.h) that uses it between the steps
 * of a mixer. A caller that is not the owner takes the transport from the agent, sends and
 * receives, and gives it back. */
#ifndef SGP_GROUP_LEASE_H
#define SGP_GROUP_LEASE_H

#include <sgp/status.h>
#include <stdbool.h>

typedef struct sgp_lease {
    sgp_status_t (*take)(void *owner, bool *taken); /* *taken: false if the agent did not have it */
    void (*give)(void *owner);
    void (*serve)(void *owner); /* does the agent's work that is due; never blocks; may be NULL */
    void *owner;                /* NULL: there is no agent */
} sgp_lease_t;

/* For a caller `by`; the owner itself takes nothing. *taken: call sgp_lease_give later. The errors
 * that the agent met. */
sgp_status_t sgp_lease_take(const sgp_lease_t *lease, const void *by, bool *taken);
void sgp_lease_give(const sgp_lease_t *lease);

/* In a wait: does the agent's work, whose context the caller has. */
void sgp_lease_serve(const sgp_lease_t *lease);

#endif
