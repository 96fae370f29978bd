/* SPDX-License-Identifier: Apache-2.0 */
/* The messages between a candidate, which asks to become a member of a running group, and its sponsor, the member that it
 * has called; they follow the handshake (wire/handshake.h, SGP_PURPOSE_ENTER).
 *
 *     candidate                 sponsor
 *     REQUEST              ->
 *                          <-   WELCOME, or REFUSED
 *     FETCH                ->                           if it wants the state of the run
 *                          <-   STATE, or REFUSED       between two steps of the sponsor
 *     READY                ->                           once it has all that it needs
 *                          <-   ADMITTED, or REFUSED
 *
 * In place of READY, REFUSED: the candidate does not join, for that reason.
 *
 * A message is a head of 8 bytes, kind and length, both 4 bytes little-endian, and its contents. Pure functions over bytes:
 * they allocate and log nothing. Called by sponsor.c and candidate.c. The protocol is in docs/membership.md, "Joining". */
#ifndef SGP_GROUP_JOIN_ENTER_MESSAGE_H
#define SGP_GROUP_JOIN_ENTER_MESSAGE_H

#include "base/constants.h"
#include "group/join/endpoint.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum sgp_enter_kind {
    SGP_ENTER_REQUEST = 1,
    SGP_ENTER_WELCOME,
    SGP_ENTER_READY,    /* no contents */
    SGP_ENTER_ADMITTED, /* the step from which the candidate takes part: 8 bytes */
    SGP_ENTER_REFUSED,  /* 1 byte: it may ask again at once; then the reason, printable text */
    SGP_ENTER_FETCH,    /* no contents */
    SGP_ENTER_STATE,    /* the state of the run, as its owner gives it */
    SGP_ENTER_KIND_LAST = SGP_ENTER_STATE,
} sgp_enter_kind_t;

#define SGP_ENTER_HEAD         8
#define SGP_ENTER_REASON       256 /* of a refusal, with a 0 at the end */
#define SGP_ENTER_DETAIL_BYTES ((size_t)4 << 10)
#define SGP_ENTER_BLOB_BYTES   ((size_t)64 << 10)
#define SGP_ENTER_VIEW_BYTES   ((size_t)4 << 20)
#define SGP_ENTER_MEMBER_BYTES ((size_t)72)
#define SGP_ENTER_STATE_BYTES  ((size_t)INT32_MAX)

/* The longest contents that a sponsor or a candidate accepts. */
#define SGP_ENTER_REQUEST_BYTES (32 + SGP_ENDPOINT_BYTES + SGP_ENTER_DETAIL_BYTES)
#define SGP_ENTER_WELCOME_BYTES                                                                    \
    (64 + SGP_MOST_PROCESSES * SGP_ENTER_MEMBER_BYTES + SGP_ENTER_VIEW_BYTES + SGP_ENTER_BLOB_BYTES)

void sgp_enter_head_encode(sgp_enter_kind_t kind, size_t bytes, unsigned char head[SGP_ENTER_HEAD]);

/* false: no such message, or longer than its kind allows. */
bool sgp_enter_head_decode(const unsigned char head[SGP_ENTER_HEAD], sgp_enter_kind_t *kind,
                           size_t *bytes);

/*  at  bytes  field                                at  bytes  field
 *   0    8    candidate                            20    4    incarnation
 *   8    8    options                              24    4    bytes of the detail
 *  16    4    seat                                 28    4    reserved: 0
 *                                                  32  256    endpoint; then the detail */
typedef struct sgp_enter_request {
    uint64_t candidate;   /* random, not 0: tells candidates apart to whom one seat is given */
    uint64_t options;     /* hash of the options that it insists on; 0: it takes those of the run */
    int seat;             /* -1; or it was this member until the others struck it off */
    uint32_t incarnation; /*     of that seat */
    sgp_endpoint_t endpoint; /* rank -1 */
    const void *detail;      /* (detail_bytes) the caller's: what the owner of the group judges */
    size_t detail_bytes;
} sgp_enter_request_t;

size_t sgp_enter_request_bytes(const sgp_enter_request_t *request);
void sgp_enter_request_encode(const sgp_enter_request_t *request, unsigned char *bytes);

/* The detail points into bytes. false: not a request; nothing is set. */
bool sgp_enter_request_decode(const unsigned char *bytes, size_t count,
                              sgp_enter_request_t *request);

/* A seat that was used. */
typedef struct sgp_enter_member {
    int seat;
    bool present;
    uint32_t incarnation;           /* of its latest member */
    char address[SGP_ADDRESS_TEXT]; /* where that listens; "" if it is gone */
} sgp_enter_member_t;

/*  at  bytes  field                                at  bytes  field
 *   0    4    capacity                             32    8    options
 *   4    4    founders                             40    4    peer_timeout_ms
 *   8    4    seat                                 44    4    members
 *  12    4    incarnation                          48    4    bytes of the view
 *  16    8    run                                  52    4    bytes of the blob
 *  24    8    chunk_bytes                          56    8    reserved: 0
 *                                                  64         members of 72 bytes, view, blob
 * A member: seat u16, present u16, incarnation u32, address. */
typedef struct sgp_welcome {
    int capacity, founders;
    int seat;
    uint32_t incarnation;
    uint64_t run;
    uint64_t chunk_bytes;
    uint64_t options; /* hash of the run's options */
    int peer_timeout_ms;
    int members;       /* ascending by seat; the newcomer is one, with its address for others */
    const void *table; /* (members, SGP_ENTER_MEMBER_BYTES) sgp_welcome_member reads it */
    const void *view;  /* (view_bytes) VIEW messages, each behind its length of 4 bytes */
    size_t view_bytes;
    const void *blob; /* (blob_bytes) the owner's */
    size_t blob_bytes;
} sgp_welcome_t;

size_t sgp_welcome_bytes(const sgp_welcome_t *welcome);

/* Writes one member into a table. */
void sgp_welcome_put_member(const sgp_enter_member_t *member, unsigned char *bytes);

/* welcome->table, view and blob are copied. */
void sgp_welcome_encode(const sgp_welcome_t *welcome, unsigned char *bytes);

/* Pointers lead into bytes. false: not a welcome, or its numbers do not fit together; nothing is set. */
bool sgp_welcome_decode(const unsigned char *bytes, size_t count, sgp_welcome_t *welcome);

/* Member `index` of a welcome that was decoded. */
void sgp_welcome_member(const sgp_welcome_t *welcome, int index, sgp_enter_member_t *member);

/* ADMITTED: the step; REFUSED: reason: (SGP_ENTER_REASON). decode: false: it is none. Returns the bytes. */
size_t sgp_enter_refused_encode(const char *reason, bool again, unsigned char *bytes);
bool sgp_enter_refused_decode(const unsigned char *bytes, size_t count,
                              char reason[SGP_ENTER_REASON], bool *again);

#endif
