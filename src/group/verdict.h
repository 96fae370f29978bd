/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a member that this node does not hear is dead: others are asked (HEARD), and one that hears it rules that out. This
 * is the state about one member, without transport, view or clock: it is told the time and what was answered, and says whom
 * to ask and what to conclude. Called by membership_silence.c and its test. The protocol is in docs/membership.md,
 * "Silence".
 *
 *     at  bytes  field
 *      0    1    1: a question; 2: the answer
 *      1    1    of an answer: 1: its sender hears the member
 *      2    2    seat
 *      4    4    incarnation of the member, as the question has it */
#ifndef SGP_GROUP_VERDICT_H
#define SGP_GROUP_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_HEARD_BYTES 8

typedef struct sgp_heard_message {
    bool answer, hears;
    int seat;
    uint32_t incarnation;
} sgp_heard_message_t;

void sgp_heard_encode(const sgp_heard_message_t *message, unsigned char bytes[SGP_HEARD_BYTES]);

/* false: it is none, in a group of so many seats. */
bool sgp_heard_decode(const unsigned char *bytes, size_t count, int seats,
                      sgp_heard_message_t *message);

/* Members that are asked at a time. */
enum { SGP_WITNESSES = 3 };

typedef struct sgp_witness {
    int seat; /* -1: none */
    bool answered, hears;
} sgp_witness_t;

/* Embedded; zeros: the member is heard. */
typedef struct sgp_verdict {
    bool silent;
    uint64_t since;    /* it is not heard */
    uint64_t asked;    /* when; 0: nobody was asked in this silence */
    uint64_t again;    /* not to be asked about before that; 0: at once */
    bool contradicted; /* another one has heard it in this silence */
    sgp_witness_t witnesses[SGP_WITNESSES];
} sgp_verdict_t;

/* since: 0 counts as 1. No effect if it is silent already. */
void sgp_verdict_begin(sgp_verdict_t *verdict, uint64_t since);
void sgp_verdict_end(sgp_verdict_t *verdict); /* it is heard again */

/* A witness says so. Answers that nobody waits for are ignored. */
void sgp_verdict_answer(sgp_verdict_t *verdict, int witness, bool hears);

typedef enum sgp_conclusion {
    SGP_CONCLUSION_NONE, /* it waits: until *next */
    SGP_CONCLUSION_ASK,  /* ask others: sgp_verdict_ask */
    SGP_CONCLUSION_DEAD, /* nobody who was asked hears it */
} sgp_conclusion_t;

/* limit: nanoseconds of silence until others are asked; patience: until their answers count as missing. can_answer(context,
 * seat): whether a witness is live and heard. *next: when to ask again for a conclusion, UINT64_MAX: once something happens. */
sgp_conclusion_t sgp_verdict_conclude(sgp_verdict_t *verdict, uint64_t now, uint64_t limit,
                                      uint64_t patience,
                                      bool (*can_answer)(void *context, int seat), void *context,
                                      uint64_t *next);

/* These are asked now (count, at most SGP_WITNESSES); none: there is nobody to ask, and this node decides alone. */
void sgp_verdict_ask(sgp_verdict_t *verdict, uint64_t now, const int *seats, int count);

#endif
