/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulated_algorithms.h"

#include "mixing/algorithm_table.h"
#include "base/encoded.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#define LENGTH ((size_t)256) /* numbers in a vector without segments */
#define LINE   ((size_t)16)  /* numbers in the least segment of the library's all-reduce */

static const simulation_algorithm_t algorithms[] = {
    {"sgp", SIMULATION_MIXER, SGP_ALGORITHM_SGP, false, true, "SGP in lock step"},
    {"osgp", SIMULATION_MIXER, SGP_ALGORITHM_OSGP, false, true, "SGP with overlap"},
    {"osgp-async", SIMULATION_MIXER, SGP_ALGORITHM_OSGP, true, true, "SGP that waits for nothing"},
    {"dpsgd", SIMULATION_MIXER, SGP_ALGORITHM_DPSGD, false, true, "D-PSGD"},
    {"adpsgd", SIMULATION_MIXER, SGP_ALGORITHM_ADPSGD, false, false, "AD-PSGD"},
    {"server", SIMULATION_MIXER, SGP_ALGORITHM_SERVER, false, false,
     "an asynchronous parameter server on node 0"},
    {"allreduce", SIMULATION_MIXER, SGP_ALGORITHM_ALLREDUCE, false, false,
     "this project's, after the gradient; each byte is sent once"},
    {"allreduce-buckets", SIMULATION_BUCKETS, SGP_ALGORITHM_ALLREDUCE, false, false,
     "this project's, in buckets of 25 MiB during the gradient, as PyTorch's DDP"},
    {"allreduce-ring", SIMULATION_RING, SGP_ALGORITHM_ALLREDUCE, false, false,
     "segments around a ring, after the gradient"},
    {"allreduce-halving", SIMULATION_HALVING, SGP_ALGORITHM_ALLREDUCE, false, false,
     "recursive halving and doubling, after the gradient; 2 log2 n messages"},
    {"allreduce-tree", SIMULATION_TREE, SGP_ALGORITHM_ALLREDUCE, false, false,
     "whole vectors up and down a binomial tree, after the gradient"},
};

enum { ALGORITHMS = sizeof algorithms / sizeof algorithms[0] };

const simulation_algorithm_t *simulation_algorithm_find(const char *name) {
    for (int i = 0; i < ALGORITHMS; i++)
        if (!strcmp(algorithms[i].name, name)) return &algorithms[i];
    return NULL;
}

bool simulation_goes_on(const simulation_settings_t *settings,
                        const simulation_algorithm_t *algorithm) {
    sgp_graph_kind_t kind = SGP_GRAPH_EXPONENTIAL;
    if (settings->graph) sgp_graph_parse(settings->graph, &kind);
    bool cut_by_a_hole = kind == SGP_GRAPH_RING && settings->peers < 2;
    return algorithm->goes_on && !cut_by_a_hole;
}

const char *simulation_algorithm_names(void) {
    static char list[160];
    list[0] = '\0';
    for (int i = 0; i < ALGORITHMS; i++) {
        if (i) strcat(list, ", ");
        strcat(list, algorithms[i].name);
    }
    return list;
}

/* ---- sizes ---- */

double simulation_bytes(const simulation_settings_t *settings) {
    double block = (double)sgp_encoding_bytes(settings->encoding, SGP_BLOCK);
    return settings->parameters * block / SGP_BLOCK;
}

/* Numbers of a message; of halving: of its average one. */
static double message_numbers(const simulation_algorithm_t *algorithm, double length, int nodes,
                              int buckets) {
    if (algorithm->algorithm != SGP_ALGORITHM_ALLREDUCE) return length;
    switch (algorithm->kind) {
    case SIMULATION_TREE:
        return length;
    case SIMULATION_BUCKETS:
        return length / nodes / buckets;
    case SIMULATION_HALVING:
        return length * (1 - 1.0 / nodes) / ceil(log2(nodes));
    default:
        return length / nodes;
    }
}

double simulation_scale(const simulation_settings_t *settings,
                        const simulation_algorithm_t *algorithm, int nodes, size_t chunk_bytes) {
    double length = (double)simulation_length(settings, algorithm, nodes);
    double scale = settings->parameters / length;
    sgp_encoding_t encoding = settings->encoding;
    if (!sgp_encoding_has_blocks(encoding) || nodes < 2) return scale;
    int buckets = simulation_buckets(settings->parameters * sizeof(float));
    double numbers = message_numbers(algorithm, length, nodes, buckets);
    uint64_t count = numbers < 1 ? 1 : (uint64_t)llround(numbers);
    double real = simulation_bytes(settings) / settings->parameters * (double)count;
    return scale * real / (double)sgp_encoding_message(encoding, chunk_bytes, count);
}

int simulation_buckets(double bytes) {
    return (int)ceil(bytes / SIMULATION_BUCKET_BYTES);
}

/* A multiple of segments and buckets: those of a large vector are nearly equal, so these must be. */
size_t simulation_length(const simulation_settings_t *settings,
                         const simulation_algorithm_t *algorithm, int nodes) {
    if (algorithm->algorithm != SGP_ALGORITHM_ALLREDUCE || algorithm->kind == SIMULATION_TREE)
        return LENGTH;
    bool own = algorithm->kind == SIMULATION_MIXER || algorithm->kind == SIMULATION_BUCKETS;
    size_t least = (own ? LINE : 1) * (size_t)nodes;
    if (algorithm->kind == SIMULATION_BUCKETS)
        return least * (size_t)simulation_buckets(settings->parameters * sizeof(float));
    return (LENGTH + least - 1) / least * least;
}

sgp_mixer_options_t simulation_mixer_options(const simulation_settings_t *settings,
                                             const simulation_algorithm_t *algorithm, int nodes) {
    sgp_mixer_options_t options = {
        .count = simulation_length(settings, algorithm, nodes),
        .algorithm = algorithm->algorithm,
        .graph = {.size = nodes, .peers = settings->peers, .seed = settings->seed},
        .encoding = settings->encoding,
        .local_steps = 1,
        .timeout_ms = INT_MAX};
    if (settings->graph) sgp_graph_parse(settings->graph, &options.graph.kind);
    else options.graph.kind = sgp_algorithm_default_graph(algorithm->algorithm);
    if (algorithm->algorithm == SGP_ALGORITHM_OSGP)
        options.overlap = algorithm->async ? SGP_OVERLAP_ASYNC : settings->overlap;
    if (options.overlap == 0 && sgp_algorithm_info(algorithm->algorithm)->rounds)
        options.rounds = settings->rounds;
    return options;
}
