/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/arrival.h"

#include "base/bytes.h"
#include "base/constants.h"
#include "base/logging.h"
#include "base/memory.h"
#include "group/agree_call.h"
#include "group/entering.h"
#include "group/seats.h"
#include "mixing/algorithm_table.h"
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/holes.h"
#include "mixing/late.h"
#include "mixing/outer.h"
#include "mixing/questions.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The parts of an answer, by the step of their messages; a newcomer's word that it begins; requests count from FIRST_REQUEST. */
enum { PLACE, VECTOR, MOMENTUM, ANCHOR, BEGUN, FIRST_REQUEST = 16 };

#define PATIENCE_NS (1000 * SGP_MILLISECOND) /* with a member that does not answer */

/* A member that has not opened this node's seat yet does not hear it: until it knows the same members it is asked again. */
#define ASK_AGAIN_NS (20 * SGP_MILLISECOND)

/* Pushes of rounds that are to come wait so long for the newcomer; then it exchanges nothing before them. */
#define LINGER_NS (100 * SGP_MILLISECOND)

struct sgp_arrival {
    bool known; /* to the member that is asked: it had this node's view at the last request */
    uint64_t asked_since;
    unsigned char *answered; /* (seats) in this look */
    uint64_t step;           /* K of a newcomer */
    atomic_bool due;         /* something of the kind has come, or was left */
    int asked;               /* member; -1: none */
    uint64_t requests;       /* made */
    uint64_t asked_at,
        since;    /* when; and since when pushes wait that are not folded; 0: there are none */
    float *outer; /* (2, count) momentum and anchor, until the mixer is made */
    size_t place_bytes;
    unsigned char *place; /* (place_bytes) a scratch */
};

/* ---- where a member is ---- */

/* Whole numbers of 8 bytes, then the seats that take part in collective calls, then those that the last average left out. */
enum { STEP, ROUND, CALLS, SEQUENCE, AVERAGES, AGREED, NODES, RECOVERIES, UNMET, NUMBERS };

static size_t place_bytes(const sgp_mixer_t *mixer) {
    return 8 * NUMBERS + 2 * sgp_seats_bytes(mixer->size);
}

static void write_place(const sgp_mixer_t *mixer, unsigned char *bytes) {
    const sgp_agree_call_t *call = sgp_group_agreement(mixer->group);
    const uint64_t numbers[NUMBERS] = {
        mixer->step,
        mixer->round,
        sgp_agree_call_calls(call),
        sgp_group_sequence(mixer->group),
        mixer->averages,
        mixer->graphs->agreed,
        (uint64_t)mixer->graphs->nodes,
        mixer->recoveries,
        mixer->unmet,
    };
    size_t set = sgp_seats_bytes(mixer->size);
    for (int i = 0; i < NUMBERS; i++) sgp_bytes_put(bytes + 8 * i, numbers[i], 8);
    unsigned char *seats = bytes + 8 * NUMBERS;
    memcpy(seats, sgp_agree_call_seats(call), set);
    memset(seats + set, 0, set);
    for (int r = 0; r < mixer->size; r++)
        if (mixer->graphs->struck[r]) sgp_seats_add(seats + set, r);
}

/* Else messages do not carry their round, nobody waits for one, and none is late. */
static bool mixes_in_rounds(const sgp_mixer_t *mixer) {
    return mixer->options.overlap != SGP_OVERLAP_ASYNC &&
           mixer->options.algorithm != SGP_ALGORITHM_ADPSGD;
}

/* From the first round of a step on, so that no node waits for a round of a step that this one makes alone. */
static void enter_with_whole_step(sgp_mixer_t *mixer) {
    uint64_t next = sgp_questions_next(mixer), rounds = (uint64_t)mixer->options.rounds;
    if (next > mixer->round) {
        uint64_t over = (next - mixer->round) % rounds;
        if (over > 0) sgp_questions_passed(mixer, next + rounds - over);
    }
    mixer->entry = sgp_questions_next(mixer);
}

