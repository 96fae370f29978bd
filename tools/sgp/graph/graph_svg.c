/* SPDX-License-Identifier: Apache-2.0 */
/* One panel for each step: nodes on a circle, arrows from sender to receiver, or plain lines where
 * all mixing is symmetric. The colour-blind can tell blue from black; an idle node is hollow.
 * Lengths are pixels. */
#include "graph/graph_view.h"

#include "cli/exit_status.h"
#include "cli/message.h"

#include "files/atomic_file.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct point {
    double x, y;
} point_t;

typedef struct drawing {
    const graph_view_t *view;
    FILE *out;
    double radius;   /* of the circle */
    double dot;      /* radius of a node */
    double panel;    /* side of a panel */
    int across;      /* panels in a row */
    double width;    /* of all */
    bool symmetric;  /* lines instead of arrows */
    double thinnest; /* line, thinner where there are many */
} drawing_t;

enum { TITLE = 34, PANEL_TITLE = 20, MARGIN = 30, LABEL = 15, FOOT = 26 };

/* Node 0 is on top, the others follow clockwise. */
static point_t on_circle(const drawing_t *drawing, int rank, double radius) {
    double angle = 6.283185307179586 * rank / drawing->view->graph.size;
    return (point_t){radius * sin(angle), -radius * cos(angle)};
}

static point_t toward(point_t from, point_t to, double distance) {
    double x = to.x - from.x, y = to.y - from.y, length = hypot(x, y);
    return (point_t){from.x + x / length * distance, from.y + y / length * distance};
}

/* The control point of a line: its middle, moved to the right as seen from the sender, so that the
 * two lines between a pair stay apart; a line for both directions bends toward the centre. Short
 * lines are bent most: with small hops they would otherwise lie on the circle of the nodes. */
static point_t pulled_to(const drawing_t *drawing, int src, int dst) {
    point_t from = on_circle(drawing, src, drawing->radius);
    point_t to = on_circle(drawing, dst, drawing->radius);
    point_t middle = {(from.x + to.x) / 2, (from.y + to.y) / 2};
    double length = hypot(to.x - from.x, to.y - from.y);
    double bend = 0.4 - 0.3 * length / (2 * drawing->radius);
    double side = -1;
    if (drawing->symmetric) /* toward the centre */
        side = from.x * to.y - from.y * to.x > 0 ? -1 : 1;
    return (point_t){middle.x + side * bend * (to.y - from.y),
                     middle.y - side * bend * (to.x - from.x)};
}

static void draw_edge(const drawing_t *drawing, int src, const sgp_edge_t *edge) {
    if (drawing->symmetric && src > edge->peer) return; /* drawn with the other end */
    point_t from = on_circle(drawing, src, drawing->radius);
    point_t to = on_circle(drawing, edge->peer, drawing->radius);
    point_t pull = pulled_to(drawing, src, edge->peer);
    point_t begin = toward(from, pull, drawing->dot), end = toward(to, pull, drawing->dot + 1);
    fprintf(drawing->out, "<path d=\"M%.1f %.1fQ%.1f %.1f %.1f %.1f\" stroke-width=\"%.2f\"%s/>\n",
            begin.x, begin.y, pull.x, pull.y, end.x, end.y,
            drawing->thinnest * (drawing->symmetric ? 0.5 + 2 * edge->weight : 1),
            drawing->symmetric ? "" : " marker-end=\"url(#head)\"");
}

static void draw_node(const drawing_t *drawing, int rank, bool idle) {
    point_t at = on_circle(drawing, rank, drawing->radius);
    point_t label = on_circle(drawing, rank, drawing->radius + LABEL);
    fprintf(drawing->out,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" stroke=\"#000000\"/>"
            "<text x=\"%.1f\" y=\"%.1f\" dy=\"0.35em\">%d</text>\n",
            at.x, at.y, drawing->dot, idle ? "#ffffff" : "#000000", label.x, label.y, rank);
}

static void draw_step(const drawing_t *drawing, int step) {
    const graph_view_t *view = drawing->view;
    bool idle[GRAPH_SVG_NODES];
    double half = drawing->panel / 2;
    fprintf(drawing->out, "<g transform=\"translate(%.1f %.1f)\">\n",
            drawing->width / 2 + (step % drawing->across - drawing->across / 2.0) * drawing->panel +
                half,
            TITLE + step / drawing->across * (drawing->panel + PANEL_TITLE) + PANEL_TITLE + half);
    fprintf(drawing->out, "<text y=\"%.1f\" font-weight=\"bold\">step %d</text>\n", -half - 4,
            step);
    fputs("<g fill=\"none\" stroke=\"#0072b2\">\n", drawing->out);
    for (int rank = 0; rank < view->graph.size; rank++) {
        int count = graph_view_edges(view, rank, step);
        for (int e = 0; e < count; e++) draw_edge(drawing, rank, &view->edges[e]);
        idle[rank] = count == 0;
    }
    fputs("</g>\n", drawing->out);
    for (int rank = 0; rank < view->graph.size; rank++) draw_node(drawing, rank, idle[rank]);
    fputs("</g>\n", drawing->out);
}

