/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/page_parts.h"

#include "status/server/page_edges.h"
#include "status/server/render_words.h"

#include <math.h>

/* Units of the drawing. */
enum { SIDE = 460, RING = 185, MARK_LARGE = 15, MARK_SMALL = 9, LARGE_UP_TO = 16 };

#define QUIET 5.0 /* seconds since the last message, from which on an edge is drawn dashed */

typedef struct spot {
    double x, y;
} spot_t;

/* The members stand on a circle, the first at the top, clockwise. */
static spot_t spot_of(size_t at, size_t members, double radius) {
    double angle = 2 * M_PI * (double)at / (double)members;
    if (members == 1) radius = 0;
    return (spot_t){SIDE / 2.0 + radius * sin(angle), SIDE / 2.0 - radius * cos(angle)};
}

static double mark_size(size_t members) {
    return members <= LARGE_UP_TO ? MARK_LARGE : MARK_SMALL;
}

/* ---- edges ---- */

/* Bent a little to the right of its direction, so that two opposite edges stand apart; the ends leave room for the marks. */
static void add_curve(render_t *text, spot_t from, spot_t to, double room) {
    double dx = to.x - from.x, dy = to.y - from.y, length = hypot(dx, dy);
    if (length < 1) return;
    dx /= length;
    dy /= length;
    double bend = fmin(length / 8, 24);
    render_format(text, " d=\"M%.1f %.1fQ%.1f %.1f %.1f %.1f\"", from.x + room * dx,
                  from.y + room * dy, (from.x + to.x) / 2 - bend * dy,
                  (from.y + to.y) / 2 + bend * dx, to.x - (room + 3) * dx, to.y - (room + 3) * dy);
}

static void add_edge(render_t *text, const sgp_status_snapshot_t *snapshot,
                     const sgp_status_edge_t *edge) {
    size_t from = page_member_at(snapshot, edge->src), to = page_member_at(snapshot, edge->dst);
    if (from == snapshot->members || to == snapshot->members || from == to) return;
    render_format(text, "<path class=\"%s\" marker-end=\"url(#arrow)\"",
                  edge->age >= QUIET ? "edge quiet" : "edge");
    add_curve(text, spot_of(from, snapshot->members, RING), spot_of(to, snapshot->members, RING),
              mark_size(snapshot->members));
    render_add(text, "><title>");
    page_edge_words(text, edge);
    render_add(text, "</title></path>\n");
}

/* ---- nodes ---- */

static void add_shape(render_t *text, const char *state, spot_t at, double r) {
    render_format(text, "<path class=\"node %s\" d=\"", state);
    switch (*state == 's' ? state[1] : *state) {
    case 'i': /* silent: a triangle */
        render_format(text, "M%.1f %.1fL%.1f %.1fH%.1fZ", at.x, at.y - 1.2 * r, at.x + 1.1 * r,
                      at.y + 0.8 * r, at.x - 1.1 * r);
        break;
    case 'l': /* slow: a diamond, unless it is live or left */
        if (*state == 's') {
            render_format(text, "M%.1f %.1fl%.1f %.1fl%.1f %.1fl%.1f %.1fZ", at.x, at.y - 1.25 * r,
                          1.25 * r, 1.25 * r, -1.25 * r, 1.25 * r, -1.25 * r, -1.25 * r);
            break;
        }    /* fall through */
    default: /* a circle */
        render_format(text, "M%.1f %.1fa%.1f %.1f 0 1 1 %.1f 0a%.1f %.1f 0 1 1 %.1f 0Z", at.x - r,
                      at.y, r, r, 2 * r, r, r, -2 * r);
        break;
    case 'j': /* joining: a square */
        render_format(text, "M%.1f %.1fh%.1fv%.1fh%.1fZ", at.x - 0.9 * r, at.y - 0.9 * r, 1.8 * r,
                      1.8 * r, -1.8 * r);
        break;
    case 'g': /* gone: a cross */
        render_format(text, "M%.1f %.1fl%.1f %.1fm0 %.1fl%.1f %.1f", at.x - 0.7 * r, at.y - 0.7 * r,
                      1.4 * r, 1.4 * r, -1.4 * r, -1.4 * r, 1.4 * r);
    }
    render_add(text, "\"/>");
}

