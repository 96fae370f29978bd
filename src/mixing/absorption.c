/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/absorption.h"

#include "base/constants.h"
#include "mixing/holes.h"
#include "mixing/late.h"
#include "mixing/questions.h"
#include "mixing/round_graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_NS  (20 * SGP_MILLISECOND) /* without progress, before the first question */
#define ASK_EVERY_NS (50 * SGP_MILLISECOND)

void sgp_absorption_begin(sgp_absorption_t *absorption, const sgp_mixer_t *mixer, uint64_t round,
                          double kept, sgp_edge_t *senders) {
    *absorption = (sgp_absorption_t){.round = round, .kept = kept, .senders = senders};
    absorption->senders_count = sgp_holes_in(mixer, round, senders);
    for (int s = 0; s < absorption->senders_count; s++) senders[s].weight = 0;
}

/* The chunk at absorption->offset of the next sender; NULL: it has not arrived. */
static sgp_chunk_t *find_next(const sgp_absorption_t *absorption, sgp_mixer_t *mixer) {
    return sgp_push_find(mixer, SGP_KIND_PUSH, absorption->senders[absorption->sender].peer,
                         absorption->round, absorption->offset);
}

static void remove_next(sgp_absorption_t *absorption) {
    absorption->senders_count--;
    memmove(&absorption->senders[absorption->sender], &absorption->senders[absorption->sender + 1],
            (size_t)(absorption->senders_count - absorption->sender) * sizeof *absorption->senders);
}

/* The next chunk of the next sender has not arrived. *given_up: nobody waits for it any more. The weight of that message,
 * which later chunks do not see, is not added. */
static sgp_status_t give_up_next(sgp_absorption_t *absorption, sgp_mixer_t *mixer, bool *given_up) {
    sgp_edge_t next = absorption->senders[absorption->sender];
    bool ended = sgp_holes_ended(mixer, next.peer);
    *given_up = ended || sgp_holes_is_silent(mixer, next.peer) ||
                sgp_questions_not_sent(mixer, next.peer, absorption->round);
    if (!*given_up) return SGP_OK;
    sgp_inbox_collect(mixer->inbox); /* what came before the end */
    *given_up = !find_next(absorption, mixer);
    if (!*given_up) return SGP_OK;
    sgp_status_t status = SGP_OK;
    sgp_mixer_note(mixer, SGP_FLIGHT_TORN, next.peer, absorption->round);
    if (!ended && next.weight > 0)
        status = sgp_late_interrupted(mixer, next.peer, absorption->round, absorption->offset);
    if (ended) {
        mixer->statistics.torn += next.weight > 0;
        sgp_holes_tear(mixer, next.peer, absorption->round);
    }
    remove_next(absorption);
    return status;
}

/* A chunk of the next sender. */
static sgp_status_t absorb(sgp_absorption_t *absorption, sgp_mixer_t *mixer, sgp_chunk_t *chunk,
                           size_t *end) {
    sgp_status_t status = sgp_push_check(mixer, &chunk->header);
    if (status != SGP_OK) return status;
    sgp_push_absorb(mixer, chunk, absorption->w);
    if (!mixer->options.biased) absorption->w += chunk->header.weight;
    absorption->senders[absorption->sender].weight = chunk->header.weight;
    *end = absorption->offset + chunk->header.elements;
    sgp_inbox_release(mixer->inbox, chunk);
    absorption->sender++;
    return SGP_OK;
}

/* The chunk at absorption->offset, from all senders as far as it has arrived. *end: where it ends. */
static sgp_status_t absorb_chunk(sgp_absorption_t *absorption, sgp_mixer_t *mixer, size_t *end) {
    if (absorption->sender == 0) absorption->w = absorption->kept;
    while (absorption->sender < absorption->senders_count) {
        bool given_up = false;
        sgp_chunk_t *chunk = find_next(absorption, mixer);
        sgp_status_t status = chunk ? SGP_OK : give_up_next(absorption, mixer, &given_up);
        if (status != SGP_OK) return status;
        if (given_up) continue;
        if (!chunk && !(chunk = find_next(absorption, mixer))) return SGP_ERR_AGAIN;
        status = absorb(absorption, mixer, chunk, end);
        if (status != SGP_OK) return status;
    }
    if (*end == absorption->offset) *end += sgp_mixer_chunk_at(mixer, absorption->offset);
    return SGP_OK;
}

