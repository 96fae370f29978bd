/* SPDX-License-Identifier: Apache-2.0 */
/* The table has a row for each node and a column for each step. Columns that do not fit the
 * terminal follow in a further table below. */
#include "graph/graph_view.h"

#include "cli/message.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    CELL = 8192,         /* bytes, enough for all receivers of a node */
    RECEIVERS_SHOWN = 8, /* unless `all` is set */
    GAP = 2,
};

/* "3", "3,4" or "3,4 (0.400)"; "-" if the node sends nothing. */
static void cell_text(const graph_view_t *view, int rank, int step, char text[CELL]) {
    int count = graph_view_edges(view, rank, step), used = 0;
    int shown = view->all || count <= RECEIVERS_SHOWN ? count : RECEIVERS_SHOWN - 1;
    strcpy(text, "-");
    for (int e = 0; e < shown; e++)
        used +=
            snprintf(text + used, (size_t)(CELL - used), "%s%d", e ? "," : "", view->edges[e].peer);
    if (shown < count) used += snprintf(text + used, (size_t)(CELL - used), ",+%d", count - shown);
    if (!graph_view_uniform(view->edges, count))
        snprintf(text + used, (size_t)(CELL - used), " (%.3f)", view->edges[0].weight);
}

static int rows_of(const graph_view_t *view) {
    int n = view->graph.size;
    return view->all || n < GRAPH_NODES_SHOWN ? n : GRAPH_NODES_SHOWN;
}

static int width_of(const graph_view_t *view, int step) {
    char text[CELL];
    int width = snprintf(text, sizeof text, "step %d", step);
    for (int rank = 0; rank < rows_of(view); rank++) {
        cell_text(view, rank, step, text);
        int length = (int)strlen(text);
        if (length > width) width = length;
    }
    return width;
}

/* Pads the cell to its width, unless it is the last. */
static void print_cell(const char *text, int width, bool last) {
    printf("%*s%-*s", GAP, "", last ? 0 : width, text);
}

/* Columns first, first + 1, ..., count of them. */
static void print_columns(const graph_view_t *view, int first, int count, const int *widths) {
    char text[CELL];
    printf("%9s", "");
    for (int c = 0; c < count; c++) {
        snprintf(text, sizeof text, "step %d", first + c);
        print_cell(text, widths[c], c + 1 == count);
    }
    for (int rank = 0; rank < rows_of(view); rank++) {
        printf("\nnode %-4d", rank);
        for (int c = 0; c < count; c++) {
            cell_text(view, rank, first + c, text);
            print_cell(text, widths[c], c + 1 == count);
        }
    }
    puts("\n");
}

static void print_table(const graph_view_t *view) {
    int widths[GRAPH_STEPS_LIMIT], steps = view->analysis.steps;
    for (int first = 0; first < steps;) {
        int count = 0, total = 9;
        do {
            widths[count] = width_of(view, first + count);
            total += GAP + widths[count];
        } while ((count == 0 || total <= message_output_width()) && first + ++count < steps);
        print_columns(view, first, count, widths);
        first += count;
    }
    int hidden = view->graph.size - rows_of(view);
    if (hidden) printf("and %d more node%s: --all\n\n", hidden, hidden == 1 ? "" : "s");
}

static bool is_uniform(const graph_view_t *view) {
    for (int step = 0; step < view->analysis.steps; step++)
        for (int rank = 0; rank < view->graph.size; rank++)
            if (!graph_view_uniform(view->edges, graph_view_edges(view, rank, step))) return false;
    return true;
}

static void print_exact(const graph_view_t *view) {
    int exact = view->analysis.exact;
    if (exact >= 0) printf("exact mean   after %d step%s\n", exact, exact == 1 ? "" : "s");
    else if (sgp_graph_is_random(&view->graph)) puts("exact mean   never");
    else
        printf("exact mean   never (not within two periods, %d steps)\n",
               2 * sgp_graph_period(&view->graph));
}

static void print_analysis(const graph_view_t *view) {
    const sgp_graph_analysis_t *found = &view->analysis;
    const char *plural = found->steps == 1 ? "" : "s";
    bool random = sgp_graph_is_random(&view->graph);
    printf("messages     %g a step\n", found->edges);
    print_exact(view);
    printf("contraction  %.4g over %d step%s, %.4g a step\n", found->contraction, found->steps,
           plural, found->per_step);
    printf("impulse      at most %.4g off the mean after %d step%s\n", found->deviation,
           found->steps, plural);
    if (isfinite(found->variance))
        printf("noise        of variance s^2 in each step: steady consensus variance %.4g s^2%s\n",
               found->variance, random ? ",\n             mean over 200 steps" : "");
    else printf("noise        computed for at most %d nodes\n", SGP_ANALYSIS_VARIANCE_NODES);
    printf("symmetric    %s\n", sgp_graph_symmetric(&view->graph) ? "yes" : "no: not for dpsgd");
}

void graph_text(const graph_view_t *view) {
    char title[128];
    graph_view_title(view, title, sizeof title);
    if (sgp_graph_is_random(&view->graph)) printf("%s; no two steps are alike\n\n", title);
    else if (sgp_graph_period(&view->graph) == 1) printf("%s; every step is the same\n\n", title);
    else printf("%s; repeats after %d steps\n\n", title, sgp_graph_period(&view->graph));
    print_table(view);
    if (!is_uniform(view))
        puts("(x): the share of the node's mass for each receiver; where it is missing, the\n"
             "receivers and the node itself get equal shares\n");
    print_analysis(view);
}
