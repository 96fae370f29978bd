/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/mixer_options.h"

#include "base/logging.h"
#include "codec/codec.h"
#include "mixing/algorithm_table.h"
#include "wire/header.h"

#include <inttypes.h>

static sgp_status_t check_overlap(const sgp_mixer_options_t *options,
                                  const sgp_algorithm_info_t *info) {
    if (options->overlap < SGP_OVERLAP_ASYNC)
        return sgp_fail(SGP_ERR_INVALID, "overlap is %d: must be 0 or more steps, or async",
                        options->overlap);
    if (options->overlap == 0 || !info->no_overlap) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "overlap with %s: %s; overlap works with osgp", info->name,
                    info->no_overlap);
}

static sgp_status_t check_rounds(const sgp_mixer_options_t *options,
                                 const sgp_algorithm_info_t *info) {
    if (options->rounds == 0 || options->rounds == 1) return SGP_OK;
    if (options->rounds < SGP_ROUNDS_AUTO || options->rounds > SGP_ROUNDS_MOST)
        return sgp_fail(SGP_ERR_INVALID,
                        "rounds are %" PRId64 ": must be 1 to %d, or auto (the graph's period)",
                        options->rounds, SGP_ROUNDS_MOST);
    if (!info->rounds)
        return sgp_fail(SGP_ERR_INVALID,
                        "rounds with %s: it makes one exchange per step; rounds work with sgp and "
                        "dpsgd",
                        info->name);
    if (options->overlap == 0) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "rounds with an overlap: the messages of a round arrive before the next one; "
                    "rounds work with sgp and dpsgd, overlap 0");
}

/* Each step of a node is one request, and the optimizer is the server's. */
static sgp_status_t check_server(const sgp_mixer_options_t *options,
                                 const sgp_algorithm_info_t *info) {
    if (options->algorithm != SGP_ALGORITHM_SERVER) return SGP_OK;
    if (options->local_steps > 1)
        return sgp_fail(SGP_ERR_INVALID,
                        "local steps are %d with %s: it sends each gradient; local steps work with "
                        "sgp and allreduce",
                        options->local_steps, info->name);
    if (options->slow_every > 0)
        return sgp_fail(SGP_ERR_INVALID,
                        "slow momentum with %s: its nodes have no model of their own; slow "
                        "momentum works with sgp and allreduce",
                        info->name);
    if (sgp_encoding_has_blocks(options->encoding))
        return sgp_fail(SGP_ERR_INVALID,
                        "encoding %s with %s: it would round the parameters that nodes compute "
                        "with; float32, bfloat16 and float16 work",
                        sgp_encoding_name(options->encoding), info->name);
    return SGP_OK;
}

int64_t sgp_mixer_rounds(const sgp_mixer_options_t *options) {
    if (options->rounds != SGP_ROUNDS_AUTO) return options->rounds > 0 ? options->rounds : 1;
    int period = sgp_graph_period(&options->graph);
    return period < SGP_ROUNDS_MOST ? period : SGP_ROUNDS_MOST;
}

static sgp_status_t check_graph(const sgp_mixer_options_t *options,
                                const sgp_algorithm_info_t *info) {
    const sgp_graph_t *graph = &options->graph;
    if (info->graph == SGP_NEEDS_NO_GRAPH) return SGP_OK;
    if (info->graph == SGP_NEEDS_BIPARTITE_GRAPH) {
        if (graph->size <= 1 || graph->kind == SGP_GRAPH_BIPARTITE_EXPONENTIAL) return SGP_OK;
        return sgp_fail(SGP_ERR_INVALID,
                        "%s on the %s graph: it needs active and passive nodes; "
                        "bipartite-exponential works",
                        info->name, sgp_graph_name(graph->kind));
    }
    sgp_status_t status = sgp_graph_check(graph);
    if (status != SGP_OK) return status;
    if (info->graph != SGP_NEEDS_SYMMETRIC_GRAPH || sgp_graph_symmetric(graph)) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "%s on the %s graph: it is directed, and in %s every sender receives from its "
                    "receiver; bipartite-exponential, base, complete, and ring with 2 peers work",
                    info->name, sgp_graph_name(graph->kind), info->name);
}

static sgp_status_t check_outer(const sgp_mixer_options_t *options) {
    if (!(options->slow_momentum >= 0 && options->slow_momentum < 1))
        return sgp_fail(SGP_ERR_INVALID, "slow momentum is %g: must be at least 0 and below 1",
                        (double)options->slow_momentum);
    if (options->slow_every < 0)
        return sgp_fail(SGP_ERR_INVALID, "slow_every is %d steps: must be at least 1",
                        options->slow_every);
    if (options->slow_momentum > 0 && options->slow_every == 0)
        return sgp_fail(SGP_ERR_INVALID,
                        "slow momentum %g without outer updates: set slow_every, 48 steps is usual",
                        (double)options->slow_momentum);
    if (options->slow_alone && options->slow_every == 0)
        return sgp_fail(SGP_ERR_INVALID, "slow_alone without outer updates: set slow_every");
    return SGP_OK;
}

