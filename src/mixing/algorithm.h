/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a mixer that a switch replaces: an algorithm with its options, its memory, its
 * courier and its room in the transport. For mixer.c and switch.c; sends nothing. */
#ifndef SGP_MIXING_ALGORITHM_H
#define SGP_MIXING_ALGORITHM_H

#include "mixing/mixer_internal.h"

/* *wanted: the options with their defaults filled in, as this mixer would run them; set only on success.
 * SGP_ERR_INVALID (logged). */
sgp_status_t sgp_algorithm_check(const sgp_mixer_t *mixer, const sgp_mixer_options_t *options,
                                 sgp_mixer_options_t *wanted);

/* All that can fail: makes what the options (as sgp_algorithm_check gives them) need, and reserves room.
 * The mixer has no algorithm; on an error it has none afterwards, and is as it was.
 * SGP_ERR_NO_MEMORY, SGP_ERR_UNSUPPORTED; logged. */
sgp_status_t sgp_algorithm_make(sgp_mixer_t *mixer, const sgp_mixer_options_t *options);

/* Employs the courier, or ends one that the algorithm does not have. sgp_mixer_resume comes next. */
void sgp_algorithm_start(sgp_mixer_t *mixer);

/* Frees what the algorithm has and gives its room back; the mixer has none then, but may still have a
 * courier, which is idle. Fine where there is none. */
void sgp_algorithm_end(sgp_mixer_t *mixer);

/* An algorithm while another one is made in its place. */
typedef struct sgp_algorithm_aside {
    sgp_mixer_options_t options;
    const sgp_algorithm_ops_t *ops;
    void *extra;
    sgp_graph_t graph;
    sgp_edge_t *edges;
    sgp_room_t rooms[SGP_ROOMS]; /* given back until it is restored */
    bool courier, slow;          /* whether the mixer had them */
} sgp_algorithm_aside_t;

/* The mixer is settled. One of the other two follows: put_back ends the new algorithm, if there is one,
 * and leaves the mixer as it was before lay_aside; end_aside frees the old one. */
void sgp_algorithm_lay_aside(sgp_mixer_t *mixer, sgp_algorithm_aside_t *aside);
void sgp_algorithm_put_back(sgp_mixer_t *mixer, sgp_algorithm_aside_t *aside);
void sgp_algorithm_end_aside(sgp_mixer_t *mixer, sgp_algorithm_aside_t *aside);

#endif
