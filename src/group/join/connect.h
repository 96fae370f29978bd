/* SPDX-License-Identifier: Apache-2.0 */
/* From everybody's endpoints to a transport. */
#ifndef SGP_GROUP_JOIN_CONNECT_H
#define SGP_GROUP_JOIN_CONNECT_H

#include "group/join/endpoint.h"
#include "transport/transport.h"
#include "wire/handshake.h"

typedef struct sgp_connect_options {
    const sgp_endpoint_t *endpoints; /* (size) */
    int rank, size;
    int listener;         /* taken, in every case; -1: none, where nobody needs it */
    bool answers;         /* late callers are to be answered, even if all share memory */
    const sgp_key_t *key; /* NULL: none; then rank 0's secret, if its endpoint has one */
    bool insecure;
    const char *rendezvous; /* directory for those that share memory; NULL: one in /tmp */
    int timeout_ms;         /* to meet */
    int peer_timeout_ms;    /* 0: the default */
} sgp_connect_options_t;

/* Shared memory where it can be and is wanted, TCP otherwise. Blocks until those that share memory have
 * met. SGP_ERR_MISMATCH: the endpoints do not fit together; SGP_ERR_UNSUPPORTED: shm across machines;
 * SGP_ERR_INVALID: other machines, and no key; and the errors of sgp_tcp_connect. All logged. */
sgp_status_t sgp_connect_endpoints(const sgp_connect_options_t *options,
                                   sgp_transport_t **transport);

/* The key that the options uses; false: none. */
bool sgp_connect_key(const sgp_connect_options_t *options, sgp_key_t *key);

#endif
