/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/push_parts.h"

#include "base/logging.h"
#include "mixing/holes.h"
#include "mixing/questions.h"
#include "mixing/round_graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void sgp_push_parts_init(sgp_part_step_t *step, const sgp_mixer_t *mixer, double before) {
    step->push = (sgp_push_parts_t){.round = mixer->round, .before = before};
    sgp_part_chunks_clear(&step->chunks);
    sgp_part_chunks_cut(&step->chunks, 0, mixer->length, sgp_mixer_chunk(mixer));
}

void sgp_push_parts_expect(sgp_part_step_t *step, const sgp_mixer_t *mixer, uint64_t round,
                           double before, sgp_edge_t *senders) {
    sgp_push_parts_t *push = &step->push;
    push->round = round;
    push->before = before;
    push->senders = senders;
    push->senders_count = sgp_holes_in(mixer, round, senders);
    push->weights = step->weights;
    push->torn = step->torn;
    memset(push->torn, 0, (size_t)push->senders_count * sizeof *push->torn);
    push->asking = (sgp_absorption_t){
        .round = round, .senders = senders, .senders_count = push->senders_count};
    for (int s = 0; s < push->senders_count; s++) senders[s].weight = 0;
}

sgp_status_t sgp_push_parts_begin(sgp_part_step_t *step, sgp_mixer_t *mixer, double w,
                                  uint64_t deadline) {
    sgp_push_parts_t *push = &step->push;
    sgp_header_t header = sgp_push_header(mixer, mixer->round);
    push->destinations = sgp_push_shares(mixer, mixer->round, w, &push->kept);
    push->pushed = w;
    push->share = push->kept / w;
    sgp_status_t status = sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, push->destinations,
                                               deadline, &push->send);
    push->begun = status == SGP_OK;
    if (push->begun) sgp_questions_pushed(mixer, mixer->round, push->destinations);
    return status;
}

/* ---- absorbing ---- */

static bool is_whole(const sgp_part_chunk_t *chunk) {
    return chunk->missing == 0 && !chunk->done;
}

static sgp_status_t check(const sgp_mixer_t *mixer, const sgp_part_chunk_t *chunk,
                          const sgp_header_t *header) {
    sgp_status_t status = sgp_push_check(mixer, header);
    if (status != SGP_OK) return status;
    if (header->offset == chunk->begin && header->elements == chunk->count) return SGP_OK;
    sgp_rank_name_t name;
    return sgp_fail(SGP_ERR_MISMATCH, "%s cuts its messages into chunks of another size",
                    sgp_transport_name(mixer->transport, header->src, &name));
}

/* To the next sender whose message is not torn. false: there are no more. */
static bool find_next(const sgp_push_parts_t *push, sgp_part_chunk_t *chunk) {
    if (chunk->absorbed == 0) chunk->w = push->before;
    while (chunk->absorbed < push->senders_count && push->torn[chunk->absorbed]) chunk->absorbed++;
    return chunk->absorbed < push->senders_count;
}

/* From the next sender. */
static sgp_status_t absorb(sgp_part_step_t *step, sgp_mixer_t *mixer, sgp_part_chunk_t *chunk,
                           sgp_chunk_t *arrived) {
    sgp_status_t status = check(mixer, chunk, &arrived->header);
    if (status != SGP_OK) return status;
    sgp_push_absorb(mixer, arrived, chunk->w);
    if (!mixer->options.biased) chunk->w += arrived->header.weight;
    step->push.senders[chunk->absorbed].weight =
        arrived->header.weight; /* something of it is absorbed */
    step->push.weights[chunk->absorbed++] = arrived->header.weight;
    sgp_inbox_release(mixer->inbox, arrived);
    return SGP_OK;
}

sgp_status_t sgp_push_parts_absorb_chunk(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t index,
                                         sgp_push_parts_fn done, uint64_t deadline) {
    sgp_push_parts_t *push = &step->push;
    sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    while (find_next(push, chunk)) {
        sgp_chunk_t *arrived = sgp_push_find(
            mixer, SGP_KIND_PUSH, push->senders[chunk->absorbed].peer, push->round, chunk->begin);
        if (!arrived) return SGP_OK;
        sgp_status_t status = absorb(step, mixer, chunk, arrived);
        if (status != SGP_OK) return status;
    }
    return done(mixer, step, index, deadline);
}

/* An arrived chunk, if it is the next one for its place. *moved: it was. */
static sgp_status_t look_at(sgp_part_step_t *step, sgp_mixer_t *mixer, sgp_chunk_t *arrived,
                            sgp_push_parts_fn done, uint64_t deadline, bool *moved) {
    sgp_push_parts_t *push = &step->push;
    if (arrived->header.offset >= mixer->length) return sgp_push_check(mixer, &arrived->header);
    size_t index = sgp_part_chunks_at(&step->chunks, arrived->header.offset);
    sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    if (!is_whole(chunk) || !find_next(push, chunk)) return SGP_OK;
    if (push->senders[chunk->absorbed].peer != arrived->header.src) return SGP_OK;
    sgp_status_t status = absorb(step, mixer, chunk, arrived);
    *moved = true;
    if (status != SGP_OK || find_next(push, chunk)) return status;
    return done(mixer, step, index, deadline);
}

/* Whether all chunks of a sender that has ended are here or absorbed. */
static bool came_whole(const sgp_part_step_t *step, const sgp_mixer_t *mixer, int sender) {
    const sgp_push_parts_t *push = &step->push;
    sgp_inbox_key_t key = {.channel = mixer->channel, .kind = SGP_KIND_PUSH, .step = push->round};
    size_t count = 0;
    for (size_t c = 0; c < step->chunks.count; c++)
        count += step->chunks.chunk[c].absorbed > sender;
    for (sgp_chunk_t *at = sgp_inbox_next(mixer->inbox, &key, NULL); at;
         at = sgp_inbox_next(mixer->inbox, &key, at))
        count += at->header.src == push->senders[sender].peer;
    return count == step->chunks.count;
}

