/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/questions.h"

#include "base/logging.h"
#include "mixing/late.h"
#include "mixing/record.h"
#include "wire/question.h"

#include <stdlib.h>
#include <string.h>

#define MOST_AHEAD (UINT64_C(1) << 32) /* rounds, as in inbox.h: no node is so far ahead */

/* What is between this node and another one. */
typedef struct neighbour {
    uint64_t asked,
        answered;      /* questions to it so far, and answers: one is under way if they differ */
    uint64_t round;    /* of the last question */
    uint64_t not_sent; /* a round that it has not sent to this node, plus 1; 0: none */
    uint64_t question; /* its own that is not answered yet; 0: none */
    uint64_t question_round;
    uint32_t question_from; /* incarnation */
} neighbour_t;

struct sgp_questions {
    sgp_record_t record;
    uint64_t highest; /* round of which an answer has told, plus 1 */
    bool entering;    /* a newcomer, without a state */
    int under_way;    /* questions of this node */
    neighbour_t of[]; /* (size) */
};

/* ---- answering; perhaps on the agent ---- */

static bool send(sgp_mixer_t *mixer, sgp_kind_t kind, int dst, uint64_t number,
                 const unsigned char *bytes, size_t count) {
    sgp_transport_t *transport = mixer->transport;
    sgp_header_t header = {.kind = kind,
                           .encoding = SGP_ENCODING_BYTES,
                           .channel = mixer->channel,
                           .step = number,
                           .count = count};
    sgp_destination_t to = {.dst = dst, .weight = 1};
    sgp_send_t send;
    if (sgp_transport_send_begin(transport, &header, &to, 1, &send) != SGP_OK) return false;
    memcpy(sgp_transport_send_next(transport, &send), bytes, count);
    sgp_transport_send_commit(transport, &send);
    sgp_transport_send_next(transport, &send); /* NULL: the message is whole */
    return true;
}

/* A later question takes the place of one that has not been answered: its sender has given that up. */
static void take_questions(sgp_mixer_t *mixer) {
    sgp_inbox_key_t from = {.channel = mixer->channel, .kind = SGP_KIND_WAIT};
    for (sgp_chunk_t *at; (at = sgp_inbox_lowest(mixer->inbox, &from, UINT64_MAX));) {
        neighbour_t *neighbour = &mixer->questions->of[at->header.src];
        uint64_t round;
        if (sgp_wait_decode(at->payload, at->header.elements, &round)) {
            neighbour->question = at->header.step;
            neighbour->question_round = round;
            neighbour->question_from = at->header.incarnation;
        }
        sgp_inbox_release(mixer->inbox, at);
    }
}

/* true: there is no room for an answer. */
static bool send_answers(sgp_mixer_t *mixer) {
    sgp_questions_t *questions = mixer->questions;
    unsigned char bytes[SGP_PASSED_BYTES];
    for (int r = 0; r < mixer->size; r++) {
        neighbour_t *neighbour = &questions->of[r];
        if (!neighbour->question) continue;
        uint64_t round = neighbour->question_round;
        if (questions->entering) sgp_record_pass(&questions->record, round + 1);
        sgp_passed_t passed = {.round = round,
                               .answer = sgp_record_answer(&questions->record, round, r),
                               .next = questions->record.next};
        sgp_passed_encode(&passed, bytes);
        if (!send(mixer, SGP_KIND_PASSED, r, neighbour->question, bytes, sizeof bytes)) return true;
        sgp_flight_note(mixer->transport->flight, SGP_FLIGHT_MESSAGES, SGP_FLIGHT_ANSWERED, r,
                        round, passed.answer);
        neighbour->question = 0;
    }
    return false;
}

/* ---- hearing answers; perhaps on the agent ---- */

static void hear(sgp_mixer_t *mixer, int src, uint64_t number, const sgp_passed_t *passed) {
    sgp_questions_t *questions = mixer->questions;
    neighbour_t *neighbour = &questions->of[src];
    if (number != neighbour->asked || neighbour->answered == number) return; /* nobody asked */
    neighbour->answered = number;
    questions->under_way--;
    sgp_flight_note(mixer->transport->flight, SGP_FLIGHT_MESSAGES, SGP_FLIGHT_TOLD, src,
                    passed->round, passed->answer);
    if (passed->round != neighbour->round) return;
    if (passed->answer == SGP_ANSWER_NOT_SENT) neighbour->not_sent = passed->round + 1;
    if (passed->next > questions->highest && passed->next < questions->record.next + MOST_AHEAD)
        questions->highest = passed->next;
}

