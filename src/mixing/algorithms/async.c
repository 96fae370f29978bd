/* SPDX-License-Identifier: Apache-2.0 */
/* Stochastic Gradient Push without waiting: a step absorbs the messages that have arrived, however old, and pushes. The
 * weight that travels with every vector keeps the average unbiased.
 *
 * While the node computes, the progress thread pushes the vector of the last step and folds arriving messages into one
 * vector with its weight, `waiting`. So messages to a slow node do not pile up, and their senders' memory is free again
 * at once. A node must not give away too much of its mass: with little left, lr / w d would throw z far off. It keeps at
 * least LEAST_KEPT, and if need be sends less than the graph's share, or nothing. A push for which no room comes free is
 * taken back.
 *
 * To settle, each node tells every other how many messages it has sent there, and rests; no node sends to a resting one,
 * which would otherwise collect the mass of the slower ones. In a group that takes newcomers the nodes agree on those numbers, so all know
 * who takes part, and that a node rests is only said so that nobody sends to it. A newcomer is sent to once it has begun. */
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/holes.h"
#include "mixing/kernels.h"
#include "mixing/progress_thread.h"
#include "mixing/push.h"
#include "mixing/settling.h"

#include "base/constants.h"
#include "base/logging.h"
#include "base/memory.h"
#include "group/agree_call.h"
#include "group/seats.h"
#include "optimizer/optimizer_internal.h"

#include <stdlib.h>
#include <string.h>

/* With one peer and as many arrivals as steps a node keeps 1/2, so the bound at most doubles the rate lr / w of that
 * state. Messages of less weight than LEAST_SENT in all are not worth their bytes. */
#define LEAST_KEPT 0.5
#define LEAST_SENT 0.05

#define LATE 4 /* messages of a sender that is gone, at most, whose chunks can still arrive */

/* The messages of one sender. They are numbered for each receiver, and carry that number as their step: a receiver
 * cannot know in which rounds its senders push. The first number is that of the member that has the seat (first_number). */
typedef struct sender {
    uint32_t member; /* sgp_holes_member; 0 in a group that is not elastic */
    uint64_t next;   /* number of the first message that is not folded */
    size_t arrived;  /* elements of it that have arrived */
    bool rests;
    bool ended; /* it is a hole, and all its whole messages are folded */
} sender_t;

typedef struct async {
    sender_t *senders; /* (size) */
    uint64_t
        *counts; /* (size) messages sent to each, in a group that is not elastic: else holes.sent */
    uint64_t settles; /* so far: the number of the next one */
    bool settling;    /* the nodes agree on what was sent */
    float *waiting;   /* (P + S) folded messages, not absorbed yet */
    double waiting_w; /* their weight; 0: none */
    /* The push of the progress thread: one message to each receiver, with that receiver's number. */
    sgp_destination_t *to;   /* (size) */
    int destinations;        /* still to be sent to */
    float *buffers;          /* (S) copies: the caller changes its own meanwhile */
    double before;           /* this node's weight before the push; 0: there is none */
    sgp_rounding_t rounding; /* owed to z for the messages that have left */
} async_t;

static unsigned async_messages(const sgp_mixer_t *mixer) {
    int degree = sgp_graph_max_degree(&mixer->graph);
    return (unsigned)(degree < 4 ? degree : 4) + 2;
}

/* To each other node: this one rests. */
static unsigned async_notices(const sgp_mixer_t *mixer) {
    return (unsigned)mixer->size;
}

static uint64_t first_number(uint32_t member) {
    return member == SGP_NO_MEMBER ? 0 : (uint64_t)member << SGP_PAIR_BITS;
}

static uint32_t member_of(const sgp_mixer_t *mixer, int rank) {
    return mixer->holes.elastic ? sgp_holes_member(mixer, rank) : 0;
}

/* To the present member of that seat. */
static uint64_t *sent_to(sgp_mixer_t *mixer, int dst) {
    const async_t *async = mixer->extra;
    if (!mixer->holes.elastic) return &async->counts[dst];
    sgp_holes_count_anew(mixer, dst);
    return &mixer->holes.sent[dst];
}

/* ---- receiving ---- */

