/* SPDX-License-Identifier: Apache-2.0 */
/* The questions of nodes that wait for each other's pushes, in an elastic group (docs/membership.md, "The lock step"). A
 * node that has waited for a while without progress asks the senders whose messages are missing (WAIT); a node that is
 * asked answers from the record of its pushes (PASSED), in each look at its inbox. "Not sent" ends the wait for that
 * sender; after the other answers the node waits on. An answer that is wrong by delay costs time, never mass: a message that
 * comes after all is absorbed late (late.h).
 *
 * For each pair of nodes at most one question is under way, so the messages and the memory for them are bounded.
 * For algorithms that wait for the messages of a round. Callers have the use of the transport. */
#ifndef SGP_MIXING_QUESTIONS_H
#define SGP_MIXING_QUESTIONS_H

#include "mixing/mixer_core.h"

/* mixer->questions; attaches mixer->arrivals (sgp_inbox_owner_t) to the inbox. SGP_ERR_NO_MEMORY, logged. fini accepts a
 * mixer without any. */
sgp_status_t sgp_questions_init(sgp_mixer_t *mixer);
void sgp_questions_fini(sgp_mixer_t *mixer);

/* This node's push of a round goes to these receivers (count): for the record, and for settling.h. Rounds before `next` are
 * over. Fine for a group that is not elastic. */
void sgp_questions_pushed(sgp_mixer_t *mixer, uint64_t round, const sgp_destination_t *to,
                          int count);
void sgp_questions_passed(sgp_mixer_t *mixer, uint64_t next);

/* The numbering of rounds begins at mixer->round, with another algorithm or a loaded state. */
void sgp_questions_restart(sgp_mixer_t *mixer);

/* A newcomer that has no state yet (arrival.h) says of every round that it is asked for that it did not push it, and pushes later than
 * that. entered: it has its state. */
void sgp_questions_enter(sgp_mixer_t *mixer, uint64_t round);
void sgp_questions_entered(sgp_mixer_t *mixer);

/* The round after those that this node has pushed, or passed over. */
uint64_t sgp_questions_next(const sgp_mixer_t *mixer);

/* The seat has a new member. */
void sgp_questions_opened(sgp_mixer_t *mixer, int rank);

/* Takes the answers in. */
void sgp_questions_hear(sgp_mixer_t *mixer);

/* Whether src has said that it did not send its message of that round to this node. */
bool sgp_questions_not_sent(const sgp_mixer_t *mixer, int src, uint64_t round);

/* The highest round of which this node has heard, from arrivals and answers; 0: of none. */
uint64_t sgp_questions_highest(const sgp_mixer_t *mixer);

/* Asks src for its push of that round, unless a question to it is under way or there is no room. */
void sgp_questions_ask(sgp_mixer_t *mixer, int src, uint64_t round);

#endif
