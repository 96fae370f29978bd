/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithm_table.h"

#include "mixing/algorithms/algorithm_ops.h"

#include "base/logging.h"

#include <string.h>

/* X(algorithm, name, capabilities...): the only list of algorithms. */
#define ALGORITHMS(X)                                                                              \
    X(SGP_ALGORITHM_SGP, "sgp", .pushes = true, .rounds = true, .ops = &sgp_algorithm_lockstep,    \
      .overlap_ops = &sgp_algorithm_overlap, .async_ops = &sgp_algorithm_async)                    \
    X(SGP_ALGORITHM_OSGP, "osgp", .pushes = true, .rounds = true, .ops = &sgp_algorithm_lockstep,  \
      .overlap_ops = &sgp_algorithm_overlap, .async_ops = &sgp_algorithm_async)                    \
    X(SGP_ALGORITHM_DPSGD, "dpsgd", .pairs = true, .rounds = true,                                 \
      .graph = SGP_NEEDS_SYMMETRIC_GRAPH, .no_overlap = "both of a pair average in the same step", \
      .ops = &sgp_algorithm_lockstep)                                                              \
    X(SGP_ALGORITHM_ADPSGD, "adpsgd", .pairs = true, .unpaced = true,                              \
      .graph = SGP_NEEDS_BIPARTITE_GRAPH, .no_overlap = "it waits for no step as it is",           \
      .ops = &sgp_algorithm_pairs)                                                                 \
    X(SGP_ALGORITHM_ALLREDUCE, "allreduce", .graph = SGP_NEEDS_NO_GRAPH,                           \
      .no_overlap = "all nodes wait for each other in every step",                                 \
      .ops = &sgp_algorithm_allreduce, .library_ops = &sgp_algorithm_library_allreduce)            \
    X(SGP_ALGORITHM_SERVER, "server", .unpaced = true, .graph = SGP_NEEDS_NO_GRAPH,                \
      .no_overlap = "a node's next gradient is taken at the server's answer",                      \
      .ops = &sgp_algorithm_server)

#define ROW(algorithm, text, ...)  [algorithm] = {.name = text, __VA_ARGS__},
#define NAME(algorithm, text, ...) ", " text

static const sgp_algorithm_info_t algorithms[] = {ALGORITHMS(ROW)};

enum { COUNT = sizeof algorithms / sizeof *algorithms };

const sgp_algorithm_info_t *sgp_algorithm_info(sgp_algorithm_t algorithm) {
    return (size_t)algorithm < COUNT ? &algorithms[algorithm] : NULL;
}

const char *sgp_algorithm_names(void) {
    return &(ALGORITHMS(NAME))[2];
}

const char *sgp_algorithm_name(sgp_algorithm_t algorithm) {
    const sgp_algorithm_info_t *info = sgp_algorithm_info(algorithm);
    return info ? info->name : "unknown";
}

sgp_status_t sgp_algorithm_parse(const char *name, sgp_algorithm_t *algorithm) {
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    for (size_t i = 0; i < COUNT; i++)
        if (!strcmp(algorithms[i].name, name)) {
            *algorithm = (sgp_algorithm_t)i;
            return sgp_api_end(before, SGP_OK);
        }
    return sgp_api_end(before, SGP_ERR_NOT_FOUND);
}

sgp_graph_kind_t sgp_algorithm_default_graph(sgp_algorithm_t algorithm) {
    const sgp_algorithm_info_t *info = sgp_algorithm_info(algorithm);
    return info && info->pairs ? SGP_GRAPH_BIPARTITE_EXPONENTIAL : SGP_GRAPH_EXPONENTIAL;
}
