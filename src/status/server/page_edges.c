/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/page_edges.h"

#include "status/server/page_parts.h"
#include "status/server/render_words.h"

#include <math.h>
#include <stdlib.h>

size_t page_member_at(const sgp_status_snapshot_t *snapshot, int seat) {
    size_t low = 0, high = snapshot->members;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (snapshot->member[middle].seat < seat) low = middle + 1;
        else high = middle;
    }
    bool found = low < snapshot->members && snapshot->member[low].seat == seat;
    return found ? low : snapshot->members;
}

size_t page_edges_in_step(const sgp_status_snapshot_t *snapshot) {
    size_t count = 0;
    for (size_t i = 0; i < snapshot->edges; i++) count += snapshot->edge[i].in_step;
    return count;
}

static void add_age(render_t *text, double age) {
    words_seconds(text, age);
    if (isfinite(age)) render_add(text, " ago");
}

void page_edge_words(render_t *text, const sgp_status_edge_t *edge) {
    render_format(text, "%d to %d: ", edge->src, edge->dst);
    words_rate(text, edge->bytes_per_second);
    render_add(text, ", last message ");
    add_age(text, edge->age);
}

static double total_rate(const sgp_status_snapshot_t *snapshot) {
    double sum = 0;
    bool known = false;
    for (size_t i = 0; i < snapshot->edges; i++) {
        if (!isfinite(snapshot->edge[i].bytes_per_second)) continue;
        sum += snapshot->edge[i].bytes_per_second;
        known = true;
    }
    return known ? sum : NAN;
}

/* NULL: nobody has said when a message arrived. */
static const sgp_status_edge_t *quietest(const sgp_status_snapshot_t *snapshot) {
    const sgp_status_edge_t *found = NULL;
    for (size_t i = 0; i < snapshot->edges; i++) {
        const sgp_status_edge_t *edge = &snapshot->edge[i];
        if (isfinite(edge->age) && (!found || edge->age > found->age)) found = edge;
    }
    return found;
}

void page_edges_summary(render_t *text, const sgp_status_snapshot_t *snapshot) {
    const sgp_status_edge_t *edge = quietest(snapshot);
    size_t in_step = page_edges_in_step(snapshot);
    if (snapshot->edges == 0) {
        render_add(text, "No message has been sent yet.");
        return;
    }
    words_count(text, in_step);
    render_format(text, " edge%s in this step, ", in_step == 1 ? "" : "s");
    words_count(text, snapshot->edges);
    render_add(text, " in the last seconds; ");
    words_rate(text, total_rate(snapshot));
    render_add(text, " in all.");
    if (!edge) return;
    render_format(text, " Quiet for longest: %d to %d, for ", edge->src, edge->dst);
    words_seconds(text, edge->age);
    render_add(text, ".");
}

/* An edge whose age is not known comes last. */
static int compare_age(const void *a, const void *b) {
    const sgp_status_edge_t *one = *(const sgp_status_edge_t *const *)a;
    const sgp_status_edge_t *other = *(const sgp_status_edge_t *const *)b;
    double first = isfinite(one->age) ? one->age : -1;
    double second = isfinite(other->age) ? other->age : -1;
    if (first != second) return first > second ? -1 : 1;
    if (one->src != other->src) return one->src < other->src ? -1 : 1;
    return (one->dst > other->dst) - (one->dst < other->dst);
}

static void add_row(render_t *text, const sgp_status_edge_t *edge) {
    render_format(text,
                  "<tr><td class=\"n\">%d</td><td class=\"n\">%d</td><td>%s</td><td class=\"n\">",
                  edge->src, edge->dst, edge->in_step ? "yes" : "no");
    words_rate(text, edge->bytes_per_second);
    render_add(text, "</td><td class=\"n\">");
    add_age(text, edge->age);
    render_add(text, "</td></tr>\n");
}

void page_edges_table(render_t *text, const sgp_status_snapshot_t *snapshot) {
    const sgp_status_edge_t **all = calloc(snapshot->edges + 1, sizeof *all);
    if (!all) {
        text->failed = true;
        return;
    }
    for (size_t i = 0; i < snapshot->edges; i++) all[i] = &snapshot->edge[i];
    qsort(all, snapshot->edges, sizeof *all, compare_age);
    size_t most = snapshot->members > PAGE_EACH ? PAGE_ROWS : PAGE_EDGES;
    size_t shown = snapshot->edges < most ? snapshot->edges : most;
    if (shown > 0) {
        render_add(text, "<details id=\"edges\"><summary>");
        words_count(text, shown);
        render_add(text, shown < snapshot->edges ? " edges that have been quiet longest"
                         : shown == 1            ? " edge"
                                                 : " edges");
        render_add(text, "</summary><div class=\"scroll\"><table class=\"plain\"><thead><tr>"
                         "<th scope=\"col\" class=\"n\">from</th><th scope=\"col\" class=\"n\">to"
                         "</th><th scope=\"col\">in this step</th><th scope=\"col\" class=\"n\">"
                         "payload</th><th scope=\"col\" class=\"n\">last message</th></tr></thead>"
                         "\n<tbody>\n");
        for (size_t i = 0; i < shown; i++) add_row(text, all[i]);
        render_add(text, "</tbody></table></div></details>\n");
    }
    free(all);
}
