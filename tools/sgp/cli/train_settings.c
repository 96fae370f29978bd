/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/train_settings.h"

#include "base/constants.h"
#include "model/model.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(settings_t, member)

/* "RANK:FACTOR", such as "2:4". */
static bool parse_slow_node(const char *text, void *value) {
    char *colon, *end;
    long rank = strtol(text, &colon, 10);
    if (colon == text || *colon != ':' || rank < 0 || rank > INT_MAX) return false;
    double factor = strtod(colon + 1, &end);
    if (end == colon + 1 || *end != '\0' || !isfinite(factor) || factor < 1) return false;
    settings_t *settings = (settings_t *)((char *)value - AT(slow));
    settings->slow.rank = (int)rank;
    settings->slow.factor = factor;
    return true;
}

static bool parse_algorithms(const char *text, void *value) {
    return train_algorithms_parse(text, value);
}

static bool parse_peers(const char *text, void *value) {
    return train_peers_parse(text, value);
}

/* Steps, or "async". */
static bool parse_overlap(const char *text, void *value) {
    char *end;
    long steps = strtol(text, &end, 10);
    if (!strcmp(text, "async")) steps = SGP_OVERLAP_ASYNC;
    else if (end == text || *end != '\0' || steps < 0 || steps > 1000) return false;
    *(int *)value = (int)steps;
    return true;
}

#define ALGORITHMS "sgp, osgp, dpsgd, adpsgd, allreduce"

