/* SPDX-License-Identifier: Apache-2.0 */
/* Short messages of bytes from rank to rank, of one kind, outside of collective calls: each is taken once, those of a sender
 * in the order in which it has sent them. Called by membership*.c and status_gossip.c. Not thread-safe: the caller has the use of the group's
 * transport. Messages have the channel 0 and, as their step, a number of their own for each pair of ranks. */
#ifndef SGP_GROUP_POST_H
#define SGP_GROUP_POST_H

#include "group/group_internal.h"

/* Embedded; fields are private. */
typedef struct sgp_post {
    sgp_group_t *group; /* borrowed; NULL: nothing to finish */
    sgp_kind_t kind;
    uint64_t *next_in, *next_out; /* (size) number of the next message from, and to, a rank */
    unsigned char *message;       /* (room) the one taken last */
    size_t room;
    uint64_t refused;
} sgp_post_t;

/* For messages of at most `room` bytes; promises the transport the room of some. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_post_init(sgp_post_t *post, sgp_group_t *group, sgp_kind_t kind, size_t room);
void sgp_post_fini(sgp_post_t *post); /* zeros are fine */

/* Never blocks. SGP_ERR_AGAIN: there is no room now. A message to a rank that is gone is dropped, with SGP_OK. */
sgp_status_t sgp_post_send(sgp_post_t *post, int dst, const unsigned char *bytes /* (count) */,
                           size_t count);

/* The next message of those that the inbox has taken in, from any rank from *src on; *src: its sender. bytes: (*count) the
 * post's, until its next call. false: there is none. */
bool sgp_post_take(sgp_post_t *post, int *src, const unsigned char **bytes, size_t *count);

/* Messages to a rank so far, and those from it that were taken. */
static inline uint64_t sgp_post_sent(const sgp_post_t *post, int rank) {
    return post->next_out[rank];
}
static inline uint64_t sgp_post_taken(const sgp_post_t *post, int rank) {
    return post->next_in[rank];
}

/* The rank is another process from here on: messages are counted anew. */
void sgp_post_restart(sgp_post_t *post, int rank);

/* Counts a message that makes no sense, and logs the first, the second, the fourth, ... of them. */
void sgp_post_refuse(sgp_post_t *post, int src, const char *reason);

#endif
