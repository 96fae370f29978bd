/* SPDX-License-Identifier: Apache-2.0 */
/* A notice about a member of a group: it joined, left or died. Nodes pass notices on in VIEW
 * messages (group/view_message.h) and merge them into their views (group/view.h).
 *
 * A group has `capacity` places, its seats. One use of a seat is a member: a seat and an
 * incarnation, which counts the uses from 0. A notice names the step from which all nodes form the
 * graph with the newcomer, or without the member that is gone. Its card is the newcomer's endpoint
 * record, for those who connect to it.
 *
 *     at  bytes  field                            at  bytes  field
 *      0    1    kind                             24    8    candidate
 *      1    1    flags                            32    2    origin
 *      2    2    seat                             34    2    bytes of the card
 *      4    4    incarnation                      36    4    reserved: 0
 *      8    8    step                             40         the card
 *     16    8    last
 *
 * Pure functions over bytes: they log nothing, allocate nothing, and any thread may call them. The
 * protocol is in docs/membership.md, "The view and the plan" and "Wire". */
#ifndef SGP_GROUP_MEMBER_NOTICE_H
#define SGP_GROUP_MEMBER_NOTICE_H

#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_MEMBER_NOTICE_BYTES 40  /* in a message, without the card */
#define SGP_MEMBER_CARD_BYTES   256 /* at most; an endpoint record (group/join/endpoint.h) */

/* The step of a notice is a multiple of this, and not 0. */
#define SGP_MEMBER_STEP_UNIT 16

/* Steps in notices are below. No run gets there, and sums of two steps do not overflow. */
#define SGP_MEMBER_STEPS (UINT64_C(1) << 62)

typedef enum sgp_member_notice_kind {
    SGP_MEMBER_JOIN = 1,
    SGP_MEMBER_LEFT, /* in order */
    SGP_MEMBER_DEAD,
} sgp_member_notice_kind_t;

/* Of a DEAD: the member was seen to end, as opposed to having been silent for too long. */
#define SGP_MEMBER_CERTAIN 0x01u

typedef struct sgp_member_notice {
    sgp_member_notice_kind_t kind;
    unsigned flags; /* SGP_MEMBER_CERTAIN */
    int seat;
    uint32_t incarnation;
    uint64_t step; /* K: the member is in the plan from this step on (JOIN), or up to it */
    uint64_t last; /* LEFT, DEAD: the last step of which a push is known; 0: none is. JOIN: 0 */
    uint64_t candidate;        /* JOIN: random, not 0: whom the seat was given to. LEFT, DEAD: 0 */
    int origin;                /* seat of the member that made the notice */
    size_t card_bytes;         /* JOIN: 0: none. LEFT, DEAD: 0 */
    const unsigned char *card; /* (card_bytes) borrowed */
} sgp_member_notice_t;

/* Whether the fields go together, in a group of so many seats. NULL: they do; else the reason
 * (static). */
const char *sgp_member_notice_check(const sgp_member_notice_t *notice, int capacity);

/* Bytes of the notice in a message, with its card. */
static inline size_t sgp_member_notice_bytes(const sgp_member_notice_t *notice) {
    return SGP_MEMBER_NOTICE_BYTES + notice->card_bytes;
}

/* Writes sgp_member_notice_bytes of a notice that passes the check. */
void sgp_member_notice_encode(const sgp_member_notice_t *notice, unsigned char *bytes);

/* Reads and checks the notice at the start of `bytes`; its card lies there. Sets *notice only on
 * success. SGP_ERR_FORMAT: *reason (static) is the cause. */
sgp_status_t sgp_member_notice_decode(const unsigned char *bytes, size_t size, int capacity,
                                      sgp_member_notice_t *notice, const char **reason);

/* XXH3 of kind, seat, incarnation, step, last and candidate: what members must agree on. */
uint64_t sgp_member_notice_hash(const sgp_member_notice_t *notice);

#endif