static const option_t options[] = {
    {.name = "nodes",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(run.nodes),
     .min = 1,
     .max = SGP_MOST_PROCESSES,
     .help = "start N nodes on this machine; with --join: nodes of the whole group"},
    {.name = "algorithm",
     .argument = "NAME",
     .type = OPTION_PARSED,
     .offset = AT(run.algorithm),
     .parse = parse_algorithms,
     .shown = "sgp",
     .wanted = ALGORITHMS " or a schedule",
     .help = "how the nodes average: " ALGORITHMS "; or a schedule by epoch, 0:allreduce,5:sgp"},
    {.name = "graph",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(graph),
     .choices = "exponential, static-exponential, ring, complete, bipartite-exponential, random, "
                "base, random-uneven",
     .shown = "exponential; bipartite-exponential for dpsgd and adpsgd",
     .help = "who sends to whom; random-uneven is not for training: its push-sum weights move"},
    {.name = "peers",
     .argument = "N",
     .type = OPTION_PARSED,
     .offset = AT(run.peers),
     .parse = parse_peers,
     .shown = "1",
     .wanted = "1 or more, or a schedule by epoch such as 0:2,30:1",
     .help = "nodes that each node sends to in a step; or a schedule by epoch, 0:2,30:1"},
    {.name = "overlap",
     .argument = "T",
     .type = OPTION_PARSED,
     .offset = AT(run.overlap),
     .parse = parse_overlap,
     .shown = "0; 1 for osgp",
     .wanted = "a number of steps from 0 to 1000, or async",
     .help = "steps a message may be late; async: wait for nothing, absorb what has arrived"},
    {.name = "local-steps",
     .argument = "H",
     .type = OPTION_INT,
     .offset = AT(run.local_steps),
     .min = 1,
     .max = 1e6,
     .help = "exchange in every H-th step only"},
    {.name = "slow-momentum",
     .argument = "BETA",
     .type = OPTION_REAL,
     .offset = AT(run.slow_momentum),
     .shown = "0.5 with --slow-every",
     .max = 1 - DBL_EPSILON,
     .wanted = "a number from 0 to below 1",
     .help = "momentum of SlowMo's outer updates"},
    {.name = "slow-every",
     .argument = "TAU",
     .type = OPTION_INT,
     .offset = AT(run.slow_every),
     .shown = "48 with --slow-momentum",
     .min = 1,
     .max = 1e9,
     .help = "steps from one of SlowMo's outer updates to the next"},
    {.name = "slow-alone",
     .type = OPTION_FLAG,
     .offset = AT(slow_alone),
     .value = 1,
     .help = "SlowMo without the exact average before an outer update"},
    {.name = "biased",
     .type = OPTION_FLAG,
     .offset = AT(biased),
     .value = 1,
     .help = "an ablation for sgp and osgp: ignore the push-sum weight"},
    {.name = "workers-per-node",
     .argument = "M",
     .type = OPTION_INT,
     .offset = AT(run.workers),
     .min = 1,
     .max = SGP_MOST_PROCESSES,
     .help = "workers that average gradients exactly inside a node; starts N times M processes"},
    {.name = "model",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(run.model),
     .list = model_names,
     .later = "resnet18, resnet50",
     .help = "the network"},
    {.name = "data",
     .argument = "NAME",
     .type = OPTION_STRING,
     .offset = AT(run.data),
     .wanted = "fashion-mnist or a directory with its four IDX files",
     .help = "fashion-mnist, or a directory with four files of the same names and format"},
    {.name = "epochs",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(run.epochs),
     .min = 1,
     .max = 100000,
     .help = "passes over the training set"},
    {.name = "batch-size",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(run.batch_size),
     .min = 1,
     .max = 65536,
     .help = "samples per worker and step; a node is one worker if not told otherwise"},
    {.name = "lr",
     .argument = "X",
     .type = OPTION_REAL,
     .offset = AT(run.lr),
     .min = DBL_MIN,
     .max = 1e6,
     .wanted = "a number above 0, 1e6 at most",
     .help = "learning rate per 256 samples of the global batch, scaled linearly"},
    {.name = "warmup-epochs",
     .argument = "X",
     .type = OPTION_REAL,
     .offset = AT(run.warmup_epochs),
     .max = 100000,
     .shown = "5/90 of the epochs",
     .wanted = "a number of epochs, 0 or more",
     .help = "epochs over which the learning rate rises"},
    {.name = "lr-schedule",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(run.lr_schedule),
     .choices = "step, cosine, constant",
     .help = "learning rate after the warm-up; step: a tenth at 1/3, 2/3 and 8/9 of the epochs"},
    {.name = "optimizer",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(run.optimizer),
     .choices = "sgd, adam",
     .help = "the local step of a node"},
    {.name = "momentum",
     .argument = "X",
     .type = OPTION_REAL,
     .offset = AT(run.momentum),
     .max = 1 - DBL_EPSILON,
     .wanted = "a number from 0 to below 1",
     .help = "momentum of sgd"},
    {.name = "no-nesterov",
     .type = OPTION_FLAG,
     .offset = AT(no_nesterov),
     .value = 1,
     .help = "plain momentum instead of Nesterov's"},
    {.name = "weight-decay",
     .argument = "X",
     .type = OPTION_REAL,
     .offset = AT(run.weight_decay),
     .max = 1e6,
     .wanted = "a number, 0 or more",
     .help = "weight decay, not on batch-norm parameters"},
    {.name = "augment",
     .type = OPTION_FLAG,
     .offset = AT(augment),
     .value = 1,
     .help = "random crops and flips of the training images (as the model asks)"},
    {.name = "no-augment",
     .type = OPTION_FLAG,
     .offset = AT(augment),
     .value = 0,
     .help = "the training images as they are"},
    {.name = "seed",
     .argument = "N",
     .type = OPTION_SEED,
     .offset = AT(run.seed),
     .wanted = "a whole number, 0 or more",
     .help = "of everything random in the run"},
    {.name = "transport",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(run.transport),
     .choices = "auto, shm, tcp, mpi, loopback",
     .help = "what carries the messages; auto: shm within a machine, tcp between machines; mpi: "
             "under mpirun or srun; loopback: all nodes are threads of one process"},
    {.name = "allreduce",
     .argument = "WHOSE",
     .type = OPTION_CHOICE,
     .offset = AT(run.allreduce),
     .choices = "own, library",
     .help =
         "whose all-reduce the algorithm of that name uses; library: MPI's, with --transport mpi"},
    JOINING_OPTIONS(AT(joining)),
    {.name = "encoding",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(encoding),
     .choices = "float32, bfloat16, float16",
     .help = "how vectors travel between nodes; two bytes a number instead of four"},
    {.name = "output",
     .argument = "DIR",
     .type = OPTION_STRING,
     .offset = AT(run.output),
     .shown = "runs/MODEL-ALGORITHM-TIME",
     .wanted = "a directory",
     .help = "the run's directory, made if it is missing"},
    {.name = "overwrite",
     .type = OPTION_FLAG,
     .offset = AT(overwrite),
     .value = 1,
     .help = "replace the run that --output holds; its files are removed first"},
    {.name = "resume",
     .argument = "DIR",
     .type = OPTION_STRING,
     .offset = AT(run.resume),
     .shown = "",
     .wanted = "the directory of a run",
     .help = "continue a run from its last good checkpoint, with its options"},
    {.name = "checkpoint-every",
     .argument = "N",
     .type = OPTION_LONG,
     .offset = AT(run.checkpoint_every),
     .shown = "at the end of every epoch",
     .min = 1,
     .max = 1e15,
     .help = "steps between checkpoints"},
    {.name = "checkpoint-minutes",
     .argument = "M",
     .type = OPTION_REAL,
     .offset = AT(run.checkpoint_minutes),
     .max = 1e6,
     .wanted = "a number, 0 or more",
     .help = "write a checkpoint when there was none for so long, also within an epoch; 0: never"},
    {.name = "keep-going",
     .type = OPTION_FLAG,
     .offset = AT(keep_going),
     .value = 1,
     .help = "train on when a loss, a gradient or a parameter is not finite"},
    {.name = "tensorboard",
     .type = OPTION_FLAG,
     .offset = AT(tensorboard),
     .value = 1,
     .help = "write event files for TensorBoard into the run's directory"},
    {.name = "trace",
     .type = OPTION_FLAG,
     .offset = AT(trace),
     .value = 1,
     .help = "write trace.json, what each node did when, for Perfetto or chrome://tracing"},
    {.name = "slow-node",
     .argument = "RANK:FACTOR",
     .type = OPTION_PARSED,
     .offset = AT(slow),
     .parse = parse_slow_node,
     .wanted = "RANK:FACTOR with a factor from 1 on, such as 0:4",
     .help = "make one node's gradients take FACTOR times as long"},
    {.name = "compute-ms",
     .argument = "MS",
     .type = OPTION_REAL,
     .offset = AT(run.compute_ms),
     .shown = "",
     .min = DBL_MIN,
     .max = 1e6,
     .wanted = "a time in milliseconds above 0",
     .help = "replace the gradient's cost by a fixed time; nothing is learned"},
    {.name = "limit-samples",
     .argument = "N",
     .type = OPTION_LONG,
     .offset = AT(run.limit_samples),
     .shown = "all",
     .min = 1,
     .max = 1e9,
     .help = "use only the first N samples of the training set"},
    {.name = "quiet",
     .type = OPTION_FLAG,
     .offset = AT(quiet),
     .value = 1,
     .help = "no progress and no summary; errors only"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .value = 1,
     .help = "print summary.json as the last line on standard output"},
    {.name = "version",
     .type = OPTION_FLAG,
     .offset = AT(version),
     .value = 1,
     .help = "print the version and end"},
    {.name = "help",
     .type = OPTION_FLAG,
     .offset = AT(help),
     .value = 1,
     .help = "print this text and end"},
};

