/* SPDX-License-Identifier: Apache-2.0 */
/* The table of graphs, and the public calls, which look up a family in it. */
#include "graph/families.h"

#include "base/logging.h"
#include "graph/families/family.h"

#include <string.h>

/* X(kind, name, family): the only list of graphs. */
#define GRAPHS(X)                                                                                  \
    X(SGP_GRAPH_EXPONENTIAL, "exponential", exponential)                                           \
    X(SGP_GRAPH_RING, "ring", ring)                                                                \
    X(SGP_GRAPH_COMPLETE, "complete", complete)                                                    \
    X(SGP_GRAPH_STATIC_EXPONENTIAL, "static-exponential", static_exponential)                      \
    X(SGP_GRAPH_BIPARTITE_EXPONENTIAL, "bipartite-exponential", bipartite)                         \
    X(SGP_GRAPH_RANDOM, "random", derangement)                                                     \
    X(SGP_GRAPH_BASE, "base", base)                                                                \
    X(SGP_GRAPH_RANDOM_UNEVEN, "random-uneven", random_uneven)

#define ROW(kind, name, family)  [kind] = {name, &sgp_family_##family},
#define NAME(kind, name, family) ", " name

static const struct {
    const char *name;
    const sgp_family_t *family;
} graphs[] = {GRAPHS(ROW)};

enum { KINDS = sizeof graphs / sizeof *graphs };

const char *sgp_graph_names(void) {
    return &(GRAPHS(NAME))[2];
}

static bool is_kind(sgp_graph_kind_t kind) {
    return (size_t)kind < KINDS;
}

const char *sgp_graph_name(sgp_graph_kind_t kind) {
    return is_kind(kind) ? graphs[kind].name : "unknown";
}

sgp_status_t sgp_graph_parse(const char *name, sgp_graph_kind_t *kind) {
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    for (size_t i = 0; i < KINDS; i++)
        if (!strcmp(graphs[i].name, name)) {
            *kind = (sgp_graph_kind_t)i;
            return sgp_api_end(before, SGP_OK);
        }
    return sgp_api_end(before, SGP_ERR_NOT_FOUND);
}

static const sgp_family_t *family_of(const sgp_graph_t *graph) {
    return graphs[graph->kind].family;
}

bool sgp_graph_is_random(const sgp_graph_t *graph) {
    return family_of(graph)->random;
}

static sgp_status_t check_peers(const sgp_graph_t *graph) {
    int peers = sgp_graph_peers(graph), n = graph->size;
    const sgp_family_t *family = family_of(graph);
    if (n == 1 || family->fixed_degree) return SGP_OK;
    if (peers >= n)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d peers among %d nodes, must be at most %d",
                        peers, n, n - 1);
    return family->check ? family->check(graph) : SGP_OK;
}

static sgp_status_t check(const sgp_graph_t *graph) {
    if (graph->size < 1)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d nodes, must be at least 1", graph->size);
    if (graph->peers < 0)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d peers, must be at least 1", graph->peers);
    if (!is_kind(graph->kind))
        return sgp_fail(SGP_ERR_INVALID, "graph: there is no kind %d", (int)graph->kind);
    return check_peers(graph);
}

sgp_status_t sgp_graph_check(const sgp_graph_t *graph) {
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    return sgp_api_end(before, check(graph));
}

void sgp_graph_resize(sgp_graph_t *graph, int nodes) {
    const sgp_family_t *family = family_of(graph);
    int most = family->most_peers ? family->most_peers(nodes) : nodes - 1;
    graph->size = nodes;
    if (nodes > 1 && !family->fixed_degree && graph->peers > most) graph->peers = most;
}

int sgp_graph_period(const sgp_graph_t *graph) {
    const sgp_family_t *family = family_of(graph);
    return graph->size > 1 && family->period ? family->period(graph) : 1;
}

int sgp_graph_max_degree(const sgp_graph_t *graph) {
    const sgp_family_t *family = family_of(graph);
    if (graph->size == 1) return 0;
    return family->max_degree ? family->max_degree(graph) : sgp_graph_peers(graph);
}

/* Whether each node sends to all others in every step: no other graph of hops is symmetric. (random-uneven is complete
 * only with n - 1 peers, though its max_degree is always n - 1.) */
static bool is_complete(const sgp_graph_t *graph) {
    int degree =
        family_of(graph)->fixed_degree ? sgp_graph_max_degree(graph) : sgp_graph_peers(graph);
    return graph->size == 1 || degree == graph->size - 1;
}

/* The hops j L, j = 1..p, of an exponential step contain their negatives only if p >= n - 1: for L = 1 the negative of 1
 * is n - 1. Static: n - 1, n - 2, ... would have to be powers of two. */
bool sgp_graph_symmetric(const sgp_graph_t *graph) {
    if (family_of(graph)->symmetric || is_complete(graph)) return true;
    return graph->kind == SGP_GRAPH_RING && graph->peers == 2;
}

int sgp_graph_out(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    return graph->size == 1 ? 0 : family_of(graph)->edges(graph, rank, step, +1, edges);
}

int sgp_graph_in(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    return graph->size == 1 ? 0 : family_of(graph)->edges(graph, rank, step, -1, edges);
}
