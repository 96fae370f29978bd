/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/reduce.h"

#include "base/log.h"
#include "mixing/kernels.h"

#include <inttypes.h>
#include <string.h>

/* Elements [begin, end) of the vector, which rank `owner` adds up. */
typedef struct segment {
    size_t begin, end;
} segment_t;

/* Where a run stands. */
typedef struct progress {
    segment_t mine;
    size_t reduced;  /* elements of mine that are added up and sent */
    int finished;    /* other segments whose mean is whole */
    sgp_send_t mean; /* the message with the mean of mine */
    bool mean_begun;
    bool moved; /* something was done since it was last cleared */
} progress_t;

/* Segments begin at multiples of 16 elements, a cache line. With more nodes than lines some are
 * empty. */
static segment_t segment_of(const sgp_mixer_t *mixer, int rank) {
    size_t lines = (mixer->length + 15) / 16, n = (size_t)mixer->size, r = (size_t)rank;
    size_t begin = lines * r / n * 16, end = lines * (r + 1) / n * 16;
    return (segment_t){begin < mixer->length ? begin : mixer->length,
                       end < mixer->length ? end : mixer->length};
}

static sgp_header_t header_of(const sgp_reduce_t *reduce, sgp_kind_t kind, segment_t segment) {
    return (sgp_header_t){.kind = kind,
                          .encoding = SGP_ENCODING_FLOAT32,
                          .channel = reduce->channel,
                          .step = reduce->step,
                          .count = segment.end - segment.begin};
}

static sgp_chunk_t *find(sgp_reduce_t *reduce, sgp_kind_t kind, int src, size_t offset) {
    sgp_inbox_key_t key = {.channel = reduce->channel,
                           .kind = kind,
                           .src = src,
                           .step = reduce->step,
                           .offset = offset};
    return sgp_inbox_find(reduce->mixer->inbox, &key);
}

static sgp_status_t check_segment(const sgp_reduce_t *reduce, const sgp_header_t *header,
                                  segment_t segment) {
    if (header->count == segment.end - segment.begin) return SGP_OK;
    return sgp_fail(SGP_ERR_MISMATCH,
                    "node %d sent a segment of %" PRIu64
                    " numbers where node %d has %zu: not one model",
                    header->src, header->count, reduce->mixer->rank, segment.end - segment.begin);
}

/* ---- adding up a chunk of my segment ---- */

/* All parts of the chunk at `offset` of my segment, in order of rank; false: one has not arrived.
 */
static bool parts_there(sgp_reduce_t *reduce, size_t offset) {
    for (int r = 0; r < reduce->mixer->size; r++)
        if (r != reduce->mixer->rank && !find(reduce, SGP_KIND_REDUCE, r, offset)) return false;
    return true;
}

/* One node's part of a chunk and its weight; chunk: where it lies, NULL for our own. */
typedef struct part {
    const float *values;
    double weight;
    sgp_chunk_t *chunk;
} part_t;

/* All of them have arrived. parts: (size), by rank. */
static sgp_status_t find_parts(sgp_reduce_t *reduce, const progress_t *progress, size_t offset,
                               size_t count, part_t *parts) {
    sgp_mixer_t *mixer = reduce->mixer;
    for (int r = 0; r < mixer->size; r++) {
        if (r == mixer->rank) {
            size_t begin = progress->mine.begin + offset;
            parts[r] = (part_t){.values = reduce->part(reduce, begin, count, mixer->scratch),
                                .weight = reduce->weight};
            continue;
        }
        sgp_chunk_t *chunk = find(reduce, SGP_KIND_REDUCE, r, offset);
        sgp_status_t status = check_segment(reduce, &chunk->header, progress->mine);
        if (status != SGP_OK) return status;
        parts[r] = (part_t){chunk->payload, chunk->header.weight, chunk};
    }
    return SGP_OK;
}

