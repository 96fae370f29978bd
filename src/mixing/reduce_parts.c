/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/reduce_parts.h"

#include "base/logging.h"

void sgp_reduce_parts_init(sgp_part_step_t *step, const sgp_reducer_t *reducer, size_t size) {
    sgp_part_chunks_clear(&step->chunks);
    for (int r = 0; r < reducer->size; r++) {
        sgp_segment_t segment = sgp_reducer_segment(reducer, r);
        size_t first = step->chunks.count;
        sgp_part_chunks_cut(&step->chunks, segment.begin, segment.end, size);
        if (r == reducer->rank) step->reduce.mine = first, step->reduce.others = step->chunks.count;
        for (size_t c = first; c < step->chunks.count; c++) {
            step->chunks.chunk[c].owner = r;
            step->chunks.chunk[c].index = (uint32_t)(c - first);
        }
    }
}

sgp_status_t sgp_reduce_parts_begin(sgp_part_step_t *step) {
    step->reduce.begun = true;
    return sgp_reduce_begin_scatter(&step->reduce.reduce);
}

/* Our own chunk, if it is whole and all ranks have sent their parts of it. */
static sgp_status_t add_up(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t index) {
    sgp_reduce_parts_t *parts = &step->reduce;
    sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    sgp_inbox_t *inbox = parts->reduce.reducer->inbox;
    size_t offset = chunk->begin - step->chunks.chunk[parts->mine].begin;
    if (chunk->missing > 0 || chunk->done) return SGP_OK;
    if (!sgp_reduce_is_there(&parts->reduce, offset, &chunk->absorbed)) return SGP_OK;
    if (!parts->mean_begun) {
        sgp_status_t status = sgp_reduce_begin_mean(&parts->reduce, &parts->mean);
        if (status != SGP_OK) return status;
        parts->mean_begun = true;
    }
    void *place = sgp_inbox_send_chunk(inbox, &parts->mean, chunk->index);
    sgp_status_t status = sgp_reduce_mean_chunk(&parts->reduce, &parts->mean, place);
    if (status == SGP_OK) sgp_part_step_done(step, mixer, index);
    return status;
}

sgp_status_t sgp_reduce_parts_give(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t index) {
    const sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    sgp_reduce_t *reduce = &step->reduce.reduce;
    if (chunk->owner != reduce->reducer->rank)
        return sgp_reduce_send_chunk(reduce, chunk->owner, chunk->index);
    return add_up(step, mixer, index);
}

/* A chunk of another rank's mean. It can only be made of our part, so that was whole. */
static sgp_status_t take(sgp_part_step_t *step, sgp_mixer_t *mixer, sgp_chunk_t *arrived) {
    sgp_reducer_t *reducer = step->reduce.reduce.reducer;
    const sgp_header_t *header = &arrived->header;
    sgp_segment_t segment = sgp_reducer_segment(reducer, header->src);
    size_t element = segment.begin + (size_t)header->offset;
    size_t index = element < reducer->length ? sgp_part_chunks_at(&step->chunks, element) : 0;
    const sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    bool fits = header->count != segment.end - segment.begin || /* the check of reduce.c says why */
                (chunk->begin == element && chunk->count == header->elements);
    if (!fits || chunk->missing > 0 || chunk->done) {
        sgp_rank_name_t name;
        return sgp_fail(SGP_ERR_MISMATCH, "%s sent a mean that was not made of this node's vector",
                        sgp_transport_name(reducer->transport, header->src, &name));
    }
    sgp_status_t status = sgp_reduce_take_chunk(&step->reduce.reduce, arrived);
    if (status == SGP_OK) sgp_part_step_done(step, mixer, index);
    return status;
}

static sgp_status_t absorb_once(sgp_part_step_t *step, sgp_mixer_t *mixer) {
    sgp_reduce_parts_t *parts = &step->reduce;
    sgp_inbox_t *inbox = parts->reduce.reducer->inbox;
    sgp_inbox_key_t key = {
        .channel = parts->reduce.channel, .kind = SGP_KIND_GATHER, .step = parts->reduce.step};
    sgp_status_t status = SGP_OK;
    for (size_t c = parts->mine; c < parts->others && status == SGP_OK; c++)
        status = add_up(step, mixer, c);
    for (sgp_chunk_t *next, *at = sgp_inbox_next(inbox, &key, NULL); at && status == SGP_OK;
         at = next) {
        next = sgp_inbox_next(inbox, &key, at);
        status = take(step, mixer, at);
    }
    return status;
}

sgp_status_t sgp_reduce_parts_absorb(sgp_part_step_t *step, sgp_mixer_t *mixer) {
    sgp_reduce_parts_t *parts = &step->reduce;
    sgp_inbox_t *inbox = parts->reduce.reducer->inbox;
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_inbox_collect(inbox);
    while (sgp_inbox_taken_in(inbox) != parts->seen) {
        parts->seen = sgp_inbox_taken_in(inbox);
        sgp_status_t status = absorb_once(step, mixer);
        if (status != SGP_OK) return status;
    }
    sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    return SGP_OK;
}

sgp_status_t sgp_reduce_parts_await(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t first,
                                    size_t last) {
    sgp_reduce_parts_t *parts = &step->reduce;
    for (;;) {
        sgp_status_t status = sgp_reduce_parts_absorb(step, mixer);
        if (status != SGP_OK) return status;
        while (first < last && step->chunks.chunk[first].done) first++;
        if (first == last) return SGP_OK;
        status = sgp_reduce_check(&parts->reduce);
        if (status != SGP_OK) return status;
        uint64_t mark = sgp_mixer_mark(mixer);
        sgp_inbox_want(parts->reduce.reducer->inbox, SGP_FLIGHT_FOR_PARTS, -1, parts->reduce.step);
        status = sgp_inbox_wait(parts->reduce.reducer->inbox, parts->seen, parts->reduce.deadline,
                                "parts of an all-reduce");
        sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
        if (status != SGP_OK) return status;
    }
}

void sgp_reduce_parts_abandon(sgp_part_step_t *step) {
    sgp_reduce_parts_t *parts = &step->reduce;
    sgp_reducer_t *reducer = parts->reduce.reducer;
    if (!parts->begun) return;
    for (int i = 1; i < reducer->size; i++)
        if (reducer->sends[i].destinations > 0)
            sgp_inbox_send_abandon(reducer->inbox, &reducer->sends[i]);
    if (parts->mean_begun) sgp_inbox_send_abandon(reducer->inbox, &parts->mean);
    parts->begun = parts->mean_begun = false;
}

void sgp_reduce_parts_give_up(sgp_part_step_t *step) {
    sgp_reduce_parts_abandon(step);
    sgp_reduce_drop(&step->reduce.reduce);
}
