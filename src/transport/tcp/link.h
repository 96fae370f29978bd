/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: opening, handshake, sending, receiving, ending. All of it in the thread of the links. */
#ifndef SGP_TRANSPORT_TCP_LINK_H
#define SGP_TRANSPORT_TCP_LINK_H

#include "transport/tcp/tcp_engine.h"

typedef enum sgp_link_state {
    SGP_LINK_CONNECTING,
    SGP_LINK_SHAKING,
    SGP_LINK_OPEN,
    SGP_LINK_CLOSED, /* its memory goes when libuv has let go of it */
} sgp_link_state_t;

/* A chunk that came damaged and has not come whole since. */
typedef struct sgp_damage {
    uint32_t ticket;
    int times; /* 0: none */
} sgp_damage_t;

struct sgp_link {
    sgp_links_t *links;
    sgp_link_t *next;
    sgp_link_state_t state;
    bool caller; /* we send chunks; otherwise we receive them */
    int peer;    /* -1: not known yet */
    int socket;
    uv_poll_t poll;
    int events; /* that are polled for */
    uint64_t since, heard, spoke;
    sgp_address_t other;
    sgp_handshake_t handshake;

    unsigned char *frames; /* waiting to be sent, [frames_at, frames_end) of frames_room bytes */
    size_t frames_at, frames_end, frames_room;
    sgp_post_t *sending;                                    /* NULL: between two chunks */
    unsigned char head[SGP_FRAME_BYTES + SGP_HEADER_BYTES]; /* of it */
    size_t sent;                                            /* bytes of head and payload */
    bool said_leave; /* it is among the frames, as the last one */
    bool mute;       /* a chunk was broken off: nothing more can be said */

    sgp_stream_t stream;
    sgp_arrival_t *arriving;
    sgp_damage_t damages[4]; /* the latest ones */
    int next_damage;         /* where the next one is kept */
    bool starved;            /* a chunk has come and there is no place for it */
    sgp_turn_t turn;         /* of the message that arrives */
    uint64_t message;        /* its id */
    uint64_t left;           /* of its elements */
};

/* Takes an accepted socket. */
void sgp_link_accept(sgp_links_t *links, int socket, const sgp_address_t *from);

/* Calls a rank. NULL: it failed at once, and the reason is dealt with. */
sgp_link_t *sgp_link_call(sgp_links_t *links, int rank);

/* Says so with the next bytes. */
void sgp_link_say(sgp_link_t *link, sgp_frame_kind_t kind, uint32_t value);

/* Sends what can be sent. */
void sgp_link_pump(sgp_link_t *link);

/* Reads what has come. */
void sgp_link_read(sgp_link_t *link);

/* Goes on with a chunk that found no place. */
void sgp_link_feed(sgp_link_t *link);

/* Says that we leave, once the queue is empty. */
void sgp_link_leave(sgp_link_t *link);

/* The peer is gone: what was being sent is broken off. */
void sgp_link_break_off(sgp_link_t *link);

/* Looks whether it has been silent for too long, and speaks if we have been. */
void sgp_link_tick(sgp_link_t *link, uint64_t now);

/* Ends it without a word. */
void sgp_link_close(sgp_link_t *link);

/* Ends it because of what happened; the peer is lost by that, unless it has left or we do. */
__attribute__((format(printf, 3, 4))) void sgp_link_fail(sgp_link_t *link, sgp_cause_t cause,
                                                         const char *why, ...);

/* It is not its turn to send, or to be read; or it is not to be read before it has read itself. */
bool sgp_link_held(const sgp_link_t *link);

/* For link_io.c, of the turns: a post is out; a chunk's head is here, and the whole of it. */
void sgp_link_sent_post(sgp_link_t *link, const sgp_post_t *post);
void sgp_link_chunk_begins(sgp_link_t *link, const sgp_header_t *header);
void sgp_link_chunk_ended(sgp_link_t *link, const sgp_header_t *header);

/* For link_io.c: polls for what the state of things wants. */
void sgp_link_watch(sgp_link_t *link);

#endif