static void mean_in_double(const sgp_mixer_t *mixer, const part_t *parts, size_t count,
                           float *mean) {
    double weights = 0;
    memset(mixer->sums, 0, count * sizeof *mixer->sums);
    for (int r = 0; r < mixer->size; r++) {
        sgp_accumulate(count, mixer->sums, parts[r].values, parts[r].weight);
        weights += parts[r].weight;
    }
    sgp_divide(count, mean, mixer->sums, weights);
}

/* The first two are read together: a copy of the first would be one pass more. */
static void mean_in_float(const sgp_mixer_t *mixer, const part_t *parts, size_t count,
                          float *mean) {
    if (mixer->size == 1) memcpy(mean, parts[0].values, count * sizeof *mean);
    else sgp_add(count, mean, parts[0].values, parts[1].values);
    for (int r = 2; r < mixer->size; r++) sgp_add(count, mean, mean, parts[r].values);
    sgp_scale(count, mean, 1.0f / (float)mixer->size);
}

static sgp_status_t add_up(sgp_reduce_t *reduce, const progress_t *progress, size_t offset,
                           size_t count, float *mean) {
    sgp_mixer_t *mixer = reduce->mixer;
    part_t parts[mixer->size];
    sgp_status_t status = find_parts(reduce, progress, offset, count, parts);
    if (status != SGP_OK) return status;
    if (reduce->exact) mean_in_double(mixer, parts, count, mean);
    else mean_in_float(mixer, parts, count, mean);
    for (int r = 0; r < mixer->size; r++)
        if (parts[r].chunk) sgp_inbox_release(mixer->inbox, parts[r].chunk);
    return SGP_OK;
}

static sgp_status_t begin_mean(sgp_reduce_t *reduce, progress_t *progress) {
    sgp_mixer_t *mixer = reduce->mixer;
    int count = 0;
    for (int r = 0; r < mixer->size; r++)
        if (r != mixer->rank) mixer->to[count++] = (sgp_destination_t){.dst = r, .weight = 1};
    sgp_header_t header = header_of(reduce, SGP_KIND_GATHER, progress->mine);
    progress->mean_begun = true;
    return sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, count, reduce->deadline,
                                &progress->mean);
}

/* Adds up the chunks of my segment whose parts are all there, and sends each on at once. */
static sgp_status_t reduce_ready(sgp_reduce_t *reduce, progress_t *progress) {
    sgp_mixer_t *mixer = reduce->mixer;
    size_t length = progress->mine.end - progress->mine.begin;
    while (progress->reduced < length && parts_there(reduce, progress->reduced)) {
        sgp_status_t status = SGP_OK;
        if (!progress->mean_begun) status = begin_mean(reduce, progress);
        if (status != SGP_OK) return status;
        float *mean = sgp_transport_send_next(mixer->transport, &progress->mean);
        size_t offset = progress->mean.header.offset, count = progress->mean.header.elements;
        status = add_up(reduce, progress, offset, count, mean);
        if (status != SGP_OK) return status;
        reduce->result(reduce, progress->mine.begin + offset, count, mean);
        sgp_transport_send_commit(mixer->transport, &progress->mean);
        progress->reduced += count;
        progress->moved = true;
    }
    return SGP_OK;
}

/* ---- the means of the others' segments ---- */

/* taken: (size) elements of each segment that have arrived. */
static sgp_status_t gather_ready(sgp_reduce_t *reduce, progress_t *progress, size_t *taken) {
    sgp_mixer_t *mixer = reduce->mixer;
    for (int r = 0; r < mixer->size; r++) {
        segment_t segment = segment_of(mixer, r);
        size_t length = segment.end - segment.begin;
        sgp_chunk_t *chunk;
        if (r == mixer->rank) continue;
        while (taken[r] < length && (chunk = find(reduce, SGP_KIND_GATHER, r, taken[r]))) {
            sgp_status_t status = check_segment(reduce, &chunk->header, segment);
            if (status != SGP_OK) return status;
            reduce->result(reduce, segment.begin + taken[r], chunk->header.elements,
                           chunk->payload);
            taken[r] += chunk->header.elements;
            if (taken[r] == length) progress->finished++;
            progress->moved = true;
            sgp_inbox_release(mixer->inbox, chunk);
        }
    }
    return SGP_OK;
}

