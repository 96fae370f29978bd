/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/reduce.h"

#include "base/logging.h"
#include "base/stream.h"
#include "group/membership.h"
#include "mixing/kernels.h"
#include "codec/codec.h"

#include <inttypes.h>
#include <string.h>

/* The state of one call. */
typedef struct state {
    sgp_segment_t mine;
    bool scatters, gathers; /* the halves that it has */
    size_t reduced;         /* elements of mine that are added up */
    int there;              /* ranks, from 0 on, whose part of the next chunk of mine has arrived */
    int finished;           /* other segments whose whole mean has arrived */
    sgp_send_t mean;        /* the message with the mean of mine */
    bool mean_begun;
    bool moved;    /* a chunk was handled since it was last cleared */
    uint64_t mark; /* of the trace: begin of the current span */
} state_t;

static size_t length_of(sgp_segment_t segment) {
    return segment.end - segment.begin;
}

const float *sgp_reduce_joined(const float *head, size_t split, const float *tail, size_t offset,
                               size_t count, float *scratch) {
    if (offset >= split) return tail + (offset - split);
    if (offset + count <= split) return head + offset;
    size_t first = split - offset;
    memcpy(scratch, head + offset, first * sizeof *scratch);
    memcpy(scratch + first, tail, (count - first) * sizeof *scratch);
    return scratch;
}

/* ---- messages ---- */

static sgp_encoding_t encoding_of(const sgp_reduce_t *reduce) {
    return sgp_encoding_is_lossy(reduce->encoding) ? reduce->encoding : SGP_ENCODING_FLOAT32;
}

static uint64_t message_bytes(const sgp_reduce_t *reduce, uint64_t count) {
    return sgp_encoding_message(encoding_of(reduce), reduce->reducer->transport->chunk_bytes,
                                count);
}

static sgp_header_t header_of(const sgp_reduce_t *reduce, sgp_kind_t kind, sgp_segment_t segment) {
    return (sgp_header_t){.kind = kind,
                          .encoding = encoding_of(reduce),
                          .channel = reduce->channel,
                          .step = reduce->step,
                          .count = length_of(segment)};
}

static sgp_chunk_t *find(sgp_reduce_t *reduce, sgp_kind_t kind, int src, size_t offset) {
    sgp_inbox_key_t key = {.channel = reduce->channel,
                           .kind = kind,
                           .src = src,
                           .step = reduce->step,
                           .offset = offset};
    return sgp_inbox_find(reduce->reducer->inbox, &key);
}

static sgp_status_t check_segment(const sgp_reduce_t *reduce, const sgp_header_t *header,
                                  sgp_segment_t segment) {
    const sgp_transport_t *transport = reduce->reducer->transport;
    sgp_rank_name_t there, here;
    if (header->count == length_of(segment) && header->encoding == encoding_of(reduce))
        return SGP_OK;
    if (header->encoding != encoding_of(reduce))
        return sgp_fail(
            SGP_ERR_MISMATCH,
            "%s sends encoding %d and %s expects %s: all nodes must use the same encoding",
            sgp_transport_name(transport, header->src, &there), (int)header->encoding,
            sgp_transport_name(transport, transport->rank, &here),
            sgp_encoding_name(encoding_of(reduce)));
    return sgp_fail(SGP_ERR_MISMATCH,
                    "%s sent a segment of %" PRIu64
                    " numbers and %s expects %zu: all nodes must use the same model",
                    sgp_transport_name(transport, header->src, &there), header->count,
                    sgp_transport_name(transport, transport->rank, &here), length_of(segment));
}

static void mark_end(const sgp_reduce_t *reduce, state_t *state, sgp_trace_kind_t kind) {
    state->mark = sgp_trace_end(reduce->trace, SGP_TRACE_COMPUTING, kind, state->mark);
}

/* ---- adding up a chunk of my segment ---- */

bool sgp_reduce_is_there(sgp_reduce_t *reduce, size_t offset, int *there) {
    int size = reduce->reducer->size, rank = reduce->reducer->rank;
    while (*there < size && (*there == rank || !sgp_reducer_has(reduce->reducer, *there) ||
                             find(reduce, SGP_KIND_REDUCE, *there, offset)))
        ++*there;
    return *there == size;
}

