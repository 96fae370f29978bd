/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/verdicts.h"

#include "base/logging.h"
#include "mixing/kernels.h"
#include "mixing/ranges.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { REFUSED = 0, NEAREST = 1 /* of a block that is not refused, whatever its distance */ };

/* A chunk of the vector, in a round. */
typedef struct place {
    size_t index, begin, count;
    size_t block, blocks; /* its first block in the vector, and how many it has */
    uint64_t number;      /* of the messages about it */
} place_t;

/* Few rounds are under way at a time: 32 bits tell them apart. */
static place_t place_of(const sgp_mixer_t *mixer, uint64_t round, size_t begin) {
    size_t full = sgp_mixer_chunk(mixer), chunks = (mixer->length - 1) / full + 1;
    place_t place = {.index = begin / full, .begin = begin};
    place.count = sgp_mixer_chunk_at(mixer, begin);
    place.block = begin / SGP_MODULO_BLOCK;
    place.blocks = sgp_modulo_blocks(place.count);
    place.number = (round * chunks + place.index) & UINT32_MAX;
    return place;
}

static bool *heard_of(const sgp_mixer_t *mixer, const place_t *place, int receiver) {
    return &mixer->ranges->heard[place->index * mixer->ranges->degree + (size_t)receiver];
}

static uint32_t *refused_of(const sgp_mixer_t *mixer, const place_t *place, int sender) {
    return &mixer->ranges->refused[place->index * mixer->ranges->degree + (size_t)sender];
}

static size_t block_length(const place_t *place, size_t block) {
    size_t left = place->count - block * SGP_MODULO_BLOCK;
    return left < SGP_MODULO_BLOCK ? left : SGP_MODULO_BLOCK;
}

unsigned sgp_verdicts_messages(const sgp_mixer_t *mixer) {
    if (!sgp_encoding_modulo_bits(mixer->options.encoding)) return 0;
    size_t full = sgp_mixer_chunk(mixer), chunks = (mixer->length - 1) / full + 1;
    size_t degree = (size_t)sgp_graph_max_degree(&mixer->graph);
    return (unsigned)((degree > 0 ? degree : 1) * (chunks + chunks / 8 + 4));
}

static sgp_chunk_t *find(const sgp_mixer_t *mixer, sgp_kind_t kind, int src, const place_t *place) {
    return sgp_push_find(mixer, kind, src, place->number, 0);
}

/* The message has the length that this node expects. */
static sgp_status_t check(const sgp_mixer_t *mixer, const sgp_header_t *header, size_t elements,
                          sgp_encoding_t encoding) {
    sgp_rank_name_t name;
    if (header->count == elements && header->elements == elements && header->encoding == encoding)
        return SGP_OK;
    return sgp_fail(SGP_ERR_MISMATCH, "%s answers with %" PRIu64 " numbers, not %zu",
                    sgp_transport_name(mixer->transport, header->src, &name), header->count,
                    elements);
}

/* SGP_ERR_AGAIN: there is no room now. */
static sgp_status_t begin(sgp_mixer_t *mixer, sgp_kind_t kind, int dst, const place_t *place,
                          size_t count, sgp_destination_t *to, sgp_send_t *send) {
    sgp_header_t header = {.kind = kind,
                           .encoding =
                               kind == SGP_KIND_REPAIR ? SGP_ENCODING_FLOAT32 : SGP_ENCODING_BYTES,
                           .channel = mixer->channel,
                           .step = place->number,
                           .count = count};
    *to = (sgp_destination_t){.dst = dst, .weight = 1};
    return sgp_inbox_send_try(mixer->inbox, &header, to, 1, send);
}

static void finish(sgp_mixer_t *mixer, sgp_send_t *send) {
    sgp_inbox_send_commit(mixer->inbox, send);
    sgp_inbox_send_next(mixer->inbox, send); /* NULL: the message is whole */
}

/* ---- the receiver's verdicts ---- */

