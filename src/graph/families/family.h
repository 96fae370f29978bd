/* SPDX-License-Identifier: Apache-2.0 */
/* One kind of graph. Its file fills one sgp_family_t, and families.c lists it; nothing else calls these functions. They
 * get graphs that passed sgp_graph_check and have two nodes or more, and never call sgp/graph.h. */
#ifndef SGP_GRAPH_FAMILIES_FAMILY_H
#define SGP_GRAPH_FAMILIES_FAMILY_H

#include "graph/families.h"

#include "base/random.h"

typedef struct sgp_family {
    bool fixed_degree; /* the number of out-peers follows from n alone: `peers` has no meaning */
    bool random;       /* each step is drawn anew */
    bool symmetric;    /* so is the mixing matrix of every step, for all sizes and peers */

    /* Limits of `peers` beyond p < n. SGP_ERR_INVALID, logged. NULL: none. */
    sgp_status_t (*check)(const sgp_graph_t *graph);

    /* The most peers that n nodes can have; NULL: n - 1. Not used for a single one. */
    int (*most_peers)(int n);

    /* As the public calls. NULL: 1. */
    int (*period)(const sgp_graph_t *graph);

    /* As the public calls. NULL: p. */
    int (*max_degree)(const sgp_graph_t *graph);

    /* The out-edges of `rank` for sign +1, its in-edges for -1. edges: (max_degree), all of it may be overwritten;
     * ascending by peer, never `rank` itself. Returns how many. */
    int (*edges)(const sgp_graph_t *graph, int rank, uint64_t step, int sign, sgp_edge_t *edges);
} sgp_family_t;

/* circulant.c */
extern const sgp_family_t sgp_family_exponential, sgp_family_static_exponential, sgp_family_ring,
    sgp_family_complete;
extern const sgp_family_t sgp_family_bipartite;     /* bipartite.c */
extern const sgp_family_t sgp_family_derangement;   /* derangement.c */
extern const sgp_family_t sgp_family_base;          /* base_graph.c */
extern const sgp_family_t sgp_family_random_uneven; /* random_uneven.c */

/* ceil(log_{p+1} n). */
static inline int sgp_family_levels(const sgp_graph_t *graph) {
    return sgp_graph_levels(graph->size, sgp_graph_peers(graph) + 1);
}

/* draws.c: p distinct numbers of 0..n-1 as edge.peer, ascending; each set has the same probability. */
void sgp_draw_distinct(sgp_random_t *random, int n, int p, sgp_edge_t *edges /* (p) */);

/* draws.c: index of the first edge whose peer is not below `peer`; count if there is none. */
int sgp_edges_find(const sgp_edge_t *edges, int count, int peer);

#endif