/* Whether the whole next message of a sender has arrived. */
static bool is_whole(sgp_mixer_t *mixer, int src) {
    async_t *async = mixer->extra;
    sender_t *sender = &async->senders[src];
    while (sender->arrived < mixer->length) {
        sgp_chunk_t *chunk =
            sgp_push_find(mixer, SGP_KIND_PUSH, src, sender->next, sender->arrived);
        if (!chunk) return false;
        sender->arrived += chunk->header.elements;
    }
    return true;
}

static void fold_chunk(async_t *async, const sgp_chunk_t *chunk) {
    float *place = async->waiting + chunk->header.offset;
    size_t count = chunk->header.elements;
    if (async->waiting_w > 0) sgp_push_absorb_into(place, chunk, async->waiting_w);
    else if (sgp_encoding_is_lossy(chunk->header.encoding))
        sgp_decode(chunk->header.encoding, count, place, chunk->payload);
    else memcpy(place, chunk->payload, count * sizeof *place);
}

/* Folds a sender's next message, all of which has arrived. */
static sgp_status_t fold(sgp_mixer_t *mixer, int src) {
    async_t *async = mixer->extra;
    sender_t *sender = &async->senders[src];
    double weight = 0;
    for (size_t folded = 0; folded < mixer->length;) {
        sgp_chunk_t *chunk = sgp_push_find(mixer, SGP_KIND_PUSH, src, sender->next, folded);
        sgp_status_t status = sgp_push_check(mixer, &chunk->header);
        if (status != SGP_OK) return status;
        fold_chunk(async, chunk);
        weight = chunk->header.weight;
        folded += chunk->header.elements;
        sgp_inbox_release(mixer->inbox, chunk);
    }
    /* Late: its sender has made at least one more step before this node absorbs it. */
    sgp_push_received(mixer, 1, async->waiting_w > 0);
    sgp_mixer_note(mixer, async->waiting_w > 0 ? SGP_FLIGHT_LATE : SGP_FLIGHT_ABSORBED, src,
                   sender->next);
    if (sender->member == member_of(mixer, src)) sgp_holes_received(mixer, src);
    async->waiting_w += weight;
    sender->next++;
    sender->arrived = 0;
    return SGP_OK;
}

/* Of this settle, or of the next one: a newcomer takes over the number of calls. */
static uint64_t rest_number(const sgp_mixer_t *mixer) {
    const async_t *async = mixer->extra;
    return mixer->arrival ? sgp_agree_call_calls(sgp_group_agreement(mixer->group))
                          : async->settles;
}

/* The notice of a node that it rests until this settle; NULL: there is none. */
static sgp_chunk_t *find_rest(sgp_mixer_t *mixer, int src) {
    return sgp_push_find(mixer, SGP_KIND_REST, src, rest_number(mixer), 0);
}

