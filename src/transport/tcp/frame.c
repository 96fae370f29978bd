/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/frame.h"

#include "base/bytes.h"

#include <string.h>

/* kind, three zeros, value in little-endian. */
void sgp_frame_encode(sgp_frame_kind_t kind, uint32_t value, unsigned char bytes[SGP_FRAME_BYTES]) {
    memset(bytes, 0, SGP_FRAME_BYTES);
    bytes[0] = (unsigned char)kind;
    sgp_bytes_put(bytes + 4, value, 4);
}

void sgp_frame_encode_pulse(uint32_t flags, sgp_pulse_t pulse,
                            unsigned char bytes[SGP_PULSE_BYTES]) {
    sgp_frame_encode(SGP_FRAME_PULSE, flags, bytes);
    sgp_bytes_put(bytes + SGP_FRAME_BYTES, pulse.step, 8);
    sgp_bytes_put(bytes + SGP_FRAME_BYTES + 8, pulse.digest, 8);
}

bool sgp_frame_decode(const unsigned char bytes[SGP_FRAME_BYTES], sgp_frame_kind_t *kind,
                      uint32_t *value) {
    if (bytes[0] < SGP_FRAME_CHUNK || bytes[0] > SGP_FRAME_LAST) return false;
    if (bytes[1] || bytes[2] || bytes[3]) return false;
    *kind = (sgp_frame_kind_t)bytes[0];
    *value = (uint32_t)sgp_bytes_get(bytes + 4, 4);
    return true;
}

/* The next chunk's head usually follows the payload of a chunk. It is read together with that
 * payload, and no more: bytes of the next payload would have to be copied. */
#define CHUNK_HEAD (SGP_FRAME_BYTES + SGP_HEADER_BYTES)

void sgp_stream_init(sgp_stream_t *stream, bool many_frames) {
    stream->greed = many_frames ? sizeof stream->buffer : CHUNK_HEAD;
    stream->begin = stream->end = 0;
    stream->inside = false;
}

int sgp_stream_places(sgp_stream_t *stream, struct iovec pieces[2]) {
    int count = 0;
    size_t kept = stream->end - stream->begin;
    memmove(stream->buffer, stream->buffer + stream->begin, kept);
    stream->begin = 0;
    stream->end = kept;
    if (stream->inside)
        pieces[count++] = (struct iovec){.iov_base = stream->place + stream->filled,
                                         .iov_len = stream->bytes - stream->filled};
    pieces[count++] =
        (struct iovec){.iov_base = stream->buffer + kept, .iov_len = stream->greed - kept};
    return count;
}

void sgp_stream_received(sgp_stream_t *stream, size_t bytes) {
    if (stream->inside) {
        size_t left = stream->bytes - stream->filled, now = bytes < left ? bytes : left;
        stream->filled += now;
        bytes -= now;
    }
    stream->end += bytes;
}

/* The part of the payload that was read together with its head. */
static void take_buffered(sgp_stream_t *stream) {
    size_t left = stream->bytes - stream->filled, here = stream->end - stream->begin;
    size_t now = here < left ? here : left;
    if (now) memcpy(stream->place + stream->filled, stream->buffer + stream->begin, now);
    stream->begin += now;
    stream->filled += now;
}

sgp_stream_event_t sgp_stream_next(sgp_stream_t *stream) {
    if (stream->inside) {
        if (stream->filled < stream->bytes) return SGP_STREAM_MORE;
        stream->inside = false;
        return SGP_STREAM_WHOLE;
    }
    const unsigned char *at = stream->buffer + stream->begin;
    size_t here = stream->end - stream->begin;
    if (here < SGP_FRAME_BYTES) return SGP_STREAM_MORE;
    if (!sgp_frame_decode(at, &stream->kind, &stream->value)) return SGP_STREAM_BROKEN;
    if (stream->kind == SGP_FRAME_PULSE) {
        if (here < SGP_PULSE_BYTES) return SGP_STREAM_MORE;
        stream->pulse = (sgp_pulse_t){sgp_bytes_get(at + SGP_FRAME_BYTES, 8),
                                      sgp_bytes_get(at + SGP_FRAME_BYTES + 8, 8)};
        stream->begin += SGP_PULSE_BYTES;
        return SGP_STREAM_FRAME;
    }
    if (stream->kind != SGP_FRAME_CHUNK) {
        stream->begin += SGP_FRAME_BYTES;
        return SGP_STREAM_FRAME;
    }
    if (here < CHUNK_HEAD) return SGP_STREAM_MORE;
    memcpy(stream->header, at + SGP_FRAME_BYTES, SGP_HEADER_BYTES);
    stream->begin += CHUNK_HEAD;
    return SGP_STREAM_CHUNK;
}

void sgp_stream_place(sgp_stream_t *stream, void *place, size_t bytes) {
    stream->place = place;
    stream->bytes = bytes;
    stream->filled = 0;
    stream->inside = true;
    take_buffered(stream);
}
