/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/push_parts.h"

#include "base/logging.h"
#include "mixing/holes.h"
#include "mixing/late.h"
#include "mixing/questions.h"
#include "mixing/round_graph.h"
#include "mixing/verdicts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Of a round of this step: nothing of it has left, and nothing is awaited. */
static sgp_push_parts_t fresh(const sgp_part_step_t *step, const sgp_mixer_t *mixer, unsigned r) {
    size_t first = r * ((size_t)mixer->size + 1);
    return (sgp_push_parts_t){.round = mixer->round + r,
                              .senders = step->edges + first,
                              .to = step->to + first,
                              .weights = step->weights + first,
                              .torn = step->torn + first};
}

void sgp_push_parts_init(sgp_part_step_t *step, const sgp_mixer_t *mixer, double before) {
    step->rounds = mixer->exchanges ? (unsigned)mixer->options.rounds : 1;
    step->seen = step->waiting = 0;
    sgp_part_chunks_clear(&step->chunks);
    sgp_part_chunks_cut(&step->chunks, 0, mixer->length, sgp_mixer_chunk(mixer));
    for (unsigned r = 0; r < step->rounds; r++) {
        step->push[r] = fresh(step, mixer, r);
        step->push[r].left = step->chunks.count;
    }
    step->push->before = before;
}

/* The weight of this node is `before` from now on, without the messages of `round`. */
static void expect(sgp_push_parts_t *push, const sgp_mixer_t *mixer, uint64_t round,
                   double before) {
    push->round = round;
    push->before = before;
    push->senders_count = sgp_holes_in(mixer, round, push->senders);
    memset(push->torn, 0, (size_t)push->senders_count * sizeof *push->torn);
    push->asking = (sgp_absorption_t){
        .round = round, .senders = push->senders, .senders_count = push->senders_count};
    for (int s = 0; s < push->senders_count; s++) push->senders[s].weight = 0;
}

void sgp_push_parts_expect(sgp_part_step_t *step, const sgp_mixer_t *mixer, uint64_t round,
                           double before) {
    expect(step->push, mixer, round, before);
}

/* The receivers of a round, and what they get of the weight w. */
static void share(sgp_push_parts_t *push, sgp_mixer_t *mixer, uint64_t round, double w) {
    push->destinations = sgp_push_shares(mixer, round, w, &push->kept);
    memcpy(push->to, mixer->to, (size_t)push->destinations * sizeof *push->to);
    push->pushed = w;
    push->share = push->kept / w;
    push->shared = true;
}

sgp_status_t sgp_push_parts_begin(sgp_part_step_t *step, sgp_mixer_t *mixer, double w,
                                  uint64_t deadline) {
    sgp_push_parts_t *push = step->push;
    sgp_header_t header = sgp_push_header(mixer, mixer->round);
    share(push, mixer, mixer->round, w);
    sgp_status_t status = sgp_inbox_send_begin(mixer->inbox, &header, push->to, push->destinations,
                                               deadline, &push->send);
    push->begun = status == SGP_OK;
    if (push->begun) sgp_questions_pushed(mixer, mixer->round, push->to, push->destinations);
    return status;
}

/* ---- the next round of a step ---- */

/* Where a message that has begun keeps a link, and its chunks are still to come in the round before, other nodes' messages of
 * that round would wait for it. Eight nodes at 100 Mb/s took half as long again so. An eighth of the vector hides the latency. */
static bool is_early(const sgp_part_step_t *step, const sgp_mixer_t *mixer, unsigned r) {
    enum { PART = 8 };
    return mixer->transport->takes_turns && step->push[r - 1].left > step->chunks.count / PART;
}

/* Begins the push of round r of the step with the weight w after the round before, which every chunk finds alike. It counts as
 * pushed from here on: no receiver may be told that it is not sent. SGP_ERR_AGAIN: it is too early, or there is no room. */
static sgp_status_t begin_round(sgp_part_step_t *step, sgp_mixer_t *mixer, unsigned r, double w) {
    sgp_push_parts_t *push = &step->push[r];
    if (is_early(step, mixer, r)) return SGP_ERR_AGAIN;
    if (!push->shared) {
        sgp_holes_note(mixer);
        share(push, mixer, push->round, mixer->options.biased ? mixer->w : w);
        sgp_questions_pushed(mixer, push->round, push->to, push->destinations);
        expect(push, mixer, push->round, push->kept);
    }
    sgp_header_t header = sgp_push_header(mixer, push->round);
    sgp_status_t status =
        sgp_inbox_send_try(mixer->inbox, &header, push->to, push->destinations, &push->send);
    push->begun = status == SGP_OK;
    return status;
}