static sgp_status_t fold_whole(sgp_mixer_t *mixer, int src) {
    while (is_whole(mixer, src)) {
        sgp_status_t status = fold(mixer, src);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

/* A torn message is dropped: nothing of it has been folded. */
static sgp_status_t end_sender(sgp_mixer_t *mixer, int src) {
    async_t *async = mixer->extra;
    sender_t *sender = &async->senders[src];
    sgp_inbox_collect(mixer->inbox); /* what came before the end */
    sgp_status_t status = fold_whole(mixer, src);
    if (status != SGP_OK) return status;
    mixer->statistics.torn += sender->arrived > 0;
    sgp_holes_tear(mixer, src, sender->next);
    sender->ended = true;
    return SGP_OK;
}

/* Of a sender that has ended chunks can still arrive, where another rank told of the loss before they came. */
static void release_late(sgp_mixer_t *mixer, int src) {
    const async_t *async = mixer->extra;
    for (uint64_t n = 0; n < LATE; n++) sgp_holes_tear(mixer, src, async->senders[src].next + n);
}

/* Notices that have come after the settle of which they are: they hold their senders' room. */
static void release_rests(sgp_mixer_t *mixer) {
    if (!mixer->arrival) return;
    sgp_inbox_key_t from = {.channel = mixer->channel, .kind = SGP_KIND_REST};
    for (sgp_chunk_t *at; (at = sgp_inbox_lowest(mixer->inbox, &from, rest_number(mixer)));)
        sgp_inbox_release(mixer->inbox, at);
}

static void begin_with(const sgp_mixer_t *mixer, int src, bool none) {
    async_t *async = mixer->extra;
    uint32_t member = member_of(mixer, src);
    async->senders[src] =
        (sender_t){.member = member, .next = first_number(member), .rests = none, .ended = none};
}

/* By a newcomer, and the seat has not been given to another one since. */
static bool is_found_gone(const sgp_mixer_t *mixer, int rank) {
    const sgp_holes_t *holes = &mixer->holes;
    return holes->elastic && holes->is[rank] &&
           holes->incarnations[rank] == sgp_holes_member(mixer, rank);
}

/* Another member has the seat: what is here of the earlier one is folded first. */
static sgp_status_t follow_seat(sgp_mixer_t *mixer, int src) {
    const async_t *async = mixer->extra;
    const sender_t *sender = &async->senders[src];
    if (sender->member == member_of(mixer, src)) return SGP_OK;
    sgp_status_t status = sender->ended ? SGP_OK : end_sender(mixer, src);
    if (status == SGP_OK) begin_with(mixer, src, sgp_holes_absent(mixer, src));
    return status;
}

static void async_opened(sgp_mixer_t *mixer, int rank) {
    sgp_progress_fail(mixer->progress, follow_seat(mixer, rank));
}

/* Folds every message that has arrived, and notes which nodes rest. */
static sgp_status_t take_in(sgp_mixer_t *mixer) {
    async_t *async = mixer->extra;
    sgp_inbox_collect(mixer->inbox);
    for (int src = 0; src < mixer->size; src++) {
        sender_t *sender = &async->senders[src];
        if (src == mixer->rank) continue;
        sgp_status_t status = follow_seat(mixer, src);
        if (status != SGP_OK) return status;
        if (sender->ended) {
            if (sender->member != SGP_NO_MEMBER) release_late(mixer, src); /* else a newcomer's */
            continue;
        }
        status = fold_whole(mixer, src);
        if (status == SGP_OK && sgp_holes_ended(mixer, src)) status = end_sender(mixer, src);
        if (status != SGP_OK) return status;
        sender->rests = sender->ended || find_rest(mixer, src) != NULL;
    }
    return SGP_OK;
}

/* ---- sending ---- */

/* Of a push to it. */
static uint64_t next_number(sgp_mixer_t *mixer, int dst) {
    return first_number(member_of(mixer, mixer->rank)) + *sent_to(mixer, dst);
}

/* Pushes to the last remaining destination. SGP_ERR_AGAIN: there is no room. */
static sgp_status_t push_one(sgp_mixer_t *mixer, const float *buffers) {
    async_t *async = mixer->extra;
    const sgp_destination_t *to = &async->to[async->destinations - 1];
    sgp_header_t header = sgp_push_header(mixer, next_number(mixer, to->dst));
    sgp_send_t send;
    sgp_status_t status = sgp_inbox_send_try(mixer->inbox, &header, to, 1, &send);
    if (status != SGP_OK) return status;
    for (void *place; (place = sgp_inbox_send_next(mixer->inbox, &send));) {
        bool finite = sgp_push_copy(mixer, &send, buffers, place);
        status = sgp_push_commit(mixer, &send, finite);
        if (status != SGP_OK) return status;
    }
    ++*sent_to(mixer, to->dst);
    async->destinations--;
    return SGP_OK;
}

/* As many as there is room for. */
static sgp_status_t push_all(sgp_mixer_t *mixer, const float *buffers) {
    async_t *async = mixer->extra;
    while (async->destinations > 0) {
        sgp_status_t status = push_one(mixer, buffers);
        if (status == SGP_ERR_AGAIN) return SGP_OK;
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

/* On the node's own thread, while the nodes agree on what was sent: the room of slower senders comes free. */
static void async_serve(void *owner) {
    sgp_mixer_t *mixer = owner;
    const async_t *async = mixer->extra;
    if (!async->settling) return;
    sgp_progress_fail(mixer->progress, take_in(mixer));
    release_rests(mixer);
}

/* On the progress thread. */
static sgp_status_t async_work(sgp_mixer_t *mixer, sgp_work_t *left) {
    async_t *async = mixer->extra;
    uint64_t mark = sgp_mixer_mark(mixer);
    *left = SGP_WORK_WAITS;
    sgp_status_t status = push_all(mixer, async->buffers);
    mark = sgp_trace_end(mixer->trace, SGP_TRACE_MESSAGES, SGP_TRACE_PUSH, mark);
    if (status == SGP_OK) status = take_in(mixer);
    sgp_trace_end(mixer->trace, SGP_TRACE_MESSAGES, SGP_TRACE_ABSORB, mark);
    return status;
}

/* The factor of the graph's shares that leaves LEAST_KEPT. */
static double part_to_send(double w, double kept) {
    double most = w - LEAST_KEPT, shares = w - kept;
    if (shares <= most) return 1;
    return most < LEAST_SENT ? 0 : most / shares;
}

/* A newcomer that has not begun holds what it is sent, and so the room for it. */
static bool has_begun(const sgp_mixer_t *mixer, int rank) {
    if (!mixer->holes.elastic) return true;
    return sgp_seats_has(sgp_agree_call_seats(sgp_group_agreement(mixer->group)), rank);
}

/* The destinations of a round without resting nodes, and the weight for each. */
static void choose_destinations(sgp_mixer_t *mixer, double *kept) {
    async_t *async = mixer->extra;
    int count = sgp_push_shares(mixer, mixer->round, mixer->w, kept);
    double part = part_to_send(mixer->w, *kept);
    async->destinations = 0;
    *kept = mixer->w;
    for (int i = 0; i < count && part > 0; i++) {
        sgp_destination_t to = mixer->to[i];
        if (async->senders[to.dst].rests || !has_begun(mixer, to.dst)) continue;
        to.weight *= part;
        *kept -= to.weight;
        async->to[async->destinations++] = to;
    }
}

/* The weight of messages that found no room returns to this node. */
static void take_back(sgp_mixer_t *mixer) {
    async_t *async = mixer->extra;
    if (async->destinations == 0) return;
    sgp_push_sent(mixer, -async->destinations);
    for (; async->destinations > 0; async->destinations--)
        mixer->w += async->to[async->destinations - 1].weight;
}

/* ---- the step ---- */

static void absorb_waiting(sgp_mixer_t *mixer, size_t offset, size_t count) {
    async_t *async = mixer->extra;
    if (async->waiting_w > 0)
        sgp_absorb(count, mixer->z + offset, async->waiting + offset,
                   (float)(async->waiting_w / (mixer->w + async->waiting_w)));
}

static sgp_status_t update_and_absorb(sgp_mixer_t *mixer, const sgp_local_t *local) {
    async_t *async = mixer->extra;
    if (local->optimizer) sgp_optimizer_begin(local->optimizer);
    float rate = (float)(local->learning_rate / mixer->w);
    for (size_t offset = 0, count; offset < mixer->length; offset += count) {
        count = sgp_mixer_chunk_at(mixer, offset);
        uint64_t mark = sgp_mixer_mark(mixer);
        sgp_rounding_pay(&async->rounding, mixer, offset, count);
        bool finite = sgp_local_update(mixer, local, rate, offset, count, NULL, false);
        mark = sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, mark);
        if (!sgp_mixer_accepts(mixer, finite))
            return sgp_mixer_refuse(mixer, "parameters", offset, count);
        absorb_waiting(mixer, offset, count);
        sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    }
    async->rounding.part = 0;
    mixer->w += async->waiting_w;
    async->waiting_w = 0;
    return SGP_OK;
}

/* The progress thread has stopped: the messages that have left, and so the rounding error to keep, are known. */
static void end_push(sgp_mixer_t *mixer) {
    async_t *async = mixer->extra;
    take_back(mixer);
    if (async->before > 0)
        async->rounding = sgp_rounding_of(mixer, async->before, mixer->w, async->buffers);
    async->before = 0;
}

static sgp_status_t take(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_status_t status = sgp_progress_take(mixer->progress, deadline);
    end_push(mixer);
    return status;
}

static sgp_status_t async_hold(sgp_mixer_t *mixer, uint64_t deadline) {
    async_t *async = mixer->extra;
    sgp_status_t status = take(mixer, deadline);
    sgp_rounding_settle(&async->rounding, mixer);
    return status;
}

static sgp_status_t async_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    async_t *async = mixer->extra;
    double kept;
    sgp_status_t status = take(mixer, deadline);
    if (status != SGP_OK) return status;
    sgp_rounding_look(&async->rounding, mixer);
    uint64_t mark = sgp_mixer_mark(mixer);
    status = take_in(mixer);
    sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    if (status != SGP_OK) return status;
    status = update_and_absorb(mixer, local);
    if (status != SGP_OK) return status;
    release_rests(mixer);
    if (!mixer->exchanges) return sgp_progress_give(mixer->progress), SGP_OK;
    choose_destinations(mixer, &kept);
    memcpy(async->buffers, mixer->z + mixer->count,
           (mixer->length - mixer->count) * sizeof *async->buffers);
    sgp_push_sent(mixer, async->destinations);
    async->before = mixer->w;
    mixer->w = kept;
    /* A caller that changes z without a hold would do so while the progress thread copies it. */
    if (!local->optimizer && !local->held) {
        status = push_all(mixer, async->buffers);
        end_push(mixer);
        sgp_ledger_close(&mixer->ledger, mixer->z); /* the update is entered; the rest is mixing */
        sgp_rounding_settle(&async->rounding, mixer);
    }
    sgp_progress_give(mixer->progress);
    return status;
}

/* ---- settling ---- */

/* Folds what arrives while there is no room: others may wait for the same. */
static sgp_status_t begin_rest(sgp_mixer_t *mixer, const sgp_header_t *header,
                               const sgp_destination_t *to, uint64_t deadline, sgp_send_t *send) {
    for (;;) {
        sgp_status_t status = sgp_inbox_send_try(mixer->inbox, header, to, 1, send);
        if (status != SGP_ERR_AGAIN) return status;
        uint64_t since = sgp_inbox_taken_in(mixer->inbox);
        status = take_in(mixer);
        release_rests(mixer);
        sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_ROOM, to->dst, header->step);
        if (status == SGP_OK)
            status = sgp_inbox_wait(mixer->inbox, since, deadline, "room to send");
        if (status != SGP_OK) return status;
    }
}

static sgp_status_t tell_rest(sgp_mixer_t *mixer, uint64_t deadline) {
    for (int dst = 0; dst < mixer->size; dst++) {
        if (dst == mixer->rank || sgp_holes_absent(mixer, dst) || !has_begun(mixer, dst)) continue;
        const uint64_t *sent = sent_to(mixer, dst);
        sgp_header_t header = {.kind = SGP_KIND_REST,
                               .encoding = SGP_ENCODING_BYTES,
                               .channel = mixer->channel,
                               .step = rest_number(mixer),
                               .count = sizeof *sent};
        sgp_destination_t to = {.dst = dst, .weight = 1};
        sgp_send_t send;
        sgp_status_t status = begin_rest(mixer, &header, &to, deadline, &send);
        if (status != SGP_OK) return status;
        memcpy(sgp_inbox_send_next(mixer->inbox, &send), sent, sizeof *sent);
        sgp_inbox_send_commit(mixer->inbox, &send);
    }
    return SGP_OK;
}

/* Whether a rank rests, and all its messages have arrived. */
static bool is_settled(sgp_mixer_t *mixer, int src) {
    const async_t *async = mixer->extra;
    sgp_chunk_t *chunk = find_rest(mixer, src);
    uint64_t sent;
    if (async->senders[src].ended) return true;
    if (!chunk || chunk->header.count != sizeof sent) return false;
    memcpy(&sent, chunk->payload, sizeof sent);
    return async->senders[src].next >= sent;
}

/* A rank that is not settled, one that has left if there is one; -1: none. */
static int find_missing(sgp_mixer_t *mixer) {
    int missing = -1;
    for (int src = 0; src < mixer->size; src++) {
        if (src == mixer->rank || is_settled(mixer, src)) continue;
        if (sgp_transport_has_ended(mixer->transport, src)) return src;
        if (missing < 0) missing = src;
    }
    return missing;
}

static sgp_status_t wait_for_missing(sgp_mixer_t *mixer, int missing, uint64_t since,
                                     uint64_t deadline) {
    sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_REST, missing, rest_number(mixer));
    if (sgp_transport_has_ended(mixer->transport, missing))
        return sgp_inbox_wait_for(mixer->inbox, missing, since, deadline, "last messages");
    return sgp_inbox_wait(mixer->inbox, since, deadline, "the slower nodes to settle");
}

