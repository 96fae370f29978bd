/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/record.h"

#include "group/seats.h"

#include <stdlib.h>
#include <string.h>

static unsigned char *set_of(const sgp_record_t *record, uint64_t round) {
    return record->sets + round % SGP_RECORD_ROUNDS * sgp_seats_bytes(record->size);
}

bool sgp_record_init(sgp_record_t *record, int size, uint64_t next) {
    record->size = size;
    record->next = next;
    record->rounds = calloc(SGP_RECORD_ROUNDS, sizeof *record->rounds);
    record->sets = calloc(SGP_RECORD_ROUNDS, sgp_seats_bytes(size));
    return record->rounds && record->sets;
}

void sgp_record_fini(sgp_record_t *record) {
    free(record->rounds);
    free(record->sets);
}

void sgp_record_push(sgp_record_t *record, uint64_t round, const sgp_destination_t *to, int count) {
    unsigned char *set = set_of(record, round);
    memset(set, 0, sgp_seats_bytes(record->size));
    for (int i = 0; i < count; i++) sgp_seats_add(set, to[i].dst);
    record->rounds[round % SGP_RECORD_ROUNDS] = round + 1;
    sgp_record_pass(record, round + 1);
}

void sgp_record_pass(sgp_record_t *record, uint64_t next) {
    if (next > record->next) record->next = next;
}

sgp_answer_t sgp_record_answer(const sgp_record_t *record, uint64_t round, int seat) {
    if (round >= record->next) return SGP_ANSWER_NOT_YET;
    bool known = record->rounds[round % SGP_RECORD_ROUNDS] == round + 1;
    return known && sgp_seats_has(set_of(record, round), seat) ? SGP_ANSWER_SENT
                                                               : SGP_ANSWER_NOT_SENT;
}
