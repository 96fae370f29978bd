/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/push.h"

#include "base/logging.h"
#include "base/stream.h"
#include "mixing/holes.h"
#include "mixing/round_graph.h"
#include "mixing/kernels.h"
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

/* The sender keeps the rounding error of encoded numbers: z <- keep z + part (z - dec(enc(z))). */
typedef struct remainder {
    float *z; /* NULL: they stay as they are */
    float keep, part;
} remainder_t;

/* place <- enc(values), through a scratch in the cache if the stores are non-temporal. false: a number is not finite. */
static bool encode(const sgp_mixer_t *mixer, const sgp_send_t *send, size_t count, uint16_t *place,
                   const float *values, const remainder_t *rest) {
    _Alignas(64) uint16_t scratch[SGP_STREAM_BYTES / sizeof(uint16_t)];
    size_t most = send->non_temporal ? sizeof scratch / sizeof *scratch : count;
    sgp_encoding_t encoding = mixer->options.encoding;
    bool finite = true;
    for (size_t done = 0, part; done < count; done += part) {
        part = count - done < most ? count - done : most;
        uint16_t *s = send->non_temporal ? scratch : place + done;
        if (rest->z) sgp_encode_keep(encoding, part, s, rest->z + done, rest->keep, rest->part);
        else sgp_encode(encoding, part, s, values + done);
        finite &= sgp_encoded_finite(encoding, part, s);
        if (send->non_temporal) sgp_stream_copy(part * sizeof *s, place + done, s);
    }
    return finite;
}

bool sgp_push_write(const sgp_mixer_t *mixer, const sgp_send_t *send, size_t count, void *place,
                    const float *values) {
    if (sgp_mixer_is_lossy(mixer))
        return encode(mixer, send, count, place, values, &(remainder_t){0});
    return sgp_copy_out(count, place, values, send->non_temporal);
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
    size_t moved = parameters_in(mixer, offset, count);
    bool finite = true;
    if (moved > 0) finite = sgp_push_write(mixer, send, moved, place, mixer->z + offset);
    if (moved < count)
        finite &= sgp_push_write(mixer, send, count - moved,
                                 (char *)place + moved * sgp_mixer_element(mixer),
                                 buffers + (offset + moved - mixer->count));
    return finite;
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
    remainder_t rest = {.z = z,
                        .keep = biased ? (float)share : 1,
                        .part = (float)(biased ? 1 - share : (1 - share) / share)};
    return encode(mixer, send, count, place, z, &rest);
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

void sgp_rounding_pay(const sgp_rounding_t *rounding, sgp_mixer_t *mixer, size_t offset,
                      size_t count) {
    if (rounding->part == 0) return;
    sgp_encoding_t encoding = mixer->options.encoding;
    size_t moved = parameters_in(mixer, offset, count);
    float *z = mixer->z + offset;
    /* The caller's own changes of the buffers are no mixing: they are entered first. */
    sgp_ledger_enter(&mixer->ledger, mixer->z, offset, count, mixer->w);
    if (moved > 0) sgp_keep_rounding(encoding, moved, z, z, rounding->part);
    if (moved < count)
        sgp_keep_rounding(encoding, count - moved, z + moved,
                          rounding->buffers + (offset + moved - mixer->count), rounding->part);
    sgp_ledger_close_range(&mixer->ledger, mixer->z, offset, count);
}

void sgp_rounding_settle(sgp_rounding_t *rounding, sgp_mixer_t *mixer) {
    sgp_rounding_pay(rounding, mixer, 0, mixer->length);
    rounding->part = 0;
}

void sgp_push_sent(sgp_mixer_t *mixer, int messages) {
    sgp_transport_lock(mixer->transport);
    mixer->statistics.sent += (uint64_t)messages;
    mixer->statistics.bytes_sent += (uint64_t)messages * mixer->length * sgp_mixer_element(mixer);
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
