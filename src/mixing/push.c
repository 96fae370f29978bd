/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/push.h"

#include "base/logging.h"
#include "base/stream.h"
#include "mixing/holes.h"
#include "mixing/round_graph.h"
#include "mixing/kernels.h"
#include "mixing/ranges.h"
#include "mixing/reduce.h"

#include <inttypes.h>
#include <string.h>

unsigned sgp_push_reach(const sgp_mixer_t *mixer) {
    enum { MOST = 8 };
    unsigned levels = 0;
    if (mixer->graph.kind == SGP_GRAPH_RING)
        return mixer->size < MOST ? (unsigned)mixer->size : MOST;
    while (levels < MOST && (1 << levels) < mixer->size) levels++;
    unsigned period = (unsigned)sgp_graph_period(&mixer->graph);
    unsigned reach = period > levels ? period : levels;
    return reach < MOST ? reach : MOST;
}

int sgp_push_shares(sgp_mixer_t *mixer, uint64_t round, double w, double *kept) {
    int count = sgp_holes_out(mixer, round, mixer->edges);
    *kept = w;
    for (int i = 0; i < count; i++) {
        double share = mixer->edges[i].weight * w;
        mixer->to[i] = (sgp_destination_t){.dst = mixer->edges[i].peer, .weight = share};
        *kept -= share;
    }
    return sgp_holes_skip(mixer, mixer->to, count, w, kept);
}

sgp_header_t sgp_push_header(const sgp_mixer_t *mixer, uint64_t round) {
    return (sgp_header_t){.kind = SGP_KIND_PUSH,
                          .encoding = mixer->options.encoding,
                          .channel = mixer->channel,
                          .step = round,
                          .count = mixer->length};
}

sgp_chunk_t *sgp_push_find(const sgp_mixer_t *mixer, sgp_kind_t kind, int src, uint64_t number,
                           size_t offset) {
    sgp_inbox_key_t key = {
        .channel = mixer->channel, .kind = kind, .src = src, .step = number, .offset = offset};
    return sgp_inbox_find(mixer->inbox, &key);
}

/* The number of parameters among elements [offset, offset + count); the rest are buffers. */
static size_t parameters_in(const sgp_mixer_t *mixer, size_t offset, size_t count) {
    if (offset >= mixer->count) return 0;
    return mixer->count - offset < count ? mixer->count - offset : count;
}

#define NOT_KNOWN UINT32_MAX /* no largest absolute value has these bits */

/* The sender keeps the rounding error of encoded numbers: z <- keep z + part (z - dec(enc(z))). */
typedef struct remainder {
    float *z; /* NULL: they stay as they are */
    float keep, part;
} remainder_t;

/* What is sent: the elements before `split` lie at `head`, the others at `tail`. */
typedef struct source {
    const float *head, *tail;
    size_t split;
} source_t;

/* Elements [offset, offset + count) of z, its buffers replaced. */
static source_t source_at(const sgp_mixer_t *mixer, const float *buffers, size_t offset,
                          size_t count) {
    size_t split = parameters_in(mixer, offset, count);
    const float *tail = split < count ? buffers + (offset + split - mixer->count) : NULL;
    return (source_t){.head = mixer->z + offset, .tail = tail, .split = split};
}

/* The most elements from `done` on, up to `end`, that lie in one place; a block across the split: that block. */
static size_t piece_of(const source_t *source, size_t done, size_t end) {
    if (done >= source->split || end <= source->split) return end - done;
    size_t before = source->split - done, block = end - done < SGP_BLOCK ? end - done : SGP_BLOCK;
    return before < SGP_BLOCK ? block : before / SGP_BLOCK * SGP_BLOCK;
}

/* place <- enc(source), through a scratch in the cache if the stores are non-temporal. false: a number is not finite. */
static bool encode(const sgp_mixer_t *mixer, const sgp_send_t *send, size_t count, void *place,
                   const source_t *source, const remainder_t *rest) {
    enum { MOST = SGP_STREAM_BYTES / sizeof(uint16_t) };
    _Alignas(64) unsigned char scratch[SGP_STREAM_BYTES];
    float joined[SGP_BLOCK];
    sgp_encoding_t encoding = mixer->options.encoding;
    bool finite = true;
    for (size_t done = 0, part; done < count; done += part) {
        size_t end = send->non_temporal && count - done > MOST ? done + MOST : count;
        part = piece_of(source, done, end);
        unsigned char *at = (unsigned char *)place + sgp_encoding_bytes(encoding, done);
        void *s = send->non_temporal ? scratch : at;
        const float *values =
            sgp_reduce_joined(source->head, source->split, source->tail, done, part, joined);
        if (rest->z) sgp_encode_keep(encoding, part, s, rest->z + done, rest->keep, rest->part);
        else sgp_encode(encoding, part, s, values);
        finite &= sgp_encoded_finite(encoding, part, s);
        if (send->non_temporal) sgp_stream_copy(sgp_encoding_bytes(encoding, part), at, s);
    }
    return finite;
}

