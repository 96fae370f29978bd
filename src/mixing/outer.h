/* SPDX-License-Identifier: Apache-2.0 */
/* Outer steps (DiLoCo): the local steps from one exchange to the next count as one step of an outer optimizer, SGD with
 * Nesterov's momentum. A node keeps an anchor A, z after its last exchange, and a momentum U; D is the outer gradient.
 *
 *   by mean   v = A - z + e,  y = dec(enc(v)) travels,  e <- v - y,  D = mean of y
 *             U <- mu U + D,  A <- A - lr (D + mu U),  z <- A
 *   by push   D = w (A - z), which the local steps took from x
 *             U <- mu U + D,  z <- A - lr (D + mu U) / w, a local step of x;  push and absorb;  A <- z
 *
 * By mean (all-reduce) the sum over nodes of z - e is kept by the exchange: e is a decrease of z that has not been sent, and
 * goes into z when the run settles (algorithms/feedback.h). A and U are the same on all nodes if the nodes start alike. By push
 * (sgp, dpsgd) each node has its own. SlowMo (slow_update.h) keeps its vectors in the same place.
 *
 * Sources: Douillard et al. 2023, "DiLoCo"; 2025, "Streaming DiLoCo" (4 bits). For the algorithms and algorithm.c; sends
 * nothing. */
#ifndef SGP_MIXING_OUTER_H
#define SGP_MIXING_OUTER_H

#include "mixing/mixer_core.h"

/* Which outer updates these options mean. */
sgp_outer_kind_t sgp_outer_kind_of(const sgp_mixer_options_t *options);

/* Of a mixer whose algorithm is made: mixer->outer_kind. */
static inline bool sgp_outer_by_mean(const sgp_mixer_t *mixer) {
    return mixer->outer_kind == SGP_OUTER_BY_MEAN;
}
static inline bool sgp_outer_by_push(const sgp_mixer_t *mixer) {
    return mixer->outer_kind == SGP_OUTER_BY_PUSH;
}

/* A <- z; and U <- 0 as well. */
void sgp_outer_anchor(sgp_mixer_t *mixer);
void sgp_outer_restart(sgp_mixer_t *mixer);

/* By mean: difference (count) <- A - z, of parameters [offset, offset + count). */
void sgp_outer_difference(const sgp_mixer_t *mixer, size_t offset, size_t count, float *difference);

/* By mean: the step of these parameters, with D = mean (count). The ledger has z as mixed, and enters the step. false: a
 * number is not finite. */
bool sgp_outer_take_mean(sgp_mixer_t *mixer, size_t offset, size_t count, const float *mean);

/* By push: the step of all parameters, before the exchange, entered in the ledger. SGP_ERR_NOT_FINITE, logged. */
sgp_status_t sgp_outer_step(sgp_mixer_t *mixer);

/* By push: around a change of (z, w) by late messages, which is no part of D: set_aside keeps D in place of A, and
 * take_up makes the A of which D follows again. */
void sgp_outer_set_aside(sgp_mixer_t *mixer);
void sgp_outer_take_up(sgp_mixer_t *mixer);

#endif
