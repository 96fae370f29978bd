/* SPDX-License-Identifier: Apache-2.0 */
/* An encoding that knows the receiver in the exchange of a round: every receiver of a chunk tells its sender which blocks it
 * cannot decode, and gets these in float32. For push_parts.c.
 *
 *   sender      pushes the codes of a chunk, and waits for the verdict of each receiver before it changes the chunk again: until
 *               then its own numbers tell what the codes stand for
 *   receiver    once it has pushed the same chunk in the same round, decodes the codes of each sender against its numbers as they
 *               are then, and sends a verdict: a byte for each block, how far apart the two are, or 0: refused
 *   sender      for refused blocks sends a repair, their numbers in float32
 *   receiver    once it has all verdicts, codes and repairs of the chunk, absorbs its senders in order
 *
 * No circle of nodes can wait for each other: a verdict waits only for the node's own push of the same round, which waits for
 * earlier rounds alone. The bits do not depend on the order of arrival. A wrong number is never absorbed.
 *
 * Not in an elastic group (algorithm.c refuses it): nothing here goes on without a node. */
#ifndef SGP_MIXING_VERDICTS_H
#define SGP_MIXING_VERDICTS_H

#include "mixing/part_step.h"

/* Messages of a few bytes and of repairs that may be under way, in chunks of the transport; 0: the encoding needs none. */
unsigned sgp_verdicts_messages(const sgp_mixer_t *mixer);

/* Judges what has arrived of the chunk in its round, and answers verdicts. *ready: all of it can be absorbed. Never waits; where
 * there is no room now, a later call goes on. SGP_ERR_MISMATCH. */
sgp_status_t sgp_verdicts_ready(const sgp_push_parts_t *push, sgp_mixer_t *mixer,
                                const sgp_part_chunk_t *chunk, bool *ready);

/* The chunk is ready: absorbs what the sender at that place of the order has sent. Each of the round once, in order, with no other
 * change of z before the last one. */
void sgp_verdicts_absorb(sgp_mixer_t *mixer, const sgp_push_parts_t *push, int sender,
                         const sgp_chunk_t *arrived, double w);

/* What the chunk waits for, in words: "the verdict of node 2 on its message of step 7". */
void sgp_verdicts_describe(const sgp_push_parts_t *push, const sgp_mixer_t *mixer,
                           const sgp_part_chunk_t *chunk, char *text, size_t size);

#endif
