/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph_view.h"

#include <stdio.h>

int graph_view_edges(const graph_view_t *view, int rank, int step) {
    return sgp_graph_out(&view->graph, rank, (uint64_t)step, view->edges);
}

bool graph_view_uniform(const sgp_edge_t *edges, int count) {
    for (int e = 0; e < count; e++)
        if (edges[e].weight != 1.0 / (count + 1)) return false;
    return true;
}

void graph_view_title(const graph_view_t *view, char *title, int size) {
    const sgp_graph_t *graph = &view->graph;
    int used = snprintf(title, (size_t)size, "%s graph, %d node%s", sgp_graph_name(graph->kind),
                        graph->size, graph->size == 1 ? "" : "s");
    if (graph->kind == SGP_GRAPH_COMPLETE || graph->kind == SGP_GRAPH_STATIC_EXPONENTIAL) return;
    if (used < size)
        snprintf(title + used, (size_t)(size - used), ", %d peer%s", graph->peers,
                 graph->peers == 1 ? "" : "s");
}