static const char *no_outer_steps_with(const sgp_mixer_options_t *options,
                                       const sgp_algorithm_info_t *info) {
    if (options->slow_every > 0)
        return "slow momentum (slow_every): both are outer updates; one of the two works";
    if (options->algorithm == SGP_ALGORITHM_ADPSGD)
        return "adpsgd: its pairs average at any time; they work with sgp, dpsgd and allreduce";
    if (options->overlap != 0)
        return "an overlap: messages would arrive between two of them; they work with sgp, dpsgd "
               "and allreduce, overlap 0";
    if (options->biased) return "biased: they need the push-sum weight; they work without biased";
    if (options->library_allreduce && info->library_ops)
        return "an all-reduce by the library: our own all-reduce makes them";
    return NULL;
}

static sgp_status_t check_outer_steps(const sgp_mixer_options_t *options,
                                      const sgp_algorithm_info_t *info) {
    if (!(options->outer_lr >= 0 && options->outer_lr <= 10))
        return sgp_fail(SGP_ERR_INVALID,
                        "outer lr is %g: must be above 0, 10 at most; 0.7 is usual",
                        (double)options->outer_lr);
    if (!(options->outer_momentum >= 0 && options->outer_momentum < 1))
        return sgp_fail(SGP_ERR_INVALID, "outer momentum is %g: must be at least 0 and below 1",
                        (double)options->outer_momentum);
    if (options->outer_lr > 0) {
        const char *what = no_outer_steps_with(options, info);
        return what ? sgp_fail(SGP_ERR_INVALID, "outer steps with %s", what) : SGP_OK;
    }
    if (options->outer_momentum > 0)
        return sgp_fail(SGP_ERR_INVALID,
                        "outer momentum %g without outer steps: set outer_lr, 0.7 is usual",
                        (double)options->outer_momentum);
    return SGP_OK;
}

sgp_encoding_t sgp_mixer_encoding(const sgp_mixer_options_t *options) {
    bool pushes = options->algorithm != SGP_ALGORITHM_ALLREDUCE;
    return options->encoding == SGP_ENCODING_INT4 && pushes ? SGP_ENCODING_INT4M
                                                            : options->encoding;
}

/* Without the lock step nothing says when a sender may move on, and gradients of two nodes are not near each other. */
static sgp_status_t refuse_modulo(const sgp_mixer_options_t *options,
                                  const sgp_algorithm_info_t *info) {
    bool four = options->encoding == SGP_ENCODING_INT4;
    bool reduces = options->algorithm == SGP_ALGORITHM_ALLREDUCE;
    return sgp_fail(
        SGP_ERR_INVALID,
        "encoding %s with %s%s: it works with %ssgp and dpsgd, overlap 0; %s works with "
        "int8%s",
        sgp_encoding_name(options->encoding), info->name, info->rounds ? " and an overlap" : "",
        four ? "allreduce, " : "", info->name, reduces ? " and int4" : "");
}

static sgp_status_t check_encoding(const sgp_mixer_options_t *options,
                                   const sgp_algorithm_info_t *info) {
    if (options->encoding > SGP_ENCODING_INT5)
        return sgp_fail(SGP_ERR_INVALID, "mixer: there is no encoding %d", (int)options->encoding);
    const char *name = sgp_encoding_name(options->encoding);
    bool modulo = sgp_encoding_modulo_bits(sgp_mixer_encoding(options)) > 0;
    if (modulo && (!info->rounds || options->overlap != 0)) return refuse_modulo(options, info);
    if (modulo && options->biased)
        return sgp_fail(SGP_ERR_INVALID, "encoding %s and biased: biased works with int8", name);
    if (sgp_encoding_has_blocks(options->encoding) && options->allow_not_finite)
        return sgp_fail(SGP_ERR_INVALID,
                        "encoding %s and numbers that are not finite: it has none; bfloat16 has",
                        name);
    if (!options->library_allreduce || !info->library_ops) return SGP_OK;
    if (!sgp_encoding_is_lossy(options->encoding)) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "all-reduce by the library with encoding %s: the library sends float32; our "
                    "own all-reduce sends any encoding",
                    name);
}

sgp_status_t sgp_mixer_check(const sgp_mixer_options_t *options) {
    const sgp_algorithm_info_t *info = sgp_algorithm_info(options->algorithm);
    if (!info)
        return sgp_fail(SGP_ERR_INVALID, "mixer: there is no algorithm %d",
                        (int)options->algorithm);
    if (options->local_steps < 0)
        return sgp_fail(SGP_ERR_INVALID, "local steps are %d: must be at least 1",
                        options->local_steps);
    if (options->biased && !info->pushes)
        return sgp_fail(SGP_ERR_INVALID,
                        "biased with %s: it has no push-sum weight to ignore; biased works with "
                        "sgp and osgp",
                        info->name);
    sgp_status_t status = check_server(options, info);
    if (status == SGP_OK) status = check_encoding(options, info);
    if (status == SGP_OK) status = check_overlap(options, info);
    if (status == SGP_OK) status = check_rounds(options, info);
    if (status == SGP_OK) status = check_graph(options, info);
    if (status == SGP_OK) status = check_outer(options);
    return status == SGP_OK ? check_outer_steps(options, info) : status;
}
