/* SPDX-License-Identifier: Apache-2.0 */
#include "run/train_options.h"

#include "base/constants.h"
#include "mixing/default_graph.h"
#include "model/model.h"
#include "run/names.h"
#include "run/decay.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(train_options_t, member)

/* ---- values with a syntax of their own ---- */

static bool parse_algorithms(const char *text, void *value) {
    return train_algorithms_parse(text, value);
}

static void print_algorithms(const void *value, char *text) {
    train_algorithms_text(value, text);
}

static bool parse_peers(const char *text, void *value) {
    return train_peers_parse(text, value);
}

static void print_peers(const void *value, char *text) {
    train_stages_text(value, NULL, text);
}

static bool parse_graph(const char *text, void *value) {
    sgp_graph_kind_t graph;
    if (*text && sgp_graph_parse(text, &graph) != SGP_OK) return false;
    *(int *)value = *text ? (int)graph : TRAIN_BY_ALGORITHM;
    return true;
}

static void print_graph(const void *value, char *text) {
    int graph = *(const int *)value;
    if (graph == TRAIN_BY_ALGORITHM) text[0] = '\0';
    else snprintf(text, OPTION_TEXT, "%s", sgp_graph_name((sgp_graph_kind_t)graph));
}

static void agree_graph(const void *options, char *text) {
    const train_options_t *run = options;
    sgp_algorithm_t first = (sgp_algorithm_t)run->algorithm.stage[0].value;
    snprintf(text, OPTION_TEXT, "%s", sgp_graph_name(train_graph(run, first)));
}

static bool parse_encoding(const char *text, void *value) {
    return sgp_encoding_parse(text, value) == SGP_OK;
}

static void print_encoding(const void *value, char *text) {
    snprintf(text, OPTION_TEXT, "%s", sgp_encoding_name(*(const sgp_encoding_t *)value));
}

/* Steps, or "async". */
static bool parse_overlap(const char *text, void *value) {
    char *end;
    long steps = strtol(text, &end, 10);
    if (!*text) steps = TRAIN_BY_ALGORITHM;
    else if (!strcmp(text, "async")) steps = SGP_OVERLAP_ASYNC;
    else if (end == text || *end != '\0' || steps < 0 || steps > 1000) return false;
    *(int *)value = (int)steps;
    return true;
}

static void print_overlap(const void *value, char *text) {
    int overlap = *(const int *)value;
    if (overlap == TRAIN_BY_ALGORITHM) text[0] = '\0';
    else if (overlap == SGP_OVERLAP_ASYNC) strcpy(text, "async");
    else snprintf(text, OPTION_TEXT, "%d", overlap);
}

static void agree_overlap(const void *options, char *text) {
    snprintf(text, OPTION_TEXT, "%d", ((const train_options_t *)options)->overlap);
}

static void agree_slow_momentum(const void *options, char *text) {
    const train_options_t *run = options;
    snprintf(text, OPTION_TEXT, "%.15g", run->slow_momentum < 0 ? 0 : run->slow_momentum);
}

static void agree_output(const void *options, char *text) {
    strcpy(text, ((const train_options_t *)options)->output ? "written" : "none");
}

static void agree_resume(const void *options, char *text) {
    strcpy(text, ((const train_options_t *)options)->resume ? "on" : "off");
}

/* "RANK:FACTOR", such as "2:4". value: the whole struct. */
static bool parse_slow_node(const char *text, void *value) {
    train_options_t *run = value;
    char *colon, *end;
    long rank = strtol(text, &colon, 10);
    if (!*text) {
        run->slow_rank = -1;
        run->slow_factor = 1;
        return true;
    }
    if (colon == text || *colon != ':' || rank < 0 || rank > INT_MAX) return false;
    double factor = strtod(colon + 1, &end);
    if (end == colon + 1 || *end != '\0' || !(factor >= 1 && factor <= 1e6)) return false;
    run->slow_rank = (int)rank;
    run->slow_factor = factor;
    return true;
}