static void draw(const drawing_t *drawing) {
    int steps = drawing->view->analysis.steps,
        down = (steps + drawing->across - 1) / drawing->across;
    double width = drawing->width;
    double height = TITLE + down * (drawing->panel + PANEL_TITLE) + FOOT;
    char title[128];
    graph_view_title(drawing->view, title, sizeof title);
    fprintf(drawing->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" font-size=\"11\" "
            "text-anchor=\"middle\">\n<title>%s</title>\n"
            "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"6\" "
            "markerHeight=\"6\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">"
            "<path d=\"M0 0L8 4L0 8z\" fill=\"#0072b2\"/></marker></defs>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
            "<text x=\"%.1f\" y=\"22\" font-size=\"15\" font-weight=\"bold\">%s</text>\n",
            width, height, width, height, title, width / 2, title);
    for (int step = 0; step < steps; step++) draw_step(drawing, step);
    fprintf(drawing->out, "<text x=\"%.1f\" y=\"%.1f\">%s</text>\n</svg>\n", width / 2, height - 10,
            drawing->symmetric ? "line: both give each other the same share, more if thicker; "
                                 "hollow: idle"
                               : "arrow: from sender to receiver");
}

static drawing_t layout(const graph_view_t *view, FILE *out) {
    int n = view->graph.size, steps = view->analysis.steps;
    const double spacing = 18; /* of the labels on the circle: two digits fit */
    drawing_t drawing = {.view = view, .out = out, .symmetric = sgp_graph_symmetric(&view->graph)};
    drawing.radius = fmax(90, spacing * n / 6.283185307179586);
    drawing.dot = n <= 16 ? 6 : 4;
    drawing.panel = 2 * (drawing.radius + MARGIN);
    drawing.across = steps <= 4 ? steps : (int)ceil(sqrt(steps));
    drawing.width = fmax(drawing.across * drawing.panel, 440); /* the titles fit */
    drawing.thinnest = view->analysis.edges > 8.0 * n ? 0.6 : 1.3;
    return drawing;
}

/* Whether the file can be written; false after a line. */
static bool check_path(const char *path) {
    char copy[PATH_MAX];
    struct stat found;
    if (strlen(path) >= sizeof copy) errno = ENAMETOOLONG;
    else if (stat(path, &found) == 0 && S_ISDIR(found.st_mode)) errno = EISDIR;
    else if (access(dirname(strcpy(copy, path)), W_OK | X_OK) == 0) return true;
    message_error("--svg %s: cannot be written: %s", path, strerror(errno));
    return false;
}

bool graph_svg_check(const graph_view_t *view, int steps) {
    const sgp_graph_t *graph = &view->graph;
    if (steps == 0) steps = sgp_graph_period(graph);
    if (graph->size > GRAPH_SVG_NODES)
        message_error("--svg: %d nodes cannot be drawn legibly; at most %d", graph->size,
                      GRAPH_SVG_NODES);
    else if (steps > GRAPH_SVG_STEPS)
        message_error("--svg: %d steps are too many for a drawing; --steps at most %d", steps,
                      GRAPH_SVG_STEPS);
    else return true;
    return false;
}

int graph_svg(const graph_view_t *view, const char *path) {
    char *text = NULL, directory[PATH_MAX], name[PATH_MAX];
    size_t size;
    if (!check_path(path)) return EXIT_MISTAKE;
    FILE *out = open_memstream(&text, &size);
    if (out) {
        drawing_t drawing = layout(view, out);
        draw(&drawing);
    }
    if (!out || fclose(out) != 0 || !text) {
        message_error("--svg %s: out of memory", path);
        free(text);
        return EXIT_FAILED;
    }
    atomic_file_part_t part = {text, size};
    sgp_status_t status = atomic_file_replace(dirname(strcpy(directory, path)),
                                              basename(strcpy(name, path)), &part, 1);
    free(text);
    return status == SGP_OK ? 0 : EXIT_FAILED;
}
