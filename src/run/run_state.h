/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a running run on one node, and its two phases: an epoch of steps, in which a node
 * talks to others through the mixer alone, and the end of an epoch, where all nodes meet. */
#ifndef SGP_RUN_RUN_STATE_H
#define SGP_RUN_RUN_STATE_H

#include "run/evaluate.h"
#include "run/halt.h"
#include "run/run_id.h"
#include "run/metrics.h"
#include "run/replica.h"
#include "files/tensorboard.h"
#include "files/timeline.h"
#include "run/times.h"

/* Sums over steps of this node. */
typedef struct run_sums {
    double loss;
    double samples;
} run_sums_t;

typedef struct run {
    const train_options_t *options;
    sgp_group_t *group; /* of all processes */
    int rank, size;     /* in it */
    sgp_group_t *nodes, *inside;
    int node, worker;     /* worker `worker` of node `node` */
    char id[RUN_ID_TEXT]; /* the same on all nodes; "": of an earlier version, not drawn yet */
    train_callbacks_t callbacks;
    halt_t halt;
    train_cause_t cause; /* of SGP_ERR_NOT_FINITE on this node */
    replica_t replica;
    metrics_t metrics;
    times_t times;
    tensorboard_t tensorboard; /* where run_writes and options->tensorboard say so */
    timeline_t timeline;       /* without a trace unless options->trace */

    uint64_t step;      /* steps done */
    uint64_t saved;     /* of them, in the last complete checkpoint; 0: there is none */
    bool warned;        /* that the run learns nothing */
    int signal;         /* that the nodes have agreed to end because of; 0: none */
    uint64_t epoch_ns;  /* when this epoch began */
    double seconds;     /* of training on this node, up to the last step */
    double before;      /* the same up to this epoch's beginning */
    double all_seconds; /* sum over finished epochs of the slowest node's seconds */
    run_sums_t epoch;   /* of this epoch */

    uint64_t shown_ns; /* when progress was last reported */
    run_sums_t recent; /* since then */
    double pause;      /* seconds that the last meeting at an epoch's end took */

    /* After the last finished epoch; the same on every node, NAN before. */
    double train_loss;
    train_spread_t test_accuracy;
    double average_model_accuracy;
    sgp_mixer_consensus_t consensus;
} run_t;

/* Whether this node writes the run's files. */
static inline bool run_writes(const run_t *run) {
    return run->rank == 0 && run->options->output;
}

/* Whether the caller wants the run to end. */
bool run_stopped(const run_t *run);

/* Between two steps: halts where the nodes have agreed to, for a checkpoint and perhaps the end of the
 * run. SGP_ERR_INTERRUPTED, and the errors of halt_before_step and checkpoint_write. */
sgp_status_t run_halt(run_t *run);

/* The steps of an epoch, from 0, that are not done yet, with the checkpoints that fall between
 * them. The errors of run_halt, model_train and sgp_mixer_step. */
sgp_status_t run_steps(run_t *run, uint64_t epoch);

/* Average, evaluation and metrics after an epoch, from 0; all nodes call it. Leaves the averaged
 * model in replica.average. */
sgp_status_t run_meet(run_t *run, uint64_t epoch);

/* Reports to the progress callback, if there is one. */
void run_show(run_t *run, uint64_t epoch, bool epoch_end);

#endif
