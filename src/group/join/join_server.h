/* SPDX-License-Identifier: Apache-2.0 */
/* The serving side of the join protocol: a listener whose clients shake hands and send their
 * endpoints.
 *
 * The server of the group admits clients until the group is complete, and then sends each its rank
 * and all endpoints. A member that waits itself redirects clients to the server. Nothing blocks but
 * sgp_join_server_complete: the owner polls the server's sockets, together with its own, and calls
 * serve. A client has a few seconds to be admitted, so that none holds up the others. Not
 * thread-safe. */
#ifndef SGP_GROUP_JOIN_JOIN_SERVER_H
#define SGP_GROUP_JOIN_JOIN_SERVER_H

#include "group/join/join_session.h"
#include "group/join/launcher.h"

#include <poll.h>

/* Embedded; private but for `address`. */
typedef struct sgp_join_server {
    int listener;                   /* borrowed; -1: no more clients */
    const sgp_exchange_t *exchange; /* borrowed, as mine */
    const sgp_endpoint_t *mine;     /* its rank may be -1; clients must fit its other fields */
    char address[SGP_ADDRESS_TEXT]; /* of the group's server, where redirects lead */
    bool redirects;                 /* another process is the server */
    sgp_join_session_t **sessions;  /* (count) */
    int count, room;
    int arrivals;
} sgp_join_server_t;

/* address: of the group's server, this one unless it redirects; copied. Starts without clients. */
void sgp_join_server_init(sgp_join_server_t *server, int listener, const sgp_exchange_t *exchange,
                          const sgp_endpoint_t *mine, const char *address, bool redirects);
void sgp_join_server_fini(sgp_join_server_t *server);

/* Clients that are admitted: the group is complete when all but this process are. */
int sgp_join_server_admitted(const sgp_join_server_t *server);

/* Fills in sgp_join_server_sockets() entries; after poll, serve handles those that are ready. Call
 * serve at least every second. SGP_ERR_NO_MEMORY; SGP_ERR_SYSTEM: no more connections can be
 * accepted; logged. */
int sgp_join_server_sockets(const sgp_join_server_t *server);
void sgp_join_server_watch(const sgp_join_server_t *server, struct pollfd *sockets);
sgp_status_t sgp_join_server_serve(sgp_join_server_t *server, const struct pollfd *sockets);

/* With all admitted: assigns ranks, sends all endpoints to all, and waits until each client is
 * ready. *all: (size), the caller frees it; *rank: of this process. SGP_ERR_PEER_LOST,
 * SGP_ERR_TIMEOUT, SGP_ERR_NO_MEMORY (logged). */
sgp_status_t sgp_join_server_complete(sgp_join_server_t *server, int *rank, sgp_endpoint_t **all);

/* Refuses the admitted clients, with a reason, as far as it can be sent without waiting. */
void sgp_join_server_refuse_all(sgp_join_server_t *server, const char *why);

#endif