static sgp_status_t check_codes(const sgp_mixer_t *mixer, const place_t *place,
                                const sgp_header_t *header) {
    sgp_status_t status = sgp_push_check(mixer, header);
    if (status != SGP_OK || header->elements == place->count) return status;
    sgp_rank_name_t name;
    return sgp_fail(SGP_ERR_MISMATCH, "%s cuts its messages into chunks of another size",
                    sgp_transport_name(mixer->transport, header->src, &name));
}

/* Decodes without absorbing: a is 0. Returns the elements of refused blocks. */
static uint32_t try_codes(sgp_mixer_t *mixer, const place_t *place, const sgp_chunk_t *codes) {
    sgp_ranges_t *ranges = mixer->ranges;
    uint32_t elements = 0;
    sgp_modulo_absorb(ranges->code.bits, place->count, mixer->z + place->begin,
                      ranges->r + place->block, codes->payload, 0, ranges->set, ranges->away);
    for (size_t b = 0; b < place->blocks; b++) {
        bool refused = sgp_modulo_in_set(ranges->set, b);
        if (refused) elements += (uint32_t)block_length(place, b);
        if (refused) ranges->away[b] = REFUSED;
        else if (ranges->away[b] < NEAREST) ranges->away[b] = NEAREST;
    }
    return elements;
}

/* Without room for the verdict it is made again later, from the same numbers. */
static sgp_status_t judge(sgp_mixer_t *mixer, const place_t *place, int sender,
                          const sgp_chunk_t *codes) {
    sgp_destination_t to;
    sgp_send_t send;
    sgp_status_t status = check_codes(mixer, place, &codes->header);
    if (status != SGP_OK) return status;
    status = begin(mixer, SGP_KIND_VERDICT, codes->header.src, place, place->blocks, &to, &send);
    if (status != SGP_OK) return status;
    uint32_t refused = try_codes(mixer, place, codes);
    *refused_of(mixer, place, sender) = refused;
    mixer->transport->counters.refused += refused > 0;
    memcpy(sgp_inbox_send_next(mixer->inbox, &send), mixer->ranges->away, place->blocks);
    finish(mixer, &send);
    return SGP_OK;
}

static sgp_status_t judge_all(const sgp_push_parts_t *push, sgp_mixer_t *mixer,
                              const place_t *place) {
    for (int s = 0; s < push->senders_count; s++) {
        if (push->torn[s] || *refused_of(mixer, place, s) != SGP_NOT_JUDGED) continue;
        const sgp_chunk_t *codes =
            sgp_push_find(mixer, SGP_KIND_PUSH, push->senders[s].peer, push->round, place->begin);
        sgp_status_t status = codes ? judge(mixer, place, s, codes) : SGP_OK;
        if (status != SGP_OK) return status == SGP_ERR_AGAIN ? SGP_OK : status;
    }
    return SGP_OK;
}

/* ---- the sender's repairs ---- */

/* The blocks that the verdict refuses, one after another; returns their elements. */
static size_t gather(const place_t *place, const unsigned char *verdict, const float *y,
                     float *to) {
    size_t elements = 0;
    for (size_t b = 0; b < place->blocks; b++) {
        size_t length = block_length(place, b);
        if (verdict[b] != REFUSED) continue;
        if (to) memcpy(to + elements, y + b * SGP_MODULO_BLOCK, length * sizeof *to);
        elements += length;
    }
    return elements;
}

