/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a run as the code reads them. Each field but `here` has a row in option_rows.c. */
#ifndef SGP_RUN_TRAIN_OPTIONS_H
#define SGP_RUN_TRAIN_OPTIONS_H

#include "data/division.h"
#include "run/stages.h"

#include <sgp/mixer.h>
#include <stdbool.h>
#include <stdint.h>

#define TRAIN_BY_ALGORITHM (-2)

/* Everything that decides a run. Defaults and ranges are in option_rows.c. Strings are borrowed. */
typedef struct train_options {
    const char *model;
    const char *data;         /* as source_open takes it */
    train_stages_t algorithm; /* sgp_algorithm_t, by epoch */
    train_stages_t peers;     /* by epoch */
    int graph;                /* sgp_graph_kind_t, or TRAIN_BY_ALGORITHM */
    int overlap;          /* steps, SGP_OVERLAP_ASYNC, or TRAIN_BY_ALGORITHM: 1 for osgp, else 0 */
    bool biased;          /* ignore the push-sum weight */
    int local_steps;      /* exchange in every so many-th step */
    double slow_momentum; /* below 0: not given */
    int slow_every;       /* steps; 0: no slow momentum */
    bool slow_alone;      /* no exact average before an outer update */
    int nodes;            /* that gossip */
    int here; /* processes of the run on this machine, for its memory; 0: all. No option: the program finds it */
    int workers; /* per node: they average gradients exactly; nodes * workers processes. Process r is worker
                    r % workers of node r / workers */
    int epochs;
    int batch_size; /* samples per worker and step */
    double
        lr; /* per 256 samples of the global batch, scaled linearly; below 0 until train_options_settle */
    double warmup_epochs;    /* below 0: 5/90 of the epochs */
    const char *lr_schedule; /* schedule_kind_t by name; "auto" until train_options_settle */
    double momentum;
    bool nesterov;
    double weight_decay;
    const char *optimizer; /* "sgd", "adam" or "adamw" */
    int augment;           /* random crops and flips: 1 or 0; below 0 until train_options_settle */
    uint64_t seed;
    const char *init;         /* file of the initial parameters; NULL: random ones */
    int64_t limit_samples;    /* 0: the whole training set */
    const char *transport;    /* recorded only: the caller makes the group */
    const char *allreduce;    /* "own", or "library": MPI's */
    sgp_encoding_t encoding;  /* of vectors between nodes */
    const char *output;       /* directory, exists and is writable; NULL: no files are written */
    const char *resume;       /* directory of the run to continue; NULL: a new run */
    int64_t checkpoint_every; /* steps; 0: at the end of every epoch */
    double
        checkpoint_minutes; /* longest time without a checkpoint, by node 0's clock; 0: no limit */
    bool keep_going;        /* train on with numbers that are not finite */
    bool tensorboard;       /* event files in output/tensorboard */
    bool trace;             /* output/trace.json, for Perfetto */
    int slow_rank;          /* of a node, all its workers; -1: none */
    double slow_factor;     /* its gradient takes so many times as long */
    double
        compute_ms; /* > 0: a fixed time replaces loading a batch and computing its gradient; the gradient is then
                          small constant noise, nothing is evaluated, and losses and accuracies are NAN */
    const char
        *recipe; /* "none" or "paper"; recorded only: recipe.h has set the options that it means */
    int image_size;           /* pixels of a side, of pictures; 0: FEED_IMAGE_SIZE */
    int data_threads;         /* that decode pictures; 0: one for every four of threads */
    const char *on_bad_image; /* "skip" or "stop" */
    const char *on_loss;      /* of a node: "continue" or "stop"; NULL: see train_goes_on */
    int min_nodes;            /* with fewer a run that goes on without lost nodes ends */
    double quorum;            /* nodes that hear no more than this part of the nodes pause */
    double pause_limit;       /* seconds */
    int max_nodes;            /* with those that join the running run; 0: see train_most_nodes */
    double grace;             /* seconds that a node which is told to leave may take */
    bool shard_per_node;      /* each node reads a part of the shards alone */
    double color_jitter;      /* of pictures */
    double label_smoothing;
    int threads;           /* of a process's model; 0: OMP_NUM_THREADS, else 1 */
    const char *precision; /* of the model: "float32", "bfloat16" or "auto" */
    bool fixed_rate;       /* the learning rate does not follow the number of nodes that are left */
    division_rule_t split; /* of the samples between nodes */
    double clip_norm;      /* of a process's gradient; 0: any */
    bool private_data;     /* `data` are each node's own; "{node}" in it is the node's number */
    int rounds;            /* exchanges per step, or SGP_ROUNDS_AUTO */
    double outer_lr;       /* of outer steps; 0: none */
    double outer_momentum; /* below 0: not given */
    const char *preset;    /* "none", "lan", "slow" or "wan"; recorded only, too: see preset.h */
    double metrics_seconds; /* between two writes of metrics within an epoch; 0: at its end only */
} train_options_t;

/* A run of fewer epochs is short: the steps of the learning rate would leave it too few at the full rate, and random crops
 * and flips do not pay off in so few. */
#define TRAIN_SHORT_EPOCHS 10

/* Fills the defaults that follow from other options: SlowMo's pair, that of outer steps, and lr, lr_schedule and augment by model and epochs.
 * Call it after the last change; it may be called again. */
void train_options_settle(train_options_t *options);

/* Whether each node goes through data, or a part of the data, that no other node reads: what a lost node had is not divided
 * between the others, and no node can join. */
static inline bool train_keeps_parts(const train_options_t *options) {
    return options->shard_per_node || options->private_data;
}

/* The path of a node's data: "{node}" stands for its number if the data are private. path: (TRAIN_PATH), cut. Returns path. */
enum { TRAIN_PATH = 4096 };
const char *train_data_path(const train_options_t *options, int node, char path[TRAIN_PATH]);

/* The graph for an algorithm of the run. */
sgp_graph_kind_t train_graph(const train_options_t *options, sgp_algorithm_t algorithm);

#endif
