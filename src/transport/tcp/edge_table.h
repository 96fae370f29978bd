/* SPDX-License-Identifier: Apache-2.0 */
/* The connections of a rank to all others, as edges.c keeps them. Data alone; edges.h has the calls. */
#ifndef SGP_TRANSPORT_TCP_EDGE_TABLE_H
#define SGP_TRANSPORT_TCP_EDGE_TABLE_H

#include "transport/tcp/connection.h"
#include "transport/tcp/contact.h"
#include "transport/tcp/losses.h"
#include "transport/tcp/tcp_options.h"
#include "transport/tcp/visitors.h"
#include "transport/transport.h"

/* To and from one other rank. */
typedef struct sgp_edge {
    sgp_address_t address;
    uint32_t incarnation;  /* of the seat's latest member */
    bool local;            /* reached over shared memory */
    sgp_connection_t *out; /* from this rank; NULL: none yet */
    sgp_connection_t *in;  /* to this rank */
    uint64_t called_since; /* nanoseconds: when it was first called; 0: it was not */
    uint64_t call_again;   /* not before */
    int refusals;          /* of our calls, in a row */
    sgp_contact_t contact;
} sgp_edge_t;

/* Embedded. Written by edges.c alone. */
typedef struct sgp_edges {
    sgp_connections_t connections;
    sgp_losses_t losses;
    sgp_edge_t *of; /* (capacity) */
    sgp_transport_t *transport;
    int rank, capacity;
    sgp_visitors_t *visitors; /* borrowed */
    sgp_key_t *key;           /* owned; NULL: none */
    bool insecure;
    int listener;
    uint64_t open_timeout, peer_timeout; /* nanoseconds */
    sgp_limits_t limits;
    unsigned closed;  /* connections so far */
    uint32_t opened;  /* the same; their numbers, from 1 on */
    bool absent;      /* this rank was silent, which the owner has not been told */
    int strangers;    /* callers that have not shaken hands */
    bool has_visitor; /* a new one; the engine tells the owner */
    bool leaves;      /* this rank leaves in order */
    bool waits;       /* a newcomer that calls nobody before it has something to send */
    bool struck_off;  /* a peer takes this rank for lost; the engine tells the owner */
} sgp_edges_t;

#endif
