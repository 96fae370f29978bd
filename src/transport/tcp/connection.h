/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of the progress thread: opening, handshake, sending, receiving, ending. Chunks
 * travel from the caller to the answerer, frames both ways.
 *
 * A connection moves bytes and returns what happened. It decides nothing about ranks: whom to
 * accept, what to send next, whether to read, and what an end means is its caller's decision
 * (edges.h, traffic.h), who alone reads these fields. It never logs, and calls no file above it. */
#ifndef SGP_TRANSPORT_TCP_CONNECTION_H
#define SGP_TRANSPORT_TCP_CONNECTION_H

#include "net/address.h"
#include "transport/tcp/chunk_pool.h"
#include "transport/tcp/frame.h"
#include "transport/tcp/records.h"
#include "wire/handshake.h"

#include <uv.h>

typedef struct sgp_connection sgp_connection_t;

/* All connections of a thread. Embedded; set up by edges.c, then written by connection.c. */
typedef struct sgp_connections {
    uv_loop_t *loop;
    uv_poll_cb on_poll; /* handle->data is the connection, whose `owner` is the one here */
    void *owner;
    sgp_chunk_pool_t *pool; /* which gets unfinished arrivals back */
    sgp_hello_t hello;
    const sgp_key_t *key;    /* NULL: none */
    uint64_t peer_timeout;   /* nanoseconds */
    sgp_connection_t *first; /* all, whatever their state, by next */
} sgp_connections_t;

typedef enum sgp_connection_state {
    SGP_CONNECTION_CONNECTING,
    SGP_CONNECTION_SHAKING,
    SGP_CONNECTION_OPEN,
    SGP_CONNECTION_CLOSED, /* freed once libuv has let go of it */
} sgp_connection_state_t;

/* A chunk that came damaged and has not come whole since. */
typedef struct sgp_damage {
    uint32_t ticket;
    int times; /* 0: none */
} sgp_damage_t;

struct sgp_connection {
    sgp_connections_t *set;
    void *owner;
    sgp_connection_t *next;
    sgp_connection_state_t state;
    bool caller;     /* this rank sends chunks; otherwise it receives them */
    int peer;        /* -1: not known yet */
    uint32_t number; /* among those that were opened, from 1 on; edges.c sets it */
    int socket;
    int error; /* an errno, of a call that failed; 0: the peer ended the connection */
    uv_poll_t poll;
    int events;                   /* that are polled for */
    bool has_posts, held;         /* sgp_connection_watch */
    uint32_t flags;               /* of the last pulse that was appended */
    uint64_t digest;              /* of that */
    uint64_t since, heard, spoke; /* nanoseconds: begin, and the last bytes in and out */
    sgp_address_t other;
    sgp_handshake_t handshake;
    sgp_records_t records; /* where there is a key */

    unsigned char *frames; /* to be sent, [frames_at, frames_end) of frames_room bytes */
    size_t frames_at, frames_end, frames_room;
    sgp_post_t *sending;                                    /* NULL: between two chunks */
    unsigned char head[SGP_FRAME_BYTES + SGP_HEADER_BYTES]; /* of that chunk */
    size_t sent;                                            /* bytes of head and payload */
    bool said_leave; /* LEAVE was appended, after which there are no more frames */
    bool mute;       /* a chunk was broken off: nothing more can be sent */

    sgp_stream_t stream;
    sgp_arrival_t *arriving;
    bool stalled;            /* a chunk has come, and no place was given for it */
    sgp_damage_t damages[4]; /* the latest ones */
    int next_damage;         /* where the next one is kept */
};

/* ---- opening ---- */

/* Begins the handshake on an accepted socket, which is taken. NULL: no memory. */
sgp_connection_t *sgp_connection_answer(sgp_connections_t *set, int socket,
                                        const sgp_address_t *from);

/* Calls a rank over a new socket, which is taken. NULL: *error says why (an errno; 0: no
 * memory). */
sgp_connection_t *sgp_connection_call(sgp_connections_t *set, int rank, const sgp_address_t *to,
                                      int socket, int *error);

typedef enum sgp_opening {
    SGP_OPENING_WAITS,   /* for the peer */
    SGP_OPENING_JUDGE,   /* handshake.theirs is there: accept or refuse, and continue */
    SGP_OPENING_DONE,    /* it is open */
    SGP_OPENING_REFUSED, /* by either side: handshake.reason */
    SGP_OPENING_ENDED,   /* `error` */
} sgp_opening_t;

/* Continues the opening until it is over, must wait, or needs a judgement. */
sgp_opening_t sgp_connection_open(sgp_connection_t *connection);

