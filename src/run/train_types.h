/* SPDX-License-Identifier: Apache-2.0 */
/* The types that train_run takes and returns, for its callers and for the files of this folder. */
#ifndef SGP_RUN_TRAIN_TYPES_H
#define SGP_RUN_TRAIN_TYPES_H

#include "data/division.h"

#include <sgp/sgp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Progress of one node, about four times a second and at the end of each epoch. */
typedef struct train_progress {
    int rank;
    bool leads; /* this node is the one to show it; between two epoch ends as far as it knows */
    int epoch;  /* from 1 */
    int epochs;
    uint64_t step; /* within the run, from 1 */
    uint64_t steps;
    double loss; /* mean over this node's samples since the last call; at the end of an epoch over
                    all of the epoch's samples, of all nodes */
    double test_accuracy; /* fraction, mean over nodes, after the last finished epoch; NAN before */
    double samples_per_second; /* over all nodes, training time only */
    double consensus_distance; /* relative; NAN before the first evaluation */
    double seconds_left;       /* estimate */
    bool epoch_end;            /* this epoch has been evaluated */
} train_progress_t;

/* mean, min and max over nodes. */
typedef struct train_spread {
    double mean, min, max;
} train_spread_t;

/* The latest change of the number of nodes, which --resume makes. */
typedef struct train_resumed {
    uint64_t step; /* after which the run went on with the present nodes */
    int nodes;     /* before; 0: there was no change */
} train_resumed_t;

/* A run that goes on with another number of nodes. */
typedef struct train_resized {
    train_resumed_t from;
    int nodes;               /* now */
    int epoch, epochs;       /* from 1: of the next step, and of the run */
    uint64_t taken, samples; /* of that epoch */
    uint64_t steps;          /* left in the run */
} train_resized_t;

/* A node without which the others went on. */
typedef struct train_loss {
    int node;
    bool left;       /* in order, as it was asked to */
    bool silent;     /* its process may still be there */
    uint64_t step;   /* of the run, from 1: the first in which another node noticed it */
    char reason[96]; /* "its process ended" */
    double
        seconds; /* that the step took longer than usual in which a node noticed it; the longest of all nodes */
    uint64_t
        next; /* the first step of the run, from 0, that the lost node is not known to have made */
} train_loss_t;

/* A node that has joined the running run. */
typedef struct train_join {
    int node;
    int32_t rejoined; /* 1: it was one of the run before, until the others struck it off */
    uint64_t step;    /* of the run, from 1: the last one without its gradients */
} train_join_t;

/* The pause of a node that hears too few of the others, or its end. */
typedef struct train_pause {
    int rank;        /* of the node itself */
    bool over;       /* it goes on, and the fields but `step` are zero */
    int here, nodes; /* nodes that it hears, itself among them, of so many */
    uint64_t step;   /* steps done */
    double seconds;  /* that it waits at most */
    const char *
        folder; /* of a run, in which it has saved its state; NULL: it could not, or the run writes no files */
} train_pause_t;

/* How a run ended. */
typedef enum train_state {
    TRAIN_FINISHED,
    TRAIN_DIVERGED,    /* a number was not finite */
    TRAIN_INTERRUPTED, /* by a signal to a node */
    TRAIN_FAILED,
} train_state_t;

/* The contents of summary.json; identical on every node of a finished run. After an early end the
 * first node has its own figures and those of the last finished epoch; the others are NAN. Release it
 * with train_summary_release (summary.h) if a node may have been lost. */
typedef struct train_summary {
    train_state_t state;
    bool leads; /* this node is the one that has written the run's files, or would have */
    bool
        unstarted; /* all nodes know that the preparation failed, in a run that goes on without lost ones */
    char reason[320]; /* of an early end, a sentence; "" of a finished run */
    int signal;       /* for which the nodes agreed to end the run; 0: none */
    int left; /* the signal for which this node has left the run, and the others go on; 0: none */
    bool too_few; /* the nodes agreed to end the run, because fewer than min_nodes were left */
    uint64_t checkpoint; /* steps in the newest complete checkpoint; 0: there is none */
    char run_id[33];     /* run/run_id.h */
    train_resumed_t resumed;
    uint64_t parameters;
    uint64_t steps; /* per node */
    double seconds; /* of training, without evaluation: of each epoch, the slowest node's */
    double samples_per_second;
    struct {
        double mean, p50, p99;
    } step_ms;
    double wait_ms;    /* mean over steps and nodes: asleep until a message arrives */
    double train_loss; /* mean over all samples of the last epoch, each at its step */
    train_spread_t test_accuracy;
    double average_model_accuracy;
    train_spread_t test_accuracy5; /* top-5, and below */
    double average_model_accuracy5;
    sgp_mixer_consensus_t consensus;
    char parameters_hash[33]; /* XXH3, 128 bits, of the averaged parameters, hexadecimal */
    struct {
        uint64_t sent, received, late, refused, resent, reabsorbed, staleness; /* over all nodes */
    } messages;
    struct {
        uint64_t replaced,
            left_out; /* of the training set, of the test set in each evaluation; over all nodes */
    } bad_pictures;
    uint64_t
        samples_missed;   /* of finished epochs: that no node has taken, because nodes were lost */
    train_loss_t *losses; /* (loss_count) since the run began or was resumed; owned */
    int loss_count;
    train_join_t *joins; /* (join_count) in the same time; owned */
    int join_count;
} train_summary_t;

typedef struct train_callbacks {
    void (*progress)(const train_progress_t *progress, void *user); /* may be NULL */
    /* May be NULL. Node 0 alone calls it, before the first step, if the number of nodes is another than in the checkpoint. */
    void (*resized)(const train_resized_t *resized, void *user);
    /* May be NULL. Node 0 alone calls it, before the first step, if nodes have different samples (--split). */
    void (*divided)(const division_rule_t *rule, const division_t *division, void *user);
    /* May be NULL. How long this node may take to end in order after a signal, apart from its checkpoint; whenever that
     * changes. */
    void (*patience)(double seconds, int rank);
    /* May be NULL. A node was lost or leaves, and the others go on. leads: this is the lowest node that is left, as far as it knows. */
    void (*lost)(const train_loss_t *loss, bool leads, void *user);
    /* May be NULL. A node has joined the run, or this one has (self). leads: as above. */
    void (*joined)(const train_join_t *join, bool leads, bool self, void *user);
    /* May be NULL. This node pauses, or goes on after a pause. */
    void (*paused)(const train_pause_t *pause, void *user);
    /* May be NULL: nobody knows. Whether the others go on without this node (process `rank`), which to itself may look as if
     * they were lost. */
    bool (*given_up)(int rank, void *user);
    void *user;
    /* May be NULL. A signal's number: end after this step with SGP_ERR_INTERRUPTED. */
    const volatile sig_atomic_t *stop;
    /* May be NULL. A signal's number: this node leaves after a step, in an elastic group, and the others go on. */
    const volatile sig_atomic_t *leave;
} train_callbacks_t;

/* The processes of a run; with one worker per node, `all` is enough. See sgp_group_split. */
typedef struct train_groups {
    sgp_group_t *all;     /* every process */
    sgp_group_t *nodes;   /* this worker and its counterparts on the other nodes */
    sgp_group_t *workers; /* those of this node */
} train_groups_t;

#endif
