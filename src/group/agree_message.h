/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of agree (agree.h) as bytes, little-endian: 32 bytes of head, the set of seats as bits (seats.h), then
 * payloads, each a 32-bit length and its bytes. Called by agree.c, the fuzz target and tests. Pure functions; source:
 * docs/membership.md, "Collectives" and "Wire". */
#ifndef SGP_GROUP_AGREE_MESSAGE_H
#define SGP_GROUP_AGREE_MESSAGE_H

#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_AGREE_HEAD 32

typedef enum sgp_agree_form {
    SGP_AGREE_STATE = 1, /* the sender's live set, and its own payload */
    SGP_AGREE_DECIDED,   /* the decided set, and payloads of some of its members */
} sgp_agree_form_t;

/* What sender and receiver have to know of each other's messages. */
typedef struct sgp_agree_limits {
    int capacity;         /* seats; 1 to 65,536 */
    size_t payload_bytes; /* of one payload at most */
} sgp_agree_limits_t;

typedef struct sgp_agree_message {
    uint64_t call;
    sgp_agree_form_t form;
    uint32_t attempt; /* of a STATE: counts the sender's in this call, from 1; else 0 */
    int first;        /* seat of the first payload, a member of the set */
    int payloads;     /* >= 1: those of consecutive members from `first` on; a STATE has one */
    const unsigned char *set;      /* (sgp_seats_bytes) */
    const unsigned char *contents; /* the payloads with their lengths */
} sgp_agree_message_t;

/* Bytes of the longest message, which has room for at least one payload. */
size_t sgp_agree_message_room(const sgp_agree_limits_t *limits);

/* Writes head and set; the payloads follow. Returns their place. message->contents is not read. */
unsigned char *sgp_agree_message_begin(const sgp_agree_limits_t *limits,
                                       const sgp_agree_message_t *message, unsigned char *bytes);

/* Writes one payload at `at`; returns the place behind it. */
unsigned char *sgp_agree_payload_put(unsigned char *at, const void *payload, size_t bytes);

/* Reads one payload at `at`, of a message that has been decoded; returns the place behind it. */
const unsigned char *sgp_agree_payload_get(const unsigned char *at, const unsigned char **payload,
                                           size_t *bytes);

/* Reads and checks a message; its pointers are into `bytes`. Sets *message only on success. SGP_ERR_FORMAT (not
 * logged): *reason (static) is the cause. */
sgp_status_t sgp_agree_message_decode(const sgp_agree_limits_t *limits, const unsigned char *bytes,
                                      size_t count, sgp_agree_message_t *message,
                                      const char **reason);

#endif
