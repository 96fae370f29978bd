/* SPDX-License-Identifier: Apache-2.0 */
/* A graph with its analysis, and the three ways in which `sgp graph` shows it: text, JSON and a
 * drawing. command_graph.c calls this folder; it computes no graph of its own (src/graph does). */
#ifndef SGP_GRAPH_GRAPH_VIEW_H
#define SGP_GRAPH_GRAPH_VIEW_H

#include "graph/analysis.h"
#include "graph/families.h"

#include <stdbool.h>

enum {
    GRAPH_NODES_SHOWN = 16,   /* in the text, unless `all` is set */
    GRAPH_SVG_NODES = 64,     /* the most that stay legible in a drawing */
    GRAPH_SVG_STEPS = 48,     /* the most panels of a drawing */
    GRAPH_STEPS_LIMIT = 1000, /* the most steps that are analyzed */
};

typedef struct graph_view {
    sgp_graph_t graph;
    sgp_graph_analysis_t analysis; /* .steps: the number of steps that are shown */
    bool all;
    sgp_edge_t *edges; /* (sgp_graph_max_degree), scratch */
} graph_view_t;

/* Writes the out-edges of a node to view->edges. Returns their number. */
int graph_view_edges(const graph_view_t *view, int rank, int step);

/* Whether all receivers and the node itself get the same share. */
bool graph_view_uniform(const sgp_edge_t *edges /* (count) */, int count);

/* "exponential graph, 8 nodes, 1 peer", cut at `size` bytes. */
void graph_view_title(const graph_view_t *view, char *title, int size);

/* Print on standard output. graph_json returns the exit status. */
void graph_text(const graph_view_t *view);
int graph_json(const graph_view_t *view);

/* Whether a drawing of `steps` steps (0: one period) is legible; false after a line. Needs
 * view->graph alone: call it before the analysis, which may take long. */
bool graph_svg_check(const graph_view_t *view, int steps);

/* Writes the file completely or not at all. Returns the exit status, after a line about a
 * failure. */
int graph_svg(const graph_view_t *view, const char *path);

#endif
