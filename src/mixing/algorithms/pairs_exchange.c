/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithms/pairs_exchange.h"

#include "mixing/holes.h"
#include "mixing/kernels.h"
#include "mixing/push.h"

#include "graph/active_passive.h"

#include <string.h>

static sgp_header_t header_of(const sgp_mixer_t *mixer, sgp_kind_t kind, uint64_t number) {
    sgp_header_t header = sgp_push_header(mixer, number);
    header.kind = kind;
    return header;
}

/* ---- the active side, on the progress thread ---- */

/* Whether no exchange with that rank is begun. */
static bool is_away(const sgp_mixer_t *mixer, int rank) {
    sgp_fates_t *fates = mixer->transport->fates;
    return sgp_holes_are_due(mixer) && sgp_fates_of(fates, rank).state != SGP_FATE_PRESENT;
}

int sgp_pairs_next_partner(const sgp_mixer_t *mixer) {
    const sgp_pairs_t *pairs = mixer->extra;
    return pairs->seats[sgp_pairs_partner(pairs->nodes, pairs->place, pairs->exchanges)];
}

/* The next partner that is there. -1: of those of a period nobody is. */
static int choose_partner(sgp_mixer_t *mixer) {
    sgp_pairs_t *pairs = mixer->extra;
    for (int tries = 0; tries < 2 * pairs->nodes + 2; tries++, pairs->exchanges++) {
        int partner = sgp_pairs_next_partner(mixer);
        if (!is_away(mixer, partner)) return partner;
    }
    return -1;
}

/* The step waits for the end of the exchange: until then only the progress thread touches live. */
static sgp_status_t ask(sgp_mixer_t *mixer, int partner) {
    sgp_pairs_t *pairs = mixer->extra;
    sgp_header_t header = header_of(mixer, SGP_KIND_ASK, pairs->asked[partner]);
    sgp_destination_t to = {.dst = partner, .weight = 1};
    sgp_send_t send;
    sgp_status_t status = sgp_inbox_send_try(mixer->inbox, &header, &to, 1, &send);
    if (status != SGP_OK) return status;
    for (void *place; (place = sgp_inbox_send_next(mixer->inbox, &send));) {
        bool finite = sgp_push_write(mixer, &send, send.header.elements, place,
                                     pairs->live + send.header.offset);
        status = sgp_push_commit(mixer, &send, finite);
        if (status != SGP_OK) return status;
    }
    sgp_push_sent(mixer, 1);
    pairs->partner = partner;
    pairs->added = 0;
    return SGP_OK;
}

static void set_phase(sgp_mixer_t *mixer, sgp_pairs_phase_t phase) {
    sgp_pairs_t *pairs = mixer->extra;
    sgp_transport_lock(mixer->transport);
    pairs->phase = phase;
    if (phase == SGP_PAIRS_IDLE) sgp_transport_signal(mixer->transport);
    sgp_transport_unlock(mixer->transport);
}

static void end_exchange(sgp_mixer_t *mixer, sgp_pairs_phase_t phase) {
    sgp_pairs_t *pairs = mixer->extra;
    pairs->asked[pairs->partner]++;
    pairs->exchanges++;
    set_phase(mixer, phase);
}

static bool is_refusal(const sgp_chunk_t *chunk) {
    return chunk->header.encoding == SGP_ENCODING_BYTES;
}

static sgp_status_t add_answer(sgp_mixer_t *mixer) {
    sgp_pairs_t *pairs = mixer->extra;
    while (pairs->added < mixer->length) {
        sgp_chunk_t *chunk = sgp_push_find(mixer, SGP_KIND_ANSWER, pairs->partner,
                                           pairs->asked[pairs->partner], pairs->added);
        if (!chunk) return SGP_OK;
        if (mixer->holes.elastic && is_refusal(chunk)) {
            sgp_inbox_release(mixer->inbox, chunk);
            end_exchange(mixer, SGP_PAIRS_IDLE);
            return SGP_OK;
        }
        sgp_status_t status = sgp_push_check(mixer, &chunk->header);
        if (status != SGP_OK) return status;
        float *live = pairs->live + pairs->added;
        if (sgp_mixer_is_lossy(mixer))
            sgp_decode_add(mixer->options.encoding, chunk->header.elements, live, chunk->payload,
                           1);
        else sgp_add(chunk->header.elements, live, live, chunk->payload);
        pairs->added += chunk->header.elements;
        sgp_inbox_release(mixer->inbox, chunk);
    }
    sgp_push_received(mixer, 1, 0);
    end_exchange(mixer, SGP_PAIRS_IDLE);
    return SGP_OK;
}

