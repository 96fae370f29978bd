/* SPDX-License-Identifier: Apache-2.0 */
/* What can be combined with what. */
#include "mixing/mixer_internal.h"

#include "base/logging.h"

static bool pushes(sgp_algorithm_t algorithm) {
    return algorithm == SGP_ALGORITHM_SGP || algorithm == SGP_ALGORITHM_OSGP;
}

static sgp_status_t check_overlap(const sgp_mixer_options_t *options) {
    const char *name = sgp_algorithm_name(options->algorithm);
    if (options->overlap < SGP_OVERLAP_ASYNC)
        return sgp_fail(SGP_ERR_INVALID, "overlap is %d: must be 0 or more steps, or async",
                        options->overlap);
    if (options->overlap == 0 || pushes(options->algorithm)) return SGP_OK;
    if (options->algorithm == SGP_ALGORITHM_ALLREDUCE)
        return sgp_fail(SGP_ERR_INVALID,
                        "overlap with allreduce: all nodes wait for each other in every step; "
                        "overlap works with osgp");
    if (options->algorithm == SGP_ALGORITHM_DPSGD)
        return sgp_fail(SGP_ERR_INVALID,
                        "overlap with dpsgd: both of a pair average in the same step; overlap "
                        "works with osgp");
    return sgp_fail(SGP_ERR_INVALID,
                    "overlap with %s: it waits for no step as it is; overlap works with osgp",
                    name);
}

static sgp_status_t check_graph(const sgp_mixer_options_t *options) {
    const sgp_graph_t *graph = &options->graph;
    if (options->algorithm == SGP_ALGORITHM_ALLREDUCE) return SGP_OK; /* has none */
    if (options->algorithm == SGP_ALGORITHM_ADPSGD) {
        if (graph->size <= 1 || graph->kind == SGP_GRAPH_BIPARTITE_EXPONENTIAL) return SGP_OK;
        return sgp_fail(SGP_ERR_INVALID,
                        "adpsgd on the %s graph: it needs active and passive nodes; "
                        "bipartite-exponential works",
                        sgp_graph_name(graph->kind));
    }
    sgp_status_t status = sgp_graph_check(graph);
    if (status != SGP_OK) return status;
    if (options->algorithm != SGP_ALGORITHM_DPSGD || sgp_graph_symmetric(graph)) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "dpsgd on the %s graph: it is directed, and in dpsgd whoever sends receives "
                    "from the same node; bipartite-exponential, base, complete, and ring with 2 "
                    "peers work",
                    sgp_graph_name(graph->kind));
}

static sgp_status_t check_slow(const sgp_mixer_options_t *options) {
    if (!(options->slow_momentum >= 0 && options->slow_momentum < 1))
        return sgp_fail(SGP_ERR_INVALID, "slow momentum is %g: must be at least 0 and below 1",
                        (double)options->slow_momentum);
    if (options->slow_every < 0)
        return sgp_fail(SGP_ERR_INVALID, "steps between slow updates are %d: must be at least 1",
                        options->slow_every);
    if (options->slow_momentum > 0 && options->slow_every == 0)
        return sgp_fail(SGP_ERR_INVALID,
                        "slow momentum %g without steps between slow updates: 48 is usual",
                        (double)options->slow_momentum);
    if (options->slow_alone && options->slow_every == 0)
        return sgp_fail(SGP_ERR_INVALID, "slow updates without an average, but none are made: the "
                                         "steps between them are missing");
    return SGP_OK;
}

sgp_status_t sgp_mixer_check(const sgp_mixer_options_t *options) {
    sgp_algorithm_t ignored;
    if (sgp_algorithm_parse(sgp_algorithm_name(options->algorithm), &ignored) != SGP_OK)
        return sgp_fail(SGP_ERR_INVALID, "mixer: no algorithm of number %d",
                        (int)options->algorithm);
    if (options->local_steps < 0)
        return sgp_fail(SGP_ERR_INVALID, "local steps are %d: must be at least 1",
                        options->local_steps);
    if (options->biased && !pushes(options->algorithm))
        return sgp_fail(SGP_ERR_INVALID,
                        "biased with %s: it has no push-sum weight to ignore; biased works with "
                        "sgp and osgp",
                        sgp_algorithm_name(options->algorithm));
    if (options->encoding > SGP_ENCODING_LAST)
        return sgp_fail(SGP_ERR_INVALID, "mixer: no encoding of number %d", (int)options->encoding);
    if (options->library_allreduce && sgp_encoding_rounds(options->encoding) &&
        options->algorithm == SGP_ALGORITHM_ALLREDUCE)
        return sgp_fail(SGP_ERR_INVALID,
                        "all-reduce by the library with encoding %s: the library sends float32; "
                        "our own all-reduce sends any encoding",
                        sgp_encoding_name(options->encoding));
    sgp_status_t status = check_overlap(options);
    if (status == SGP_OK) status = check_graph(options);
    return status == SGP_OK ? check_slow(options) : status;
}