static sgp_status_t wait_for_rest(sgp_mixer_t *mixer, uint64_t deadline) {
    for (;;) {
        uint64_t since = sgp_inbox_taken_in(mixer->inbox);
        sgp_status_t status = take_in(mixer);
        int missing = status == SGP_OK ? find_missing(mixer) : -1;
        if (missing < 0) return status;
        status = wait_for_missing(mixer, missing, since, deadline);
        if (status != SGP_OK) return status;
    }
}

/* A rank of which messages are missing; -1: none. */
static int find_fewer(const sgp_mixer_t *mixer, const uint64_t *expected) {
    const async_t *async = mixer->extra;
    for (int src = 0; src < mixer->size; src++)
        if (mixer->holes.got[src] < expected[src] && !async->senders[src].ended) return src;
    return -1;
}

/* The nodes agree on who has sent how much: nobody sends from here on. */
static sgp_status_t settle_together(sgp_mixer_t *mixer, uint64_t deadline) {
    async_t *async = mixer->extra;
    uint64_t *expected = NULL;
    async->settling = true;
    sgp_status_t status = sgp_settle_gather(mixer, &expected);
    async->settling = false;
    if (status == SGP_OK) status = sgp_progress_status(mixer->progress);
    while (status == SGP_OK) {
        uint64_t since = sgp_inbox_taken_in(mixer->inbox);
        status = take_in(mixer);
        int missing = status == SGP_OK ? find_fewer(mixer, expected) : -1;
        if (missing < 0) break;
        sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_REST, missing, async->settles);
        status = sgp_inbox_wait_for(mixer->inbox, missing, since, deadline, "last messages");
    }
    free(expected);
    return status;
}