static void take_answers(sgp_mixer_t *mixer) {
    sgp_inbox_key_t from = {.channel = mixer->channel, .kind = SGP_KIND_PASSED};
    for (sgp_chunk_t *at; (at = sgp_inbox_lowest(mixer->inbox, &from, UINT64_MAX));) {
        sgp_passed_t passed;
        if (sgp_passed_decode(at->payload, at->header.elements, &passed))
            hear(mixer, at->header.src, at->header.step, &passed);
        sgp_inbox_release(mixer->inbox, at);
    }
}

void sgp_questions_hear(sgp_mixer_t *mixer) {
    if (!mixer->questions || !mixer->questions->under_way) return;
    sgp_inbox_collect(mixer->inbox);
    take_answers(mixer);
}

/* The service of the inbox: a chunk that stays here is room that its sender lacks. */
static bool serve(void *context) {
    sgp_mixer_t *mixer = context;
    sgp_late_fold(mixer);
    take_answers(mixer);
    take_questions(mixer);
    return send_answers(mixer);
}

/* ---- making ---- */

sgp_status_t sgp_questions_init(sgp_mixer_t *mixer) {
    sgp_questions_t *made = calloc(1, sizeof *made + (size_t)mixer->size * sizeof *made->of);
    mixer->questions = made;
    if (!made || !sgp_record_init(&made->record, mixer->size, mixer->round))
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for the record of its pushes");
    mixer->arrivals =
        (sgp_inbox_owner_t){.channel = mixer->channel, .serve = serve, .context = mixer};
    sgp_inbox_attach(mixer->inbox, &mixer->arrivals);
    return SGP_OK;
}

void sgp_questions_fini(sgp_mixer_t *mixer) {
    if (!mixer->questions) return;
    sgp_inbox_detach(mixer->inbox, &mixer->arrivals);
    sgp_record_fini(&mixer->questions->record);
    free(mixer->questions);
    mixer->questions = NULL;
}

void sgp_questions_restart(sgp_mixer_t *mixer) {
    sgp_questions_t *questions = mixer->questions;
    if (!questions) return;
    questions->record.next = mixer->round > mixer->entry ? mixer->round : mixer->entry;
    questions->highest = 0;
    mixer->arrivals.highest = 0;
}

void sgp_questions_enter(sgp_mixer_t *mixer, uint64_t round) {
    mixer->questions->entering = true;
    sgp_record_pass(&mixer->questions->record, round);
}

void sgp_questions_entered(sgp_mixer_t *mixer) {
    mixer->questions->entering = false;
}

uint64_t sgp_questions_next(const sgp_mixer_t *mixer) {
    return mixer->questions->record.next;
}

/* The earlier member's answers never come. The new one may have asked between its seat's opening and this step. */
void sgp_questions_opened(sgp_mixer_t *mixer, int rank) {
    neighbour_t *neighbour = &mixer->questions->of[rank], before = *neighbour;
    if (before.asked != before.answered) mixer->questions->under_way--;
    *neighbour = (neighbour_t){.asked = 0};
    if (before.question_from != sgp_fates_incarnation(mixer->transport->fates, rank)) return;
    neighbour->question = before.question;
    neighbour->question_round = before.question_round;
    neighbour->question_from = before.question_from;
}

/* ---- the record ---- */

void sgp_questions_pushed(sgp_mixer_t *mixer, uint64_t round, const sgp_destination_t *to,
                          int count) {
    if (!mixer->questions) return;
    sgp_record_push(&mixer->questions->record, round, to, count);
    for (int i = 0; i < count; i++) mixer->holes.sent[to[i].dst]++;
}

void sgp_questions_passed(sgp_mixer_t *mixer, uint64_t next) {
    if (mixer->questions) sgp_record_pass(&mixer->questions->record, next);
}

/* ---- asking ---- */

bool sgp_questions_not_sent(const sgp_mixer_t *mixer, int src, uint64_t round) {
    return mixer->questions && mixer->questions->of[src].not_sent == round + 1;
}

uint64_t sgp_questions_highest(const sgp_mixer_t *mixer) {
    uint64_t answered = mixer->questions->highest ? mixer->questions->highest - 1 : 0;
    uint64_t arrived = mixer->arrivals.highest;
    return answered > arrived ? answered : arrived;
}

void sgp_questions_ask(sgp_mixer_t *mixer, int src, uint64_t round) {
    neighbour_t *neighbour = &mixer->questions->of[src];
    unsigned char bytes[SGP_WAIT_BYTES];
    if (neighbour->asked != neighbour->answered) return;
    sgp_wait_encode(round, bytes);
    if (!send(mixer, SGP_KIND_WAIT, src, neighbour->asked + 1, bytes, sizeof bytes)) return;
    sgp_mixer_note(mixer, SGP_FLIGHT_ASKED, src, round);
    neighbour->asked++;
    neighbour->round = round;
    mixer->questions->under_way++;
    mixer->statistics.waits_asked++;
}
