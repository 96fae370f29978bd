/* SPDX-License-Identifier: Apache-2.0 */
#include <sgp/graph.h>

#include "base/log.h"

#include <string.h>

static const struct {
    sgp_graph_kind_t kind;
    const char *name;
} names[] = {
    {SGP_GRAPH_EXPONENTIAL, "exponential"},
    {SGP_GRAPH_RING, "ring"},
    {SGP_GRAPH_COMPLETE, "complete"},
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

static int peers_of(const sgp_graph_t *graph) {
    return graph->peers ? graph->peers : 1;
}

sgp_status_t sgp_graph_check(const sgp_graph_t *graph) {
    if (graph->size < 1)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d nodes, must be at least 1", graph->size);
    if (graph->peers < 0)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d peers, must be at least 1", graph->peers);
    if (!strcmp(sgp_graph_name(graph->kind), "unknown"))
        return sgp_fail(SGP_ERR_INVALID, "graph: no kind of number %d", (int)graph->kind);
    if (graph->size == 1 || graph->kind == SGP_GRAPH_COMPLETE) return SGP_OK;
    if (peers_of(graph) >= graph->size)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d peers among %d nodes, must be at most %d",
                        graph->peers, graph->size, graph->size - 1);
    if (graph->kind == SGP_GRAPH_RING && graph->peers > 2)
        return sgp_fail(SGP_ERR_INVALID, "graph: %d peers on a ring, must be 1 or 2", graph->peers);
    return SGP_OK;
}

/* ceil(log_base n): the number of hop lengths, at least one. */
static int levels_of(int n, int base) {
    int levels = 0;
    for (int64_t reach = 1; reach < n; reach *= base) levels++;
    return levels ? levels : 1;
}

int sgp_graph_period(const sgp_graph_t *graph) {
    if (graph->kind != SGP_GRAPH_EXPONENTIAL) return 1;
    return levels_of(graph->size, peers_of(graph) + 1);
}

int sgp_graph_max_degree(const sgp_graph_t *graph) {
    if (graph->size == 1) return 0;
    return graph->kind == SGP_GRAPH_COMPLETE ? graph->size - 1 : peers_of(graph);
}

/* The hops of a step, each in 1..n-1, ascending and distinct, the same for every rank. hops:
 * (max_degree). */
static int hops_of(const sgp_graph_t *graph, uint64_t step, int *hops) {
    int n = graph->size, count = 0, degree = sgp_graph_max_degree(graph);
    int64_t length = 1;
    if (graph->kind == SGP_GRAPH_EXPONENTIAL)
        for (uint64_t i = step % (uint64_t)sgp_graph_period(graph); i > 0; i--)
            length *= peers_of(graph) + 1;
    for (int j = 1; j <= degree; j++) {
        int hop = (int)(length * j % n);
        if (graph->kind == SGP_GRAPH_RING && j == 2) hop = n - 1;
        if (hop == 0) continue;
        int at = 0;
        while (at < count && hops[at] < hop) at++;
        if (at < count && hops[at] == hop) continue;
        memmove(hops + at + 1, hops + at, (size_t)(count - at) * sizeof *hops);
        hops[at] = hop;
        count++;
    }
    return count;
}

/* Peers rank + sign * hop, ascending. The hops are the same for all, so every node has as many in-
 * as out-edges. */
static int edges_of(const sgp_graph_t *graph, int rank, uint64_t step, int sign,
                    sgp_edge_t *edges) {
    int n = graph->size, degree = sgp_graph_max_degree(graph);
    if (degree == 0) return 0;
    int hops[degree];
    int count = hops_of(graph, step, hops);
    for (int i = 0; i < count; i++) {
        sgp_edge_t edge = {.peer = (int)(((int64_t)rank + sign * hops[i] + n) % n),
                           .weight = 1.0 / (count + 1)};
        int at = i;
        for (; at > 0 && edges[at - 1].peer > edge.peer; at--) edges[at] = edges[at - 1];
        edges[at] = edge;
    }
    return count;
}

int sgp_graph_out(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    return edges_of(graph, rank, step, +1, edges);
}

int sgp_graph_in(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    return edges_of(graph, rank, step, -1, edges);
}
