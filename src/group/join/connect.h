/* SPDX-License-Identifier: Apache-2.0 */
/* From everybody's cards to a transport. */
#ifndef SGP_GROUP_JOIN_CONNECT_H
#define SGP_GROUP_JOIN_CONNECT_H

#include "group/join/endpoint.h"
#include "transport/transport.h"
#include "wire/handshake.h"

typedef struct sgp_party {
    const sgp_card_t *cards; /* (size) */
    int rank, size;
    int listener;         /* taken, in every case; -1: none, where nobody needs it */
    bool answers;         /* late callers are to be answered, even if all share memory */
    const sgp_key_t *key; /* NULL: none; then rank 0's secret, if its card has one */
    bool insecure;
    const char *rendezvous; /* directory for those that share memory; NULL: one in /tmp */
    int timeout_ms;         /* to meet */
    int peer_timeout_ms;    /* 0: the default */
} sgp_party_t;

/* Shared memory where it can be and is wanted, TCP otherwise. Blocks until those that share memory have
 * met. SGP_ERR_MISMATCH: the cards do not fit together; SGP_ERR_UNSUPPORTED: shm across machines;
 * SGP_ERR_INVALID: other machines, and no key; and the errors of sgp_tcp_connect. All logged. */
sgp_status_t sgp_party_connect(const sgp_party_t *party, sgp_transport_t **transport);

/* The key that the party uses; false: none. */
bool sgp_party_key(const sgp_party_t *party, sgp_key_t *key);

#endif
