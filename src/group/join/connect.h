/* SPDX-License-Identifier: Apache-2.0 */
/* From the endpoints of all processes to a transport: shared memory between processes of one
 * machine, where it is wanted, and TCP between the others. */
#ifndef SGP_GROUP_JOIN_CONNECT_H
#define SGP_GROUP_JOIN_CONNECT_H

#include "group/join/endpoint.h"
#include "transport/transport.h"
#include "wire/key.h"

#include <sgp/encryption.h>

typedef struct sgp_connect_options {
    const sgp_endpoint_t *endpoints; /* (size) */
    int rank, size;
    int capacity;         /* seats; 0: size. More than size: newcomers can be answered */
    int listener;         /* taken, in every case; -1: none, where no process calls this one */
    bool answers;         /* late callers are answered even if all processes share memory */
    const sgp_key_t *key; /* NULL: the secret of rank 0's endpoint, if it has one */
    bool insecure;
    sgp_encryption_t encryption;
    const char *rendezvous; /* directory for processes that share memory; NULL: one in /tmp */
    int timeout_ms;         /* to connect */
    int peer_timeout_ms;    /* 0: the default */
    sgp_patience_t patience;
} sgp_connect_options_t;

/* Sets *transport only on success. Blocks until the processes that share memory have met.
 * SGP_ERR_MISMATCH: the endpoints do not fit together; SGP_ERR_UNSUPPORTED: shm across machines;
 * SGP_ERR_INVALID: other machines, and no key; and the errors of sgp_shm_connect and
 * sgp_tcp_connect. All logged. */
sgp_status_t sgp_connect(const sgp_connect_options_t *options, sgp_transport_t **transport);

/* The key that sgp_connect uses; false: none. */
bool sgp_connect_key(const sgp_connect_options_t *options, sgp_key_t *key);

#endif