/* A wait for that node, now or later, cannot succeed, unless the node has announced its end before. */
static sgp_status_t note_left(sgp_mixer_t *mixer, int rank) {
    sgp_pairs_t *pairs = mixer->extra;
    sgp_status_t status = sgp_inbox_look(mixer->inbox, true);
    if (status != SGP_OK) return status;
    sgp_transport_lock(mixer->transport);
    if (pairs->left < 0) {
        pairs->left = rank;
        sgp_transport_signal(mixer->transport);
    }
    sgp_transport_unlock(mixer->transport);
    return SGP_OK;
}

/* Releases what is here of a message of a rank that is gone. */
static void drop(sgp_mixer_t *mixer, sgp_kind_t kind, int src, uint64_t number) {
    sgp_inbox_key_t key = {.channel = mixer->channel, .kind = kind, .step = number};
    for (sgp_chunk_t *next, *at = sgp_inbox_next(mixer->inbox, &key, NULL); at; at = next) {
        next = sgp_inbox_next(mixer->inbox, &key, at);
        if (at->header.src == src) sgp_inbox_release(mixer->inbox, at);
    }
}

/* The partner is gone. The numbers that it has answered are the mean; the others stay as they are. */
static void tear_exchange(sgp_mixer_t *mixer) {
    sgp_pairs_t *pairs = mixer->extra;
    drop(mixer, SGP_KIND_ANSWER, pairs->partner, pairs->asked[pairs->partner]);
    sgp_transport_lock(mixer->transport);
    mixer->statistics.torn += pairs->added > 0;
    sgp_transport_unlock(mixer->transport);
    end_exchange(mixer, SGP_PAIRS_WANTED);
}

static sgp_status_t receive_answer(sgp_mixer_t *mixer) {
    const sgp_pairs_t *pairs = mixer->extra;
    bool elastic = mixer->holes.elastic;
    bool last = elastic ? sgp_holes_ended(mixer, pairs->partner)
                        : sgp_transport_has_ended(mixer->transport, pairs->partner);
    sgp_status_t status = add_answer(mixer);
    if (status != SGP_OK || !last || pairs->phase != SGP_PAIRS_ASKED) return status;
    if (!elastic) return note_left(mixer, pairs->partner);
    tear_exchange(mixer);
    return SGP_OK;
}

static sgp_pairs_phase_t phase_of(sgp_mixer_t *mixer) {
    const sgp_pairs_t *pairs = mixer->extra;
    sgp_transport_lock(mixer->transport);
    sgp_pairs_phase_t phase = pairs->phase;
    sgp_transport_unlock(mixer->transport);
    return phase;
}

static sgp_status_t ask_next(sgp_mixer_t *mixer) {
    int partner = choose_partner(mixer);
    if (partner < 0) {
        set_phase(mixer, SGP_PAIRS_IDLE);
        return SGP_OK;
    }
    sgp_status_t status = ask(mixer, partner);
    if (status == SGP_OK) set_phase(mixer, SGP_PAIRS_ASKED);
    return status;
}

/* Each exchange that is torn has lost a node. */
static sgp_status_t serve_active(sgp_mixer_t *mixer) {
    for (int tries = 0; tries <= mixer->size; tries++) {
        sgp_pairs_phase_t phase = phase_of(mixer);
        if (phase == SGP_PAIRS_WANTED) {
            sgp_status_t status = ask_next(mixer);
            if (status == SGP_ERR_AGAIN) return SGP_OK;
            if (status != SGP_OK) return status;
            phase = phase_of(mixer);
        }
        if (phase != SGP_PAIRS_ASKED) return SGP_OK;
        sgp_status_t status = receive_answer(mixer);
        if (status != SGP_OK || phase_of(mixer) != SGP_PAIRS_WANTED) return status;
    }
    return SGP_OK;
}

/* ---- the passive side, on the progress thread ---- */