/* A chunk that was absorbed in the round before leaves for its own round. SGP_ERR_AGAIN: it waits for room. */
static sgp_status_t leave(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t index) {
    sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    sgp_push_parts_t *push = &step->push[chunk->round];
    sgp_status_t status = push->begun ? SGP_OK : begin_round(step, mixer, chunk->round, chunk->w);
    step->waiting += (status == SGP_ERR_AGAIN) - chunk->waits;
    chunk->waits = status == SGP_ERR_AGAIN;
    if (status != SGP_OK) return status;
    void *place = sgp_inbox_send_chunk(mixer->inbox, &push->send, index);
    bool finite = sgp_push_split(mixer, &push->send, place, push->share);
    return sgp_push_commit(mixer, &push->send, finite);
}

/* A chunk has been absorbed from all senders of its round. *moved: it has left for the next one. */
static sgp_status_t end_round(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t index,
                              sgp_push_parts_fn done, uint64_t deadline, bool *moved) {
    sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    sgp_push_parts_t *push = &step->push[chunk->round];
    *moved = false;
    if (--push->left == 0 && step->rounds > 1) sgp_late_before(mixer, push->round + 1);
    if (chunk->round + 1 == step->rounds) return done(mixer, step, index, deadline);
    chunk->round++;
    chunk->absorbed = 0;
    sgp_status_t status = leave(step, mixer, index);
    *moved = status == SGP_OK;
    return status == SGP_ERR_AGAIN ? SGP_OK : status;
}

/* ---- absorbing ---- */