static sgp_status_t read_place(sgp_mixer_t *mixer, const unsigned char *bytes) {
    uint64_t numbers[NUMBERS];
    for (int i = 0; i < NUMBERS; i++) numbers[i] = sgp_bytes_get(bytes + 8 * i, 8);
    if (numbers[STEP] >= SGP_MEMBER_STEPS ||
        numbers[ROUND] > (numbers[STEP] + 1) * SGP_ROUNDS_MOST ||
        numbers[NODES] > (uint64_t)mixer->size)
        return sgp_fail(SGP_ERR_MISMATCH, "join: a member says that it is nowhere");
    const unsigned char *seats = bytes + 8 * NUMBERS;
    mixer->step = numbers[STEP];
    mixer->round = numbers[ROUND];
    if (mixes_in_rounds(mixer)) enter_with_whole_step(mixer);
    mixer->averages = numbers[AVERAGES];
    mixer->recoveries = numbers[RECOVERIES];
    mixer->unmet = numbers[UNMET] > 0;
    mixer->graphs->agreed = numbers[AGREED];
    mixer->graphs->nodes = (int)numbers[NODES];
    /* A seat may have been given again without that member's knowing it. */
    for (int r = 0; r < mixer->size; r++)
        mixer->graphs->struck[r] =
            sgp_seats_has(seats + sgp_seats_bytes(mixer->size), r) &&
            sgp_membership_end_step(sgp_group_membership(mixer->group), r) > 0;
    sgp_group_set_sequence(mixer->group, numbers[SEQUENCE]);
    return sgp_agree_call_enter(sgp_group_agreement(mixer->group), numbers[CALLS], seats);
}

/* ---- making ---- */

/* Of the inbox, perhaps on the agent. */
static bool note(void *context) {
    sgp_arrival_t *arrival = context;
    atomic_store(&arrival->due, true);
    return false;
}

/* Nothing of the seat's earlier member counts any more. */
static void opened(sgp_mixer_t *mixer, int rank) {
    if (mixer->ops && mixer->ops->opened) mixer->ops->opened(mixer, rank);
    sgp_questions_opened(mixer, rank);
    sgp_late_opened(mixer, rank);
}

sgp_status_t sgp_arrival_init(sgp_mixer_t *mixer) {
    if (!mixer->holes.elastic || mixer->transport->capacity == mixer->transport->size)
        return SGP_OK;
    sgp_arrival_t *made = calloc(1, sizeof *made);
    if (made) made->place = malloc(made->place_bytes = place_bytes(mixer));
    if (made) made->answered = malloc(sgp_seats_bytes(mixer->size));
    mixer->arrival = made;
    if (!made || !made->place || !made->answered)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for newcomers");
    made->asked = -1;
    mixer->holes.opened = opened;
    sgp_inbox_set_service(mixer->inbox, SGP_KIND_STATE, note, made);
    return SGP_OK;
}

void sgp_arrival_fini(sgp_mixer_t *mixer) {
    if (!mixer->arrival) return;
    sgp_inbox_set_service(mixer->inbox, SGP_KIND_STATE, NULL, NULL);
    sgp_memory_free(mixer->arrival->outer);
    free(mixer->arrival->place);
    free(mixer->arrival->answered);
    free(mixer->arrival);
    mixer->arrival = NULL;
}

/* A newcomer's algorithm is not made yet. */
static bool has_outer(const sgp_mixer_t *mixer) {
    return sgp_outer_kind_of(&mixer->options) != SGP_OUTER_NONE && mixer->count > 0;
}

unsigned sgp_arrival_messages(const sgp_mixer_t *mixer) {
    if (!mixer->arrival) return 0;
    return has_outer(mixer) ? 4 : 2; /* the first one is short */
}

/* ---- sending ---- */

static sgp_status_t send_bytes(sgp_mixer_t *mixer, int dst, uint64_t part, const void *bytes,
                               size_t count, size_t elements, sgp_encoding_t encoding) {
    sgp_header_t header = {.kind = SGP_KIND_STATE,
                           .encoding = encoding,
                           .channel = mixer->channel,
                           .step = part,
                           .count = elements};
    sgp_destination_t to = {.dst = dst, .weight = 1};
    size_t element = count / elements;
    sgp_send_t send;
    sgp_status_t status = sgp_transport_send_begin(mixer->transport, &header, &to, 1, &send);
    if (status != SGP_OK) return status;
    for (void *place; (place = sgp_transport_send_next(mixer->transport, &send));) {
        memcpy(place, (const unsigned char *)bytes + send.header.offset * element,
               send.header.elements * element);
        sgp_transport_send_commit(mixer->transport, &send);
    }
    return SGP_OK;
}

static sgp_status_t send_vector(sgp_mixer_t *mixer, int dst, uint64_t part, const float *vector,
                                size_t count) {
    return send_bytes(mixer, dst, part, vector, count * sizeof *vector, count,
                      SGP_ENCODING_FLOAT32);
}

/* SGP_ERR_AGAIN: there is no room for the first part, and nothing was sent. The others have their room: one newcomer is
 * answered at a time. */
