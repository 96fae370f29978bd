/* SPDX-License-Identifier: Apache-2.0 */
/* Notices: short messages from a node to all others outside collective calls, such as "I stop after
 * step 40". The notices of one occasion have one number, and each node sends at most one of a
 * number.
 *
 * A notice waits in the inbox until it is looked for. To look while the node waits for something
 * else, set a watch on the group's inbox (transport/inbox.h). Not thread-safe: the caller has the
 * use of the group's transport (group/lease.h). */
#ifndef SGP_GROUP_NOTICE_H
#define SGP_GROUP_NOTICE_H

#include "group/group_internal.h"

#define SGP_NOTICE_BYTES 64

/* A notice being sent. Set number and bytes, and zero the rest, before the first
 * sgp_notice_tell. */
typedef struct sgp_notice {
    uint64_t number;
    unsigned char bytes[SGP_NOTICE_BYTES];
    int told; /* ranks below have it, or are gone */
} sgp_notice_t;

/* Sends to the nodes that do not have it yet, but those that are gone. Never blocks. false: no room
 * now; call again. */
bool sgp_notice_tell(sgp_group_t *group, sgp_notice_t *notice);

/* The notice of that number from rank src. false: it has not arrived. */
bool sgp_notice_find(sgp_group_t *group, uint64_t number, int src,
                     unsigned char bytes[SGP_NOTICE_BYTES]);

/* Releases the notices of that number that have arrived; the occasion is over. */
void sgp_notice_forget(sgp_group_t *group, uint64_t number);

#endif