static bool is_whole(const sgp_part_chunk_t *chunk) {
    return chunk->missing == 0 && !chunk->done && !chunk->waits;
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

/* The next sender's message is torn, or interrupted. With rounds its weight counts, and the chunk keeps its z: that mass is made,
 * unless the chunk still comes (late.h). */
static void pass_by(const sgp_push_parts_t *push, sgp_mixer_t *mixer, sgp_part_chunk_t *chunk) {
    sgp_edge_t sender = push->senders[chunk->absorbed++];
    double weight = sender.weight;
    if (weight == 0 || mixer->options.rounds == 1) return;
    bool comes = sgp_late_keep(mixer, sender.peer, push->round, chunk->begin, chunk->count);
    if (mixer->options.biased) return;
    chunk->w += weight;
    if (!comes) sgp_ledger_create(&mixer->ledger, mixer->z, chunk->begin, chunk->count, weight);
}

/* To the next sender whose message is not torn. false: there are no more. */
static bool find_next(const sgp_push_parts_t *push, sgp_mixer_t *mixer, sgp_part_chunk_t *chunk) {
    if (chunk->absorbed == 0) chunk->w = push->before;
    while (chunk->absorbed < push->senders_count && push->torn[chunk->absorbed])
        pass_by(push, mixer, chunk);
    return chunk->absorbed < push->senders_count;
}

/* From the next sender. */
static sgp_status_t absorb(sgp_push_parts_t *push, sgp_mixer_t *mixer, sgp_part_chunk_t *chunk,
                           sgp_chunk_t *arrived) {
    sgp_status_t status = check(mixer, chunk, &arrived->header);
    if (status != SGP_OK) return status;
    if (mixer->ranges) sgp_verdicts_absorb(mixer, push, chunk->absorbed, arrived, chunk->w);
    else sgp_push_absorb(mixer, arrived, chunk->w);
    if (!mixer->options.biased) chunk->w += arrived->header.weight;
    push->senders[chunk->absorbed].weight =
        arrived->header.weight; /* something of it is absorbed */
    push->weights[chunk->absorbed++] = arrived->header.weight;
    sgp_inbox_release(mixer->inbox, arrived);
    return SGP_OK;
}

sgp_status_t sgp_push_parts_absorb_chunk(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t index,
                                         sgp_push_parts_fn done, uint64_t deadline) {
    sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    sgp_status_t status = SGP_OK;
    for (bool moved = true; moved && status == SGP_OK;) {
        sgp_push_parts_t *push = &step->push[chunk->round];
        bool ready = true;
        if (mixer->ranges) status = sgp_verdicts_ready(push, mixer, chunk, &ready);
        if (status != SGP_OK || !ready) return status;
        while (find_next(push, mixer, chunk)) {
            sgp_chunk_t *arrived =
                sgp_push_find(mixer, SGP_KIND_PUSH, push->senders[chunk->absorbed].peer,
                              push->round, chunk->begin);
            if (!arrived) return SGP_OK;
            status = absorb(push, mixer, chunk, arrived);
            if (status != SGP_OK) return status;
        }
        status = end_round(step, mixer, index, done, deadline, &moved);
    }
    return status;
}

/* An arrived chunk of round r of the step, if it is the next one for its place. *moved: it was. Of this round it releases no
 * other chunk. */
static sgp_status_t look_at(sgp_part_step_t *step, sgp_mixer_t *mixer, unsigned r,
                            sgp_chunk_t *arrived, sgp_push_parts_fn done, uint64_t deadline,
                            bool *moved) {
    sgp_push_parts_t *push = &step->push[r];
    if (arrived->header.offset >= mixer->length) return sgp_push_check(mixer, &arrived->header);
    size_t index = sgp_part_chunks_at(&step->chunks, arrived->header.offset);
    sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    if (!is_whole(chunk) || chunk->round != r || !find_next(push, mixer, chunk)) return SGP_OK;
    if (push->senders[chunk->absorbed].peer != arrived->header.src) return SGP_OK;
    sgp_status_t status = absorb(push, mixer, chunk, arrived);
    bool left = false;
    *moved = true;
    if (status != SGP_OK || find_next(push, mixer, chunk)) return status;
    status = end_round(step, mixer, index, done, deadline, &left);
    return left ? sgp_push_parts_absorb_chunk(step, mixer, index, done, deadline) : status;
}

/* Whether all chunks that a sender of round r of the step, which has ended, has sent are here or absorbed. */
static bool came_whole(const sgp_part_step_t *step, const sgp_mixer_t *mixer, unsigned r,
                       int sender) {
    const sgp_push_parts_t *push = &step->push[r];
    sgp_inbox_key_t key = {.channel = mixer->channel, .kind = SGP_KIND_PUSH, .step = push->round};
    size_t count = 0;
    for (size_t c = 0; c < step->chunks.count; c++) {
        const sgp_part_chunk_t *chunk = &step->chunks.chunk[c];
        count += chunk->round > r || (chunk->round == r && chunk->absorbed > sender);
    }
    for (sgp_chunk_t *at = sgp_inbox_next(mixer->inbox, &key, NULL); at;
         at = sgp_inbox_next(mixer->inbox, &key, at))
        count += at->header.src == push->senders[sender].peer;
    return count == step->chunks.count;
}

/* Of a step of several rounds some chunks of the message are absorbed, and its sender is silent. A step of one round waits until
 * that is decided. */
static bool is_interrupted(const sgp_push_parts_t *push, const sgp_mixer_t *mixer, int sender) {
    return mixer->options.rounds > 1 && push->senders[sender].weight > 0 &&
           sgp_holes_is_silent(mixer, push->senders[sender].peer);
}

/* The weight of that message counts, though it has not come whole. */
static sgp_status_t lend(const sgp_push_parts_t *push, sgp_mixer_t *mixer, int sender, bool ended) {
    double weight = push->senders[sender].weight;
    if (mixer->options.rounds == 1 || weight == 0) return SGP_OK;
    if (!ended) return sgp_late_lent(mixer, push->senders[sender].peer, push->round, weight);
    if (!mixer->options.biased) mixer->statistics.weight_created += weight;
    return SGP_OK;
}

/* Nobody waits any more for the message of a sender that has ended, unless it came whole. Nor for one of which nothing has
 * been absorbed, if its sender is silent or says that it did not send it: what comes of it is late. *found: so it is. */
static sgp_status_t judge(sgp_part_step_t *step, sgp_mixer_t *mixer, unsigned r, int sender,
                          bool *found) {
    sgp_push_parts_t *push = &step->push[r];
    int src = push->senders[sender].peer;
    bool ended = sgp_holes_ended(mixer, src), begun = push->senders[sender].weight > 0;
    bool over = !begun && (sgp_holes_is_silent(mixer, src) ||
                           sgp_questions_not_sent(mixer, src, push->round));
    over |= is_interrupted(push, mixer, sender);
    if (push->torn[sender] || (!ended && !over)) return SGP_OK;
    sgp_inbox_collect(mixer->inbox); /* what came before the end */
    if (came_whole(step, mixer, r, sender)) return SGP_OK;
    if (ended) {
        mixer->statistics.torn += begun;
        sgp_holes_tear(mixer, src, push->round);
    }
    push->torn[sender] = *found = true;
    mixer->holes.stirred |= mixer->options.rounds > 1; /* or little is left after some rounds */
    return lend(push, mixer, sender, ended);
}

static bool has_asked(const sgp_part_step_t *step) {
    for (unsigned r = 0; r < step->rounds; r++)
        if (step->push[r].asking.ask_at) return true;
    return false;
}

/* Chunks that wait for a message that is torn go on without it. */
static sgp_status_t pass_over_torn(sgp_part_step_t *step, sgp_mixer_t *mixer,
                                   sgp_push_parts_fn done, uint64_t deadline) {
    bool found = false;
    sgp_status_t status = SGP_OK;
    if (!sgp_holes_are_due(mixer) && !has_asked(step)) return SGP_OK;
    sgp_questions_hear(mixer);
    for (unsigned r = 0; r < step->rounds; r++)
        for (int s = 0; s < step->push[r].senders_count && step->push[r].left > 0; s++)
            if (status == SGP_OK) status = judge(step, mixer, r, s, &found);
    for (size_t c = 0; found && c < step->chunks.count && status == SGP_OK; c++)
        if (is_whole(&step->chunks.chunk[c]))
            status = sgp_push_parts_absorb_chunk(step, mixer, c, done, deadline);
    return status;
}

/* Chunks that wait leave, if they can now. *moved: some have. */
static sgp_status_t leave_once(sgp_part_step_t *step, sgp_mixer_t *mixer, sgp_push_parts_fn done,
                               uint64_t deadline, bool *moved) {
    _Static_assert(SGP_ROUNDS_MOST <= 64, "a bit for each round");
    uint64_t stuck = 0; /* rounds that cannot begin: so it is for all their chunks */
    for (size_t c = 0; step->waiting > 0 && c < step->chunks.count; c++) {
        const sgp_part_chunk_t *chunk = &step->chunks.chunk[c];
        unsigned round = chunk->round;
        if (!chunk->waits || stuck >> round & 1) continue;
        sgp_status_t status = leave(step, mixer, c);
        if (status == SGP_ERR_AGAIN) {
            stuck |= (uint64_t)1 << round;
            continue;
        }
        *moved = true;
        if (status == SGP_OK) status = sgp_push_parts_absorb_chunk(step, mixer, c, done, deadline);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

/* With each chunk that moves the next round can begin. */
static sgp_status_t leave_late(sgp_part_step_t *step, sgp_mixer_t *mixer, sgp_push_parts_fn done,
                               uint64_t deadline) {
    sgp_status_t status = SGP_OK;
    for (bool moved = true; moved && status == SGP_OK && step->waiting > 0;) {
        moved = false;
        status = leave_once(step, mixer, done, deadline, &moved);
    }
    return status;
}

/* The chunks of round r of the step that are here. */
static sgp_status_t look_at_round(sgp_part_step_t *step, sgp_mixer_t *mixer, unsigned r,
                                  sgp_push_parts_fn done, uint64_t deadline, bool *moved) {
    sgp_inbox_key_t key = {
        .channel = mixer->channel, .kind = SGP_KIND_PUSH, .step = step->push[r].round};
    for (sgp_chunk_t *next, *at = sgp_inbox_next(mixer->inbox, &key, NULL); at; at = next) {
        next = sgp_inbox_next(mixer->inbox, &key, at);
        sgp_status_t status = look_at(step, mixer, r, at, done, deadline, moved);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

/* With an encoding that knows the receiver a chunk waits for messages of three kinds, and for room to answer. */
static sgp_status_t absorb_ready(sgp_part_step_t *step, sgp_mixer_t *mixer, sgp_push_parts_fn done,
                                 uint64_t deadline) {
    step->seen = sgp_inbox_taken_in(mixer->inbox);
    sgp_status_t status = SGP_OK;
    for (size_t c = 0; c < step->chunks.count && status == SGP_OK; c++)
        if (is_whole(&step->chunks.chunk[c]))
            status = sgp_push_parts_absorb_chunk(step, mixer, c, done, deadline);
    return status == SGP_OK ? leave_late(step, mixer, done, deadline) : status;
}

/* Walks the chunks that are here, as a find for each chunk that is not done would be a multiple of that work. With several
 * senders a chunk may be next that was passed before: once more then. */
sgp_status_t sgp_push_parts_absorb(sgp_part_step_t *step, sgp_mixer_t *mixer,
                                   sgp_push_parts_fn done, uint64_t deadline) {
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_status_t status = pass_over_torn(step, mixer, done, deadline);
    if (status == SGP_OK) status = leave_late(step, mixer, done, deadline);
    if (status != SGP_OK) return status;
    sgp_inbox_collect(mixer->inbox);
    if (mixer->ranges) return absorb_ready(step, mixer, done, deadline);
    bool moved = sgp_inbox_taken_in(mixer->inbox) != step->seen;
    while (moved) {
        step->seen = sgp_inbox_taken_in(mixer->inbox);
        moved = false;
        bool again = false;
        for (unsigned r = 0; r < step->rounds && status == SGP_OK; r++) {
            status = look_at_round(step, mixer, r, done, deadline, &moved);
            again |= step->push[r].senders_count > 1;
        }
        if (status == SGP_OK) status = leave_late(step, mixer, done, deadline);
        if (status != SGP_OK) return status;
        moved = (moved && again) || sgp_inbox_taken_in(mixer->inbox) != step->seen;
    }
    sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    return SGP_OK;
}

/* A chunk that waits for messages: `chunk`, or one of those that have to come before it leaves. NULL: it waits for room alone. */
static const sgp_part_chunk_t *find_awaited(const sgp_part_step_t *step,
                                            const sgp_part_chunk_t *chunk) {
    if (!chunk->waits) return chunk;
    for (size_t c = 0; c < step->chunks.count; c++)
        if (is_whole(&step->chunks.chunk[c])) return &step->chunks.chunk[c];
    return NULL;
}

static sgp_status_t wait_for(sgp_part_step_t *step, sgp_mixer_t *mixer,
                             const sgp_part_chunk_t *chunk, uint64_t deadline) {
    char what[96];
    sgp_rank_name_t name;
    chunk = find_awaited(step, chunk);
    if (!chunk) {
        sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_ROOM, -1, mixer->round);
        return sgp_inbox_wait(mixer->inbox, step->seen, deadline, "room to send");
    }
    sgp_push_parts_t *push = &step->push[chunk->round];
    sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_MESSAGE, push->senders[chunk->absorbed].peer,
                   push->round);
    if (mixer->ranges) sgp_verdicts_describe(push, mixer, chunk, what, sizeof what);
    else
        snprintf(what, sizeof what, "the message of step %" PRIu64 " from %s", push->round,
                 sgp_transport_name(mixer->transport, push->senders[chunk->absorbed].peer, &name));
    push->asking.offset = chunk->begin;
    push->asking.sender = chunk->absorbed;
    uint64_t until = mixer->holes.elastic ? sgp_absorption_ask(&push->asking, mixer) : deadline;
    if (until < deadline) return sgp_inbox_doze(mixer->inbox, step->seen, until, what);
    return sgp_inbox_wait(mixer->inbox, step->seen, deadline, what);
}

sgp_status_t sgp_push_parts_await(sgp_part_step_t *step, sgp_mixer_t *mixer, sgp_push_parts_fn done,
                                  size_t first, size_t last, uint64_t deadline) {
    for (;;) {
        sgp_status_t status = sgp_push_parts_absorb(step, mixer, done, deadline);
        if (status != SGP_OK) return status;
        while (first <= last && step->chunks.chunk[first].done) first++;
        if (first > last) return SGP_OK;
        uint64_t mark = sgp_mixer_mark(mixer);
        status = wait_for(step, mixer, &step->chunks.chunk[first], deadline);
        sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
        if (status != SGP_OK) return status;
    }
}

/* Returns the weight after the round. */
static double finish_round(sgp_push_parts_t *push, sgp_mixer_t *mixer) {
    double w = push->before;
    int whole = 0;
    for (int s = 0; s < push->senders_count; s++) {
        if (push->torn[s]) {
            if (mixer->options.rounds > 1) w += push->senders[s].weight;
            continue;
        }
        w += push->weights[s];
        sgp_holes_received(mixer, push->senders[s].peer);
        sgp_mixer_note(mixer, push->round < mixer->round ? SGP_FLIGHT_LATE : SGP_FLIGHT_ABSORBED,
                       push->senders[s].peer, push->round);
        whole++;
    }
    push->begun = false;
    sgp_push_sent(mixer, push->destinations);
    sgp_push_received(mixer, whole, push->round < mixer->round ? whole : 0);
    return w;
}

double sgp_push_parts_finish(sgp_part_step_t *step, sgp_mixer_t *mixer) {
    double w = mixer->w;
    for (unsigned r = 0; r < step->rounds; r++) w = finish_round(&step->push[r], mixer);
    return w;
}

void sgp_push_parts_abandon(sgp_part_step_t *step, sgp_mixer_t *mixer) {
    for (unsigned r = 0; r < step->rounds; r++) {
        sgp_push_parts_t *push = &step->push[r];
        if (push->begun) sgp_inbox_send_abandon(mixer->inbox, &push->send);
        push->begun = false;
    }
}
