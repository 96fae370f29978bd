/* SPDX-License-Identifier: Apache-2.0 */
/* Holes: nodes of the graph that have died or left, while the others go on mixing. No node sends to a hole or waits for
 * one, and the graph stays as it is. A silent node is like a hole that may come back: messages that are under way to it
 * stay under way. For the algorithms that push; the others have rules of their own.
 *
 * What is done keeps (z, w) in pairs, so that the mean moves by no more than the mass concerned over all mass, times the
 * distance of two nodes (docs/membership.md, "Mass"):
 *  - the share meant for a hole stays with its sender;
 *  - a message to a node that died before it had absorbed all of it gives its weight back to the sender, at constant z;
 *  - of a message whose sender died in the middle, the chunks that were absorbed stay absorbed, the rest is skipped, and no
 *    weight is added: the message is torn. */
#ifndef SGP_MIXING_HOLES_H
#define SGP_MIXING_HOLES_H

#include "mixing/mixer_core.h"

/* mixer->holes for its transport. SGP_ERR_NO_MEMORY, logged. fini accepts zeros. */
sgp_status_t sgp_holes_init(sgp_mixer_t *mixer);
void sgp_holes_fini(sgp_mixer_t *mixer);

/* SGP_ERR_UNSUPPORTED, logged: these options cannot mix on without a node. Fine for a group that is not elastic. */
sgp_status_t sgp_holes_check(const sgp_mixer_t *mixer, const sgp_mixer_options_t *options);

/* Whether a rank is silent now: no push begins to it, and no wait for it lasts. */
bool sgp_holes_is_silent(const sgp_mixer_t *mixer, int rank);

/* The member that has the seat now: its incarnation, or SGP_NO_MEMBER. Two or three atomic loads. */
uint32_t sgp_holes_member(const sgp_mixer_t *mixer, int rank);

/* A newcomer has begun: it takes part in the collective calls after this step. */
void sgp_holes_begun(sgp_mixer_t *mixer, int rank);

/* Messages to and from a rank count from 0 again if its seat has a new member. */
void sgp_holes_count_anew(sgp_mixer_t *mixer, int rank);

/* A message of a rank was absorbed whole: for the balance of each pair (settling.h). Fine for a group that is not
 * elastic. */
void sgp_holes_received(sgp_mixer_t *mixer, int src);

/* Whether a look could change the weight. */
bool sgp_holes_are_due(const sgp_mixer_t *mixer);

/* At the beginning of a step, with the transport in this context's hands: fixes the holes for its receivers, and takes
 * weights back. One atomic load where nothing has happened. */
void sgp_holes_look(sgp_mixer_t *mixer);

/* In the middle of a step of several rounds, before the push of a later one: receivers that are gone are holes from here on, and
 * enough weight is kept if anything has happened. One or two atomic loads. */
void sgp_holes_note(sgp_mixer_t *mixer);

/* Whether nothing more comes from a rank: it is gone, and what it has sent can be received now. */
bool sgp_holes_ended(const sgp_mixer_t *mixer, int rank);

/* Whether a seat has no member yet: it counts as one whose member has ended. Not in the step path. */
bool sgp_holes_absent(const sgp_mixer_t *mixer, int rank);

/* A receiver has given up the message of that number from src, which is torn or never began: releases what is here of it. */
void sgp_holes_tear(sgp_mixer_t *mixer, int src, uint64_t number);

/* After an exact average: what nodes have sent that are gone is of no use any more. */
void sgp_holes_release_ahead(sgp_mixer_t *mixer);

/* The receivers in `to` (count) and their shares of the weight w, without holes and silent nodes: returns how many are
 * left. *kept: what stays. From the first event on that a node knows of, or that its weight tells of, it keeps at least a quarter
 * (SGP_LEAST_KEPT), or, with less than that, sends 1/1024 of its weight to each receiver: a rate lr / w above 4 lr would throw z
 * far off. */
int sgp_holes_skip(sgp_mixer_t *mixer, sgp_destination_t *to, int count, double w, double *kept);

#define SGP_LEAST_KEPT  0.25
#define SGP_DRAINED     0.5 /* less than this, in the lock step, is a sign of an event */
#define SGP_LEAST_SHARE (1.0 / 1024)

#endif
