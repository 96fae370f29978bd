/* SPDX-License-Identifier: Apache-2.0 */
/* How a newcomer gets its first z (docs/membership.md, "Joining"). It asks a member, at first the next one after its own seat, and
 * another one if that falls silent or does not answer. The member answers at the beginning of a step, of K or a later one: where it is
 * in the numbering of steps, rounds and collective calls, then its z as it is between two steps, as float32, then the vectors of
 * outer updates. It gives up no mass: the newcomer begins with that z, the weight 1, and that step.
 *
 * Until then the newcomer says of every round that it is asked for that it did not push it, and exchanges nothing in those; pushes
 * to it of these rounds are folded as late ones. So nobody waits for it, and no mass is lost.
 *
 * All messages have the kind STATE and the mixer's channel; their step says which part it is. A group has one mixer if it takes
 * newcomers. Callers have the use of the transport. */
#ifndef SGP_MIXING_ARRIVAL_H
#define SGP_MIXING_ARRIVAL_H

#include "mixing/mixer_core.h"

/* mixer->arrival, if the group has seats for newcomers. SGP_ERR_NO_MEMORY, logged. fini accepts a mixer without it. */
sgp_status_t sgp_arrival_init(sgp_mixer_t *mixer);
void sgp_arrival_fini(sgp_mixer_t *mixer);

/* Messages of the vector's length, as float32, that an answer has; 0: the group takes no newcomers. */
unsigned sgp_arrival_messages(const sgp_mixer_t *mixer);

/* Of a member, at the beginning of a step: answers newcomers, as far as there is room. One load where there is none. The errors of
 * sgp_progress_take. */
sgp_status_t sgp_arrival_serve(sgp_mixer_t *mixer, uint64_t deadline);

/* Of a newcomer, in place of an initial vector: it is ready, and blocks until z is here. Sets z, w, step and round, and what the
 * newcomer has in common with the others. mixer->options are set, the algorithm is not made yet. SGP_ERR_TIMEOUT,
 * SGP_ERR_PEER_LOST, SGP_ERR_MISMATCH (another model); the errors of sgp_newcomer_ready. No effect for another node. */
sgp_status_t sgp_arrival_wait(sgp_mixer_t *mixer);

/* Once the mixer is made: its outer vectors. */
void sgp_arrival_finish(sgp_mixer_t *mixer);

#endif
