/* SPDX-License-Identifier: Apache-2.0 */
/* The options of sgp_tcp_connect (tcp.h), as the files of the progress thread read them too. */
#ifndef SGP_TRANSPORT_TCP_TCP_OPTIONS_H
#define SGP_TRANSPORT_TCP_TCP_OPTIONS_H

#include "net/address.h"
#include "transport/silence_limits.h"
#include "transport/transport.h"
#include "wire/handshake.h"

#include <stdint.h>

typedef struct sgp_tcp_options {
    int rank;
    int size;                /* members at the start */
    int capacity;            /* seats, the same on all ranks; 0: size */
    uint32_t incarnation;    /* of this rank */
    const sgp_seat_t *seats; /* (capacity) for a newcomer: the others, none of which is local;
                                       NULL: the first `size` are there */
    uint64_t run;            /* the same on all ranks, of no other run; required */
    int listener;            /* from sgp_address_listen; taken in every case */
    const sgp_address_t
        *addresses;       /* (size; for a newcomer, capacity) of all ranks' listeners; copied; our
                                       own is unused */
    const sgp_key_t *key; /* copied; NULL: none */
    bool insecure;        /* without a key: accept other machines, too */
    sgp_encryption_t encryption; /* with a key */
    uint64_t machine;            /* of this process; equal inside of one machine */
    const bool *local;           /* (size) ranks reached over shared memory, the same choice on both
                               sides; borrowed until connected; NULL: none */
    const char *rendezvous;  /* directory in which the local ranks meet; needed if there are any */
    size_t chunk_bytes;      /* a multiple of 64, the same on all ranks; 0: the default */
    int timeout_ms;          /* to meet, and to open a connection; required */
    int peer_timeout_ms;     /* a peer that is silent for so long is lost; 0: SGP_PEER_TIMEOUT_MS */
    sgp_patience_t patience; /* of an elastic group */
    bool at_once;            /* do not wait for the neighbours */
    bool waits;              /* a newcomer that calls nobody before it sends */
} sgp_tcp_options_t;

#endif