static sgp_status_t answer(sgp_mixer_t *mixer, int dst) {
    sgp_arrival_t *arrival = mixer->arrival;
    sgp_status_t status = send_vector(mixer, dst, VECTOR, mixer->z, mixer->length);
    if (status != SGP_OK) return status;
    /* Not earlier: a collective call would wait for a newcomer that has no answer. */
    sgp_agree_call_admit(sgp_group_agreement(mixer->group), dst);
    mixer->regroups |= !sgp_reducer_has_member(&mixer->reducer, dst);
    write_place(mixer, arrival->place);
    if (has_outer(mixer))
        status = send_vector(mixer, dst, MOMENTUM, mixer->outer_momentum, mixer->count);
    if (status == SGP_OK && has_outer(mixer))
        status = send_vector(mixer, dst, ANCHOR, mixer->outer_anchor, mixer->count);
    if (status != SGP_OK) return status;
    return send_bytes(mixer, dst, PLACE, arrival->place, arrival->place_bytes, arrival->place_bytes,
                      SGP_ENCODING_BYTES);
}

/* A request, or what is left of an answer that another member was faster with. true: it stays. */
static bool look_at(sgp_mixer_t *mixer, const sgp_chunk_t *chunk) {
    const sgp_header_t *header = &chunk->header;
    if (header->step == BEGUN) sgp_holes_begun(mixer, header->src);
    if (header->step < FIRST_REQUEST || header->count != 8 || header->elements != 8) return false;
    if (sgp_fates_of(mixer->transport->fates, header->src).state != SGP_FATE_PRESENT) return false;
    if (sgp_bytes_get(chunk->payload, 8) > mixer->step) return true;
    if (sgp_seats_has(mixer->arrival->answered, header->src)) return false;
    if (answer(mixer, header->src) == SGP_ERR_AGAIN) return true;
    sgp_seats_add(mixer->arrival->answered, header->src);
    return false;
}

sgp_status_t sgp_arrival_serve(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_arrival_t *arrival = mixer->arrival;
    sgp_status_t status = SGP_OK;
    if (!arrival || !atomic_load_explicit(&arrival->due, memory_order_relaxed)) return status;
    if (mixer->ops->alone) return status; /* it takes no newcomers, and works during the step */
    if (mixer->progress) status = sgp_progress_take(mixer->progress, deadline);
    if (status != SGP_OK) return status;
    bool left = false;
    sgp_inbox_key_t from = {.channel = mixer->channel, .kind = SGP_KIND_STATE};
    atomic_store(&arrival->due, false);
    memset(arrival->answered, 0, sgp_seats_bytes(mixer->size));
    for (sgp_chunk_t *at; (at = sgp_inbox_lowest(mixer->inbox, &from, UINT64_MAX));) {
        from.step = at->header.step;
        from.src = at->header.src + 1;
        if (look_at(mixer, at)) left = true;
        else {
            from.src--;
            sgp_inbox_release(mixer->inbox, at);
        }
    }
    if (left) atomic_store(&arrival->due, true);
    return status;
}

/* ---- a newcomer ---- */

/* Not another newcomer of the same step, which waits, too. */
static bool can_answer(const sgp_mixer_t *mixer, int rank) {
    uint64_t before = mixer->arrival->step > 0 ? mixer->arrival->step - 1 : 0;
    sgp_membership_t *membership = sgp_group_membership(mixer->group);
    return rank != mixer->rank && sgp_membership_state(membership, rank, before) == SGP_SEAT_LIVE &&
           !sgp_holes_is_silent(mixer, rank) &&
           sgp_fates_of(mixer->transport->fates, rank).state == SGP_FATE_PRESENT;
}

/* The next member after the one that was asked last, in the circle of seats. */
static int next_member(const sgp_mixer_t *mixer) {
    int from = mixer->arrival->asked < 0 ? mixer->rank : mixer->arrival->asked;
    for (int i = 1; i <= mixer->size; i++)
        if (can_answer(mixer, (from + i) % mixer->size)) return (from + i) % mixer->size;
    return -1;
}

/* Whether all of those that this newcomer knows have ended: no other one hears of it any more. */
static bool is_alone(const sgp_mixer_t *mixer) {
    sgp_fates_t *fates = mixer->transport->fates;
    for (int r = 0; r < mixer->size; r++)
        if (r != mixer->rank && sgp_fates_of(fates, r).state == SGP_FATE_PRESENT) return false;
    return true;
}