static sgp_status_t repair(sgp_mixer_t *mixer, const place_t *place, int dst,
                           const unsigned char *verdict) {
    sgp_ranges_t *ranges = mixer->ranges;
    size_t elements = gather(place, verdict, NULL, NULL);
    sgp_destination_t to;
    sgp_send_t send;
    if (elements == 0) return SGP_OK;
    if (sgp_modulo_decode(ranges->code.bits, place->count, ranges->decoded, mixer->z + place->begin,
                          ranges->codes + place->index * ranges->bytes, NULL) > 0)
        return sgp_fail(SGP_ERR_SYSTEM, "mixer: the vector has changed under a push");
    sgp_status_t status = begin(mixer, SGP_KIND_REPAIR, dst, place, elements, &to, &send);
    if (status != SGP_OK) return status;
    gather(place, verdict, ranges->decoded, sgp_inbox_send_next(mixer->inbox, &send));
    finish(mixer, &send);
    mixer->transport->counters.resent++;
    mixer->statistics.bytes_sent += elements * sizeof(float);
    return SGP_OK;
}

static sgp_status_t hear(sgp_mixer_t *mixer, const place_t *place, int receiver, int dst) {
    sgp_chunk_t *verdict = find(mixer, SGP_KIND_VERDICT, dst, place);
    bool *heard = heard_of(mixer, place, receiver);
    if (!verdict) return SGP_OK;
    sgp_status_t status = check(mixer, &verdict->header, place->blocks, SGP_ENCODING_BYTES);
    if (status == SGP_OK) status = repair(mixer, place, dst, verdict->payload);
    if (status != SGP_OK) return status;
    sgp_modulo_hear(place->blocks, mixer->ranges->r + place->block, verdict->payload);
    sgp_inbox_release(mixer->inbox, verdict);
    *heard = true;
    return SGP_OK;
}

static sgp_status_t hear_all(const sgp_push_parts_t *push, sgp_mixer_t *mixer,
                             const place_t *place) {
    for (int d = 0; d < push->destinations; d++) {
        if (*heard_of(mixer, place, d)) continue;
        sgp_status_t status = hear(mixer, place, d, push->to[d].dst);
        if (status != SGP_OK) return status == SGP_ERR_AGAIN ? SGP_OK : status;
    }
    return SGP_OK;
}

/* ---- absorbing ---- */

static sgp_chunk_t *repair_of(const sgp_mixer_t *mixer, const place_t *place, int src) {
    return find(mixer, SGP_KIND_REPAIR, src, place);
}

/* *there: it need not be waited for. */
static sgp_status_t check_repair(const sgp_push_parts_t *push, sgp_mixer_t *mixer,
                                 const place_t *place, int sender, bool *there) {
    int src = push->senders[sender].peer;
    uint32_t refused = *refused_of(mixer, place, sender);
    *there = refused == 0;
    if (refused == 0 || refused == SGP_NOT_JUDGED) return SGP_OK;
    const sgp_chunk_t *found = repair_of(mixer, place, src);
    if (!found) return SGP_OK;
    *there = true;
    sgp_status_t status = check(mixer, &found->header, refused, SGP_ENCODING_FLOAT32);
    if (status != SGP_OK || sgp_is_finite(refused, found->payload)) return status;
    sgp_rank_name_t name;
    return sgp_fail(SGP_ERR_MISMATCH, "%s has sent numbers that are not finite",
                    sgp_transport_name(mixer->transport, src, &name));
}

/* With several senders: what each has sent, and which blocks of it were refused. */
static float *decoded_of(const sgp_mixer_t *mixer, int sender) {
    return mixer->ranges->decoded + (size_t)sender * sgp_mixer_chunk(mixer);
}

static unsigned char *set_of(const sgp_mixer_t *mixer, int sender) {
    return mixer->ranges->set + (size_t)sender * sgp_modulo_set_bytes(sgp_mixer_chunk(mixer));
}

/* Each is decoded against z before the first one is absorbed. */
static void decode_all(const sgp_push_parts_t *push, sgp_mixer_t *mixer, const place_t *place) {
    for (int s = 0; push->senders_count > 1 && s < push->senders_count; s++) {
        const sgp_chunk_t *codes =
            sgp_push_find(mixer, SGP_KIND_PUSH, push->senders[s].peer, push->round, place->begin);
        if (push->torn[s]) continue;
        sgp_modulo_decode(mixer->ranges->code.bits, place->count, decoded_of(mixer, s),
                          mixer->z + place->begin, codes->payload, set_of(mixer, s));
    }
}

