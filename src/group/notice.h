/* SPDX-License-Identifier: Apache-2.0 */
/* Notices: short messages from a node to all others that nobody waits for in a collective call, such
 * as "I stop after step 40". A notice has a number, the same for what the nodes tell each other on
 * one occasion, and each node sends at most one with a number.
 *
 * A notice is seen by whoever looks for it. To look while the node waits for something else, set a
 * watch on the group's inbox (transport/inbox.h). Calls belong to whoever has the use of the group's
 * transport. */
#ifndef SGP_GROUP_NOTICE_H
#define SGP_GROUP_NOTICE_H

#include "group/group_internal.h"

#define SGP_NOTICE_BYTES 64

/* On its way out. Zero but for number and bytes before the first call of tell. */
typedef struct sgp_notice {
    uint64_t number;
    unsigned char bytes[SGP_NOTICE_BYTES];
    int told; /* ranks below it have it, or are gone */
} sgp_notice_t;

/* Sends to those who do not have it yet. Never blocks. false: there is no room now; call again. Nodes
 * that are gone are left out. */
bool sgp_notice_tell(sgp_group_t *group, sgp_notice_t *notice);

/* The notice of that number from src. false: it has not arrived. */
bool sgp_notice_find(sgp_group_t *group, uint64_t number, int src,
                     unsigned char bytes[SGP_NOTICE_BYTES]);

/* Frees what has arrived with that number; the occasion is over. */
void sgp_notice_forget(sgp_group_t *group, uint64_t number);

#endif
