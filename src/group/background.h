/* SPDX-License-Identifier: Apache-2.0 */
/* Agree (agree.h) outside collective calls: its messages travel as notices, while the nodes go on and wait for other
 * things. The caller moves it on in each of its looks at the inbox (transport/inbox.h, set_watch), until a call has its
 * result, and after that as well, since a late node may ask for it. Called by src/run/halt.c.
 *
 * In a group that is not elastic no node is ever lost to it: the others' waits fail instead. Not thread-safe: the caller has
 * the use of the group's transport (group/lease.h). */
#ifndef SGP_GROUP_BACKGROUND_H
#define SGP_GROUP_BACKGROUND_H

#include "group/agree.h"
#include "group/group_internal.h"

/* Another node has begun the call after this node's last one. The owner calls sgp_background_begin now, if its last call is
 * over, because the nodes that come to a result may be gone soon; else once that is over. */
typedef void (*sgp_background_asked_fn)(void *owner);

/* Embedded; fields are private. */
typedef struct sgp_background {
    sgp_group_t *group; /* borrowed; NULL: nothing to finish */
    sgp_background_asked_fn ask;
    void *owner;
    sgp_agree_t *agree;
    uint32_t channel;
    uint32_t changes;    /* of fates, that agree knows */
    uint64_t begun;      /* calls of this node */
    uint64_t asked;      /* the latest call that another node has begun */
    uint64_t *sent;      /* (size) messages to each rank, in one block with */
    uint64_t *taken;     /* (size) those from each */
    unsigned char *live; /* scratch for a set of seats */
    size_t payload_bytes;
    bool *
        members; /* (size) that take part; those of a seat that was opened anew do once they are admitted */
    uint32_t *incarnations; /* (size) of the members */
    uint32_t events;        /* of fates, that were looked at */
    bool unsent;            /* there was no room for what is due */
} sgp_background_t;

/* All ranks call it, in the same order as the creation of mixers. SGP_ERR_NO_MEMORY; SGP_ERR_INVALID: a message would not
 * fit a chunk; logged. fini accepts zeros. */
sgp_status_t sgp_background_init(sgp_background_t *background, sgp_group_t *group,
                                 size_t payload_bytes, sgp_background_asked_fn asked, void *owner);
void sgp_background_fini(sgp_background_t *background);

/* Of a newcomer, at once after init: the others have made `calls` calls, and these members (size) take part. SGP_ERR_NO_MEMORY,
 * logged. */
sgp_status_t sgp_background_enter(sgp_background_t *background, uint64_t calls,
                                  const bool *members);

/* From the next call on that rank takes part, on all nodes. */
void sgp_background_admit(sgp_background_t *background, int rank);

/* Calls that this node has begun. */
uint64_t sgp_background_count(const sgp_background_t *background);

/* Whether a move may have something to do without a new notice: a fate has changed, or something was not sent. */
bool sgp_background_is_due(const sgp_background_t *background);

/* Takes messages and losses in, and sends what is due. Never blocks. */
void sgp_background_move(sgp_background_t *background);

/* Whether another node has begun the call after this node's last one. */
bool sgp_background_is_asked(const sgp_background_t *background);

/* Begins the next call, once the last one has its result; payload: (payload_bytes). Then move. */
void sgp_background_begin(sgp_background_t *background, const void *payload, size_t bytes);

/* Of the call that was begun last. false: there is none yet. */
bool sgp_background_result(const sgp_background_t *background, sgp_agree_result_t *result);

/* Before this node leaves: in an elastic group tells the result to nodes that may not know it, as far as there is room. */
void sgp_background_farewell(sgp_background_t *background);

#endif
