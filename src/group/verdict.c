/* SPDX-License-Identifier: Apache-2.0 */
#include "group/verdict.h"

#include "base/bytes.h"

enum { QUESTION = 1, ANSWER = 2 };

void sgp_heard_encode(const sgp_heard_message_t *message, unsigned char bytes[SGP_HEARD_BYTES]) {
    sgp_bytes_put(bytes, message->answer ? ANSWER : QUESTION, 1);
    sgp_bytes_put(bytes + 1, message->hears, 1);
    sgp_bytes_put(bytes + 2, (uint64_t)message->seat, 2);
    sgp_bytes_put(bytes + 4, message->incarnation, 4);
}

bool sgp_heard_decode(const unsigned char *bytes, size_t count, int seats,
                      sgp_heard_message_t *message) {
    if (count != SGP_HEARD_BYTES) return false;
    uint64_t form = sgp_bytes_get(bytes, 1), hears = sgp_bytes_get(bytes + 1, 1);
    uint64_t seat = sgp_bytes_get(bytes + 2, 2);
    if ((form != QUESTION && form != ANSWER) || hears > (form == ANSWER)) return false;
    if (seat >= (uint64_t)seats) return false;
    *message = (sgp_heard_message_t){.answer = form == ANSWER,
                                     .hears = hears == 1,
                                     .seat = (int)seat,
                                     .incarnation = (uint32_t)sgp_bytes_get(bytes + 4, 4)};
    return true;
}

void sgp_verdict_begin(sgp_verdict_t *verdict, uint64_t since) {
    if (verdict->silent) return;
    *verdict = (sgp_verdict_t){.silent = true, .since = since ? since : 1};
    sgp_verdict_ask(verdict, 0, NULL, 0);
}

void sgp_verdict_end(sgp_verdict_t *verdict) {
    *verdict = (sgp_verdict_t){.silent = false};
}

void sgp_verdict_ask(sgp_verdict_t *verdict, uint64_t now, const int *seats, int count) {
    verdict->asked = now;
    for (int i = 0; i < SGP_WITNESSES; i++)
        verdict->witnesses[i] = (sgp_witness_t){.seat = i < count ? seats[i] : -1};
}

void sgp_verdict_answer(sgp_verdict_t *verdict, int witness, bool hears) {
    for (int i = 0; verdict->asked && i < SGP_WITNESSES; i++) {
        sgp_witness_t *at = &verdict->witnesses[i];
        if (at->seat != witness) continue;
        at->answered = true;
        at->hears = hears;
        verdict->contradicted |= hears;
    }
}

typedef struct count {
    int waiting, agree;
    bool hears;
} count_t;

static count_t count_answers(const sgp_verdict_t *verdict,
                             bool (*can_answer)(void *context, int seat), void *context) {
    count_t count = {0};
    for (int i = 0; i < SGP_WITNESSES; i++) {
        const sgp_witness_t *at = &verdict->witnesses[i];
        if (at->seat < 0) continue;
        if (!at->answered) count.waiting += can_answer(context, at->seat);
        else if (at->hears) count.hears = true;
        else count.agree++;
    }
    return count;
}

/* Nobody was asked: there is nobody. */
static bool is_alone(const sgp_verdict_t *verdict) {
    return verdict->witnesses[0].seat < 0;
}

sgp_conclusion_t sgp_verdict_conclude(sgp_verdict_t *verdict, uint64_t now, uint64_t limit,
                                      uint64_t patience,
                                      bool (*can_answer)(void *context, int seat), void *context,
                                      uint64_t *next) {
    *next = UINT64_MAX;
    if (!verdict->silent) return SGP_CONCLUSION_NONE;
    uint64_t due = verdict->since + limit;
    if (due < verdict->again) due = verdict->again;
    if (!verdict->asked) {
        if (now >= due) return SGP_CONCLUSION_ASK;
        *next = due;
        return SGP_CONCLUSION_NONE;
    }
    count_t count = count_answers(verdict, can_answer, context);
    bool late = now >= verdict->asked + patience;
    if (!count.hears && count.waiting && !late) {
        *next = verdict->asked + patience;
        return SGP_CONCLUSION_NONE;
    }
    if (!count.hears && (count.agree || is_alone(verdict))) return SGP_CONCLUSION_DEAD;
    if (!count.hears) return SGP_CONCLUSION_ASK; /* the witnesses are gone */
    sgp_verdict_ask(verdict, 0, NULL, 0);
    verdict->again = now + limit;
    *next = verdict->again;
    return SGP_CONCLUSION_NONE;
}