/* SGP_ERR_AGAIN: no room now. */
static sgp_status_t begin_answer(sgp_mixer_t *mixer, int src) {
    sgp_pairs_t *pairs = mixer->extra;
    sgp_asker_t *asker = &pairs->askers[src];
    sgp_header_t header = header_of(mixer, SGP_KIND_ANSWER, asker->next);
    asker->to = (sgp_destination_t){.dst = src, .weight = 1};
    sgp_status_t status = sgp_inbox_send_try(mixer->inbox, &header, &asker->to, 1, &asker->answer);
    asker->answering = status == SGP_OK;
    return status;
}

/* One chunk of a question: both sides become the mean here. */
static sgp_status_t answer_chunk(sgp_mixer_t *mixer, sgp_asker_t *asker, sgp_chunk_t *chunk,
                                 void *place) {
    sgp_pairs_t *pairs = mixer->extra;
    size_t count = chunk->header.elements;
    float *live = pairs->live + chunk->header.offset;
    sgp_transport_lock(mixer->transport);
    bool finite = !pairs->broken;
    sgp_encoding_t encoding = mixer->options.encoding;
    if (sgp_mixer_is_lossy(mixer)) sgp_encode_pair(encoding, count, live, chunk->payload, place);
    else sgp_average_pair(count, live, chunk->payload, place);
    sgp_transport_unlock(mixer->transport);
    if (sgp_encoding_has_blocks(encoding)) finite &= sgp_encoded_finite(encoding, count, place);
    return sgp_push_commit(mixer, &asker->answer, finite);
}

/* Answers the chunks that have arrived of one node's question, in order. */
static sgp_status_t answer(sgp_mixer_t *mixer, int src) {
    sgp_pairs_t *pairs = mixer->extra;
    sgp_asker_t *asker = &pairs->askers[src];
    for (;;) {
        size_t offset = 0;
        if (asker->answering) offset = asker->answer.header.offset + asker->answer.header.elements;
        sgp_chunk_t *chunk = sgp_push_find(mixer, SGP_KIND_ASK, src, asker->next, offset);
        if (!chunk) return SGP_OK;
        sgp_status_t status = sgp_push_check(mixer, &chunk->header);
        if (status == SGP_OK && !asker->answering) status = begin_answer(mixer, src);
        if (status == SGP_ERR_AGAIN) return SGP_OK;
        if (status != SGP_OK) return status;
        void *place = sgp_inbox_send_next(mixer->inbox, &asker->answer);
        status = answer_chunk(mixer, asker, chunk, place);
        if (status != SGP_OK) return status;
        bool last = chunk->header.offset + chunk->header.elements == mixer->length;
        sgp_inbox_release(mixer->inbox, chunk);
        if (!last) continue;
        sgp_inbox_send_next(mixer->inbox, &asker->answer); /* NULL: the message is whole */
        asker->answering = false;
        asker->next++;
        sgp_push_received(mixer, 1, 0);
        sgp_push_sent(mixer, 1);
    }
}

static void note_rest(sgp_mixer_t *mixer, int src) {
    sgp_pairs_t *pairs = mixer->extra;
    sgp_asker_t *asker = &pairs->askers[src];
    if (asker->rests || !sgp_push_find(mixer, SGP_KIND_REST, src, pairs->settles, 0)) return;
    asker->rests = true;
    sgp_transport_lock(mixer->transport);
    pairs->resting++;
    sgp_transport_signal(mixer->transport);
    sgp_transport_unlock(mixer->transport);
}

