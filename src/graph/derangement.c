/* SPDX-License-Identifier: Apache-2.0 */
/* A derangement drawn in each step: all nodes draw the same permutation of the ranks, which puts
 * them on a circle, and the same p distinct hops around it. Everybody has p receivers and p
 * senders, so the mixing matrix is doubly stochastic and a push-sum weight of 1 stays 1.
 *
 * The permutation is the shuffle of Fisher and Yates, whose exchanges can be replayed for one rank
 * in either direction: O(n) time for each edge, and no memory. */
#include "graph/families.h"

#include "base/random.h"

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

int sgp_random_edges(const sgp_graph_t *graph, int rank, uint64_t step, int sign,
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

int sgp_edges_find(const sgp_edge_t *edges, int count, int peer) {
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (edges[middle].peer < peer) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Bentley and Floyd 1987: for each last in n-p..n-1 takes a uniform number of 0..last, or `last`
 * itself if that was taken before. */
void sgp_draw_distinct(sgp_random_t *random, int n, int p, sgp_edge_t *edges) {
    for (int count = 0; count < p; count++) {
        int last = n - p + count;
        int number = (int)sgp_random_below(random, (uint64_t)last + 1);
        int at = sgp_edges_find(edges, count, number);
        if (at < count && edges[at].peer == number) number = last, at = count;
        for (int e = count; e > at; e--) edges[e].peer = edges[e - 1].peer;
        edges[at].peer = number;
    }
}