static bool write_source(const sgp_mixer_t *mixer, const sgp_send_t *send, size_t count,
                         void *place, const source_t *source) {
    size_t split = source->split < count ? source->split : count;
    if (sgp_mixer_is_lossy(mixer))
        return encode(mixer, send, count, place, source, &(remainder_t){0});
    bool finite = split == 0 || sgp_copy_out(split, place, source->head, send->non_temporal);
    if (split < count)
        finite &=
            sgp_copy_out(count - split, (float *)place + split, source->tail, send->non_temporal);
    return finite;
}

bool sgp_push_write(const sgp_mixer_t *mixer, const sgp_send_t *send, size_t count, void *place,
                    const float *values) {
    return write_source(mixer, send, count, place, &(source_t){.head = values, .split = count});
}

sgp_status_t sgp_push_commit(const sgp_mixer_t *mixer, sgp_send_t *send, bool finite) {
    if (!sgp_mixer_accepts(mixer, finite))
        return sgp_mixer_refuse(mixer, "vector", send->header.offset, send->header.elements);
    sgp_inbox_send_commit(mixer->inbox, send);
    return SGP_OK;
}

bool sgp_push_copy(const sgp_mixer_t *mixer, const sgp_send_t *send, const float *buffers,
                   void *place) {
    size_t offset = send->header.offset, count = send->header.elements;
    source_t source = source_at(mixer, buffers, offset, count);
    return write_source(mixer, send, count, place, &source);
}

void sgp_push_keep_share(const sgp_mixer_t *mixer, const sgp_send_t *send, double share) {
    if (mixer->options.biased)
        sgp_scale(send->header.elements, mixer->z + send->header.offset, (float)share);
}

bool sgp_push_split(sgp_mixer_t *mixer, const sgp_send_t *send, void *place, double share) {
    size_t count = send->header.elements;
    float *z = mixer->z + send->header.offset;
    if (!sgp_mixer_is_lossy(mixer)) {
        bool finite = sgp_copy_out(count, place, z, send->non_temporal);
        sgp_push_keep_share(mixer, send, share);
        return finite;
    }
    bool biased = mixer->options.biased;
    if (mixer->ranges) return sgp_ranges_push(mixer, send, place, (float)((1 - share) / share));
    remainder_t rest = {.z = z,
                        .keep = biased ? (float)share : 1,
                        .part = (float)(biased ? 1 - share : (1 - share) / share)};
    return encode(mixer, send, count, place, &(source_t){.head = z, .split = count}, &rest);
}

sgp_rounding_t sgp_rounding_of(const sgp_mixer_t *mixer, double before, double kept,
                               const float *buffers) {
    if (!sgp_mixer_is_lossy(mixer)) return (sgp_rounding_t){0};
    return (sgp_rounding_t){.part = (float)((before - kept) / kept), .buffers = buffers};
}

void sgp_rounding_look(sgp_rounding_t *rounding, sgp_mixer_t *mixer) {
    double before = mixer->w;
    sgp_holes_look(mixer);
    rounding->part *= (float)(before / mixer->w);
}

/* Whole chunks, or any elements where the encoding has no blocks. */
static void pay_whole(const sgp_rounding_t *rounding, sgp_mixer_t *mixer, size_t offset,
                      size_t count) {
    source_t source = source_at(mixer, rounding->buffers, offset, count);
    float *z = mixer->z + offset, joined[SGP_BLOCK];
    for (size_t done = 0, part; done < count; done += part) {
        part = piece_of(&source, done, count);
        const float *sent =
            sgp_reduce_joined(source.head, source.split, source.tail, done, part, joined);
        sgp_keep_rounding(mixer->options.encoding, part, z + done, sent, rounding->part);
    }
}

/* Elements of a block that is [begin, begin + length). The first ones that are paid find it as it was sent. */
static void pay_within(const sgp_rounding_t *rounding, sgp_mixer_t *mixer, size_t begin,
                       size_t length, size_t offset, size_t count) {
    float joined[SGP_BLOCK];
    uint32_t *largest = &rounding->largest[begin / sgp_mixer_block(mixer)];
    source_t source = source_at(mixer, rounding->buffers, begin, length);
    const float *sent =
        sgp_reduce_joined(source.head, source.split, source.tail, 0, length, joined);
    if (*largest == NOT_KNOWN) *largest = sgp_block_largest(length, sent);
    sgp_keep_rounding_within(mixer->options.encoding, count, mixer->z + offset,
                             sent + (offset - begin), rounding->part, *largest);
}