/* Nobody waits any more for the message of a sender that has ended, unless it came whole. Nor for one of which nothing has
 * been absorbed, if its sender is silent or says that it did not send it: what comes of it is late. *found: so it is. */
static void judge(sgp_part_step_t *step, sgp_mixer_t *mixer, int sender, bool *found) {
    sgp_push_parts_t *push = &step->push;
    int src = push->senders[sender].peer;
    bool ended = sgp_holes_ended(mixer, src), begun = push->senders[sender].weight > 0;
    bool over = !begun && (sgp_holes_is_silent(mixer, src) ||
                           sgp_questions_not_sent(mixer, src, push->round));
    if (push->torn[sender] || (!ended && !over)) return;
    sgp_inbox_collect(mixer->inbox); /* what came before the end */
    if (came_whole(step, mixer, sender)) return;
    if (ended) {
        mixer->statistics.torn += begun;
        sgp_holes_tear(mixer, src, push->round);
    }
    push->torn[sender] = *found = true;
}

/* Chunks that wait for a message that is torn go on without it. */
static sgp_status_t pass_over_torn(sgp_part_step_t *step, sgp_mixer_t *mixer,
                                   sgp_push_parts_fn done, uint64_t deadline) {
    bool found = false;
    sgp_status_t status = SGP_OK;
    if (!sgp_holes_are_due(mixer) && !step->push.asking.ask_at) return SGP_OK;
    sgp_questions_hear(mixer);
    for (int s = 0; s < step->push.senders_count; s++) judge(step, mixer, s, &found);
    for (size_t c = 0; found && c < step->chunks.count && status == SGP_OK; c++)
        if (is_whole(&step->chunks.chunk[c]))
            status = sgp_push_parts_absorb_chunk(step, mixer, c, done, deadline);
    return status;
}

/* Walks the chunks that are here, as a find for each chunk that is not done would be a multiple of that work. With several
 * senders a chunk may be next that was passed before: once more then. */
sgp_status_t sgp_push_parts_absorb(sgp_part_step_t *step, sgp_mixer_t *mixer,
                                   sgp_push_parts_fn done, uint64_t deadline) {
    sgp_push_parts_t *push = &step->push;
    sgp_inbox_key_t key = {.channel = mixer->channel, .kind = SGP_KIND_PUSH, .step = push->round};
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_status_t passed = pass_over_torn(step, mixer, done, deadline);
    if (passed != SGP_OK) return passed;
    sgp_inbox_collect(mixer->inbox);
    bool moved = sgp_inbox_taken_in(mixer->inbox) != push->seen;
    while (moved) {
        push->seen = sgp_inbox_taken_in(mixer->inbox);
        moved = false;
        for (sgp_chunk_t *next, *at = sgp_inbox_next(mixer->inbox, &key, NULL); at; at = next) {
            next = sgp_inbox_next(mixer->inbox, &key, at);
            sgp_status_t status = look_at(step, mixer, at, done, deadline, &moved);
            if (status != SGP_OK) return status;
        }
        moved =
            (moved && push->senders_count > 1) || sgp_inbox_taken_in(mixer->inbox) != push->seen;
    }
    sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    return SGP_OK;
}

static sgp_status_t wait_for(sgp_mixer_t *mixer, sgp_push_parts_t *push,
                             const sgp_part_chunk_t *chunk, uint64_t deadline) {
    char what[96];
    sgp_rank_name_t name;
    snprintf(what, sizeof what, "the message of step %" PRIu64 " from %s", push->round,
             sgp_transport_name(mixer->transport, push->senders[chunk->absorbed].peer, &name));
    push->asking.offset = chunk->begin;
    push->asking.sender = chunk->absorbed;
    uint64_t until = mixer->holes.elastic ? sgp_absorption_ask(&push->asking, mixer) : deadline;
    if (until < deadline) return sgp_inbox_doze(mixer->inbox, push->seen, until, what);
    return sgp_inbox_wait(mixer->inbox, push->seen, deadline, what);
}

sgp_status_t sgp_push_parts_await(sgp_part_step_t *step, sgp_mixer_t *mixer, sgp_push_parts_fn done,
                                  size_t first, size_t last, uint64_t deadline) {
    for (;;) {
        sgp_status_t status = sgp_push_parts_absorb(step, mixer, done, deadline);
        if (status != SGP_OK) return status;
        while (first <= last && step->chunks.chunk[first].done) first++;
        if (first > last) return SGP_OK;
        uint64_t mark = sgp_mixer_mark(mixer);
        status = wait_for(mixer, &step->push, &step->chunks.chunk[first], deadline);
        sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
        if (status != SGP_OK) return status;
    }
}

double sgp_push_parts_finish(sgp_part_step_t *step, sgp_mixer_t *mixer) {
    sgp_push_parts_t *push = &step->push;
    double w = push->before;
    int whole = 0;
    for (int s = 0; s < push->senders_count; s++) {
        if (push->torn[s]) continue;
        w += push->weights[s];
        sgp_holes_received(mixer, push->senders[s].peer);
        whole++;
    }
    push->begun = false;
    sgp_push_sent(mixer, push->destinations);
    sgp_push_received(mixer, whole, push->round < mixer->round ? whole : 0);
    return w;
}

void sgp_push_parts_abandon(sgp_part_step_t *step, sgp_mixer_t *mixer) {
    if (step->push.begun) sgp_inbox_send_abandon(mixer->inbox, &step->push.send);
    step->push.begun = false;
}