static void end_rest(sgp_mixer_t *mixer) {
    async_t *async = mixer->extra;
    for (int src = 0; src < mixer->size; src++) {
        if (src == mixer->rank) continue;
        sgp_chunk_t *rest = find_rest(mixer, src);
        if (rest) sgp_inbox_release(mixer->inbox, rest);
        async->senders[src].rests = async->senders[src].ended;
    }
    async->settles++;
    release_rests(mixer);
}

static sgp_status_t async_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    async_t *async = mixer->extra;
    sgp_status_t status = async_hold(mixer, deadline);
    if (status == SGP_OK) status = tell_rest(mixer, deadline);
    if (status == SGP_OK)
        status = (mixer->arrival ? settle_together : wait_for_rest)(mixer, deadline);
    if (status != SGP_OK) return status;
    end_rest(mixer);
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    absorb_waiting(mixer, 0, mixer->length);
    mixer->w += async->waiting_w;
    async->waiting_w = 0;
    sgp_ledger_close(&mixer->ledger, mixer->z);
    return SGP_OK;
}

static sgp_status_t async_resume(sgp_mixer_t *mixer) {
    sgp_progress_give(mixer->progress);
    return SGP_OK;
}

static void async_destroy(sgp_mixer_t *mixer) {
    async_t *async = mixer->extra;
    if (!async) return;
    sgp_memory_free(async->waiting);
    sgp_memory_free(async->buffers);
    free(async->senders);
    free(async->counts);
    free(async->to);
    free(async);
}

