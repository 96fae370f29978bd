/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of several machines over TCP, and those of one machine over shared memory where that is
 * wanted. Called by src/group/join. No call of the step path waits for the network.
 *
 * One connection per directed edge, opened when it is first used: chunks go one way,
 * acknowledgements of released chunks come back. A chunk stays in its sender's slot (slots/slots.h)
 * until it is acknowledged. So a sender's room bounds the chunks that can pile up at a receiver, as
 * over shared memory; a receiver enforces that (transport.h), and reads each chunk straight to the
 * place where it is absorbed. A thread of the transport moves the bytes (tcp_engine.h). */
#ifndef SGP_TRANSPORT_TCP_TCP_H
#define SGP_TRANSPORT_TCP_TCP_H

#include "net/address.h"
#include "transport/transport.h"
#include "wire/handshake.h"

typedef struct sgp_tcp_options {
    int rank;
    int size;
    uint64_t run;                   /* the same on all ranks, of no other run; required */
    int listener;                   /* from sgp_address_listen; taken in every case */
    const sgp_address_t *addresses; /* (size) of all ranks' listeners; copied; our own is unused */
    const sgp_key_t *key;           /* copied; NULL: none */
    bool insecure;                  /* without a key: accept other machines, too */
    const bool *local;      /* (size) ranks reached over shared memory, the same choice on both
                               sides; borrowed until connected; NULL: none */
    const char *rendezvous; /* directory in which the local ranks meet; needed if there are any */
    size_t chunk_bytes;     /* a multiple of 64, the same on all ranks; 0: the default */
    int timeout_ms;         /* to meet, and to open a connection; required */
    int peer_timeout_ms;    /* a peer that is silent for so long is lost; 0: SGP_PEER_TIMEOUT_MS */
    bool at_once;           /* do not wait for the neighbours */
} sgp_tcp_options_t;

/* Sets *transport only on success; destroy frees it. Blocks until the local ranks have come, and
 * the neighbours: the next rank, which this one watches, and the one before, which watches this
 * one. Edges to the others are opened later. SGP_ERR_INVALID, SGP_ERR_TIMEOUT, SGP_ERR_MISMATCH,
 * SGP_ERR_SYSTEM, SGP_ERR_NO_MEMORY; all logged. */
sgp_status_t sgp_tcp_connect(const sgp_tcp_options_t *options, sgp_transport_t **transport);

#endif