/* One rank's part of a chunk and its weight; chunk: NULL for our own. */
typedef struct part {
    const void *values; /* our own in float32, others encoded */
    double weight;
    sgp_chunk_t *chunk;
} part_t;

/* SGP_ERR_NOT_FINITE, logged, unless our part is finite or is not checked. */
static sgp_status_t judge(const sgp_reduce_t *reduce, bool finite, size_t offset, size_t count) {
    if (finite || reduce->unchecked) return SGP_OK;
    sgp_status_t status = sgp_membership_check_self(sgp_group_membership(reduce->reducer->group));
    if (status != SGP_OK) return status;
    return sgp_fail_at(SGP_LOG_INFO, SGP_ERR_NOT_FINITE,
                       "all-reduce %" PRIu64
                       ": elements %zu to %zu of this node's part are not all finite",
                       reduce->step, offset, offset + count - 1);
}

/* place <- part, unless it lies there. false: a number is not finite. */
static bool copy_part(const sgp_send_t *send, size_t count, float *place, const float *part) {
    if (part == place) return sgp_is_finite(count, part);
    return sgp_copy_out(count, place, part, send->non_temporal);
}

/* Our part of our own segment, with the rounding error of its last mean. */
static const float *own_part(sgp_reduce_t *reduce, size_t begin, size_t count) {
    float *scratch = reduce->reducer->scratch;
    const float *values = reduce->part(reduce, begin, count, scratch);
    if (!sgp_encoding_is_lossy(reduce->encoding)) return values;
    sgp_add(count, scratch, values, reduce->rounding + begin);
    return scratch;
}

/* All parts have arrived. parts: (takes_part), in order of rank. */
static sgp_status_t find_parts(sgp_reduce_t *reduce, sgp_segment_t mine, size_t offset,
                               size_t count, part_t *parts) {
    sgp_reducer_t *reducer = reduce->reducer;
    for (int r = 0, at = 0; r < reducer->size; r++) {
        if (!sgp_reducer_has(reducer, r)) continue;
        if (r == reducer->rank) {
            size_t begin = mine.begin + offset;
            const float *own = own_part(reduce, begin, count);
            sgp_status_t status = judge(reduce, sgp_is_finite(count, own), begin, count);
            if (status != SGP_OK) return status;
            parts[at++] = (part_t){.values = own, .weight = reduce->weight};
            continue;
        }
        sgp_chunk_t *chunk = find(reduce, SGP_KIND_REDUCE, r, offset);
        sgp_status_t status = check_segment(reduce, &chunk->header, mine);
        if (status != SGP_OK) return status;
        parts[at++] = (part_t){chunk->payload, chunk->header.weight, chunk};
    }
    return SGP_OK;
}

static void mean_in_double(const sgp_reducer_t *reducer, const part_t *parts, size_t count,
                           float *mean) {
    double weights = 0;
    memset(reducer->sums, 0, count * sizeof *reducer->sums);
    for (int p = 0; p < reducer->takes_part; p++) {
        sgp_accumulate(count, reducer->sums, parts[p].values, parts[p].weight);
        weights += parts[p].weight;
    }
    sgp_divide(count, mean, reducer->sums, weights);
}

/* The first two are read together: a copy of the first would be one pass more. */
static void mean_in_float(const sgp_reducer_t *reducer, const part_t *parts, size_t count,
                          float *mean) {
    int ranks = reducer->takes_part;
    if (ranks == 1) memcpy(mean, parts[0].values, count * sizeof *mean);
    else sgp_add(count, mean, parts[0].values, parts[1].values);
    for (int p = 2; p < ranks; p++) sgp_add(count, mean, mean, parts[p].values);
    sgp_scale(count, mean, 1.0f / (float)ranks);
}

