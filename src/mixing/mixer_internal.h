/* SPDX-License-Identifier: Apache-2.0 */
/* src/mixing: averages one vector over the nodes of a group while each node changes it. It knows no socket and no layer
 * of a network, and takes time and waiting from the transport. Users call sgp/mixer.h; this header has what the program
 * needs beyond it: checks before a run, names for its help, checkpoints, the trace. Inside src/mixing only the files that
 * define these calls include it; all others include mixing/mixer_core.h. */
#ifndef SGP_MIXING_MIXER_INTERNAL_H
#define SGP_MIXING_MIXER_INTERNAL_H

#include "base/state.h"
#include "base/trace.h"
#include "group/group_internal.h"
#include "mixing/algorithm_table.h"
#include "mixing/ledger.h"
#include "mixing/mixer_options.h"

#include <sgp/mixer.h>

/* Records the times of the mixer's parts from now on; NULL: no more. Between two steps. trace: borrowed. */
void sgp_mixer_trace(sgp_mixer_t *mixer, sgp_trace_t *trace);

/* The longest wait for a message of a step, from the next one on; nanoseconds, > 0. */
void sgp_mixer_set_timeout(sgp_mixer_t *mixer, uint64_t timeout);

/* For checkpoints. All nodes call settle after the same step; then nothing is under way until the next step or resume.
 * state adds the places that a checkpoint must hold, valid until the next call on the mixer. restored: instead of any
 * step, after these places were filled in a mixer with the same options. replaced: the same, after z was filled with a
 * vector that all nodes have alike, and not with their own: w is 1, and the mass ledger begins. */
sgp_status_t sgp_mixer_settle(sgp_mixer_t *mixer);
sgp_status_t sgp_mixer_resume(sgp_mixer_t *mixer);
void sgp_mixer_state(sgp_mixer_t *mixer, sgp_state_t *state);
sgp_status_t sgp_mixer_restored(sgp_mixer_t *mixer);
sgp_status_t sgp_mixer_replaced(sgp_mixer_t *mixer);

/* What a mixer of a single node has in place of this one's: all the weight, and nothing under way. */
typedef struct sgp_alone {
    double weight;
    uint64_t settled;
    sgp_ledger_t ledger;
} sgp_alone_t;

/* Points those items of a state that sgp_mixer_state has listed into *alone, to be written. Calls no other node. */
void sgp_mixer_state_alone(const sgp_mixer_t *mixer, sgp_state_t *state, sgp_alone_t *alone);

/* The sum of the weights and the drift, as sgp_mixer_average finds them, but without averaging: the distance stays 0. All
 * nodes call it, settled. */
sgp_status_t sgp_mixer_balance(sgp_mixer_t *mixer, sgp_mixer_consensus_t *balance);

/* Steps that this mixer has made, with those that it has passed over. */
uint64_t sgp_mixer_steps(const sgp_mixer_t *mixer);

/* The steps of another node whose push is known here: the number of its steps up to the latest one. 0: none. false: not known,
 * as the messages of this algorithm do not carry their step. Between two steps. */
bool sgp_mixer_known_steps(const sgp_mixer_t *mixer, int rank, uint64_t *steps);

/* The bodies of the public functions of these names (mixer_api.c). */
sgp_status_t sgp_mixer_do_create(sgp_group_t *group, const sgp_mixer_options_t *options,
                                 const float *initial, sgp_mixer_t **mixer);
void sgp_mixer_do_destroy(sgp_mixer_t *mixer);
sgp_status_t sgp_mixer_do_switch(sgp_mixer_t *mixer, const sgp_mixer_options_t *options);
sgp_status_t sgp_mixer_do_step(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                               const float *gradient, float learning_rate);
sgp_status_t sgp_mixer_do_hold(sgp_mixer_t *mixer);
sgp_status_t sgp_mixer_do_average(sgp_mixer_t *mixer, float *average,
                                  sgp_mixer_consensus_t *consensus);
size_t sgp_mixer_do_state_size(sgp_mixer_t *mixer);
sgp_status_t sgp_mixer_do_state_save(sgp_mixer_t *mixer, void *bytes, size_t size);
sgp_status_t sgp_mixer_do_state_load(sgp_mixer_t *mixer, const void *bytes, size_t size);
sgp_status_t sgp_mixer_do_add(sgp_mixer_t *mixer, size_t offset, size_t count, const float *change);
void sgp_mixer_do_statistics(const sgp_mixer_t *mixer, sgp_mixer_statistics_t *statistics);

/* parts.c */
sgp_status_t sgp_mixer_do_begin(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                                const float *gradient, float learning_rate);
sgp_status_t sgp_mixer_do_part(sgp_mixer_t *mixer, size_t offset, size_t count);
sgp_status_t sgp_mixer_do_end(sgp_mixer_t *mixer);
sgp_status_t sgp_mixer_do_wait(sgp_mixer_t *mixer, size_t offset, size_t count);

#endif
