/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a node that waits for another's push (docs/membership.md, "The lock step"): WAIT asks a sender what
 * became of its push of a round, PASSED answers. Pure functions over bytes, for src/mixing/questions.c. Both travel in the
 * channel of the mixer whose push it is, and the header's step is the number of the question, from 1 for each pair of
 * nodes.
 *
 *   WAIT    0  8  round
 *   PASSED  0  8  round that was asked for
 *           8  4  answer (sgp_answer_t)
 *          12  4  0
 *          16  8  the round after the last one that the sender has pushed or passed over */
#ifndef SGP_WIRE_QUESTION_H
#define SGP_WIRE_QUESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_WAIT_BYTES   8
#define SGP_PASSED_BYTES 24

/* Of a node, about its push of a round to the one that asks. */
typedef enum sgp_answer {
    SGP_ANSWER_SENT = 1,
    SGP_ANSWER_NOT_SENT, /* to others only, or to none, and it will not be */
    SGP_ANSWER_NOT_YET,  /* the node has not come to that round */
    SGP_ANSWER_LAST = SGP_ANSWER_NOT_YET,
} sgp_answer_t;

typedef struct sgp_passed {
    uint64_t round;
    sgp_answer_t answer;
    uint64_t next;
} sgp_passed_t;

void sgp_wait_encode(uint64_t round, unsigned char bytes[SGP_WAIT_BYTES]);
void sgp_passed_encode(const sgp_passed_t *passed, unsigned char bytes[SGP_PASSED_BYTES]);

/* false: these bytes are none, and nothing is set. */
bool sgp_wait_decode(const void *bytes, size_t count, uint64_t *round);
bool sgp_passed_decode(const void *bytes, size_t count, sgp_passed_t *passed);

#endif