static void mean_of_encoded(const sgp_reduce_t *reduce, const part_t *parts, size_t count,
                            float *mean) {
    sgp_encoding_t encoding = reduce->encoding;
    int ranks = reduce->reducer->takes_part;
    if (!parts[0].chunk) memcpy(mean, parts[0].values, count * sizeof *mean);
    else sgp_decode(encoding, count, mean, parts[0].values);
    for (int p = 1; p < ranks; p++) {
        if (!parts[p].chunk) sgp_add(count, mean, mean, parts[p].values);
        else sgp_decode_add(encoding, count, mean, parts[p].values, 1);
    }
    sgp_scale(count, mean, 1.0f / (float)ranks);
}

static sgp_status_t add_up(sgp_reduce_t *reduce, sgp_segment_t mine, size_t offset, size_t count,
                           float *mean) {
    sgp_reducer_t *reducer = reduce->reducer;
    part_t parts[reducer->takes_part];
    sgp_status_t status = find_parts(reduce, mine, offset, count, parts);
    if (status != SGP_OK) return status;
    if (reduce->exact) mean_in_double(reducer, parts, count, mean);
    else if (sgp_encoding_is_lossy(reduce->encoding)) mean_of_encoded(reduce, parts, count, mean);
    else mean_in_float(reducer, parts, count, mean);
    for (int p = 0; p < reducer->takes_part; p++)
        if (parts[p].chunk) sgp_inbox_release(reducer->inbox, parts[p].chunk);
    return SGP_OK;
}

sgp_status_t sgp_reduce_begin_mean(sgp_reduce_t *reduce, sgp_send_t *mean) {
    sgp_reducer_t *reducer = reduce->reducer;
    sgp_header_t header =
        header_of(reduce, SGP_KIND_GATHER, sgp_reducer_segment(reducer, reducer->rank));
    return sgp_inbox_send_begin(reducer->inbox, &header, reducer->everyone, reducer->others,
                                reduce->deadline, mean);
}

/* The place for the next chunk of the mean of my segment, and its size: inside the message to the others, if there is
 * one. */
static sgp_status_t next_mean(sgp_reduce_t *reduce, state_t *state, void **place, size_t *count) {
    sgp_reducer_t *reducer = reduce->reducer;
    size_t left = length_of(state->mine) - state->reduced;
    size_t most = sgp_encoding_fit(encoding_of(reduce), reducer->transport->chunk_bytes);
    *place = reducer->mean;
    *count = left < most ? left : most;
    if (!state->gathers) return SGP_OK;
    if (!state->mean_begun) {
        state->mean_begun = true;
        sgp_status_t status = sgp_reduce_begin_mean(reduce, &state->mean);
        if (status != SGP_OK) return status;
    }
    *place = sgp_inbox_send_next(reducer->inbox, &state->mean);
    return SGP_OK;
}

static void end_mean(sgp_reduce_t *reduce, state_t *state, size_t count) {
    if (state->gathers) sgp_inbox_send_commit(reduce->reducer->inbox, &state->mean);
    state->reduced += count;
    state->there = 0;
    state->moved = true;
}

/* Parts that are finite can have a sum that is not. In blocks no other rank would take it. */
static sgp_status_t judge_mean(const sgp_reduce_t *reduce, size_t offset, size_t count,
                               const void *place) {
    if (!sgp_encoding_has_blocks(reduce->encoding)) return SGP_OK;
    return judge(reduce, sgp_encoded_finite(reduce->encoding, count, place), offset, count);
}

/* The mean of a chunk of my segment, to reduce->result, and to the place of its message; send NULL: there is none. */
static sgp_status_t make_mean(sgp_reduce_t *reduce, sgp_segment_t mine, size_t offset, size_t count,
                              const sgp_send_t *send, void *place) {
    bool lossy = send && sgp_encoding_is_lossy(reduce->encoding);
    bool streams = send && send->non_temporal;
    size_t begin = mine.begin + offset;
    float *mean = lossy || streams ? reduce->reducer->mean : place;
    sgp_status_t status = add_up(reduce, mine, offset, count, mean);
    if (status != SGP_OK) return status;
    if (lossy) {
        sgp_encode_mean(reduce->encoding, count, place, mean, reduce->rounding + begin,
                        (float)reduce->reducer->takes_part);
        status = judge_mean(reduce, begin, count, place);
        if (status != SGP_OK) return status;
    } else if (streams) sgp_stream_copy(count * sizeof *mean, place, mean);
    reduce->result(reduce, begin, count, mean);
    return SGP_OK;
}

