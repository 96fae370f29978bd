/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a running run on one node: plain data that train.c makes and the files of this
 * folder work on. No function here but questions about the state itself. */
#ifndef SGP_RUN_RUN_STATE_H
#define SGP_RUN_RUN_STATE_H

#include "group/membership.h"
#include "run/checkpoint_label.h"
#include "run/halt.h"
#include "run/limits.h"
#include "run/run_joins.h"
#include "run/run_losses.h"
#include "run/metrics.h"
#include "run/presence.h"
#include "run/replica.h"
#include "run/run_id.h"
#include "run/run_tensorboard.h"
#include "run/run_trace.h"
#include "run/times.h"
#include "run/train_types.h"

#include <limits.h>

/* The number that was not finite. */
typedef enum run_cause {
    RUN_CAUSE_NONE,
    RUN_CAUSE_LOSS,
    RUN_CAUSE_GRADIENT,
    RUN_CAUSE_PARAMETERS
} run_cause_t;

/* Sums over steps of this node. */
typedef struct run_sums {
    double loss;
    double samples;
} run_sums_t;

/* Pictures that could not be read, over the run, on this process. */
typedef struct run_bad {
    uint64_t replaced; /* of the training set */
    uint64_t left_out; /* of the test set, once for each evaluation */
} run_bad_t;

/* The division of the samples; fields are for run_data.c and the checkpoint. */
typedef struct run_data {
    uint64_t epoch, start; /* the epoch that the feed is in, and the steps of the run before it */
    bool divided;          /* its samples were divided anew */
    bool making_up;        /* the main part is over */
    int told;              /* of losses.agreed, those that the feed knows */
    int apart;     /* nodes without which the samples are divided, before their loss is agreed on */
    int noticed;   /* losses that were looked at */
    bool wants;    /* to divide the samples anew */
    int divisions; /* agreed on, and not made yet */
    uint64_t divided_from[RUN_DIVISIONS]; /* steps of the run, ascending */
    int arrived;          /* processes that have joined the running run, as the feed knows */
    uint64_t seat;        /* the number of this node when the run began */
    uint64_t rate_nodes;  /* the nodes that the learning rate is for, with fixed_rate */
    uint64_t split_nodes; /* those between which the samples are divided, with a split */
    unsigned char
        *saved; /* (saved_bytes) of the checkpoint that the run goes on from; NULL: none */
    size_t saved_bytes;
} run_data_t;

/* Newcomers that the nodes have still to meet; fields are for run_arrivals.c. All zero: none can come. */
typedef struct arrivals {
    bool watches;
    sgp_change_reader_t reader;
    uint64_t version; /* of the view that was read */
    /* By place. An incarnation plus 1 says which of its nodes is meant; 0: none. */
    uint64_t *first;       /* (places) the first step of the newcomer that is to be met; 0: none */
    uint64_t *met;         /* (places) that newcomer, or the last one */
    uint64_t *ended;       /* (places) the last node of which this one knows that it has ended */
    uint64_t *later_first; /* (places) of a newcomer that comes after the one that is to be met */
    uint64_t *later;       /* (places) that newcomer */
    uint64_t next;         /* the lowest of `first`; UINT64_MAX: none */
    uint64_t halts;        /* of the others, when this newcomer met them */
} arrivals_t;

/* For run_pause.c. */
typedef struct run_pause {
    bool begun;            /* told, and saved if `folder` is not empty */
    char folder[PATH_MAX]; /* of a run of this node alone */
} run_pause_t;

typedef struct run {
    const train_options_t *options;
    train_callbacks_t callbacks;
    sgp_group_t *group;   /* of all processes */
    int rank, size;       /* in it: the places for processes, used or not */
    int founders;         /* processes that the run began with, the lowest ranks */
    sgp_group_t *nodes;   /* of this worker and its counterparts on the other nodes */
    sgp_group_t *workers; /* of this node's workers; NULL: there is one */
    int node, worker;     /* this process is worker `worker` of node `node` */
    char id[RUN_ID_TEXT]; /* the same on all nodes; "": of an earlier version, not drawn yet */
    checkpoint_origin_t origin; /* of the checkpoint that a run goes on from; a new run: all zero */
    train_resumed_t resumed;
    bool goes_on; /* without lost nodes */
    run_losses_t losses;
    run_joins_t joins;
    arrivals_t arrivals;
    bool entering; /* a newcomer that is in the middle of its first epoch */
    run_data_t data;
    run_pause_t pause;
    int mixed_nodes; /* whose weights add up: those of the last exact average */
    int writer;      /* rank of the node that has written the run's files so far */
    halt_t halt;
    limits_t limits;
    replica_t replica;
    metrics_t metrics;
    times_t times;
    run_tensorboard_t tensorboard; /* used if run_writes and options->tensorboard */
    run_trace_t trace;             /* all zero unless options->trace */
    struct run_live *live;         /* run/run_live.h; NULL: files grow at the ends of epochs */

    uint64_t step;     /* steps done */
    uint64_t saved;    /* of them, in the last complete checkpoint; 0: there is none */
    run_cause_t cause; /* of SGP_ERR_NOT_FINITE on this node */
    int signal;        /* for which the nodes have agreed to end the run; 0: none */
    int leaves;        /* the signal for which this node leaves the run; 0: none */
    bool too_few; /* the nodes have agreed to end the run, because fewer than min_nodes are left */
    bool warned;  /* that the run learns nothing */
    uint64_t epoch_ns;     /* when this epoch began */
    double seconds;        /* of training on this node, up to the last step */
    double seconds_before; /* the same up to this epoch's beginning */
    double all_seconds;    /* sum over finished epochs of the slowest node's seconds */
    double missed;         /* samples of finished epochs that no node has taken */
    uint64_t
        written; /* steps of the run whose lines other nodes had written before it was resumed */
    run_sums_t epoch_sums; /* of this epoch */
    run_bad_t bad;
    run_bad_t bad_before; /* the same up to this epoch's beginning */

    uint64_t shown_ns;        /* when progress was last reported */
    run_sums_t shown_sums;    /* since then */
    double reported_samples;  /* of all of these so far, for sgp_group_report */
    double epoch_end_seconds; /* the duration of the last epoch end */

    /* After the last finished epoch; the same on every node, NAN before. */
    double train_loss;
    train_spread_t test_accuracy;
    double average_model_accuracy;
    train_spread_t test_accuracy5; /* top-5, and below */
    double average_model_accuracy5;
    sgp_mixer_consensus_t consensus;
} run_t;

/* Whether this node has the duties that one node does for all (presence.h). */
static inline bool run_leads(const run_t *run) {
    return presence_first(run->group) == run->rank;
}

/* The nodes that are there. */
static inline int run_nodes_left(const run_t *run) {
    return presence_count(run->group) / run->options->workers;
}

/* As run_leads before the next collective call, as far as this node knows: for duties that no other node relies on. */
static inline bool run_leads_now(const run_t *run) {
    return run->goes_on ? run_losses_lowest_left(&run->losses) == run->rank : run_leads(run);
}

/* Whether this node writes the run's files. */
static inline bool run_writes(const run_t *run) {
    return run_leads(run) && run->options->output;
}

/* Whether the caller wants the run to end. */
static inline bool run_stopped(const run_t *run) {
    return run->callbacks.stop && *run->callbacks.stop;
}

#endif