static void print_slow_node(const void *value, char *text) {
    const train_options_t *run = value;
    text[0] = '\0';
    if (run->slow_rank >= 0)
        snprintf(text, OPTION_TEXT, "%d:%.17g", run->slow_rank, run->slow_factor);
}

/* ---- the rows ---- */

const option_t train_option_rows[] = {
    {.name = "model",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .section = SECTION_TRAINING,
     .offset = AT(model),
     .initial = "lenet",
     .list = model_names,
     .later = "resnet18, resnet50",
     .agreed = 2,
     .help = "the network"},
    {.name = "data",
     .argument = "NAME",
     .type = OPTION_STRING,
     .section = SECTION_TRAINING,
     .offset = AT(data),
     .initial = "fashion-mnist",
     .wanted = "fashion-mnist or a directory with its four IDX files",
     .may_change = true,
     .help = "the data set: fashion-mnist, or a directory with four files of the same names and "
             "format",
     .more = "Debian's package dataset-fashion-mnist provides *fashion-mnist*."},
    {.name = "nodes",
     .argument = "N",
     .type = OPTION_INT,
     .section = SECTION_NODES,
     .offset = AT(nodes),
     .initial = "4",
     .min = 1,
     .max = SGP_MOST_PROCESSES,
     .agreed = 1,
     .help = "start N nodes on this machine; with --join: nodes of the whole group",
     .more = "A run has at most 65,536 processes. Under a launcher, the launcher's number counts."},
    {.name = "workers-per-node",
     .argument = "M",
     .type = OPTION_INT,
     .section = SECTION_NODES,
     .offset = AT(workers),
     .initial = "1",
     .min = 1,
     .max = SGP_MOST_PROCESSES,
     .agreed = 6,
     .help = "workers of a node, which average their gradients exactly; starts N times M processes",
     .more = "Workers are processes; those of a node gossip as one. A launcher's processes form "
             "as many nodes as their number divided by M."},
    {.name = "epochs",
     .argument = "N",
     .type = OPTION_INT,
     .section = SECTION_TRAINING,
     .offset = AT(epochs),
     .initial = "5",
     .min = 1,
     .max = 100000,
     .agreed = 20,
     .help = "passes over the training set"},
    {.name = "batch-size",
     .argument = "N",
     .type = OPTION_INT,
     .section = SECTION_TRAINING,
     .offset = AT(batch_size),
     .initial = "32",
     .min = 1,
     .max = 65536,
     .agreed = 21,
     .help = "samples per worker and step; a node is one worker unless --workers-per-node says "
             "more"},
    {.name = "lr",
     .argument = "X",
     .type = OPTION_REAL,
     .section = SECTION_TRAINING,
     .offset = AT(lr),
     .initial = "0.1",
     .min = DBL_MIN,
     .max = 1e6,
     .wanted = "a number above 0, 1e6 at most",
     .agreed = 22,
     .help = "learning rate per 256 samples of the global batch, scaled linearly"},
    {.name = "warmup-epochs",
     .argument = "X",
     .type = OPTION_REAL,
     .section = SECTION_TRAINING,
     .offset = AT(warmup_epochs),
     .initial = "-1",
     .shown = "5/90 of the epochs",
     .max = 100000,
     .wanted = "a number of epochs, 0 or more",
     .agreed = 23,
     .help = "epochs over which the learning rate rises"},
    {.name = "lr-schedule",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .section = SECTION_TRAINING,
     .offset = AT(lr_schedule),
     .initial = "step",
     .list = schedule_names,
     .agreed = 24,
     .help = "learning rate after the warm-up; step: a tenth at 1/3, 2/3 and 8/9 of the epochs"},
    {.name = "optimizer",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .section = SECTION_TRAINING,
     .offset = AT(optimizer),
     .initial = "sgd",
     .choices = "sgd, adam",
     .agreed = 25,
     .help = "the local step of a node"},
    {.name = "momentum",
     .argument = "X",
     .type = OPTION_REAL,
     .section = SECTION_TRAINING,
     .offset = AT(momentum),
     .initial = "0.9",
     .max = 1 - DBL_EPSILON,
     .wanted = "a number from 0 to below 1",
     .agreed = 26,
     .help = "momentum of sgd"},
    {.name = "nesterov",
     .type = OPTION_OFF,
     .section = SECTION_TRAINING,
     .offset = AT(nesterov),
     .agreed = 27,
     .help = "plain momentum instead of Nesterov's"},
    {.name = "weight-decay",
     .argument = "X",
     .type = OPTION_REAL,
     .section = SECTION_TRAINING,
     .offset = AT(weight_decay),
     .initial = "1e-4",
     .max = 1e6,
     .wanted = "a number, 0 or more",
     .agreed = 28,
     .help = "weight decay, not on batch-norm parameters"},
    {.name = "augment",
     .type = OPTION_SWITCH,
     .section = SECTION_TRAINING,
     .offset = AT(augment),
     .shown = "as the model asks",
     .agreed = 29,
     .help = "random crops and flips of the training images, or none",
     .more = "ResNets ask for them."},
    {.name = "seed",
     .argument = "N",
     .type = OPTION_SEED,
     .section = SECTION_TRAINING,
     .offset = AT(seed),
     .initial = "1",
     .wanted = "a whole number, 0 or more",
     .agreed = 30,
     .help = "seed of every random choice in the run",
     .more = "The same seed gives the same parameters, bit for bit, on every transport."},
    {.name = "limit-samples",
     .argument = "N",
     .type = OPTION_LONG,
     .section = SECTION_TRAINING,
     .offset = AT(limit_samples),
     .shown = "all",
     .min = 1,
     .max = 1e9,
     .agreed = 4,
     .help = "use only the first N samples of the training set"},
    {.name = "transport",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .section = SECTION_NODES,
     .offset = AT(transport),
     .initial = "auto",
     .list = names_transports,
     .may_change = true,
     .help = "what carries the messages; auto: shm within a machine, tcp between machines; mpi: "
             "under mpirun or srun; loopback: all nodes are threads of one process",
     .more = "*shm* is shared memory of one machine; *tcp* is a network, or the machine's "
             "loopback interface."},
    {.name = "allreduce",
     .argument = "WHOSE",
     .type = OPTION_CHOICE,
     .section = SECTION_NODES,
     .offset = AT(allreduce),
     .initial = "own",
     .choices = "own, library",
     .agreed = 19,
     .help = "whose all-reduce the algorithm of that name uses; library: MPI's, with --transport "
             "mpi",
     .more = "With *library* the bits are those of the MPI library."},
    {.name = "encoding",
     .argument = "NAME",
     .type = OPTION_PARSED,
     .section = SECTION_NODES,
     .offset = AT(encoding),
     .initial = "float32",
     .parse = parse_encoding,
     .print = print_encoding,
     .list = names_encodings,
     .agreed = 12,
     .help = "how vectors travel between nodes; the last two take two bytes a number instead of "
             "four",
     .more = "The sender keeps the rounding error of its message, so that no mass is lost."},
    {.name = "output",
     .argument = "DIR",
     .type = OPTION_STRING,
     .section = SECTION_FILES,
     .offset = AT(output),
     .shown = "runs/MODEL-ALGORITHM-TIME",
     .wanted = "a directory",
     .agreed = 33,
     .agree = agree_output,
     .may_change = true,
     .elsewhere = true,
     .help = "the run's directory, made if it is missing",
     .more = "A directory is refused if it holds a finished run or another run, or if another "
             "process works there."},
    {.name = "checkpoint-every",
     .argument = "N",
     .type = OPTION_LONG,
     .section = SECTION_FILES,
     .offset = AT(checkpoint_every),
     .shown = "at the end of every epoch",
     .min = 1,
     .max = 1e15,
     .agreed = 17,
     .may_change = true,
     .help = "steps between checkpoints",
     .more = "The last two are kept, and the run writes one at its end."},
    {.name = "checkpoint-minutes",
     .argument = "M",
     .type = OPTION_REAL,
     .section = SECTION_FILES,
     .offset = AT(checkpoint_minutes),
     .initial = "10",
     .max = 1e6,
     .wanted = "a number, 0 or more",
     .may_change = true,
     .help = "longest time without a checkpoint, also within an epoch; 0: no limit",
     .more = "Ctrl-C and SIGTERM write one more."},
    {.name = "keep-going",
     .type = OPTION_FLAG,
     .section = SECTION_TRAINING,
     .offset = AT(keep_going),
     .agreed = 18,
     .may_change = true,
     .help = "train on when a loss, a gradient or a parameter is not finite",
     .more = "Without it the run ends on all nodes in that step, with exit status 1, and the "
             "checkpoint before it is kept."},
    {.name = "tensorboard",
     .type = OPTION_FLAG,
     .section = SECTION_FILES,
     .offset = AT(tensorboard),
     .may_change = true,
     .help = "write event files for TensorBoard into the run's directory",
     .more = "They lie in tensorboard/: one sub-run per node, and *all* with the means."},
    {.name = "trace",
     .type = OPTION_FLAG,
     .section = SECTION_FILES,
     .offset = AT(trace),
     .agreed = 32,
     .may_change = true,
     .help = "write trace.json, a timeline of every node, for Perfetto or chrome://tracing",
     .more = "It holds the first 131,072 spans of each thread of a node. Perfetto is at "
             "ui.perfetto.dev."},
    {.name = "slow-node",
     .argument = "RANK:FACTOR",
     .type = OPTION_PARSED,
     .section = SECTION_EXPERIMENTS,
     .offset = 0,
     .initial = "",
     .parse = parse_slow_node,
     .print = print_slow_node,
     .parts = {"rank", "factor"},
     .wanted = "RANK:FACTOR, FACTOR from 1 to 1e6, such as 0:4",
     .help = "make one node's gradients take FACTOR times as long"},
    {.name = "compute-ms",
     .argument = "MS",
     .type = OPTION_REAL,
     .section = SECTION_EXPERIMENTS,
     .offset = AT(compute_ms),
     .shown = "",
     .min = DBL_MIN,
     .max = 1e6,
     .wanted = "a time in milliseconds above 0, 1e6 at most",
     .agreed = 31,
     .help = "replace the gradient's cost by a fixed time; nothing is learned"},
    {.name = "algorithm",
     .argument = "NAME",
     .type = OPTION_PARSED,
     .section = SECTION_AVERAGING,
     .offset = AT(algorithm),
     .initial = "sgp",
     .parse = parse_algorithms,
     .print = print_algorithms,
     .list = names_algorithms,
     .agreed = 7,
     .help = "how the nodes average; 0:allreduce,5:sgp is sgp from epoch 5 on",
     .also = "or a schedule",
     .more = "*sgp* is Stochastic Gradient Push in lock step; *osgp* is the same with "
             "communication beside the computation; in *dpsgd* pairs average with each other in "
             "each step; in *adpsgd* pairs average whenever one of them is ready; *allreduce* "
             "takes the exact mean of all gradients in every step. A schedule counts epochs from "
             "0."},
    {.name = "graph",
     .argument = "NAME",
     .type = OPTION_PARSED,
     .section = SECTION_AVERAGING,
     .offset = AT(graph),
     .initial = "",
     .shown = SGP_DEFAULT_GRAPH_TEXT,
     .parse = parse_graph,
     .print = print_graph,
     .list = names_graphs,
     .agreed = 8,
     .agree = agree_graph,
     .help = "who sends to whom; random-uneven is not for training: its push-sum weights move",
     .more = "In a *random-uneven* graph in-degrees differ, push-sum weights shrink, the rate lr "
             "/ w grows, and the run diverges. It serves experiments with --biased. *sgp graph* "
             "shows how well each graph averages."},
    {.name = "peers",
     .argument = "N",
     .type = OPTION_PARSED,
     .section = SECTION_AVERAGING,
     .offset = AT(peers),
     .initial = "1",
     .parse = parse_peers,
     .print = print_peers,
     .wanted = "1 or more, or a schedule by epoch such as 0:2,30:1",
     .agreed = 9,
     .help = "nodes that each node sends to in a step, or a schedule by epoch such as 0:2,30:1"},
    {.name = "overlap",
     .argument = "T",
     .type = OPTION_PARSED,
     .section = SECTION_AVERAGING,
     .offset = AT(overlap),
     .initial = "",
     .shown = "0; 1 for osgp",
     .parse = parse_overlap,
     .print = print_overlap,
     .wanted = "a number of steps from 0 to 1000, or async",
     .agreed = 10,
     .agree = agree_overlap,
     .help = "steps a message may be late; async: wait for nothing, absorb what has arrived",
     .more = "For sgp and osgp."},
    {.name = "biased",
     .type = OPTION_FLAG,
     .section = SECTION_EXPERIMENTS,
     .offset = AT(biased),
     .agreed = 11,
     .help = "an ablation for sgp and osgp: ignore the push-sum weight"},
    {.name = "local-steps",
     .argument = "H",
     .type = OPTION_INT,
     .section = SECTION_AVERAGING,
     .offset = AT(local_steps),
     .initial = "1",
     .min = 1,
     .max = 1e6,
     .agreed = 13,
     .help = "exchange in every H-th step only"},
    {.name = "slow-momentum",
     .argument = "BETA",
     .type = OPTION_REAL,
     .section = SECTION_AVERAGING,
     .offset = AT(slow_momentum),
     .initial = "-1",
     .shown = "0.5 with --slow-every",
     .max = 1 - DBL_EPSILON,
     .wanted = "a number from 0 to below 1",
     .agreed = 14,
     .agree = agree_slow_momentum,
     .help = "momentum of SlowMo's outer updates",
     .more = "Without --slow-momentum and --slow-every there are no outer updates."},
    {.name = "slow-every",
     .argument = "TAU",
     .type = OPTION_INT,
     .section = SECTION_AVERAGING,
     .offset = AT(slow_every),
     .shown = "48 with --slow-momentum",
     .min = 1,
     .max = 1e9,
     .agreed = 15,
     .help = "steps between SlowMo's outer updates"},
    {.name = "slow-alone",
     .type = OPTION_FLAG,
     .section = SECTION_AVERAGING,
     .offset = AT(slow_alone),
     .agreed = 16,
     .help = "SlowMo without the exact average before an outer update"},
    {.name = "resume",
     .argument = "DIR",
     .type = OPTION_STRING,
     .section = SECTION_FILES,
     .offset = AT(resume),
     .shown = "",
     .wanted = "the directory of a run",
     .agreed = 34,
     .agree = agree_resume,
     .may_change = true,
     .unrecorded = true,
     .help = "continue a run from its last good checkpoint, with its options",
     .more =
         "The newest checkpoint that is whole on all nodes counts. The run ends with the same "
         "parameters, bit for bit, as if it had never stopped. Only --data (if the same data "
         "have moved), --transport, --output, --checkpoint-every, --checkpoint-minutes, "
         "--keep-going, --tensorboard, --trace, --quiet and --json may be given new values. "
         "Without --output the run continues in DIR. Of a finished run the summary is printed."},
    {0},
};

/* ---- the struct ---- */

void train_options_unset(train_options_t *options) {
    memset(options, 0, sizeof *options);
    for (const option_t *row = train_option_rows; row->name; row++) option_init(row, options);
}

void train_options_init(train_options_t *options) {
    train_options_unset(options);
    train_options_settle(options);
}

void train_options_settle(train_options_t *options) {
    if (options->augment < 0) options->augment = strncmp(options->model, "resnet", 6) == 0;
    if (options->slow_momentum < 0 && options->slow_every > 0) options->slow_momentum = 0.5;
    else if (options->slow_momentum >= 0 && options->slow_every == 0) options->slow_every = 48;
}

sgp_graph_kind_t train_graph(const train_options_t *options, sgp_algorithm_t algorithm) {
    return options->graph == TRAIN_BY_ALGORITHM ? sgp_algorithm_default_graph(algorithm)
                                                : (sgp_graph_kind_t)options->graph;
}