/* Adds up the chunks of my segment whose parts are all there, and sends each on at once. */
static sgp_status_t reduce_ready(sgp_reduce_t *reduce, state_t *state) {
    while (state->reduced < length_of(state->mine) &&
           sgp_reduce_is_there(reduce, state->reduced, &state->there)) {
        void *place;
        size_t count;
        sgp_status_t status = next_mean(reduce, state, &place, &count);
        if (status == SGP_OK)
            status = make_mean(reduce, state->mine, state->reduced, count,
                               state->gathers ? &state->mean : NULL, place);
        if (status != SGP_OK) return status;
        end_mean(reduce, state, count);
    }
    return SGP_OK;
}

sgp_status_t sgp_reduce_mean_chunk(sgp_reduce_t *reduce, sgp_send_t *mean, void *place) {
    sgp_reducer_t *reducer = reduce->reducer;
    sgp_status_t status = make_mean(reduce, sgp_reducer_segment(reducer, reducer->rank),
                                    mean->header.offset, mean->header.elements, mean, place);
    if (status == SGP_OK) sgp_inbox_send_commit(reducer->inbox, mean);
    return status;
}

/* ---- the means of the segments ---- */

/* Sends the next chunk of our own segment, where there is nothing to add up. */
static sgp_status_t send_own(sgp_reduce_t *reduce, state_t *state) {
    void *place;
    size_t count, offset = state->mine.begin + state->reduced;
    sgp_status_t status = next_mean(reduce, state, &place, &count);
    if (status != SGP_OK) return status;
    const float *part = reduce->part(reduce, offset, count, place);
    status = judge(reduce, copy_part(&state->mean, count, place, part), offset, count);
    if (status == SGP_OK) end_mean(reduce, state, count);
    return status;
}

static const float *as_floats(const sgp_reduce_t *reduce, const sgp_chunk_t *chunk) {
    float *scratch = reduce->reducer->scratch;
    if (!sgp_encoding_is_lossy(chunk->header.encoding)) return chunk->payload;
    sgp_decode(chunk->header.encoding, chunk->header.elements, scratch, chunk->payload);
    return scratch;
}

sgp_status_t sgp_reduce_take_chunk(sgp_reduce_t *reduce, sgp_chunk_t *chunk) {
    sgp_segment_t segment = sgp_reducer_segment(reduce->reducer, chunk->header.src);
    sgp_status_t status = check_segment(reduce, &chunk->header, segment);
    if (status != SGP_OK) return status;
    reduce->result(reduce, segment.begin + (size_t)chunk->header.offset, chunk->header.elements,
                   as_floats(reduce, chunk));
    sgp_inbox_release(reduce->reducer->inbox, chunk);
    return SGP_OK;
}

/* taken: (size) elements of each segment that have arrived. Walks the chunks that are here: a find for each rank at each
 * arrival would be n^2 finds. */
static sgp_status_t gather_ready(sgp_reduce_t *reduce, state_t *state, size_t *taken) {
    sgp_reducer_t *reducer = reduce->reducer;
    sgp_inbox_key_t key = {
        .channel = reduce->channel, .kind = SGP_KIND_GATHER, .step = reduce->step};
    sgp_inbox_collect(reducer->inbox);
    for (sgp_chunk_t *next, *chunk = sgp_inbox_next(reducer->inbox, &key, NULL); chunk;
         chunk = next) {
        int src = chunk->header.src;
        sgp_segment_t segment = sgp_reducer_segment(reducer, src);
        next = sgp_inbox_next(reducer->inbox, &key, chunk);
        if (!sgp_reducer_has(reducer,
                             src)) { /* it is gone, and has sent this to another set of ranks */
            sgp_inbox_release(reducer->inbox, chunk);
            continue;
        }
        if (chunk->header.offset != taken[src])
            continue; /* an earlier chunk of it is still to come */
        taken[src] += chunk->header.elements;
        sgp_status_t status = sgp_reduce_take_chunk(reduce, chunk);
        if (status != SGP_OK) return status;
        if (taken[src] == length_of(segment)) state->finished++;
        state->moved = true;
    }
    return SGP_OK;
}

