/* SPDX-License-Identifier: Apache-2.0 */
/* Each node draws its receivers on its own in each step, so in-degrees differ and push-sum weights
 * move. Every node finds its senders by repeating the draws of all others. */
#include "graph/families/family.h"

/* A generator for one node's draw in one step. */
static void begin(const sgp_graph_t *graph, int rank, uint64_t step, sgp_random_t *random) {
    sgp_random_init(random, graph->seed, step);
    sgp_random_init(random, sgp_random_u64(random), (uint64_t)rank);
}

/* Writes edge.peer alone: the draw of `rank` among the n - 1 others, numbered 0..n-2 in order of
 * rank; ascending. */
static void draw(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    sgp_random_t random;
    begin(graph, rank, step, &random);
    sgp_draw_distinct(&random, graph->size - 1, sgp_graph_peers(graph), edges);
}

/* The others of `rank` are numbered without a gap where it stands. */
static int number_of(int peer, int rank) {
    return peer - (peer > rank);
}

static int peer_of(int number, int rank) {
    return number + (number >= rank);
}

static int out_edges(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    int peers = sgp_graph_peers(graph);
    draw(graph, rank, step, edges);
    for (int e = 0; e < peers; e++)
        edges[e] = (sgp_edge_t){.peer = peer_of(edges[e].peer, rank), .weight = 1.0 / (peers + 1)};
    return peers;
}

static int in_edges(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    int n = graph->size, peers = sgp_graph_peers(graph), count = 0;
    /* edges has room for n - 1: .peer holds a draw, and .weight of a sender's place says whether that
     * sender has drawn this rank. */
    for (int src = 0; src < n; src++) {
        if (src == rank) continue;
        draw(graph, src, step, edges);
        int ours = number_of(rank, src), at = sgp_edges_find(edges, peers, ours);
        edges[number_of(src, rank)].weight = at < peers && edges[at].peer == ours;
    }
    for (int number = 0; number < n - 1; number++)
        if (edges[number].weight > 0)
            edges[count++] =
                (sgp_edge_t){.peer = peer_of(number, rank), .weight = 1.0 / (peers + 1)};
    return count;
}

static int uneven_edges(const sgp_graph_t *graph, int rank, uint64_t step, int sign,
                        sgp_edge_t *edges) {
    return sign > 0 ? out_edges(graph, rank, step, edges) : in_edges(graph, rank, step, edges);
}

/* All others may draw the same node. */
static int uneven_degree(const sgp_graph_t *graph) {
    return graph->size - 1;
}

const sgp_family_t sgp_family_random_uneven = {
    .random = true,
    .period = sgp_family_levels,
    .max_degree = uneven_degree,
    .edges = uneven_edges,
};