/* The last bytes that the kernel has sent were not acknowledged for so long: nothing gets through. */
bool sgp_connection_is_cut(const sgp_connection_t *connection, uint64_t nanoseconds);

/* In JUDGE: accepts the peer as that rank; sgp_handshake_refuse refuses it. */
void sgp_connection_accept(sgp_connection_t *connection, int rank);

/* Sets the events to poll for. has_posts: a chunk may be sent after the current one. held: the
 * connection is not to be read. */
void sgp_connection_watch(sgp_connection_t *connection, bool has_posts, bool held);

/* libuv reports an error and has stopped polling; the next read or write returns the cause. */
void sgp_connection_poll_failed(sgp_connection_t *connection);

/* ---- sending ---- */

/* Appends a frame, unless the last one was appended. false: no memory. */
bool sgp_connection_say(sgp_connection_t *connection, sgp_frame_kind_t kind, uint32_t value);

/* Appends a pulse. */
bool sgp_connection_say_pulse(sgp_connection_t *connection, uint32_t flags, sgp_pulse_t pulse);

/* Frames wait to be sent. */
static inline bool sgp_connection_has_frames(const sgp_connection_t *connection) {
    return connection->frames_at < connection->frames_end;
}

/* The peer leaves too many frames unread. Each of its chunks adds one, so it is not to be read. */
bool sgp_connection_is_clogged(const sgp_connection_t *connection);

/* Begins a chunk while none is being sent. post: borrowed until SGP_SENT_POST, break_off or
 * close. */
void sgp_connection_begin_chunk(sgp_connection_t *connection, sgp_post_t *post);

typedef enum sgp_sent {
    SGP_SENT_SOME,
    SGP_SENT_POST, /* the last bytes of a chunk */
    SGP_SENT_NONE, /* the socket takes no more now */
    SGP_SENT_FAILED,
} sgp_sent_t;

/* Sends bytes of the current chunk, or else frames. *bytes: those of the chunk. */
sgp_sent_t sgp_connection_send(sgp_connection_t *connection, size_t *bytes);

/* Stops in the middle of the current chunk, if there is one: its receiver is gone. */
void sgp_connection_break_off(sgp_connection_t *connection);

/* ---- receiving ---- */

typedef enum sgp_heard {
    SGP_HEARD_ALL,  /* as many bytes as there was room for: there may be more */
    SGP_HEARD_SOME, /* all that had come */
    SGP_HEARD_NONE,
    SGP_HEARD_END, /* `error` */
} sgp_heard_t;

/* Reads once. *bytes: how many. Then sgp_connection_next until MORE. END with EBADMSG: what has come was altered on the way. */
sgp_heard_t sgp_connection_read(sgp_connection_t *connection, size_t *bytes);

/* The next event among the bytes read. FRAME: stream.kind, stream.value. CHUNK: stream.header;
 * sgp_connection_place, now or later, or nothing more is read. WHOLE:
 * sgp_connection_take_arrival. */
sgp_stream_event_t sgp_connection_next(sgp_connection_t *connection);

/* The chunk's payload is read into the arrival, which is taken. header: as decoded. */
void sgp_connection_place(sgp_connection_t *connection, sgp_arrival_t *arrival,
                          const sgp_header_t *header);

/* The payload is read into `waste` instead (chunk_bytes), and WHOLE then has no arrival. */
void sgp_connection_waste(sgp_connection_t *connection, void *waste, const sgp_header_t *header);

/* The chunk that is whole. *damaged: how often it has come damaged; 0: it is intact. */
sgp_arrival_t *sgp_connection_take_arrival(sgp_connection_t *connection, int *damaged);

/* ---- time and end ---- */

/* What `error` stands for; 0: the cause. */
const char *sgp_connection_error_text(int error, sgp_cause_t cause);

/* When the peer was last heard: now, where it is not read. 0: it is not connected. NULL is fine. */
uint64_t sgp_connection_heard(const sgp_connection_t *connection, uint64_t now);

/* This thread did not run for `late` nanoseconds until now, so that the peer was not heard. */
void sgp_connection_forgive(sgp_connection_t *connection, uint64_t late, uint64_t now);

/* Of one that is open, and has carried nothing yet: ends the connection here, but for the socket and the seals, which are the
 * caller's. */
int sgp_connection_detach(sgp_connection_t *connection, sgp_seals_t *seals);

/* Closes the socket; its memory is freed later. Fine if it is closed. */
void sgp_connection_close(sgp_connection_t *connection);

#endif