static void ask(sgp_mixer_t *mixer, uint64_t now) {
    sgp_arrival_t *arrival = mixer->arrival;
    bool patient = arrival->asked >= 0 && can_answer(mixer, arrival->asked) &&
                   now < arrival->asked_since + PATIENCE_NS;
    bool again = patient && !arrival->known && now >= arrival->asked_at + ASK_AGAIN_NS;
    int member = again ? arrival->asked : patient ? -1 : next_member(mixer);
    unsigned char bytes[8];
    if (member < 0) return;
    sgp_bytes_put(bytes, arrival->step, sizeof bytes);
    if (send_bytes(mixer, member, FIRST_REQUEST + arrival->requests, bytes, sizeof bytes,
                   sizeof bytes, SGP_ENCODING_BYTES) != SGP_OK)
        return;
    if (!again) arrival->asked_since = now;
    arrival->known = sgp_inbox_heard(mixer->inbox, member)->view ==
                     sgp_membership_digest(sgp_group_membership(mixer->group));
    arrival->requests++;
    arrival->asked = member;
    arrival->asked_at = now;
}

static bool is_whole(const sgp_mixer_t *mixer, int src, uint64_t part) {
    sgp_inbox_key_t key = {
        .channel = mixer->channel, .kind = SGP_KIND_STATE, .src = src, .step = part};
    for (;;) {
        const sgp_chunk_t *chunk = sgp_inbox_peek(mixer->inbox, &key);
        if (!chunk || !chunk->header.elements) return false;
        key.offset += chunk->header.elements;
        if (key.offset >= chunk->header.count) return true;
    }
}

/* The member whose whole answer is here; -1: none. */
static int find_answer(const sgp_mixer_t *mixer) {
    bool outer = has_outer(mixer);
    for (int r = 0; r < mixer->size; r++)
        if (is_whole(mixer, r, PLACE) && is_whole(mixer, r, VECTOR) &&
            (!outer || (is_whole(mixer, r, MOMENTUM) && is_whole(mixer, r, ANCHOR))))
            return r;
    return -1;
}

static sgp_status_t take(sgp_mixer_t *mixer, int src, uint64_t part, void *to, size_t elements,
                         sgp_encoding_t encoding) {
    sgp_inbox_key_t key = {
        .channel = mixer->channel, .kind = SGP_KIND_STATE, .src = src, .step = part};
    size_t element = encoding == SGP_ENCODING_BYTES ? 1 : sizeof(float);
    while (key.offset < elements) {
        sgp_chunk_t *chunk = sgp_inbox_peek(mixer->inbox, &key);
        if (!chunk || chunk->header.count != elements || chunk->header.encoding != encoding)
            return sgp_fail(SGP_ERR_MISMATCH,
                            "join: a member's vector has %" PRIu64
                            " numbers, and this node's %zu: all nodes must use the same model",
                            chunk ? chunk->header.count : 0, elements);
        memcpy((unsigned char *)to + key.offset * element, chunk->payload,
               chunk->header.elements * element);
        key.offset += chunk->header.elements;
        sgp_inbox_release(mixer->inbox, chunk);
    }
    return SGP_OK;
}

static sgp_status_t take_outer(sgp_mixer_t *mixer, int src) {
    sgp_arrival_t *arrival = mixer->arrival;
    size_t count = mixer->count;
    if (!has_outer(mixer)) return SGP_OK;
    arrival->outer = sgp_memory_alloc(2 * count * sizeof *arrival->outer);
    if (!arrival->outer) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the outer momentum");
    sgp_status_t status = take(mixer, src, MOMENTUM, arrival->outer, count, SGP_ENCODING_FLOAT32);
    if (status != SGP_OK) return status;
    return take(mixer, src, ANCHOR, arrival->outer + count, count, SGP_ENCODING_FLOAT32);
}

static sgp_status_t take_answer(sgp_mixer_t *mixer, int src) {
    sgp_arrival_t *arrival = mixer->arrival;
    sgp_status_t status =
        take(mixer, src, PLACE, arrival->place, arrival->place_bytes, SGP_ENCODING_BYTES);
    if (status == SGP_OK)
        status = take(mixer, src, VECTOR, mixer->z, mixer->length, SGP_ENCODING_FLOAT32);
    if (status == SGP_OK) status = take_outer(mixer, src);
    return status == SGP_OK ? read_place(mixer, arrival->place) : status;
}

/* Pushes for this node take up room that their senders need: after a while they are late. */
static void fold_others(sgp_mixer_t *mixer, uint64_t now) {
    sgp_arrival_t *arrival = mixer->arrival;
    bool some = mixer->arrivals.highest >= sgp_questions_next(mixer);
    if (!some) arrival->since = 0;
    else if (!arrival->since) arrival->since = now;
    else if (now > arrival->since + LINGER_NS) {
        sgp_questions_passed(mixer, mixer->arrivals.highest + 1);
        arrival->since = 0;
    }
    sgp_late_before(mixer, sgp_questions_next(mixer));
    sgp_late_fold(mixer);
}