sgp_status_t sgp_verdicts_ready(const sgp_push_parts_t *push, sgp_mixer_t *mixer,
                                const sgp_part_chunk_t *chunk, bool *ready) {
    place_t place = place_of(mixer, push->round, chunk->begin);
    *ready = false;
    sgp_status_t status = judge_all(push, mixer, &place);
    if (status == SGP_OK) status = hear_all(push, mixer, &place);
    if (status != SGP_OK) return status;
    for (int d = 0; d < push->destinations; d++)
        if (!*heard_of(mixer, &place, d)) return SGP_OK;
    for (int s = 0; s < push->senders_count; s++) {
        bool there = push->torn[s];
        if (!there) status = check_repair(push, mixer, &place, s, &there);
        if (status != SGP_OK || !there) return status;
    }
    decode_all(push, mixer, &place);
    *ready = true;
    return SGP_OK;
}

/* Blocks of the set come from the repair, the others from `decoded`; NULL: they have been absorbed. */
static void absorb_blocks(sgp_mixer_t *mixer, const place_t *place, const sgp_chunk_t *arrived,
                          const unsigned char *set, const float *decoded, float a) {
    sgp_chunk_t *repair = repair_of(mixer, place, arrived->header.src);
    const float *next = repair ? repair->payload : NULL;
    for (size_t b = 0; b < place->blocks; b++) {
        size_t length = block_length(place, b), at = place->begin + b * SGP_MODULO_BLOCK;
        bool refused = sgp_modulo_in_set(set, b);
        if (!refused && !decoded) continue;
        const float *y = refused ? next : decoded + b * SGP_MODULO_BLOCK;
        sgp_modulo_absorb_exact(length, mixer->z + at, &mixer->ranges->r[place->block + b], y, a);
        if (refused) next += length;
    }
    if (repair) sgp_inbox_release(mixer->inbox, repair);
}

void sgp_verdicts_absorb(sgp_mixer_t *mixer, const sgp_push_parts_t *push, int sender,
                         const sgp_chunk_t *arrived, double w) {
    place_t place = place_of(mixer, push->round, arrived->header.offset);
    sgp_ranges_t *ranges = mixer->ranges;
    float a = (float)(arrived->header.weight / (w + arrived->header.weight));
    if (push->senders_count > 1) {
        absorb_blocks(mixer, &place, arrived, set_of(mixer, sender), decoded_of(mixer, sender), a);
        return;
    }
    sgp_modulo_absorb(ranges->code.bits, place.count, mixer->z + place.begin,
                      ranges->r + place.block, arrived->payload, a, ranges->set, NULL);
    absorb_blocks(mixer, &place, arrived, ranges->set, NULL, a);
}

void sgp_verdicts_describe(const sgp_push_parts_t *push, const sgp_mixer_t *mixer,
                           const sgp_part_chunk_t *chunk, char *text, size_t size) {
    place_t place = place_of(mixer, push->round, chunk->begin);
    sgp_rank_name_t name;
    for (int s = 0; s < push->senders_count; s++) {
        uint32_t refused = *refused_of(mixer, &place, s);
        int src = push->senders[s].peer;
        if (push->torn[s] || refused == 0 ||
            (refused != SGP_NOT_JUDGED && repair_of(mixer, &place, src)))
            continue;
        snprintf(text, size, "the message of step %" PRIu64 " from %s", push->round,
                 sgp_transport_name(mixer->transport, src, &name));
        return;
    }
    int receiver = 0;
    while (receiver + 1 < push->destinations && *heard_of(mixer, &place, receiver)) receiver++;
    snprintf(text, size, "the verdict of %s on the message of step %" PRIu64,
             push->destinations > 0
                 ? sgp_transport_name(mixer->transport, push->to[receiver].dst, &name)
                 : "nobody",
             push->round);
}
