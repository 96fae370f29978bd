/* SPDX-License-Identifier: Apache-2.0 */
/* The bipartite exponential graph: in each step the even ranks are paired with odd ones.
 *
 * With m = n, or n + 1 if n is odd, every odd h pairs each even rank r with r + h mod m; two values
 * of h that differ modulo m have no pair in common. For odd n there is no rank m - 1 = n, and its
 * partner n - h mod m idles. h = 1 and h = -1 are in every list: their pairs join all nodes in a
 * ring (a line for odd n), so repeated averaging over a period reaches consensus for every n. */
#include "graph/families/family.h"

#include "base/logging.h"

enum { MOST_MATCHINGS = 64 }; /* two for each power of two in an int */

/* h = 1, -1, 3, -3, 5, -5, 9, -9, ... modulo m, each once; returns how many. */
static int list(int n, int hops[MOST_MATCHINGS]) {
    int64_t m = (int64_t)n + n % 2;
    int count = 0;
    for (int64_t length = 1; length < m; length = length == 1 ? 3 : 2 * length - 1)
        for (int sign = 1; sign >= -1; sign -= 2) {
            int hop = (int)(sign > 0 ? length : m - length), at = 0;
            while (at < count && hops[at] != hop) at++;
            if (at == count) hops[count++] = hop;
        }
    return count;
}

/* Distinct pairings, the most peers that a node can have; >= 1. */
static int matchings_of(int n) {
    int hops[MOST_MATCHINGS];
    return list(n, hops);
}

static int bipartite_period(const sgp_graph_t *graph) {
    int matchings = matchings_of(graph->size), a = matchings;
    for (int b = sgp_graph_peers(graph); b > 0;) { /* the greatest common divisor, in a */
        int rest = a % b;
        a = b;
        b = rest;
    }
    return matchings / a;
}

/* The partners of `rank`, which are its out- and its in-edges. */
static int bipartite_edges(const sgp_graph_t *graph, int rank, uint64_t step, int sign,
                           sgp_edge_t *edges) {
    int hops[MOST_MATCHINGS];
    int n = graph->size, peers = sgp_graph_peers(graph), count = 0;
    int64_t m = (int64_t)n + n % 2;
    uint64_t matchings = (uint64_t)list(n, hops);
    (void)sign;
    uint64_t first = step % matchings * (uint64_t)peers;
    for (int j = 0; j < peers; j++) {
        int hop = hops[(first + (uint64_t)j) % matchings];
        int peer = (int)((rank + (rank % 2 ? m - hop : hop)) % m);
        if (peer == n) continue; /* there is no such rank */
        int at = count++;
        for (; at > 0 && edges[at - 1].peer > peer; at--) edges[at] = edges[at - 1];
        edges[at] = (sgp_edge_t){.peer = peer, .weight = 1.0 / (peers + 1)};
    }
    return count;
}

static sgp_status_t bipartite_check(const sgp_graph_t *graph) {
    int peers = sgp_graph_peers(graph), matchings = matchings_of(graph->size);
    if (peers <= matchings) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "graph: %d peers on the bipartite exponential graph of %d nodes, must be at "
                    "most %d, its distinct pairings",
                    peers, graph->size, matchings);
}

const sgp_family_t sgp_family_bipartite = {
    .symmetric = true,
    .check = bipartite_check,
    .most_peers = matchings_of,
    .period = bipartite_period,
    .edges = bipartite_edges,
};
