/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithm of a mixer: its options, memory, progress thread and room in the transport, which a switch replaces; and
 * its calls between steps. For the public calls and the outer update; only the calls between steps send. */
#ifndef SGP_MIXING_ALGORITHM_H
#define SGP_MIXING_ALGORITHM_H

#include "mixing/mixer_core.h"

/* *full: the options as this mixer would run them, with defaults filled in; set only on success.
 * SGP_ERR_INVALID (logged). */
sgp_status_t sgp_algorithm_check(const sgp_mixer_t *mixer, const sgp_mixer_options_t *options,
                                 sgp_mixer_options_t *full);

/* Everything that can fail: allocates for the options (as sgp_algorithm_check gives them) and reserves room. The mixer
 * has no algorithm before; on an error it has none afterwards either, and nothing has changed.
 * SGP_ERR_NO_MEMORY, SGP_ERR_UNSUPPORTED; logged. */
sgp_status_t sgp_algorithm_make(sgp_mixer_t *mixer, const sgp_mixer_options_t *options);

/* Outer updates of another kind than before begin at z: without momentum. For a new mixer and after a switch. */
void sgp_algorithm_begin_outer(sgp_mixer_t *mixer);

/* Gives the progress thread the algorithm's work, or ends it if the algorithm needs none. sgp_algorithm_resume follows. */
void sgp_algorithm_start(sgp_mixer_t *mixer);

/* Step k makes the exchanges k R to k R + R - 1 if R has been the same from the first step on; else the next step begins at the
 * next multiple of R: a graph that is exact after its period is so from the first exchange of one. Part of start; also after
 * mixer->round was loaded. */
void sgp_algorithm_number_rounds(sgp_mixer_t *mixer);

/* Where a switch has ended outer updates: forgets their momentum, with which a later switch would begin them again. */
void sgp_algorithm_forget_outer(sgp_mixer_t *mixer);

/* Frees the algorithm and its room. The mixer then has none, but may still have an idle progress thread. Fine where there
 * is none. */
void sgp_algorithm_end(sgp_mixer_t *mixer);

/* An algorithm while another one is made in its place. */
typedef struct sgp_algorithm_saved {
    sgp_mixer_options_t options;
    const sgp_algorithm_ops_t *ops;
    void *extra;
    sgp_outer_kind_t outer_kind;
    sgp_ranges_t *ranges;
    sgp_graph_t graph;
    sgp_edge_t *edges;
    sgp_room_t rooms[SGP_ROOMS]; /* returned to the transport until sgp_algorithm_restore */
    bool progress, outer;        /* whether the mixer had a progress thread, and outer updates */
} sgp_algorithm_saved_t;

/* The mixer is settled. One of the other two follows: restore ends the new algorithm, if there is one, and leaves the
 * mixer as it was before save; discard frees the old one. */
void sgp_algorithm_save(sgp_mixer_t *mixer, sgp_algorithm_saved_t *saved);
void sgp_algorithm_restore(sgp_mixer_t *mixer, sgp_algorithm_saved_t *saved);
void sgp_algorithm_discard(sgp_mixer_t *mixer, sgp_algorithm_saved_t *saved);

/* The operations of these names (algorithms/algorithm_ops.h), on the segment of this process; settle with the time limit
 * of a collective call. */
sgp_status_t sgp_algorithm_settle(sgp_mixer_t *mixer);
sgp_status_t sgp_algorithm_hold(sgp_mixer_t *mixer, uint64_t deadline);
sgp_status_t sgp_algorithm_resume(sgp_mixer_t *mixer);

#endif
