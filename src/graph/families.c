/* SPDX-License-Identifier: Apache-2.0 */
/* What all graphs share: names, what is allowed, and which family answers. */
#include "graph/families.h"

#include "base/logging.h"

#include <string.h>

static const struct {
    sgp_graph_kind_t kind;
    const char *name;
} names[] = {
    {SGP_GRAPH_EXPONENTIAL, "exponential"},
    {SGP_GRAPH_RING, "ring"},
    {SGP_GRAPH_COMPLETE, "complete"},
    {SGP_GRAPH_STATIC_EXPONENTIAL, "static-exponential"},
    {SGP_GRAPH_BIPARTITE_EXPONENTIAL, "bipartite-exponential"},
    {SGP_GRAPH_RANDOM, "random"},
    {SGP_GRAPH_BASE, "base"},
    {SGP_GRAPH_RANDOM_UNEVEN, "random-uneven"},
};

const char *sgp_graph_name(sgp_graph_kind_t kind) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].kind == kind) return names[i].name;
    return "unknown";
}

sgp_status_t sgp_graph_parse(const char *name, sgp_graph_kind_t *kind) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].name, name)) return *kind = names[i].kind, SGP_OK;
    return SGP_ERR_NOT_FOUND;
}

/* The number of out-peers follows from n alone. */
static bool has_no_peers(const sgp_graph_t *graph) {
    return graph->size == 1 || graph->kind == SGP_GRAPH_COMPLETE ||
           graph->kind == SGP_GRAPH_STATIC_EXPONENTIAL;
}

static sgp_status_t check_peers(const sgp_graph_t *graph) {
    int peers = sgp_graph_peers(graph), n = graph->size;
    if (peers >= n)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d peers among %d nodes, must be at most %d",
                        peers, n, n - 1);
    if (graph->kind == SGP_GRAPH_RING && peers > 2)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d peers on a ring, must be 1 or 2", peers);
    if (graph->kind != SGP_GRAPH_BIPARTITE_EXPONENTIAL) return SGP_OK;
    int matchings = sgp_bipartite_matchings(n);
    if (peers > matchings)
        return sgp_fail(SGP_ERR_INVALID,
                        "graph: %d peers on the bipartite exponential graph of %d nodes, must be "
                        "at most %d, its distinct pairings",
                        peers, n, matchings);
    return SGP_OK;
}

sgp_status_t sgp_graph_check(const sgp_graph_t *graph) {
    if (graph->size < 1)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d nodes, must be at least 1", graph->size);
    if (graph->peers < 0)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d peers, must be at least 1", graph->peers);
    if (!strcmp(sgp_graph_name(graph->kind), "unknown"))
        return sgp_fail(SGP_ERR_INVALID, "graph: no kind of number %d", (int)graph->kind);
    return has_no_peers(graph) ? SGP_OK : check_peers(graph);
}

int sgp_graph_period(const sgp_graph_t *graph) {
    if (graph->size == 1) return 1;
    switch (graph->kind) {
    case SGP_GRAPH_EXPONENTIAL:
    case SGP_GRAPH_RANDOM:
    case SGP_GRAPH_RANDOM_UNEVEN:
        return sgp_graph_levels(graph->size, sgp_graph_peers(graph) + 1);
    case SGP_GRAPH_BIPARTITE_EXPONENTIAL:
        return sgp_bipartite_period(graph);
    case SGP_GRAPH_BASE:
        return sgp_base_period(graph);
    default:
        return 1;
    }
}

int sgp_graph_max_degree(const sgp_graph_t *graph) {
    if (graph->size == 1) return 0;
    switch (graph->kind) {
    case SGP_GRAPH_COMPLETE:
    case SGP_GRAPH_RANDOM_UNEVEN: /* everybody may draw the same node */
        return graph->size - 1;
    case SGP_GRAPH_STATIC_EXPONENTIAL:
        return sgp_graph_levels(graph->size, 2);
    default:
        return sgp_graph_peers(graph);
    }
}

/* Sends in every step to everybody else. */
static bool is_complete(const sgp_graph_t *graph) {
    int peers = has_no_peers(graph) ? sgp_graph_max_degree(graph) : sgp_graph_peers(graph);
    return peers == graph->size - 1;
}

bool sgp_graph_symmetric(const sgp_graph_t *graph) {
    switch (graph->kind) {
    case SGP_GRAPH_BIPARTITE_EXPONENTIAL:
    case SGP_GRAPH_BASE:
        return true;
    case SGP_GRAPH_RING:
        return graph->peers == 2 || is_complete(graph);
    default:
        /* The hops of an exponential step j L, j = 1..p, hold their negatives only if p >= n - 1:
         * for L = 1 the negative of 1 is n - 1. Static: n - 1, n - 2, ... would have to be powers
         * of two. */
        return is_complete(graph);
    }
}

int sgp_graph_out(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    if (graph->size == 1) return 0;
    switch (graph->kind) {
    case SGP_GRAPH_BIPARTITE_EXPONENTIAL:
        return sgp_bipartite_edges(graph, rank, step, edges);
    case SGP_GRAPH_BASE:
        return sgp_base_edges(graph, rank, step, edges);
    case SGP_GRAPH_RANDOM:
        return sgp_random_edges(graph, rank, step, +1, edges);
    case SGP_GRAPH_RANDOM_UNEVEN:
        return sgp_random_uneven_out(graph, rank, step, edges);
    default:
        return sgp_hops_edges(graph, rank, step, +1, edges);
    }
}

int sgp_graph_in(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    if (graph->size == 1) return 0;
    switch (graph->kind) {
    case SGP_GRAPH_BIPARTITE_EXPONENTIAL:
        return sgp_bipartite_edges(graph, rank, step, edges);
    case SGP_GRAPH_BASE:
        return sgp_base_edges(graph, rank, step, edges);
    case SGP_GRAPH_RANDOM:
        return sgp_random_edges(graph, rank, step, -1, edges);
    case SGP_GRAPH_RANDOM_UNEVEN:
        return sgp_random_uneven_in(graph, rank, step, edges);
    default:
        return sgp_hops_edges(graph, rank, step, -1, edges);
    }
}
