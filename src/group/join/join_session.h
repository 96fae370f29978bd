/* SPDX-License-Identifier: Apache-2.0 */
/* One client's connection to the join server: handshake, endpoint, messages. It moves bytes and
 * reports events; the server decides (join_server.h). Nothing blocks. Not thread-safe. */
#ifndef SGP_GROUP_JOIN_JOIN_SESSION_H
#define SGP_GROUP_JOIN_JOIN_SESSION_H

#include "group/join/endpoint.h"
#include "group/join/join_message.h"
#include "transport/tcp/sealed.h"
#include "wire/handshake.h"

typedef enum sgp_session_state {
    SGP_SESSION_HANDSHAKE,
    SGP_SESSION_ENDPOINT, /* its endpoint is arriving */
    SGP_SESSION_ADMITTED, /* it waits for the group to be complete */
    SGP_SESSION_READY,    /* it has all endpoints and accepts no more callers */
    SGP_SESSION_CLOSING,  /* its last message is being sent */
    SGP_SESSION_CLOSED,
} sgp_session_state_t;

typedef enum sgp_session_event {
    SGP_SESSION_IDLE,
    SGP_SESSION_JUDGE,    /* call sgp_handshake_accept or _refuse, then serve again */
    SGP_SESSION_ACCEPTED, /* the handshake is over: set the next state, or send the last message */
    SGP_SESSION_ARRIVED,  /* the endpoint is complete, in `in` */
} sgp_session_event_t;

typedef struct sgp_join_session {
    sgp_session_state_t state;
    int socket;     /* owned until CLOSED */
    uint64_t until; /* sgp_clock_now at which a pending session is closed */
    sgp_address_t from;
    sgp_handshake_t handshake;
    sgp_sealed_t sealed;
    unsigned char in[SGP_ENDPOINT_BYTES];
    size_t in_have;
    unsigned char *out; /* owned */
    size_t out_at, out_end;

    /* The server's. */
    bool reserved;           /* its handshake was accepted: it counts as one of the group */
    int rank;                /* requested, and in the end assigned; -1: none yet */
    int arrival;             /* 1, 2, ... in order of admission */
    sgp_endpoint_t endpoint; /* from ADMITTED on */
} sgp_join_session_t;

/* socket: taken on success. hello, key: copied; key NULL: none. NULL: no memory. */
sgp_join_session_t *sgp_session_create(int socket, const sgp_address_t *from,
                                       const sgp_hello_t *hello, const sgp_key_t *key);

/* Closes what is open. NULL is fine. */
void sgp_session_destroy(sgp_join_session_t *session);

void sgp_session_close(sgp_join_session_t *session);

/* Not admitted, or on its way out: such a session is closed at `until`. */
bool sgp_session_is_pending(const sgp_join_session_t *session);

/* ADMITTED or READY. */
bool sgp_session_is_admitted(const sgp_join_session_t *session);

/* The events to poll for. */
short sgp_session_events(const sgp_join_session_t *session);

/* Sends and receives as far as it can after poll. events: those that poll found. */
sgp_session_event_t sgp_session_serve(sgp_join_session_t *session, short events);

/* Queues a message; serve sends it. false: no memory. */
bool sgp_session_send(sgp_join_session_t *session, sgp_join_message_t message, const void *text,
                      size_t bytes);

/* Queues its last message, after which it is closed; closes it at once if there is no memory. */
void sgp_session_send_last(sgp_join_session_t *session, sgp_join_message_t message,
                           const void *text, size_t bytes);

/* REFUSED as the last message, and a log line. */
void sgp_session_refuse(sgp_join_session_t *session, const char *why);

/* Sends queued bytes now, as far as the socket takes them. */
void sgp_session_flush(sgp_join_session_t *session);

#endif
