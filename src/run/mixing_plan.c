/* SPDX-License-Identifier: Apache-2.0 */
#include "run/mixing_plan.h"

#include "base/constants.h"
#include "base/encoded.h"
#include "mixing/algorithm_table.h"
#include "mixing/mixer_options.h"

#include <string.h>

/* A schedule from all-reduce to osgp has an overlap for the epochs that can have one. */
static int overlap_at(const train_options_t *options, sgp_algorithm_t algorithm) {
    if (options->overlap == TRAIN_BY_ALGORITHM) return algorithm == SGP_ALGORITHM_OSGP ? 1 : 0;
    if (options->algorithm.count > 1 && algorithm != SGP_ALGORITHM_OSGP) return 0;
    return options->overlap;
}

/* A schedule has rounds for the epochs that can have them. */
static int64_t rounds_at(const train_options_t *options, sgp_algorithm_t algorithm) {
    bool can = sgp_algorithm_info(algorithm)->rounds && overlap_at(options, algorithm) == 0;
    return options->algorithm.count > 1 && !can ? 1 : options->rounds;
}

/* Not given and not needed: 0. */
static float slow_momentum(const train_options_t *options) {
    bool none = options->slow_momentum < 0 && options->slow_every == 0;
    return none ? 0 : (float)options->slow_momentum;
}

/* A schedule has outer steps for the epochs that can have them. */
static bool has_outer_steps(const train_options_t *options, sgp_algorithm_t algorithm) {
    bool can = algorithm != SGP_ALGORITHM_ADPSGD && overlap_at(options, algorithm) == 0;
    return options->outer_lr > 0 && (options->algorithm.count == 1 || can);
}

sgp_mixer_options_t train_mixer_options(const train_options_t *options, uint64_t epoch) {
    sgp_algorithm_t algorithm = (sgp_algorithm_t)train_stages_at(&options->algorithm, epoch);
    bool outer = has_outer_steps(options, algorithm);
    return (sgp_mixer_options_t){
        .algorithm = algorithm,
        .graph = {.kind = train_graph(options, algorithm),
                  .size = options->nodes,
                  .peers = train_stages_at(&options->peers, epoch),
                  .seed = options->seed},
        .overlap = overlap_at(options, algorithm),
        .allow_not_finite = options->keep_going,
        .biased = options->biased,
        .encoding = options->encoding,
        .local_steps = options->local_steps,
        .slow_momentum = slow_momentum(options),
        .slow_every = options->slow_every,
        .slow_alone = options->slow_alone,
        .library_allreduce = strcmp(options->allreduce, "library") == 0,
        .passes_over = 1, /* the steps are returned: run_data.h */
        .rounds = rounds_at(options, algorithm),
        .outer_lr = outer ? (float)options->outer_lr : 0,
        .outer_momentum = outer ? (float)options->outer_momentum : 0,
    };
}

int64_t train_rounds(const train_options_t *options) {
    sgp_mixer_options_t last = train_mixer_options(options, (uint64_t)options->epochs - 1);
    return sgp_mixer_rounds(&last);
}

bool train_mixer_changes(const train_options_t *options, uint64_t epoch) {
    return epoch > 0 && (train_stages_begin(&options->algorithm, epoch) ||
                         train_stages_begin(&options->peers, epoch));
}

static const char *stage_stops_because(const sgp_mixer_options_t *mixer) {
    if (sgp_encoding_modulo_bits(sgp_mixer_encoding(mixer)) > 0)
        return "an encoding that knows the receiver cannot go on without a node; int8 can";
    if (mixer->algorithm == SGP_ALGORITHM_ALLREDUCE) return NULL; /* it has no graph */
    if (mixer->algorithm == SGP_ALGORITHM_SERVER)
        return "the parameter server ends with node 0, which has the parameters";
    if (mixer->graph.kind == SGP_GRAPH_RING && mixer->graph.peers < 2)
        return "a ring with one peer is cut by the loss of a node; with 2 peers it is not";
    return NULL;
}

const char *train_stops_because(const train_options_t *options) {
    const char *why = NULL;
    if (strcmp(options->transport, "mpi") == 0)
        return "mpi ends the job with any of its processes; shm and tcp do not";
    if (options->workers > 1) return "nodes of several workers cannot go on without a node";
    for (int epoch = 0; epoch < options->epochs && !why; epoch++) {
        if (epoch > 0 && !train_mixer_changes(options, (uint64_t)epoch)) continue;
        sgp_mixer_options_t mixer = train_mixer_options(options, (uint64_t)epoch);
        why = stage_stops_because(&mixer);
    }
    return why;
}

bool train_goes_on(const train_options_t *options) {
    bool stops = options->on_loss && strcmp(options->on_loss, "stop") == 0;
    return !stops && !train_stops_because(options);
}

/* Of the first epoch. A newcomer meets the others after one step of all, so they must be in the same round. */
static bool keeps_step(const train_options_t *options) {
    sgp_mixer_options_t mixer = train_mixer_options(options, 0);
    return !sgp_algorithm_info(mixer.algorithm)->unpaced && mixer.overlap != SGP_OVERLAP_ASYNC &&
           options->algorithm.count == 1 && options->peers.count == 1;
}

const char *train_closed_because(const train_options_t *options) {
    if (!keeps_step(options))
        return "nodes can join sgp, osgp, dpsgd and allreduce, without async and schedules";
    if (!train_goes_on(options)) return "nodes can join only a run that goes on without lost ones";
    if (strcmp(options->transport, "tcp") != 0 && strcmp(options->transport, "auto") != 0)
        return "nodes that join later are reached over tcp, so the transport must be tcp or auto";
    if (options->shard_per_node)
        return "with shard-per-node each node has its part of the data from the start";
    if (options->private_data) return "with private-data each node has its data from the start";
    return NULL;
}

/* Only where all messages are tcp's in any case the default is above the number of nodes: room for newcomers excludes shared
 * memory. */
int train_most_nodes(const train_options_t *options, bool met) {
    int nodes = options->nodes;
    if (train_closed_because(options)) return nodes;
    if (options->max_nodes > 0) return options->max_nodes;
    if (!met || strcmp(options->transport, "tcp") != 0) return nodes;
    return nodes <= SGP_MOST_PROCESSES / 2 ? 2 * nodes : SGP_MOST_PROCESSES;
}
