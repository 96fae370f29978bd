/* SPDX-License-Identifier: Apache-2.0 */
/* The answering side of joining: a listener whose callers shake hands and show their endpoint.
 *
 * Where the group is founded, they are seated until it is complete, and then get their rank and all
 * endpoints. A member that waits itself sends them on to the founder. Nothing blocks: the owner polls the
 * server's sockets, together with its own, and lets the server serve them. Each caller has a few seconds
 * until it is seated, so none holds up the others. */
#ifndef SGP_GROUP_JOIN_JOIN_SERVER_H
#define SGP_GROUP_JOIN_JOIN_SERVER_H

#include "group/join/exchange.h"

#include <poll.h>

/* ---- what travels after the handshake ----
 * The caller: its endpoint; READY when it has all endpoints. The answerer: the messages below. */
typedef enum sgp_join_message {
    SGP_JOIN_ADMITTED = 1, /* SGP_ADDRESS_TEXT: of the founder, as others can reach it */
    SGP_JOIN_REDIRECT,     /* SGP_ADDRESS_TEXT: call there instead */
    SGP_JOIN_REFUSED,      /* SGP_VERDICT_BYTES: why */
    SGP_JOIN_ENDPOINTS,    /* 4: the receiver's rank; then all endpoints in order of rank */
    SGP_JOIN_READY,        /* nothing: the sender accepts no callers any more */
    SGP_JOIN_BEGIN,        /* nothing: all are ready */
    SGP_JOIN_MESSAGE_LAST = SGP_JOIN_BEGIN,
} sgp_join_message_t;

#define SGP_JOIN_MESSAGE_HEADER 8 /* kind, bytes that follow: both 4 bytes, little-endian */

void sgp_join_message_encode(sgp_join_message_t note, size_t bytes,
                             unsigned char header[SGP_JOIN_MESSAGE_HEADER]);

/* false: not a note, or more than `most` bytes. */
bool sgp_join_message_decode(const unsigned char header[SGP_JOIN_MESSAGE_HEADER], size_t most,
                             sgp_join_message_t *note, size_t *bytes);

/* ---- the server ---- */

typedef struct sgp_join_session sgp_join_session_t;

typedef struct sgp_join_server {
    int listener; /* borrowed; -1: no more callers */
    const sgp_join_options_t *options;
    const sgp_endpoint_t *mine; /* the founder's own: a rank, or -1; what callers must agree with */
    char founder[SGP_ADDRESS_TEXT]; /* where callers are sent; the founder itself: its address */
    bool seats;                     /* this is the founder */
    sgp_join_session_t **sessions;  /* (count) */
    int count, room;
    int seated; /* sessions whose endpoint is here */
    int order;  /* of arrival */
} sgp_join_server_t;

/* Starts empty. */
void sgp_join_server_init(sgp_join_server_t *server, int listener,
                          const sgp_join_options_t *options, const sgp_endpoint_t *mine,
                          bool seats);
void sgp_join_server_fini(sgp_join_server_t *server);

/* Fills places (sgp_join_server_sockets() of them), and after poll serves what is ready; serve is called at least
 * every second. SGP_ERR_NO_MEMORY. */
int sgp_join_server_sockets(const sgp_join_server_t *server);
void sgp_join_server_watch(const sgp_join_server_t *server, struct pollfd *places);
sgp_status_t sgp_join_server_serve(sgp_join_server_t *server, const struct pollfd *places);

/* With all seated: gives ranks, tells everybody, and waits until all are ready. *all: (size), the
 * caller frees it; *rank: ours. SGP_ERR_PEER_LOST, SGP_ERR_TIMEOUT (logged). */
sgp_status_t sgp_join_server_complete(sgp_join_server_t *server, int *rank, sgp_endpoint_t **all);

/* Tells all who sit why they sat in vain, as far as it can be sent at once. */
void sgp_join_server_refuse_all(sgp_join_server_t *server, const char *why);

#endif