static void pay_blocks(const sgp_rounding_t *rounding, sgp_mixer_t *mixer, size_t offset,
                       size_t count) {
    size_t block = sgp_mixer_block(mixer);
    for (size_t end = offset + count, stop; offset < end; offset = stop) {
        size_t begin = offset - offset % block, chunk = sgp_mixer_chunk_end(mixer, offset);
        size_t length = mixer->length - begin < block ? mixer->length - begin : block;
        bool is_last = end == mixer->length;
        size_t whole = is_last ? end : end - end % block; /* blocks end there */
        stop = whole < chunk ? whole : chunk;
        if (offset == begin && stop > offset) {
            pay_whole(rounding, mixer, offset, stop - offset);
            continue;
        }
        stop = end < begin + length ? end : begin + length;
        pay_within(rounding, mixer, begin, length, offset, stop - offset);
    }
}

void sgp_rounding_pay(const sgp_rounding_t *rounding, sgp_mixer_t *mixer, size_t offset,
                      size_t count) {
    if (rounding->part == 0) return;
    /* The caller's own changes of the buffers are no mixing: they are entered first. */
    sgp_ledger_enter(&mixer->ledger, mixer->z, offset, count, mixer->w);
    if (sgp_encoding_has_blocks(mixer->options.encoding))
        pay_blocks(rounding, mixer, offset, count);
    else pay_whole(rounding, mixer, offset, count);
    sgp_ledger_close_range(&mixer->ledger, mixer->z, offset, count);
}

void sgp_rounding_in_parts(sgp_rounding_t *rounding, const sgp_mixer_t *mixer, uint32_t *largest) {
    rounding->largest = largest;
    for (size_t b = 0; largest && b < sgp_mixer_blocks(mixer); b++) largest[b] = NOT_KNOWN;
}

void sgp_rounding_settle(sgp_rounding_t *rounding, sgp_mixer_t *mixer) {
    sgp_rounding_pay(rounding, mixer, 0, mixer->length);
    rounding->part = 0;
}

void sgp_push_sent(sgp_mixer_t *mixer, int messages) {
    sgp_transport_lock(mixer->transport);
    mixer->statistics.sent += (uint64_t)messages;
    mixer->statistics.bytes_sent += (uint64_t)messages * sgp_mixer_bytes(mixer);
    if (messages < 0) mixer->statistics.reabsorbed += (uint64_t)-messages;
    sgp_transport_unlock(mixer->transport);
}

void sgp_push_received(sgp_mixer_t *mixer, int messages, int late) {
    sgp_transport_lock(mixer->transport);
    mixer->statistics.received += (uint64_t)messages;
    mixer->statistics.late += (uint64_t)late;
    sgp_transport_unlock(mixer->transport);
}

sgp_status_t sgp_push_check(const sgp_mixer_t *mixer, const sgp_header_t *header) {
    bool fits = header->count == mixer->length;
    if (fits && header->encoding == mixer->options.encoding) return SGP_OK;
    sgp_rank_name_t there, here;
    if (fits)
        return sgp_fail(
            SGP_ERR_MISMATCH,
            "%s sends encoding %d and %s expects %s: all nodes must use the same encoding",
            sgp_transport_name(mixer->transport, header->src, &there), (int)header->encoding,
            sgp_transport_name(mixer->transport, mixer->rank, &here),
            sgp_encoding_name(mixer->options.encoding));
    return sgp_fail(SGP_ERR_MISMATCH,
                    "%s averages %" PRIu64
                    " numbers and %s averages %zu: all nodes must use the same model",
                    sgp_transport_name(mixer->transport, header->src, &there), header->count,
                    sgp_transport_name(mixer->transport, mixer->rank, &here), mixer->length);
}

void sgp_push_absorb(const sgp_mixer_t *mixer, const sgp_chunk_t *chunk, double w) {
    size_t count = chunk->header.elements;
    float *z = mixer->z + chunk->header.offset, weight = (float)chunk->header.weight;
    if (!mixer->options.biased) sgp_push_absorb_into(z, chunk, w);
    else if (sgp_encoding_is_lossy(chunk->header.encoding))
        sgp_decode_add(chunk->header.encoding, count, z, chunk->payload, weight);
    else sgp_add_scaled(count, z, chunk->payload, weight);
}

void sgp_push_absorb_into(float *z, const sgp_chunk_t *chunk, double w) {
    size_t count = chunk->header.elements;
    float a = (float)(chunk->header.weight / (w + chunk->header.weight));
    if (sgp_encoding_is_lossy(chunk->header.encoding))
        sgp_decode_absorb(chunk->header.encoding, count, z, chunk->payload, a);
    else sgp_absorb(count, z, chunk->payload, a);
}
