/* SPDX-License-Identifier: Apache-2.0 */
/* src/run: one training run, on one node of a group. It has the loop over epochs and steps, the
 * learning rate, evaluation, metrics, checkpoints, and the nodes' agreement about them.
 *
 * The program calls train_run on every node, with the same options; the differences between nodes
 * (the part of the data, a slow node) follow from the rank. A node may have several workers, each a
 * process; then every one of them is a node here. Node 0 writes the run's files.
 *
 * This folder never prints (progress goes to a callback), never exits, starts no process and opens
 * no connection: the caller makes the groups. Only tools/ and tests include its headers. */
#ifndef SGP_RUN_TRAIN_H
#define SGP_RUN_TRAIN_H

#include "run/stages.h"
#include "run/train_types.h"

#include <sgp/sgp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define TRAIN_BY_ALGORITHM (-2)

/* Everything that decides a run; the program fills it from the command line and config.json holds
 * it. */
typedef struct train_options {
    const char *model;        /* "mlp", "lenet", "resnet20" */
    const char *data;         /* "fashion-mnist" or a directory with the same four IDX files */
    train_stages_t algorithm; /* sgp_algorithm_t, by epoch */
    train_stages_t peers;     /* by epoch */
    int graph;       /* sgp_graph_kind_t; TRAIN_BY_ALGORITHM: exponential, bipartite-exponential for
                    dpsgd and adpsgd */
    int overlap;     /* SGP_OVERLAP_ASYNC: without bound; TRAIN_BY_ALGORITHM: 1 for osgp, else 0 */
    bool biased;     /* ignore the push-sum weight */
    int local_steps; /* exchange in every so many-th step */
    double slow_momentum; /* used if slow_every > 0 */
    int slow_every;       /* steps; 0: no slow momentum */
    bool slow_alone;      /* no exact average before a slow update */
    int nodes;            /* that gossip */
    int here;             /* processes of the run on this machine, for its memory; 0: all */
    int workers;          /* per node: they average gradients exactly; nodes * workers processes.
                             Process r is worker r % workers of node r / workers */
    int epochs;
    int batch_size;       /* samples per worker and step */
    double lr;            /* per 256 samples of the global batch, scaled linearly */
    double warmup_epochs; /* negative: 5/90 of the epochs */
    const char
        *lr_schedule; /* "step" (x 0.1 at 1/3, 2/3, 8/9 of the epochs), "cosine" or "constant" */
    double momentum;
    bool nesterov;
    double weight_decay;
    const char *optimizer; /* "sgd" or "adam" */
    bool augment;          /* random crop and flip; the default follows the model */
    uint64_t seed;
    int64_t limit_samples;   /* 0: all of the training set */
    const char *transport;   /* "auto", "shm", "tcp", "mpi", "loopback": recorded only; the group is
                              made by the caller */
    const char *allreduce;   /* "own", or "library": that of the transport's library, MPI's */
    sgp_encoding_t encoding; /* of the vectors between nodes */
    const char *output;      /* directory, exists and is writable; NULL: no files are written */
    const char *resume;      /* directory of a run to be continued; NULL: a new run */
    int64_t checkpoint_every; /* steps; 0: at the end of every epoch */
    double
        checkpoint_minutes; /* and after so much time without one; 0: not by time. Node 0's counts */
    bool keep_going;        /* train on with numbers that are not finite */
    bool tensorboard;       /* event files in output/tensorboard */
    bool trace;             /* output/trace.json, for Perfetto */
    int slow_rank;          /* of a node, all its workers; -1: nobody */
    double slow_factor;     /* its gradient takes so many times longer */
    double compute_ms; /* > 0: replaces loading a batch and computing its gradient by a fixed time;
                           the gradient is then small constant noise, nothing is evaluated, and
                           losses and accuracies are NAN */
} train_options_t;

/* The defaults of the command line, as docs/guide.md lists them. */
void train_options_init(train_options_t *options);

/* Trains, evaluates after each epoch, and writes the run's files into options->output
 * (run_output.h; each file is replaced atomically, except metrics.jsonl, TensorBoard's and the
 * trace, which grow by whole epochs). Blocks until the run is over. options, groups and callbacks
 * are borrowed for the call; callbacks may be NULL. Fills *summary: on an error its state and
 * reason, and the figures that are known; node 0 then writes summary.json if the first step had
 * been reached.
 *
 * An error of one node (its data, its disk, a number that is not finite) ends the run on all nodes,
 * with the same status; that node's log has the cause. After SGP_ERR_NOT_FINITE (a loss, a gradient
 * or a parameter; the reason says where) and after SGP_ERR_INTERRUPTED with summary->signal the
 * groups can be left in order. SGP_ERR_INTERRUPTED: *stop was set on some node. With an output
 * there is a checkpoint of the last step, unless summary->signal is 0: then some node did not halt.
 * SGP_ERR_INVALID: an option is out of range, or nodes and workers are not the sizes of the groups.
 * SGP_ERR_MISMATCH: the nodes' options differ; the log names the option and the nodes.
 * SGP_ERR_NOT_FOUND, SGP_ERR_FORMAT: the data; SGP_ERR_IO: the output; the log names file and
 * reason. SGP_ERR_PEER_LOST, SGP_ERR_TIMEOUT: another node; see sgp_group_lost_peer. */
sgp_status_t train_run(const train_options_t *options, const train_groups_t *groups,
                       const train_callbacks_t *callbacks, train_summary_t *summary);

/* Checks before anything starts: ranges, names, data files, the model and its memory. Logs one line
 * for the first mistake: the option, its value, and what would be right. */
sgp_status_t train_check(const train_options_t *options);

#endif
