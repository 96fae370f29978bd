/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs that look the same from every node: a step is a set of hops, each in 1..n-1. */
#include "graph/families.h"

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

/* The step's hops in edge.peer. */
static int hops_of(const sgp_graph_t *graph, uint64_t step, sgp_edge_t *edges) {
    int n = graph->size, peers = sgp_graph_peers(graph), count = 0;
    int64_t length = 1;
    switch (graph->kind) {
    case SGP_GRAPH_COMPLETE:
        for (int hop = 1; hop < n; hop++) count = add_hop(edges, count, hop);
        return count;
    case SGP_GRAPH_STATIC_EXPONENTIAL:
        for (int64_t hop = 1; hop < n; hop *= 2) count = add_hop(edges, count, (int)hop);
        return count;
    case SGP_GRAPH_RING:
        count = add_hop(edges, count, 1);
        return peers == 2 ? add_hop(edges, count, n - 1) : count;
    default:
        for (uint64_t i = step % (uint64_t)sgp_graph_period(graph); i > 0; i--) length *= peers + 1;
        for (int j = 1; j <= peers; j++) count = add_hop(edges, count, (int)(length * j % n));
        return count;
    }
}

static void reverse(sgp_edge_t *edges, int count) {
    for (int i = 0, j = count - 1; i < j; i++, j--) {
        sgp_edge_t swap = edges[i];
        edges[i] = edges[j];
        edges[j] = swap;
    }
}

int sgp_hops_edges(const sgp_graph_t *graph, int rank, uint64_t step, int sign, sgp_edge_t *edges) {
    int n = graph->size, count = hops_of(graph, step, edges), wrapped = 0;
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
