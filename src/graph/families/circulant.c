/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs that look the same from every node: a step is a set of hops, each in 1..n-1. */
#include "graph/families/family.h"

#include "base/logging.h"

#include <string.h>

/* Writes edge.peer = hop in ascending order, each once; returns how many. */
static int add_hop(sgp_edge_t *edges, int count, int hop) {
    int at = count;
    while (at > 0 && edges[at - 1].peer > hop) at--;
    if (hop == 0 || (at > 0 && edges[at - 1].peer == hop)) return count;
    memmove(edges + at + 1, edges + at, (size_t)(count - at) * sizeof *edges);
    edges[at].peer = hop;
    return count + 1;
}

/* A step's hops in edge.peer; returns how many. */

static int complete_hops(const sgp_graph_t *graph, uint64_t step, sgp_edge_t *edges) {
    (void)step;
    int count = 0;
    for (int hop = 1; hop < graph->size; hop++) count = add_hop(edges, count, hop);
    return count;
}

static int static_hops(const sgp_graph_t *graph, uint64_t step, sgp_edge_t *edges) {
    (void)step;
    int count = 0;
    for (int64_t hop = 1; hop < graph->size; hop *= 2) count = add_hop(edges, count, (int)hop);
    return count;
}

static int ring_hops(const sgp_graph_t *graph, uint64_t step, sgp_edge_t *edges) {
    (void)step;
    int count = add_hop(edges, 0, 1);
    return sgp_graph_peers(graph) == 2 ? add_hop(edges, count, graph->size - 1) : count;
}

static int exponential_hops(const sgp_graph_t *graph, uint64_t step, sgp_edge_t *edges) {
    int peers = sgp_graph_peers(graph), count = 0;
    int64_t length = 1;
    for (uint64_t i = step % (uint64_t)sgp_family_levels(graph); i > 0; i--) length *= peers + 1;
    for (int j = 1; j <= peers; j++) count = add_hop(edges, count, (int)(length * j % graph->size));
    return count;
}

static void reverse(sgp_edge_t *edges, int count) {
    for (int i = 0, j = count - 1; i < j; i++, j--) {
        sgp_edge_t swap = edges[i];
        edges[i] = edges[j];
        edges[j] = swap;
    }
}

/* `count` hops, in edge.peer, become the edges of `rank`. */
static int edges_of_hops(int n, int rank, int sign, int count, sgp_edge_t *edges) {
    int wrapped = 0;
    for (int i = 0; i < count; i++) {
        int hop = sign > 0 ? edges[i].peer : n - edges[i].peer;
        int peer = (int)(((int64_t)rank + hop) % n);
        wrapped += peer < rank;
        edges[i] = (sgp_edge_t){.peer = peer, .weight = 1.0 / (count + 1)};
    }
    /* Ascending or, with sign -1, descending, but for one jump where the ranks wrap around. */
    if (sign < 0) reverse(edges, count);
    reverse(edges, count - wrapped);
    reverse(edges + count - wrapped, wrapped);
    reverse(edges, count);
    return count;
}

#define EDGES(name)                                                                                \
    static int name##_edges(const sgp_graph_t *graph, int rank, uint64_t step, int sign,           \
                            sgp_edge_t *edges) {                                                   \
        int count = name##_hops(graph, step, edges);                                               \
        return edges_of_hops(graph->size, rank, sign, count, edges);                               \
    }

EDGES(exponential)
EDGES(static)
EDGES(ring)
EDGES(complete)

static int static_degree(const sgp_graph_t *graph) {
    return sgp_graph_levels(graph->size, 2);
}

static int complete_degree(const sgp_graph_t *graph) {
    return graph->size - 1;
}

static sgp_status_t ring_check(const sgp_graph_t *graph) {
    int peers = sgp_graph_peers(graph);
    if (peers <= 2) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "graph: %d peers on a ring, must be 1 or 2", peers);
}

const sgp_family_t sgp_family_exponential = {
    .period = sgp_family_levels,
    .edges = exponential_edges,
};

const sgp_family_t sgp_family_static_exponential = {
    .fixed_degree = true,
    .max_degree = static_degree,
    .edges = static_edges,
};

const sgp_family_t sgp_family_ring = {
    .check = ring_check,
    .edges = ring_edges,
};

const sgp_family_t sgp_family_complete = {
    .fixed_degree = true,
    .max_degree = complete_degree,
    .edges = complete_edges,
};
