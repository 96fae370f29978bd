/* SPDX-License-Identifier: Apache-2.0 */
/* The families of graphs, one file each. Graphs have passed sgp_graph_check and have two nodes or
 * more; edges are as in sgp/graph.h: (sgp_graph_max_degree), ascending, never `rank` itself. */
#ifndef SGP_GRAPH_FAMILIES_H
#define SGP_GRAPH_FAMILIES_H

#include "base/random.h"

#include <sgp/graph.h>

/* Out-peers per step, p: `peers` with its default. */
static inline int sgp_graph_peers(const sgp_graph_t *graph) {
    return graph->peers ? graph->peers : 1;
}

/* ceil(log_base n), at least one: the fewest steps in which something can reach n nodes if it
 * reaches `base` times as many in each. */
static inline int sgp_graph_levels(int n, int base) {
    int levels = 0;
    for (int64_t reach = 1; reach < n; reach *= base) levels++;
    return levels ? levels : 1;
}

/* Drawn anew in each step: there is no period. */
static inline bool sgp_graph_is_random(const sgp_graph_t *graph) {
    return graph->kind == SGP_GRAPH_RANDOM || graph->kind == SGP_GRAPH_RANDOM_UNEVEN;
}

/* hops.c: exponential, ring, complete, static exponential. Everybody sends to rank + sign * hop for
 * the same hops: sign +1 gives the out-edges, -1 the in-edges. */
int sgp_hops_edges(const sgp_graph_t *graph, int rank, uint64_t step, int sign, sgp_edge_t *edges);

/* bipartite.c: the partners of `rank`, which are its out- and its in-edges. */
int sgp_bipartite_edges(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges);
int sgp_bipartite_period(const sgp_graph_t *graph);
int sgp_bipartite_matchings(int n); /* distinct pairings, the most peers a node can have; >= 1 */

/* random.c: sign +1 gives the out-edges, -1 the in-edges. */
int sgp_random_edges(const sgp_graph_t *graph, int rank, uint64_t step, int sign,
                     sgp_edge_t *edges);

/* p distinct numbers of 0..n-1 as edge.peer, ascending; each set has the same probability. */
void sgp_draw_distinct(sgp_random_t *random, int n, int p, sgp_edge_t *edges /* (p) */);

/* Index of the first edge whose peer is not below `peer`; count if there is none. */
int sgp_edges_find(const sgp_edge_t *edges, int count, int peer);

/* random_uneven.c */
int sgp_random_uneven_out(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges);
int sgp_random_uneven_in(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges);

/* base.c: the neighbours of `rank`, which are its out- and its in-edges. */
int sgp_base_edges(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges);
int sgp_base_period(const sgp_graph_t *graph);

#endif
