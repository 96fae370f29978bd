/* SPDX-License-Identifier: Apache-2.0 */
/* The group as the mixing and the program's loopback runs see it. */
#ifndef SGP_GROUP_GROUP_INTERNAL_H
#define SGP_GROUP_GROUP_INTERNAL_H

#include "transport/inbox.h"
#include "net/address.h"
#include "wire/handshake.h"

#include "base/call.h"
#include "base/logging.h"

#include <sgp/group.h>

/* A group over a transport that is connected already. Takes the transport on success:
 * sgp_group_leave destroys it. timeout_ms: 0 for the default. SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_group_create(sgp_transport_t *transport, int timeout_ms, sgp_group_t **group);

/* How a group was joined, for those that are split from it. */
typedef struct sgp_group_origin {
    bool joined;
    bool shm;                       /* all share memory */
    bool tcp;                       /* none shall */
    char *rendezvous;               /* owned; NULL: in /tmp */
    char *interface;                /* owned; or NULL */
    char *ports;                    /* owned; or NULL */
    char *losses;                   /* owned; sgp_group_tell_losses, or NULL */
    char address[SGP_ADDRESS_TEXT]; /* this process's own; "": it has none */
    bool keyed, insecure;
    sgp_key_t key;
    int join_timeout_ms, timeout_ms, peer_timeout_ms;
} sgp_group_origin_t;

sgp_group_origin_t *sgp_group_origin(sgp_group_t *group);

/* For a launcher that tells the cause from what follows it: at the first loss the 32-bit word of this process (word
 * P of process P) in that file becomes the number of the process that is lost, plus 1. file: copied; NULL: nobody asks.
 * After the ranks have their names. */
void sgp_group_tell_losses(sgp_group_t *group, const char *file);

/* Takes a sink (malloc) for the lines of the group's calls; the group frees it. */
void sgp_group_set_sink(sgp_group_t *group, sgp_log_sink_t *sink);

/* For groups that are split off and used by the same caller: one call at a time in both. The whole outlives the part. */
void sgp_group_share_call(sgp_group_t *part, sgp_group_t *whole);

/* Runs a public function's body as the group's call, with the group's log (base/call.h). */
sgp_status_t sgp_group_run(sgp_group_t *group, const char *name, sgp_call_body_fn body,
                           const void *argument, size_t size);

/* Ends a call that was left in the middle. */
void sgp_group_cancel(sgp_group_t *group);

sgp_transport_t *sgp_group_transport(sgp_group_t *group);
sgp_inbox_t *sgp_group_inbox(sgp_group_t *group);

/* A number for a mixer's messages: the same on every node as long as all create their mixers in the
 * same order. */
uint32_t sgp_group_new_channel(sgp_group_t *group);

/* Nanoseconds of a collective call. */
uint64_t sgp_group_timeout(const sgp_group_t *group);

/* An agent (transport/transport.h) that has the use of the transport between the steps of a mixer.
 * Whoever else wants to send or receive takes it from the agent and gives it back. */
typedef struct sgp_lease {
    sgp_status_t (*take)(void *owner, bool *taken); /* *taken: false if nobody had it */
    void (*give)(void *owner);
    void (*serve)(void *owner); /* does what the agent would do now; never blocks; may be NULL */
    void *owner;
} sgp_lease_t;

/* lease: copied; NULL: none any more. */
void sgp_group_set_lease(sgp_group_t *group, const sgp_lease_t *lease);

bool sgp_group_has_lease(const sgp_group_t *group);

/* For whoever is not `owner`. *taken: to be given back. The errors that the agent met. */
sgp_status_t sgp_group_take(sgp_group_t *group, const void *owner, bool *taken);
void sgp_group_give(sgp_group_t *group);

#endif