/* ---- the whole ---- */

static int owned_by_others(const sgp_reducer_t *reducer) {
    int count = 0;
    for (int r = 0; r < reducer->size; r++)
        count += r != reducer->rank && length_of(sgp_reducer_segment(reducer, r)) > 0;
    return count;
}

/* One message per other owner, begun in the order rank + 1, rank + 2, ..., so that not all ranks send to rank 0 first. */
sgp_status_t sgp_reduce_begin_scatter(sgp_reduce_t *reduce) {
    sgp_reducer_t *reducer = reduce->reducer;
    for (int i = 1; i < reducer->size; i++) {
        sgp_destination_t *owner = &reducer->owners[i];
        sgp_segment_t segment = sgp_reducer_segment(reducer, owner->dst);
        reducer->sends[i] = (sgp_send_t){0};
        if (length_of(segment) == 0) continue;
        owner->weight = reduce->weight;
        sgp_header_t header = header_of(reduce, SGP_KIND_REDUCE, segment);
        sgp_status_t status = sgp_inbox_send_begin(reducer->inbox, &header, owner, 1,
                                                   reduce->deadline, &reducer->sends[i]);
        if (status != SGP_OK) return status;
        reduce->sent++;
        reduce->bytes_sent += message_bytes(reduce, header.count);
    }
    return SGP_OK;
}

/* Writes the current chunk of the message to an owner and sends it. */
static sgp_status_t write_part(sgp_reduce_t *reduce, int owner, sgp_send_t *send, void *place) {
    sgp_reducer_t *reducer = reduce->reducer;
    sgp_segment_t segment = sgp_reducer_segment(reducer, owner);
    size_t offset = segment.begin + send->header.offset, count = send->header.elements;
    bool lossy = sgp_encoding_is_lossy(reduce->encoding);
    const float *part = reduce->part(reduce, offset, count, lossy ? reducer->scratch : place);
    bool finite;
    if (lossy) {
        sgp_encode_feedback(reduce->encoding, count, place, part, reduce->rounding + offset);
        finite = sgp_encoded_finite(reduce->encoding, count, place);
    } else {
        finite = copy_part(send, count, place, part);
    }
    sgp_status_t status = judge(reduce, finite, offset, count);
    if (status == SGP_OK) sgp_inbox_send_commit(reducer->inbox, send);
    return status;
}

/* Sends the next chunk of the message to an owner and sets *more, unless the message is whole. */
static sgp_status_t send_part(sgp_reduce_t *reduce, int owner, sgp_send_t *send, bool *more) {
    if (send->destinations == 0) return SGP_OK;
    void *place = sgp_inbox_send_next(reduce->reducer->inbox, send);
    if (!place) return SGP_OK;
    *more = true;
    return write_part(reduce, owner, send, place);
}

sgp_status_t sgp_reduce_send_chunk(sgp_reduce_t *reduce, int owner, uint64_t index) {
    sgp_reducer_t *reducer = reduce->reducer;
    int distance = (owner - reducer->rank + reducer->size) % reducer->size;
    sgp_send_t *send = &reducer->sends[distance];
    return write_part(reduce, owner, send, sgp_inbox_send_chunk(reducer->inbox, send, index));
}

static sgp_status_t absorb(sgp_reduce_t *reduce, state_t *state, size_t *taken) {
    sgp_status_t status = SGP_OK;
    if (state->scatters) status = reduce_ready(reduce, state);
    if (state->gathers && status == SGP_OK) status = gather_ready(reduce, state, taken);
    mark_end(reduce, state, SGP_TRACE_ABSORB);
    return status;
}