/* ---- the whole ---- */

static int owned_by_others(const sgp_mixer_t *mixer) {
    int count = 0;
    for (int r = 0; r < mixer->size; r++) {
        segment_t segment = segment_of(mixer, r);
        count += r != mixer->rank && segment.end > segment.begin;
    }
    return count;
}

/* One message per other owner, begun in the order rank + 1, rank + 2, ...: not everybody to rank 0
 * first. to: (size). */
static sgp_status_t begin_parts(sgp_reduce_t *reduce, sgp_destination_t *to, sgp_send_t *sends) {
    sgp_mixer_t *mixer = reduce->mixer;
    for (int i = 1; i < mixer->size; i++) {
        int owner = (mixer->rank + i) % mixer->size;
        segment_t segment = segment_of(mixer, owner);
        sends[i] = (sgp_send_t){0};
        if (segment.end == segment.begin) continue;
        to[i] = (sgp_destination_t){.dst = owner, .weight = reduce->weight};
        sgp_header_t header = header_of(reduce, SGP_KIND_REDUCE, segment);
        sgp_status_t status =
            sgp_inbox_send_begin(mixer->inbox, &header, &to[i], 1, reduce->deadline, &sends[i]);
        if (status != SGP_OK) return status;
        reduce->sent++;
        reduce->bytes_sent += header.count * sizeof(float);
    }
    return SGP_OK;
}

/* The next chunk of the message to `owner`; false: it is whole. */
static bool send_part(sgp_reduce_t *reduce, int owner, sgp_send_t *send) {
    if (send->destinations == 0) return false;
    float *place = sgp_transport_send_next(reduce->mixer->transport, send);
    if (!place) return false;
    segment_t segment = segment_of(reduce->mixer, owner);
    size_t offset = segment.begin + send->header.offset, count = send->header.elements;
    const float *part = reduce->part(reduce, offset, count, place);
    if (part != place) memcpy(place, part, count * sizeof *place);
    sgp_transport_send_commit(reduce->mixer->transport, send);
    return true;
}

static sgp_status_t absorb(sgp_reduce_t *reduce, progress_t *progress, size_t *taken) {
    sgp_status_t status = reduce_ready(reduce, progress);
    return status == SGP_OK ? gather_ready(reduce, progress, taken) : status;
}

sgp_status_t sgp_reduce_run(sgp_reduce_t *reduce) {
    sgp_mixer_t *mixer = reduce->mixer;
    progress_t progress = {.mine = segment_of(mixer, mixer->rank)};
    sgp_destination_t to[mixer->size];
    size_t taken[mixer->size];
    memset(taken, 0, sizeof taken);
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_status_t status = begin_parts(reduce, to, mixer->sends);
    /* Round the destinations chunk by chunk: all owners can begin to add early. */
    for (bool more = true; more && status == SGP_OK;) {
        more = false;
        for (int i = 1; i < mixer->size; i++)
            more |= send_part(reduce, (mixer->rank + i) % mixer->size, &mixer->sends[i]);
        mark = sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
        status = absorb(reduce, &progress, taken);
        mark = sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    }
    int others = owned_by_others(mixer);
    size_t length = progress.mine.end - progress.mine.begin;
    while (status == SGP_OK && (progress.reduced < length || progress.finished < others)) {
        progress.moved = false;
        status = absorb(reduce, &progress, taken);
        mark = sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
        if (status == SGP_OK && !progress.moved)
            status = sgp_inbox_wait(mixer->inbox, reduce->deadline, "parts of an all-reduce");
        mark = sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    }
    int receivers = length > 0 ? mixer->size - 1 : 0;
    reduce->sent += (uint64_t)receivers;
    reduce->bytes_sent += (uint64_t)receivers * length * sizeof(float);
    reduce->received += (uint64_t)(receivers + others);
    return status;
}