static sgp_status_t serve_passive(sgp_mixer_t *mixer) {
    const sgp_pairs_t *pairs = mixer->extra;
    for (int src = 0; src < mixer->size; src += 2) {
        bool last = sgp_transport_has_ended(mixer->transport, src);
        sgp_status_t status = answer(mixer, src);
        if (status != SGP_OK) return status;
        note_rest(mixer, src);
        if (last && !pairs->askers[src].rests) status = note_left(mixer, src);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

/* ---- the side that is asked, in an elastic group ---- */

/* SGP_ERR_AGAIN: no room now. */
static sgp_status_t tell_refusal(sgp_mixer_t *mixer, int src) {
    const sgp_pairs_t *pairs = mixer->extra;
    sgp_header_t header = {.kind = SGP_KIND_ANSWER,
                           .encoding = SGP_ENCODING_BYTES,
                           .channel = mixer->channel,
                           .step = pairs->askers[src].next,
                           .count = 1};
    sgp_destination_t to = {.dst = src, .weight = 1};
    sgp_send_t send;
    sgp_status_t status = sgp_inbox_send_try(mixer->inbox, &header, &to, 1, &send);
    if (status != SGP_OK) return status;
    memset(sgp_inbox_send_next(mixer->inbox, &send), 0, 1);
    sgp_inbox_send_commit(mixer->inbox, &send);
    return SGP_OK;
}

/* Drops the chunks that have arrived of a question that is not answered. */
static sgp_status_t refuse(sgp_mixer_t *mixer, int src) {
    sgp_pairs_t *pairs = mixer->extra;
    sgp_asker_t *asker = &pairs->askers[src];
    sgp_chunk_t *chunk;
    while ((chunk = sgp_push_find(mixer, SGP_KIND_ASK, src, asker->next, asker->dropped))) {
        sgp_status_t status = sgp_push_check(mixer, &chunk->header);
        if (status == SGP_OK && !asker->refused) status = tell_refusal(mixer, src);
        if (status == SGP_ERR_AGAIN) return SGP_OK;
        if (status != SGP_OK) return status;
        asker->refused = true;
        asker->dropped += chunk->header.elements;
        sgp_inbox_release(mixer->inbox, chunk);
        if (asker->dropped < mixer->length) continue;
        asker->next++;
        asker->dropped = 0;
        asker->refused = false;
    }
    return SGP_OK;
}

/* It is gone: what it has asked, as far as it has arrived, is answered. */
static void end_asker(sgp_mixer_t *mixer, int src) {
    sgp_pairs_t *pairs = mixer->extra;
    sgp_asker_t *asker = &pairs->askers[src];
    if (asker->answering) sgp_inbox_send_abandon(mixer->inbox, &asker->answer);
    sgp_transport_lock(mixer->transport);
    mixer->statistics.torn += asker->answering;
    sgp_transport_unlock(mixer->transport);
    asker->answering = false;
    asker->ended = true;
    drop(mixer, SGP_KIND_ASK, src, asker->next);
}

/* idle: this node does not ask now. */
static sgp_status_t serve_asker(sgp_mixer_t *mixer, int src, bool idle) {
    sgp_pairs_t *pairs = mixer->extra;
    sgp_asker_t *asker = &pairs->askers[src];
    if (src == mixer->rank || asker->ended) return SGP_OK;
    bool last = sgp_holes_ended(mixer, src);
    if (last) sgp_inbox_collect(mixer->inbox); /* what came before the end */
    bool answers = idle && !pairs->active && asker->is_active && !asker->refused;
    sgp_status_t status = (asker->answering || answers ? answer : refuse)(mixer, src);
    if (status != SGP_OK) return status;
    note_rest(mixer, src);
    if (last) end_asker(mixer, src);
    return SGP_OK;
}

static sgp_status_t serve_elastic(sgp_mixer_t *mixer) {
    sgp_status_t status = serve_active(mixer);
    bool idle = phase_of(mixer) == SGP_PAIRS_IDLE;
    for (int src = 0; src < mixer->size && status == SGP_OK; src++)
        status = serve_asker(mixer, src, idle);
    return status;
}

void sgp_pairs_sweep(sgp_mixer_t *mixer) {
    const sgp_pairs_t *pairs = mixer->extra;
    for (int r = 0; r < mixer->size; r++) {
        if (!pairs->askers[r].ended) continue;
        drop(mixer, SGP_KIND_ASK, r, pairs->askers[r].next);
        if (pairs->asked[r]) drop(mixer, SGP_KIND_ANSWER, r, pairs->asked[r] - 1);
        drop(mixer, SGP_KIND_REST, r, pairs->settles);
    }
}

sgp_status_t sgp_pairs_serve(sgp_mixer_t *mixer) {
    const sgp_pairs_t *pairs = mixer->extra;
    sgp_inbox_collect(mixer->inbox);
    if (mixer->holes.elastic) return serve_elastic(mixer);
    return pairs->active ? serve_active(mixer) : serve_passive(mixer);
}
