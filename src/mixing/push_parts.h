/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of PushSum in a step in parts: chunks leave and are absorbed in any order of offset, each in order of
 * sender, so that the bits are those of push.h. For the algorithms that push.
 *
 * A step of several rounds (sgp_mixer_options_t.rounds): a chunk that has been absorbed from all senders of a round leaves for
 * the next one at once, so rounds overlap, and each chunk is as if the rounds had been made one after another with whole
 * vectors. The weight after a round is known with its first chunk. So a torn message of which a chunk was absorbed has
 * lent its weight to later rounds, and perhaps to other nodes: its weight is added, and the missing chunks keep their z.
 *
 * The push of a later round begins when there is room, over a transport that takes turns (transport.h) also not before seven
 * eighths of the round before have been absorbed. Until then its chunks wait, while the rounds before it go on. */
#ifndef SGP_MIXING_PUSH_PARTS_H
#define SGP_MIXING_PUSH_PARTS_H

#include "mixing/part_step.h"
#include "mixing/push.h"

/* Cuts the vector into the chunks of a push. Nothing is absorbed; `before` is the weight before and after that. */
void sgp_push_parts_init(sgp_part_step_t *step, const sgp_mixer_t *mixer, double before);

/* The messages of `round` are absorbed first, by a node of weight `before`. Each message that will never be whole, as its
 * sender is gone, is found by the calls below: its absorbed chunks stay absorbed, the others are skipped, and its weight
 * is not added, but for steps of several rounds. */
void sgp_push_parts_expect(sgp_part_step_t *step, const sgp_mixer_t *mixer, uint64_t round,
                           double before);

/* Begins the push of mixer->round of the weight w, asleep until there is room. Uses mixer->edges. */
sgp_status_t sgp_push_parts_begin(sgp_part_step_t *step, sgp_mixer_t *mixer, double w,
                                  uint64_t deadline);

/* A chunk is whole, and has been sent where that comes first. done: it has been absorbed from all senders of all rounds. */
typedef sgp_status_t (*sgp_push_parts_fn)(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t index,
                                          uint64_t deadline);

/* Absorbs one chunk as far as it has arrived. */
sgp_status_t sgp_push_parts_absorb_chunk(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t index,
                                         sgp_push_parts_fn done, uint64_t deadline);

/* The same for all chunks that are whole, if anything has arrived since the last call. */
sgp_status_t sgp_push_parts_absorb(sgp_part_step_t *step, sgp_mixer_t *mixer,
                                   sgp_push_parts_fn done, uint64_t deadline);

/* The same until chunks first to last are done, asleep in between. */
sgp_status_t sgp_push_parts_await(sgp_part_step_t *step, sgp_mixer_t *mixer, sgp_push_parts_fn done,
                                  size_t first, size_t last, uint64_t deadline);

/* All chunks are done: counts the messages, and returns the weight after the last round. */
double sgp_push_parts_finish(sgp_part_step_t *step, sgp_mixer_t *mixer);

/* The receivers never get the rest: for them the message is torn, as soon as this node is gone. */
void sgp_push_parts_abandon(sgp_part_step_t *step, sgp_mixer_t *mixer);

#endif
