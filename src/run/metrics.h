/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of a run, and metrics.jsonl, in which each line is a JSON object.
 *
 * Every node keeps its own numbers in memory during an epoch and sends them to the others at its end,
 * so that logging adds no message and no waiting to a step. During the epoch a thread of each node
 * appends what it has to a file of the node's own every --metrics-seconds, and that of the writing
 * node appends to metrics.jsonl the lines that all nodes have made (run/run_live.h). So the file grows
 * by whole lines, in the order of this header, and never shrinks; the end of the epoch adds the lines
 * that are missing. Where the nodes do not share the directory it grows by whole epochs.
 *
 * About METRICS_PER_EPOCH times per epoch, for each node, means over the steps since the last such
 * line:
 *   {"epoch": 1, "step": 40, "node": 0, "seconds": ..., "loss": ..., "lr": ..., "step_ms": ...,
 *    "gradient_ms": ..., "wait_ms": ..., "weight": ..., "consensus_distance": ...}
 * (seconds: of training since the start, step: of the run, both at the line's last step; lr and
 * weight: of that step; consensus_distance: of the nodes after that step, which they need not reach
 * at the same time, estimated by the probe and the same for all nodes). At the end of each epoch,
 * for each node:
 *   {"epoch": 1, "step": 235, "node": 0, "seconds": ..., "train_loss": ..., "test_loss": ...,
 *    "test_accuracy": ..., "average_model_accuracy": ..., "consensus_distance": ...,
 *    "w_total": ..., "drift": ..., "test_top5_accuracy": ..., "average_model_top5_accuracy": ...,
 *    "bad_pictures": {"replaced": 0, "left_out": 0}}
 *
 * The fields from average_model_accuracy on are the same for all nodes; this consensus_distance is
 * over all parameters. If a node has several workers, each has lines of its own, with "worker": 0
 * after "node"; the loss is the worker's, test loss and accuracy are the node's. Numbers that do
 * not exist are null. After a loss (run/run_losses.h) the lost node has no more lines, and the next lines at the end of an epoch
 * have "losses" (summary_losses_json). */
#ifndef SGP_RUN_METRICS_H
#define SGP_RUN_METRICS_H

#include "base/state.h"
#include "run/probe.h"
#include "run/train_types.h"

#include <sgp/mixer.h>
#include <stdbool.h>

#define METRICS_FILE      "metrics.jsonl"
#define METRICS_PER_EPOCH 20

/* One step of one node. */
typedef struct metrics_step {
    double loss_sum; /* over the samples */
    double samples;
    double lr;
    double step_ms, gradient_ms, wait_ms;
    double seconds; /* of training since the start, after this step */
    double weight;
} metrics_step_t;

/* One line of one node, as it travels: doubles only. */
typedef struct metrics_record {
    double step;
    metrics_step_t mean; /* loss_sum and samples are sums, times are means */
} metrics_record_t;

/* The results of an epoch that all nodes share. */
typedef struct metrics_epoch {
    int epoch; /* from 1 */
    uint64_t step;
    double average_model_accuracy;
    double average_model_accuracy5; /* top-5 */
    sgp_mixer_consensus_t consensus;
    const train_loss_t *losses; /* (loss_count) of nodes, since the epoch before */
    int loss_count;
} metrics_epoch_t;

/* Those of each. */
typedef struct metrics_node {
    double seconds; /* of training since the start */
    double train_loss, test_loss, test_accuracy;
    double test_accuracy5;     /* top-5 */
    double replaced, left_out; /* pictures that could not be read */
} metrics_node_t;

/* Embedded; fields are private. */
typedef struct metrics {
    uint64_t interval; /* steps per line */
    probe_t probe;
    metrics_record_t open; /* sums since the last line */
    uint64_t open_steps;
    uint64_t count; /* lines of this epoch */
    metrics_record_t lines[METRICS_PER_EPOCH];
    float
        probes[METRICS_PER_EPOCH * PROBE_MAX]; /* (lines, probe.count) z after a line's last step */
} metrics_t;

/* The lines of an epoch, of all nodes that are there. */
typedef struct metrics_lines {
    int size, count;
    int first;   /* the file has the lines before it */
    bool *there; /* (size); NULL: all are */
    int workers; /* of a node: line i is worker i % workers of node i / workers; 0: one */
    metrics_record_t *records; /* (size, count) */
    double *distances;         /* (count) consensus */
} metrics_lines_t;

/* parameters: P */
void metrics_init(metrics_t *metrics, uint64_t steps_per_epoch, size_t parameters);

/* The epoch that begins has so many steps as far as is known. There are no lines yet. */
void metrics_begin(metrics_t *metrics, uint64_t steps);

/* Adds a step; allocates nothing. z: (P) after it. number: of the step in the run, from 1. */
void metrics_add(metrics_t *metrics, const metrics_step_t *step, const float *z, uint64_t number);

/* After the epoch's last step: ends the line that is open. z: (P) */
void metrics_end(metrics_t *metrics, const float *z);

/* Lists the state that a checkpoint in the middle of an epoch must hold. */
void metrics_state(metrics_t *metrics, sgp_state_t *state);

/* Whether a checkpoint can have such lines. */
bool metrics_are_right(const metrics_t *metrics);

/* Ends the line that is open, if one is, without a consensus distance: of a node that makes no further step. count <
 * METRICS_PER_EPOCH then. */
void metrics_cut(metrics_t *metrics);

/* Whether a process of the lines is there. */
static inline bool metrics_has(const metrics_lines_t *lines, int process) {
    return !lines->there || lines->there[process];
}

/* Gathers the lines of the epoch from all nodes and begins the next epoch. All nodes call it;
 * blocks as sgp_group_gather. Release *lines with metrics_release after success.
 * SGP_ERR_NO_MEMORY. */
sgp_status_t metrics_gather(metrics_t *metrics, sgp_group_t *group, metrics_lines_t *lines);
void metrics_release(metrics_lines_t *lines);

/* Appends the lines and the epoch's results to directory/metrics.jsonl. nodes: (size) NULL: the epoch has no results yet.
 * SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t metrics_write(const metrics_lines_t *lines, const char *directory,
                           const metrics_epoch_t *epoch, const metrics_node_t *nodes);

/* The text that it appends, from line `first` on, in order of step, then node. NULL when out of memory; released with
 * free. */
char *metrics_text(const metrics_lines_t *lines, const metrics_epoch_t *epoch,
                   const metrics_node_t *nodes);

#endif