/* One chunk to each owner in turn: all owners can begin to add early. */
static sgp_status_t send_parts(sgp_reduce_t *reduce, state_t *state, size_t *taken) {
    sgp_reducer_t *reducer = reduce->reducer;
    sgp_status_t status = sgp_reduce_begin_scatter(reduce);
    for (bool more = true; more && status == SGP_OK;) {
        more = false;
        for (int i = 1; i < reducer->size && status == SGP_OK; i++)
            status = send_part(reduce, reducer->owners[i].dst, &reducer->sends[i], &more);
        mark_end(reduce, state, SGP_TRACE_PUSH);
        if (status == SGP_OK) status = absorb(reduce, state, taken);
    }
    return status;
}

static sgp_status_t send_mine(sgp_reduce_t *reduce, state_t *state, size_t *taken) {
    sgp_status_t status = SGP_OK;
    while (state->reduced < length_of(state->mine) && status == SGP_OK) {
        status = send_own(reduce, state);
        mark_end(reduce, state, SGP_TRACE_PUSH);
        if (status == SGP_OK) status = absorb(reduce, state, taken);
    }
    return status;
}

/* For the statistics. finished: segments of others whose whole mean has arrived. */
static void count_messages(sgp_reduce_t *reduce, bool scatters, bool gathers, int finished) {
    size_t length = length_of(sgp_reducer_segment(reduce->reducer, reduce->reducer->rank));
    uint64_t others = length > 0 ? (uint64_t)reduce->reducer->takes_part - 1 : 0;
    if (scatters) reduce->received += others;
    if (!gathers) return;
    reduce->sent += others;
    reduce->bytes_sent += others * message_bytes(reduce, length);
    reduce->received += (uint64_t)finished;
}

void sgp_reduce_count(sgp_reduce_t *reduce) {
    count_messages(reduce, true, true, owned_by_others(reduce->reducer));
}

/* Whether a rank's part of mine, or its mean, is missing. */
static bool is_missing(const sgp_reduce_t *reduce, const state_t *state, const size_t *taken,
                       int r) {
    const sgp_reducer_t *reducer = reduce->reducer;
    bool scatters = state->scatters && state->reduced < length_of(state->mine);
    bool mean = state->gathers && taken[r] < length_of(sgp_reducer_segment(reducer, r));
    return r != reducer->rank && (mean || (scatters && r == state->there));
}

/* The first of these that has left, too; -1: none. */
static int missing_and_left(const sgp_reduce_t *reduce, const state_t *state, const size_t *taken) {
    const sgp_reducer_t *reducer = reduce->reducer;
    for (int r = 0; r < reducer->size; r++)
        if (is_missing(reduce, state, taken, r) && sgp_transport_has_ended(reducer->transport, r))
            return r;
    return -1;
}

/* For the flight recorder. */
static void tell_missing(const sgp_reduce_t *reduce, const state_t *state, const size_t *taken) {
    const sgp_reducer_t *reducer = reduce->reducer;
    bool scatters = state->scatters && state->reduced < length_of(state->mine);
    int first = scatters && state->there != reducer->rank ? state->there : -1;
    for (int r = 0; r < reducer->size; r++) {
        bool missing = is_missing(reduce, state, taken, r);
        if (missing && first < 0) first = r;
        sgp_flight_miss(reducer->transport->flight, r, missing);
    }
    sgp_inbox_want(reducer->inbox, SGP_FLIGHT_FOR_PARTS, first, reduce->step);
}

static void release_all(sgp_reduce_t *reduce, uint64_t step) {
    sgp_inbox_t *inbox = reduce->reducer->inbox;
    sgp_inbox_key_t key = {.channel = reduce->channel, .kind = SGP_KIND_REDUCE, .step = step};
    for (sgp_chunk_t *at; (at = sgp_inbox_next(inbox, &key, NULL));) sgp_inbox_release(inbox, at);
    key.kind = SGP_KIND_GATHER;
    for (sgp_chunk_t *at; (at = sgp_inbox_next(inbox, &key, NULL));) sgp_inbox_release(inbox, at);
}

