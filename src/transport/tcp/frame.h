/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes on a connection after the handshake: frames of 8 bytes, and behind the frame of a chunk
 * its header (wire/header.h) and its payload, behind that of a pulse step and digest, 8 bytes each. The stream is a parser that tells where the next
 * bytes belong, so that a payload is read straight to its place. Pure functions over bytes. */
#ifndef SGP_TRANSPORT_TCP_FRAME_H
#define SGP_TRANSPORT_TCP_FRAME_H

#include "transport/fates.h" /* sgp_pulse_t */
#include "wire/header.h"

#include <stdbool.h>
#include <sys/uio.h>

#define SGP_FRAME_BYTES 8
#define SGP_PULSE_BYTES (SGP_FRAME_BYTES + 16)

typedef enum sgp_frame_kind {
    SGP_FRAME_CHUNK = 1, /* value: a ticket, by which the receiver names the chunk */
    SGP_FRAME_RELEASED,  /* value: the ticket of a chunk that the receiver has released */
    SGP_FRAME_REPEAT,    /* value: the ticket of a chunk that came damaged */
    SGP_FRAME_ALIVE,     /* the heartbeat of a sender without other frames */
    SGP_FRAME_LEAVE, /* the sender leaves the group in order; its last frame. The receiver closes */
    SGP_FRAME_LOST,  /* value: a rank that is lost, and why (sgp_loss_pack) */
    SGP_FRAME_LEFT,  /* value: a rank that has left */
    SGP_FRAME_TURN,  /* value: the step whose messages the sender may send (sgp_scheduler_turn) */
    SGP_FRAME_PULSE, /* value: sgp_pulse_flags_t; the heartbeat of an elastic rank */
    SGP_FRAME_LAST = SGP_FRAME_PULSE,
} sgp_frame_kind_t;

typedef enum sgp_pulse_flags {
    SGP_PULSE_WERE_SILENT = 1, /* the receiver was, since it was last told */
    SGP_PULSE_ARE_SILENT = 2,  /* it is: the sender does not hear it */
    SGP_PULSE_HANGS = 4,       /* the sender's thread (transport/pace.h) */
} sgp_pulse_flags_t;

void sgp_frame_encode(sgp_frame_kind_t kind, uint32_t value, unsigned char bytes[SGP_FRAME_BYTES]);

/* A whole pulse. */
void sgp_frame_encode_pulse(uint32_t flags, sgp_pulse_t pulse,
                            unsigned char bytes[SGP_PULSE_BYTES]);

/* false: not a frame; nothing is set. */
bool sgp_frame_decode(const unsigned char bytes[SGP_FRAME_BYTES], sgp_frame_kind_t *kind,
                      uint32_t *value);

typedef enum sgp_stream_event {
    SGP_STREAM_MORE,   /* more bytes are needed */
    SGP_STREAM_FRAME,  /* kind and value, of any kind but CHUNK */
    SGP_STREAM_CHUNK,  /* value and header: call sgp_stream_place */
    SGP_STREAM_WHOLE,  /* the chunk's payload is in its place */
    SGP_STREAM_BROKEN, /* no frame where one must be; no more can be read */
} sgp_stream_event_t;

/* Embedded. kind, value, pulse, header and bytes may be read; the rest is private. */
typedef struct sgp_stream {
    sgp_frame_kind_t kind;
    uint32_t value;
    sgp_pulse_t pulse; /* of a PULSE */
    unsigned char header[SGP_HEADER_BYTES];
    size_t greed; /* bytes that are read together with a payload, at most */
    size_t begin, end;
    unsigned char *place; /* of the payload */
    size_t bytes, filled;
    bool inside; /* a payload */
    unsigned char buffer[4096];
} sgp_stream_t;

/* many_frames: frames are expected, rather than chunks. */
void sgp_stream_init(sgp_stream_t *stream, bool many_frames);

/* Where to read the next bytes to, one or two pieces; returns how many. Call after next has
 * returned MORE. */
int sgp_stream_places(sgp_stream_t *stream, struct iovec pieces[2]);

/* So many bytes have been read, in that order. */
void sgp_stream_received(sgp_stream_t *stream, size_t bytes);

/* The next event. Call until it is MORE. */
sgp_stream_event_t sgp_stream_next(sgp_stream_t *stream);

/* After CHUNK: its payload of `bytes` goes to place, which stays the caller's. */
void sgp_stream_place(sgp_stream_t *stream, void *place, size_t bytes);

#endif