const option_table_t settings_table = {
    .command = "train",
    .synopsis = "sgp train [OPTIONS]",
    .about =
        "Trains a model on several nodes that average their parameters as they go, and writes\n"
        "the run's directory. In parentheses: what is used when the option is not given.",
    .options = options,
    .count = sizeof options / sizeof options[0],
};

void settings_init(settings_t *settings) {
    *settings = (settings_t){
        .augment = -1, .encoding = "float32", .slow.rank = -1, .joining = JOINING_DEFAULTS};
    train_options_init(&settings->run);
    settings->run.slow_momentum = -1; /* not given */
    const char *transport = getenv("SGP_TRANSPORT");
    if (transport && *transport) settings->run.transport = transport;
}

/* One of the two is enough. */
static void finish_slow_momentum(train_options_t *run) {
    if (run->slow_momentum < 0) run->slow_momentum = run->slow_every > 0 ? 0.5 : 0;
    else if (run->slow_every == 0) run->slow_every = 48;
}

void settings_finish(settings_t *settings) {
    train_options_t *run = &settings->run;
    sgp_graph_kind_t graph;
    sgp_encoding_parse(settings->encoding, &run->encoding);
    if (settings->graph && sgp_graph_parse(settings->graph, &graph) == SGP_OK)
        run->graph = (int)graph;
    finish_slow_momentum(run);
    run->biased = settings->biased;
    run->slow_alone = settings->slow_alone;
    run->keep_going = settings->keep_going;
    run->tensorboard = settings->tensorboard;
    run->trace = settings->trace;
    run->nesterov = !settings->no_nesterov;
    run->augment =
        settings->augment >= 0 ? settings->augment : strncmp(run->model, "resnet", 6) == 0;
    run->slow_rank = settings->slow.rank;
    run->slow_factor = settings->slow.factor;
}