/* Chunks of broken calls that came after they were given up; their senders may live, and want the room. */
static void sweep(sgp_reduce_t *reduce) {
    enum { LATE = 16 };
    uint64_t step = reduce->step, first = step > LATE ? step - LATE : 0;
    if (reduce->reducer->takes_part == reduce->reducer->size) return;
    for (; first < step; first++) release_all(reduce, first);
}

/* What calls it off can be here already, and would not end a sleep: the inbox's services take it in first. */
sgp_status_t sgp_reduce_check(const sgp_reduce_t *reduce) {
    sgp_status_t status = SGP_OK;
    if (sgp_reducer_is_broken(reduce->reducer)) return SGP_ERR_PEER_LOST;
    if (!reduce->is_called_off) return SGP_OK;
    status = sgp_inbox_look(reduce->reducer->inbox, false);
    return status == SGP_OK && reduce->is_called_off(reduce) ? SGP_ERR_PEER_LOST : status;
}

void sgp_reduce_drop(sgp_reduce_t *reduce) {
    sgp_inbox_collect(reduce->reducer->inbox);
    release_all(reduce, reduce->step);
}

/* Nothing of a broken call is left here. */
static void give_up(sgp_reduce_t *reduce, state_t *state) {
    sgp_reducer_t *reducer = reduce->reducer;
    for (int i = 1; i < reducer->size; i++)
        if (reducer->sends[i].destinations > 0)
            sgp_inbox_send_abandon(reducer->inbox, &reducer->sends[i]);
    if (state->mean_begun) sgp_inbox_send_abandon(reducer->inbox, &state->mean);
    sgp_reduce_drop(reduce);
}

static sgp_status_t wait_for_parts(const sgp_reduce_t *reduce, const state_t *state,
                                   const size_t *taken, uint64_t since) {
    sgp_inbox_t *inbox = reduce->reducer->inbox;
    sgp_status_t status = sgp_reduce_check(reduce);
    if (status != SGP_OK) return status;
    bool anybody = sgp_fates_changes(reduce->reducer->transport->fates) > 0;
    int left = anybody ? missing_and_left(reduce, state, taken) : -1;
    tell_missing(reduce, state, taken);
    if (left < 0) return sgp_inbox_wait(inbox, since, reduce->deadline, "parts of an all-reduce");
    return sgp_inbox_wait_for(inbox, left, since, reduce->deadline, "part of an all-reduce");
}

static sgp_status_t run(sgp_reduce_t *reduce, bool scatters, bool gathers) {
    sgp_reducer_t *reducer = reduce->reducer;
    state_t state = {.mine = sgp_reducer_segment(reducer, reducer->rank),
                     .scatters = scatters,
                     .gathers = gathers,
                     .mark = sgp_trace_begin(reduce->trace)};
    size_t taken[reducer->size];
    memset(taken, 0, sizeof taken);
    sweep(reduce);
    sgp_status_t status =
        scatters ? send_parts(reduce, &state, taken) : send_mine(reduce, &state, taken);
    int others = gathers ? owned_by_others(reducer) : 0;
    while (status == SGP_OK && (state.reduced < length_of(state.mine) || state.finished < others)) {
        uint64_t since = sgp_inbox_taken_in(reducer->inbox);
        state.moved = false;
        status = absorb(reduce, &state, taken);
        if (status == SGP_OK && !state.moved) status = wait_for_parts(reduce, &state, taken, since);
        mark_end(reduce, &state, SGP_TRACE_WAIT);
    }
    if (status == SGP_ERR_PEER_LOST && reducer->place) give_up(reduce, &state);
    count_messages(reduce, scatters, gathers, state.finished);
    return status;
}

sgp_status_t sgp_reduce_run(sgp_reduce_t *reduce) {
    return run(reduce, true, true);
}
sgp_status_t sgp_reduce_scatter(sgp_reduce_t *reduce) {
    return run(reduce, true, false);
}
sgp_status_t sgp_reduce_gather(sgp_reduce_t *reduce) {
    return run(reduce, false, true);
}
