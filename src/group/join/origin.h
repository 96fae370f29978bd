/* SPDX-License-Identifier: Apache-2.0 */
/* How a group was joined: all that the groups made from it (split.c) need to reach each other in
 * the same way. Plain data. */
#ifndef SGP_GROUP_JOIN_ORIGIN_H
#define SGP_GROUP_JOIN_ORIGIN_H

#include "group/join/endpoint.h"
#include "transport/silence_limits.h"
#include "wire/key.h"

#include <sgp/encryption.h>

typedef struct sgp_origin {
    sgp_transport_choice_t transport; /* SHM: all ranks share memory */
    const char *rendezvous; /* directory in which ranks that share memory meet; NULL: one in /tmp */
    const char *interface;  /* or NULL */
    const char *ports;      /* or NULL */
    char address[SGP_ADDRESS_TEXT]; /* where this process listens; "": nowhere */
    bool keyed, insecure, elastic;
    sgp_encryption_t encryption;
    bool is_part; /* the group has some of the processes that joined */
    sgp_key_t key;
    int join_timeout_ms, timeout_ms, peer_timeout_ms;
    sgp_patience_t patience;
    double quorum; /* as in the options, as is pause_ms */
    uint64_t pause_ms;
} sgp_origin_t;

/* A copy that owns its strings. SGP_ERR_NO_MEMORY (logged). */
sgp_status_t sgp_origin_copy(const sgp_origin_t *from, sgp_origin_t **origin);

/* For a copy. NULL is fine. */
void sgp_origin_destroy(sgp_origin_t *origin);

#endif