sgp_status_t sgp_absorption_ready(sgp_absorption_t *absorption, sgp_mixer_t *mixer, size_t limit) {
    if (absorption->senders_count == 0) { /* this node has no in-edge in this round */
        absorption->offset = limit;
        absorption->w = absorption->kept;
    }
    while (absorption->offset < limit) {
        size_t end = absorption->offset;
        sgp_status_t status = absorb_chunk(absorption, mixer, &end);
        if (status == SGP_ERR_AGAIN) return SGP_OK;
        if (status != SGP_OK) return status;
        absorption->offset = end;
        absorption->sender = 0;
    }
    return SGP_OK;
}

/* Those of whose message nothing has been absorbed. */
static void ask_missing(const sgp_absorption_t *absorption, sgp_mixer_t *mixer) {
    for (int s = absorption->sender; s < absorption->senders_count; s++) {
        const sgp_edge_t *edge = &absorption->senders[s];
        if (edge->weight > 0 ||
            sgp_push_find(mixer, SGP_KIND_PUSH, edge->peer, absorption->round, absorption->offset))
            continue;
        sgp_questions_ask(mixer, edge->peer, absorption->round);
    }
}

/* A node that was silent, and makes the steps that it has missed, asks at once: most of their messages were never sent. */
static uint64_t patience_of(const sgp_absorption_t *absorption, const sgp_mixer_t *mixer) {
    bool behind = sgp_questions_highest(mixer) > absorption->round + 1;
    return mixer->holes.was_silent && behind ? 0 : PATIENCE_NS;
}

uint64_t sgp_absorption_ask(sgp_absorption_t *absorption, sgp_mixer_t *mixer) {
    uint64_t now = sgp_transport_now(mixer->transport);
    bool moved = absorption->offset != absorption->seen_offset ||
                 absorption->sender != absorption->seen_sender;
    if (moved || !absorption->ask_at) {
        absorption->ask_at = now + patience_of(absorption, mixer);
        absorption->stands_since = now;
    }
    absorption->seen_offset = absorption->offset;
    absorption->seen_sender = absorption->sender;
    if (now >= absorption->ask_at) {
        ask_missing(absorption, mixer);
        /* A message can take minutes over a slow link: the longer that lasts, the seldomer this node asks. */
        absorption->ask_at = now + ASK_EVERY_NS + (now - absorption->stands_since) / 8;
    }
    return absorption->ask_at;
}

static sgp_status_t wait_for(sgp_mixer_t *mixer, sgp_absorption_t *absorption, uint64_t since,
                             uint64_t deadline) {
    char what[48];
    int sender = absorption->senders[absorption->sender].peer;
    snprintf(what, sizeof what, "message of step %" PRIu64, absorption->round);
    sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_MESSAGE, sender, absorption->round);
    uint64_t until = mixer->holes.elastic ? sgp_absorption_ask(absorption, mixer) : deadline;
    if (until < deadline) return sgp_inbox_doze(mixer->inbox, since, until, what);
    return sgp_inbox_wait_for(mixer->inbox, sender, since, deadline, what);
}

static void count_received(const sgp_absorption_t *absorption, sgp_mixer_t *mixer) {
    bool late = absorption->round < mixer->round;
    sgp_push_received(mixer, absorption->senders_count, late ? absorption->senders_count : 0);
    for (int s = 0; s < absorption->senders_count; s++) {
        sgp_holes_received(mixer, absorption->senders[s].peer);
        sgp_mixer_note(mixer, late ? SGP_FLIGHT_LATE : SGP_FLIGHT_ABSORBED,
                       absorption->senders[s].peer, absorption->round);
    }
}

sgp_status_t sgp_absorption_finish(sgp_absorption_t *absorption, sgp_mixer_t *mixer,
                                   uint64_t deadline) {
    for (;;) {
        uint64_t mark = sgp_mixer_mark(mixer), since = sgp_inbox_taken_in(mixer->inbox);
        sgp_questions_hear(mixer);
        sgp_status_t status = sgp_absorption_ready(absorption, mixer, mixer->length);
        mark = sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
        if (status != SGP_OK) return status;
        if (absorption->offset == mixer->length) break;
        status = wait_for(mixer, absorption, since, deadline);
        sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
        if (status != SGP_OK) return status;
    }
    count_received(absorption, mixer);
    sgp_late_before(mixer, absorption->round + 1);
    if (!mixer->options.biased) mixer->w = absorption->w;
    return SGP_OK;
}