static sgp_status_t async_create(sgp_mixer_t *mixer) {
    async_t *async = calloc(1, sizeof *async);
    mixer->extra = async;
    if (!async) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for its algorithm");
    size_t size = (size_t)mixer->transport->capacity, buffers = mixer->length - mixer->count;
    async->senders = calloc(size, sizeof *async->senders);
    async->counts = calloc(size, sizeof *async->counts);
    async->to = calloc(size, sizeof *async->to);
    async->waiting = sgp_memory_alloc(mixer->length * sizeof *async->waiting);
    async->buffers = sgp_memory_alloc((buffers + 1) * sizeof *async->buffers);
    if (!async->senders || !async->counts || !async->to || !async->waiting || !async->buffers)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->length);
    for (int r = 0; r < (int)size; r++)
        begin_with(mixer, r, sgp_holes_absent(mixer, r) || is_found_gone(mixer, r));
    return SGP_OK;
}

/* No state: after a settle nothing is under way, and a resumed run numbers its messages from 0. */
const sgp_algorithm_ops_t sgp_algorithm_async = {
    .create = async_create,
    .destroy = async_destroy,
    .work = async_work,
    .serve = async_serve,
    .opened = async_opened,
    .messages = async_messages,
    .notices = async_notices,
    .step = async_step,
    .settle = async_settle,
    .hold = async_hold,
    .resume = async_resume,
};
