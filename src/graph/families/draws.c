/* SPDX-License-Identifier: Apache-2.0 */
/* Random sets of peers, for the two random graphs. */
#include "graph/families/family.h"

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
