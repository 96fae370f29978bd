/* SPDX-License-Identifier: Apache-2.0 */
/* A whole training run of one node of a group: data, model, mixer, schedule, evaluation, files.
 * A node can be several processes, its workers: then each of them is what is called a node below.
 *
 * Every node calls train_run with the same options; what differs (its shard, its slowness) follows
 * from its rank. Node 0 writes the run's files. Nothing here prints: progress goes to the callback.
 */
#ifndef SGP_RUN_TRAIN_H
#define SGP_RUN_TRAIN_H

#include "run/option_rows.h"

#include <sgp/sgp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* One line of progress, of node 0 or any other, about four times a second and at the end of each
 * epoch. */
typedef struct train_progress {
    int rank;
    int epoch; /* from 1 */
    int epochs;
    uint64_t step; /* within the run, from 1 */
    uint64_t steps;
    double loss; /* mean over this node's samples since the last call; at the end of an epoch over
                    all of the epoch's samples, of all nodes */
    double test_accuracy; /* fraction, mean over nodes, after the last finished epoch; NAN before */
    double samples_per_second; /* over all nodes, training time only */
    double consensus_distance; /* relative; NAN before the first evaluation */
    double seconds_left;       /* estimate */
    bool epoch_end;            /* the evaluation of this epoch is in */
} train_progress_t;

/* mean, min and max over nodes. */
typedef struct train_spread {
    double mean, min, max;
} train_spread_t;

/* How a run ended. */
typedef enum train_state {
    TRAIN_FINISHED,
    TRAIN_DIVERGED,    /* a number was not finite */
    TRAIN_INTERRUPTED, /* by a signal to some node */
    TRAIN_FAILED,
} train_state_t;

/* What summary.json says; identical on every node of a finished run. Of a run that ended early node 0
 * knows its own figures and those of the last finished epoch; NAN stands for the others. */
typedef struct train_summary {
    train_state_t state;
    char reason[320];    /* of an early end, a sentence; "" of a finished run */
    int signal;          /* that the nodes agreed to end because of; 0: none */
    uint64_t checkpoint; /* steps in the newest checkpoint that is whole; 0: there is none */
    char run_id[33];     /* 128 random bits, hexadecimal; a run that is continued keeps them */
    uint64_t parameters;
    uint64_t steps; /* per node */
    double seconds; /* of training, without evaluation: of each epoch, the slowest node's */
    double samples_per_second;
    struct {
        double mean, p50, p99;
    } step_ms;
    double wait_ms;    /* mean over steps and nodes: asleep until a message came */
    double train_loss; /* mean over all samples of the last epoch, as the steps met them */
    train_spread_t test_accuracy;
    double average_model_accuracy;
    sgp_mixer_consensus_t consensus;
    char parameters_hash[33]; /* XXH3, 128 bits, of the averaged parameters, hexadecimal */
    struct {
        uint64_t sent, received, late, refused, resent, reabsorbed; /* over all nodes */
    } messages;
} train_summary_t;

typedef struct train_callbacks {
    void (*progress)(const train_progress_t *progress, void *user); /* may be NULL */
    void *user;
    const volatile sig_atomic_t
        *stop; /* a signal's number: end after this step with SGP_ERR_INTERRUPTED; may be NULL */
} train_callbacks_t;

/* Who takes part; with one worker per node, `all` is enough. See sgp_group_split. */
typedef struct train_groups {
    sgp_group_t *all;     /* every process */
    sgp_group_t *nodes;   /* this worker and its counterparts on the other nodes */
    sgp_group_t *workers; /* those of this node */
} train_groups_t;

/* Trains, evaluates after each epoch, and writes config.json, metrics.jsonl, summary.json and
 * model.safetensors into options->output (node 0; each file replaced atomically, but for
 * metrics.jsonl, which grows by whole epochs, see run/metrics.h; so do those of tensorboard and
 * trace, see files/tensorboard.h and files/timeline.h). Blocks until the run is over. options,
 * groups and callbacks are borrowed for the call; callbacks may be NULL. Fills *summary: on an
 * error its state and reason, and what is known of the rest; node 0 then writes summary.json unless
 * nothing had begun.
 *
 * An error of one node's own (its data, its disk, a number that is not finite) ends the run on all
 * nodes, with the same status; that node's log says why. After SGP_ERR_NOT_FINITE (a loss, a
 * gradient or a parameter; the reason says where) and SGP_ERR_INTERRUPTED with summary->signal the
 * groups can be left in order. SGP_ERR_INTERRUPTED: *stop on some node; with an output there is a
 * checkpoint of the last step, unless summary->signal is 0: then a node did not come to a halt.
 * SGP_ERR_INVALID: an option is out of range, or nodes and workers are not the sizes of the groups.
 * SGP_ERR_MISMATCH: the nodes' options differ; the log says which option and which nodes. SGP_ERR_NOT_FOUND,
 * SGP_ERR_FORMAT: the data; SGP_ERR_IO: the output; the log names file and reason.
 * SGP_ERR_PEER_LOST, SGP_ERR_TIMEOUT: another node; see sgp_group_lost_peer. */
sgp_status_t train_run(const train_options_t *options, const train_groups_t *groups,
                       const train_callbacks_t *callbacks, train_summary_t *summary);

/* Checks what can be checked before anything starts (ranges, names, data files, model and its
 * memory). Logs one line for the first thing that is wrong: the option, its value, and what would
 * be right. */
sgp_status_t train_check(const train_options_t *options);

#endif
