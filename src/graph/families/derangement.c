/* SPDX-License-Identifier: Apache-2.0 */
/* A derangement drawn in each step: all nodes draw the same permutation of the ranks, which puts
 * them on a circle, and the same p distinct hops around it. Every node has p receivers and p
 * senders, so the mixing matrix is doubly stochastic and a push-sum weight of 1 stays 1.
 *
 * The permutation is the shuffle of Fisher and Yates, whose exchanges can be replayed for one rank
 * in either direction: O(n) time for each edge, and no memory. */
#include "graph/families/family.h"

enum { STREAM_HOPS = 0 }; /* exchange i of the shuffle, i >= 1, has stream i */

/* A step's key, from which everything in it is drawn. */
static uint64_t key_of(const sgp_graph_t *graph, uint64_t step) {
    sgp_random_t random;
    sgp_random_init(&random, graph->seed, step);
    return sgp_random_u64(&random);
}

/* Where `at` is after exchange i of the shuffle: places i and j <= i change contents. */
static int exchange(uint64_t key, int i, int at) {
    sgp_random_t random;
    if (at > i) return at;
    sgp_random_init(&random, key, (uint64_t)i);
    int j = (int)sgp_random_below(&random, (uint64_t)i + 1);
    return at == i ? j : at == j ? i : at;
}

/* The place of a rank on the circle, and the rank at a place: the exchanges forwards and backwards.
 */
static int place_of(uint64_t key, int n, int rank) {
    for (int i = n - 1; i >= 1; i--) rank = exchange(key, i, rank);
    return rank;
}
static int rank_at(uint64_t key, int n, int place) {
    for (int i = 1; i < n; i++) place = exchange(key, i, place);
    return place;
}

/* Puts a peer in its place among `count` ascending ones. */
static void insert(sgp_edge_t *edges, int count, sgp_edge_t edge) {
    for (; count > 0 && edges[count - 1].peer > edge.peer; count--) edges[count] = edges[count - 1];
    edges[count] = edge;
}

static int derangement_edges(const sgp_graph_t *graph, int rank, uint64_t step, int sign,
                             sgp_edge_t *edges) {
    int n = graph->size, peers = sgp_graph_peers(graph);
    uint64_t key = key_of(graph, step);
    sgp_random_t random;
    sgp_random_init(&random, key, STREAM_HOPS);
    sgp_draw_distinct(&random, n - 1, peers, edges);
    int place = place_of(key, n, rank);
    for (int e = 0; e < peers; e++) {
        int hop = edges[e].peer + 1;
        int other = (int)(((int64_t)place + (sign > 0 ? hop : n - hop)) % n);
        insert(edges, e, (sgp_edge_t){.peer = rank_at(key, n, other), .weight = 1.0 / (peers + 1)});
    }
    return peers;
}

const sgp_family_t sgp_family_derangement = {
    .random = true,
    .period = sgp_family_levels,
    .edges = derangement_edges,
};
