/* SPDX-License-Identifier: Apache-2.0 */
/* Each node draws its receivers anew in each step. The draw of every node can be repeated by
 * everybody, which is how a node knows who sends to it. */
#include "graph/kinds.h"

#include "base/random.h"

#include <string.h>

/* A generator for one node's draw in one step. */
static void begin(const sgp_graph_t *graph, int rank, uint64_t step, sgp_random_t *random) {
    sgp_random_init(random, graph->seed, step);
    sgp_random_init(random, sgp_random_u64(random), (uint64_t)rank);
}

/* First edge whose peer is not below `peer`. */
static int find(const sgp_edge_t *edges, int count, int peer) {
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (edges[middle].peer < peer) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Writes edge.peer alone: the draw of `rank` among the n - 1 others, numbered 0..n-2 in order of
 * rank; ascending. Bentley and Floyd 1987: for each last in n-1-p..n-2 takes a uniform number of
 * 0..last, or `last` itself if that was taken before; each set of p has the same probability. */
static void draw(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    int peers = sgp_graph_peers(graph);
    sgp_random_t random;
    begin(graph, rank, step, &random);
    for (int count = 0; count < peers; count++) {
        int last = graph->size - 1 - peers + count;
        int number = (int)sgp_random_below(&random, (uint64_t)last + 1);
        int at = find(edges, count, number);
        if (at < count && edges[at].peer == number) number = last, at = count;
        for (int e = count; e > at; e--) edges[e].peer = edges[e - 1].peer;
        edges[at].peer = number;
    }
}

/* The others of `rank` are numbered without a gap where it stands. */
static int number_of(int peer, int rank) {
    return peer - (peer > rank);
}

static int peer_of(int number, int rank) {
    return number + (number >= rank);
}

int sgp_random_out(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    int peers = sgp_graph_peers(graph);
    draw(graph, rank, step, edges);
    for (int e = 0; e < peers; e++)
        edges[e] = (sgp_edge_t){.peer = peer_of(edges[e].peer, rank), .weight = 1.0 / (peers + 1)};
    return peers;
}

int sgp_random_in(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges) {
    int n = graph->size, peers = sgp_graph_peers(graph), count = 0;
    /* There is room for n - 1 edges: .peer is where the draws are made, and .weight of the place of
     * each sender says whether it draws us. */
    for (int src = 0; src < n; src++) {
        if (src == rank) continue;
        draw(graph, src, step, edges);
        int ours = number_of(rank, src), at = find(edges, peers, ours);
        edges[number_of(src, rank)].weight = at < peers && edges[at].peer == ours;
    }
    for (int number = 0; number < n - 1; number++)
        if (edges[number].weight > 0)
            edges[count++] =
                (sgp_edge_t){.peer = peer_of(number, rank), .weight = 1.0 / (peers + 1)};
    return count;
}