/* In large marks the number stands inside, otherwise outside the ring. */
static void add_node(render_t *text, const sgp_status_snapshot_t *snapshot, size_t at, bool slow) {
    const sgp_status_member_t *member = &snapshot->member[at];
    const char *state = page_state(member, slow);
    double r = mark_size(snapshot->members);
    bool inside = r == MARK_LARGE && member->condition != SGP_STATUS_GONE;
    spot_t label = spot_of(at, snapshot->members, inside ? RING : RING + (r > 10 ? 30 : 21));
    render_add(text, "<g><title>");
    render_format(text, "node %d, %s", member->seat, state);
    if (*member->host) {
        render_add(text, ", ");
        render_html(text, member->host);
    }
    render_add(text, "</title>");
    add_shape(text, state, spot_of(at, snapshot->members, RING), r);
    render_format(text, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%d</text></g>\n",
                  inside && member->condition != SGP_STATUS_LEFT ? "on" : "label", label.x, label.y,
                  member->seat);
}

static void add_circle(render_t *text, const sgp_status_snapshot_t *snapshot,
                       const digest_t *digest) {
    bool any = page_edges_in_step(snapshot) > 0; /* otherwise those of the last seconds are drawn */
    render_format(
        text,
        "<svg class=\"graph\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"The members, "
        "and who sends to whom; the table below has the same.\">"
        "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"6\" refY=\"4\" "
        "markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\" markerUnits="
        "\"userSpaceOnUse\"><path d=\"M0 .5L8 4L0 7.5z\"/></marker></defs>\n",
        SIDE, SIDE);
    for (size_t i = 0; i < snapshot->edges && i < 4 * PAGE_EDGES; i++)
        if (snapshot->edge[i].in_step || !any) add_edge(text, snapshot, &snapshot->edge[i]);
    for (size_t i = 0; i < snapshot->members; i++) add_node(text, snapshot, i, digest->slow[i]);
    render_add(text, "</svg>\n");
}

/* ---- a large group ---- */

enum { COLUMNS = 32, CELL = 12 };

/* A field of small marks in order of seat. The healthy ones are one path. */
static void add_field(render_t *text, const sgp_status_snapshot_t *snapshot,
                      const digest_t *digest) {
    size_t rows = (snapshot->members + COLUMNS - 1) / COLUMNS;
    render_format(
        text,
        "<svg class=\"field\" viewBox=\"0 0 %d %zu\" role=\"img\" aria-label=\"All members "
        "in order of their seats, %d in a row\"><path class=\"node live\" d=\"",
        COLUMNS * CELL, rows * CELL, COLUMNS);
    for (size_t i = 0; i < snapshot->members; i++)
        if (snapshot->member[i].condition == SGP_STATUS_LIVE && !digest->slow[i])
            render_format(text, "M%zu %zua3 3 0 1 1 6 0a3 3 0 1 1-6 0", i % COLUMNS * CELL + 3,
                          i / COLUMNS * CELL + 6);
    render_add(text, "\"/>\n");
    for (size_t i = 0; i < snapshot->members; i++) {
        const sgp_status_member_t *member = &snapshot->member[i];
        const char *state = page_state(member, digest->slow[i]);
        if (member->condition == SGP_STATUS_LIVE && !digest->slow[i]) continue;
        render_format(text, "<g><title>node %d, %s</title>", member->seat, state);
        add_shape(text, state,
                  (spot_t){(double)(i % COLUMNS * CELL + 6), (double)(i / COLUMNS * CELL + 6)}, 4);
        render_add(text, "</g>\n");
    }
    render_format(text, "</svg>\n<p class=\"soft\">In order of their seats, %d in a row.</p>\n",
                  COLUMNS);
}

static void add_key(render_t *text) {
    static const char *const states[] = {"live", "slow", "silent", "joining", "left", "gone"};
    render_add(text, "<p class=\"key\">");
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        render_format(text, "<span class=\"%s\"><span class=\"mark\">%s</span> %s</span> ",
                      states[i], page_mark(states[i]), states[i]);
    render_add(text, "</p>\n");
}

void page_graph(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest) {
    bool large = snapshot->members > PAGE_EACH;
    render_add(text, "<section id=\"graph\">\n<h2>Who sends to whom</h2>\n<p class=\"soft\">");
    page_edges_summary(text, snapshot);
    render_add(text, "</p>\n");
    if (snapshot->members) {
        if (large) add_field(text, snapshot, digest);
        else add_circle(text, snapshot, digest);
        add_key(text);
    }
    page_edges_table(text, snapshot);
    render_add(text, "</section>\n");
}
