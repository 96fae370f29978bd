/* SPDX-License-Identifier: Apache-2.0 */
/* src/graph: the peers of a node in a step, and the weights of the edges: pure functions of (graph, rank, step). The
 * mixing and the program call them through sgp/graph.h; this header has what they need beyond it. Nothing here stores
 * state, knows a message or a transport.
 *
 * families.c has the table of graphs; families/ has one file for each group of them; analysis.h measures a graph. */
#ifndef SGP_GRAPH_FAMILIES_H
#define SGP_GRAPH_FAMILIES_H

#include <sgp/graph.h>

/* The names of all graphs with ", " between them: for help and error messages. Static. */
const char *sgp_graph_names(void);

/* Whether each step is drawn anew: such a graph has no period. */
bool sgp_graph_is_random(const sgp_graph_t *graph);

/* The same graph of so many nodes, >= 1: with as many of the peers as it then can have. */
void sgp_graph_resize(sgp_graph_t *graph, int nodes);

/* Out-peers per step, p: `peers` with its default. */
static inline int sgp_graph_peers(const sgp_graph_t *graph) {
    return graph->peers ? graph->peers : 1;
}

/* ceil(log_base n), at least one: the fewest steps in which a value can reach n nodes if each step multiplies the nodes
 * that have it by `base`. */
static inline int sgp_graph_levels(int n, int base) {
    int levels = 0;
    for (int64_t reach = 1; reach < n; reach *= base) levels++;
    return levels ? levels : 1;
}

#endif