static sgp_status_t wait_for_answer(sgp_mixer_t *mixer, int *src) {
    uint64_t deadline = sgp_transport_now(mixer->transport) + sgp_group_timeout(mixer->group);
    sgp_status_t status = SGP_OK;
    while (status == SGP_OK) {
        uint64_t since = sgp_inbox_taken_in(mixer->inbox),
                 now = sgp_transport_now(mixer->transport);
        sgp_inbox_collect(mixer->inbox);
        *src = find_answer(mixer);
        if (*src >= 0) return SGP_OK;
        if (now >= deadline)
            return sgp_fail(SGP_ERR_TIMEOUT, "join: gave up waiting for the vector of a member");
        if (is_alone(mixer))
            return sgp_fail(SGP_ERR_PEER_LOST, "join: all members have ended meanwhile");
        ask(mixer, now);
        if (mixes_in_rounds(mixer)) fold_others(mixer, now);
        uint64_t until = now + (mixer->arrival->known ? LINGER_NS : ASK_AGAIN_NS);
        status = sgp_inbox_look(mixer->inbox, false);
        sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_STATE, -1, 0);
        if (status == SGP_OK)
            status = sgp_inbox_doze(mixer->inbox, since, until < deadline ? until : deadline,
                                    "the vector of a member");
    }
    return status;
}

static sgp_status_t check(const sgp_mixer_t *mixer) {
    const sgp_mixer_options_t *options = &mixer->options;
    if (!mixer->arrival)
        return sgp_fail(SGP_ERR_UNSUPPORTED, "mixer: this group takes no newcomers");
    if (options->algorithm != SGP_ALGORITHM_ADPSGD) return SGP_OK;
    return sgp_fail(SGP_ERR_UNSUPPORTED, "mixer: nodes cannot join while others train with %s",
                    sgp_algorithm_name(options->algorithm));
}

/* Where nobody waits for this node's messages nobody sends to it before it has begun. Without room: they hear of it by its pushes, or
 * in the next collective call. */
static void tell_begun(sgp_mixer_t *mixer) {
    const unsigned char *seats = sgp_agree_call_seats(sgp_group_agreement(mixer->group));
    unsigned char bytes[8];
    sgp_bytes_put(bytes, mixer->step, sizeof bytes);
    for (int r = 0; r < mixer->size; r++)
        if (r != mixer->rank && sgp_seats_has(seats, r))
            send_bytes(mixer, r, BEGUN, bytes, sizeof bytes, sizeof bytes, SGP_ENCODING_BYTES);
}

sgp_status_t sgp_arrival_wait(sgp_mixer_t *mixer) {
    int src;
    if (!sgp_newcomer_is_entering(mixer->group)) return SGP_OK;
    sgp_status_t status = check(mixer);
    if (status != SGP_OK) return status;
    sgp_transport_rest(mixer->transport); /* nobody calls it hung before its first step */
    sgp_agree_call_wait_to_enter(sgp_group_agreement(mixer->group));
    status = sgp_newcomer_ready(mixer->group, &mixer->arrival->step);
    if (status != SGP_OK) return status;
    mixer->holes.stirred = true;
    sgp_questions_enter(mixer, mixer->arrival->step / (uint64_t)mixer->options.local_steps);
    status = wait_for_answer(mixer, &src);
    if (status == SGP_OK) status = take_answer(mixer, src);
    if (status != SGP_OK) return status;
    mixer->w = 1;
    mixer->regroups = mixer->is_new = true;
    sgp_questions_entered(mixer);
    sgp_newcomer_entered(mixer->group, mixer->step);
    if (!mixes_in_rounds(mixer)) tell_begun(mixer);
    sgp_log(SGP_LOG_INFO, "mixer: joins with step %" PRIu64, mixer->step);
    return SGP_OK;
}

void sgp_arrival_finish(sgp_mixer_t *mixer) {
    sgp_arrival_t *arrival = mixer->arrival;
    if (!arrival || !arrival->outer) return;
    memcpy(mixer->outer_momentum, arrival->outer, mixer->count * sizeof(float));
    memcpy(mixer->outer_anchor, arrival->outer + mixer->count, mixer->count * sizeof(float));
    sgp_memory_free(arrival->outer);
    arrival->outer = NULL;
}
