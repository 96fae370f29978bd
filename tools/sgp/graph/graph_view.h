/* SPDX-License-Identifier: Apache-2.0 */
/* A graph and what is known of it, and the three ways in which `sgp graph` shows it. */
#ifndef SGP_GRAPH_GRAPH_VIEW_H
#define SGP_GRAPH_GRAPH_VIEW_H

#include "graph/analysis.h"
#include "graph/families.h"

#include <stdbool.h>

enum {
    GRAPH_NODES_SHOWN = 16,   /* in the text, unless `all` is set */
    GRAPH_SVG_NODES = 64,     /* the most that stay legible in a drawing */
    GRAPH_SVG_STEPS = 48,     /* the most panels of a drawing */
    GRAPH_STEPS_LIMIT = 1000, /* the most that are looked at */
};

typedef struct graph_view {
    sgp_graph_t graph;
    sgp_graph_analysis_t analysis; /* its .steps are those that are shown */
    bool all;
    sgp_edge_t *edges; /* (sgp_graph_max_degree), scratch */
} graph_view_t;

/* The out-edges of a node in view->edges; returns how many. */
int graph_view_edges(const graph_view_t *view, int rank, int step);

/* Each node's share is the same, its own one included. */
bool graph_view_uniform(const sgp_edge_t *edges /* (count) */, int count);

/* "exponential graph, 8 nodes, 1 peer", as long as there is room. */
void graph_view_title(const graph_view_t *view, char *title, int size);

/* On standard output. Returns the exit status. */
void graph_text(const graph_view_t *view);
int graph_json(const graph_view_t *view);

/* Whether `steps` steps (0: a period) can be drawn legibly; false after a line. The graph is set;
 * call it before the graph is analyzed, which may take long. */
bool graph_svg_check(const graph_view_t *view, int steps);

/* Writes the file, whole or not at all. Returns the exit status, after a line if that is not 0. */
int graph_svg(const graph_view_t *view, const char *path);

#endif
