/* SPDX-License-Identifier: Apache-2.0 */
/* What a node has pushed to whom, for its last rounds: it answers the question of a node that waits (docs/membership.md,
 * "The lock step"). Called by questions.c; knows no transport. Not thread-safe. */
#ifndef SGP_MIXING_RECORD_H
#define SGP_MIXING_RECORD_H

#include "transport/transport.h"
#include "wire/question.h"

#define SGP_RECORD_ROUNDS 64

/* Embedded; fields are private but for next. */
typedef struct sgp_record {
    int size;
    uint64_t next;       /* the round after the last one that was pushed or passed over */
    uint64_t *rounds;    /* (SGP_RECORD_ROUNDS) the round of each entry, plus 1; 0: none */
    unsigned char *sets; /* (SGP_RECORD_ROUNDS, sgp_seats_bytes(size)) */
} sgp_record_t;

/* next: the first round. false: no memory. fini is due in every case, and accepts zeros. */
bool sgp_record_init(sgp_record_t *record, int size, uint64_t next);
void sgp_record_fini(sgp_record_t *record);

/* This round is pushed to these receivers (count), perhaps none. Rounds between the last one and this one count as passed
 * over. */
void sgp_record_push(sgp_record_t *record, uint64_t round, const sgp_destination_t *to, int count);

/* Rounds before `next` are pushed or passed over. */
void sgp_record_pass(sgp_record_t *record, uint64_t next);

/* Of a round that is too old, NOT_SENT: if it was sent, its receiver absorbs it whenever it comes. */
sgp_answer_t sgp_record_answer(const sgp_record_t *record, uint64_t round, int seat);

#endif
