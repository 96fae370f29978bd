/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that nobody waits for any more, or that the graph did not announce (docs/membership.md, "The lock step"): their
 * sender was silent, or this node has passed over their round. For the algorithms that push in rounds, in an elastic
 * group.
 *
 * A late message holds its sender's room, and the sender may be one for which this node waits. So a message that is whole is
 * folded into one pending vector in every look at the inbox, whatever this node waits for, in the order (round, rank). The
 * next step begins with absorbing that vector. Without events there is none.
 *
 * An interrupted message: its sender fell silent after some of its chunks had been absorbed. Those have moved z towards the
 * sender's z, without weight; when the rest is here, a step begins with absorbing the other chunks, and the weight is added.
 * So each weight is added once. If the sender is lost instead, the message is torn, and stays without weight.
 *
 * In a step of several rounds the weight of an interrupted message has been lent to later rounds: it counts at once, and each
 * missing chunk keeps its z, of which a copy is made. When the chunk y is here, x moves by the weight times (y - that z): so
 * no mass is lost or made. If the sender is lost instead, that mass is made.
 *
 * Callers have the use of the transport. */
#ifndef SGP_MIXING_LATE_H
#define SGP_MIXING_LATE_H

#include "mixing/push.h"

/* mixer->late. SGP_ERR_NO_MEMORY, logged. fini accepts a mixer without it. */
sgp_status_t sgp_late_init(sgp_mixer_t *mixer);
void sgp_late_fini(sgp_mixer_t *mixer);

/* From now on messages of rounds before `round` are late. Fine for a group that is not elastic. */
void sgp_late_before(sgp_mixer_t *mixer, uint64_t round);

/* Folds the late messages that are whole, and drops those that never will be. Allocates for the first one; without memory
 * they stay where they are. One that does not fit the mixer is the error of the next sgp_late_absorb. */
void sgp_late_fold(sgp_mixer_t *mixer);

/* The weight of what was folded and is not absorbed yet: it is no part of mixer->w. */
double sgp_late_weight(const sgp_mixer_t *mixer);

/* Messages that have been interrupted so far. */
uint64_t sgp_late_interruptions(const sgp_mixer_t *mixer);

/* Whether an absorb may change z or the weight. */
bool sgp_late_is_due(const sgp_mixer_t *mixer);

/* Between two steps, or before the local update of one: absorbs what was folded, and the rest of interrupted messages. The
 * ledger enters the caller's changes first, and is closed. SGP_ERR_MISMATCH. */
sgp_status_t sgp_late_absorb(sgp_mixer_t *mixer);

/* The seat has a new member: what the earlier one has sent, and is not absorbed, is dropped. */
void sgp_late_opened(sgp_mixer_t *mixer, int rank);

/* In a step of several rounds: some chunks of a message of that weight have been absorbed, and its sender is silent.
 * SGP_ERR_NO_MEMORY, logged. keep: one of its chunks keeps its z. false: there is no such message, so this one is torn. */
sgp_status_t sgp_late_lent(sgp_mixer_t *mixer, int src, uint64_t round, double weight);
bool sgp_late_keep(sgp_mixer_t *mixer, int src, uint64_t round, size_t offset, size_t count);

/* The chunks before offset of a message have been absorbed; its sender is silent. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_late_interrupted(sgp_mixer_t *mixer, int src, uint64_t round, size_t offset);

#endif
