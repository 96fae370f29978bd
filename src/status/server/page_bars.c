/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/page_parts.h"

#include "status/server/render_words.h"

#include <math.h>
#include <stdlib.h>

enum { WIDTH = 1000, HEIGHT = 14 };

static double part(double ms) {
    return isfinite(ms) && ms > 0 ? ms : 0;
}

static double whole(const sgp_status_member_t *member) {
    return part(member->compute_ms) + part(member->update_ms) + part(member->wait_ms);
}

/* Members that have a bar: these take steps. */
static bool has_bar(const sgp_status_member_t *member) {
    return (member->condition == SGP_STATUS_LIVE || member->condition == SGP_STATUS_SILENT) &&
           whole(member) > 0;
}

static int compare_work(const void *a, const void *b) {
    const sgp_status_member_t *one = *(const sgp_status_member_t *const *)a;
    const sgp_status_member_t *other = *(const sgp_status_member_t *const *)b;
    double first = part(digest_work(one)), second = part(digest_work(other));
    if (first != second) return first > second ? -1 : 1;
    return (one->seat > other->seat) - (one->seat < other->seat);
}

static void add_part(render_t *text, const char *name, double *from, double width) {
    if (width <= 0) return;
    render_format(text, "<rect class=\"%s\" x=\"%.1f\" width=\"%.1f\" height=\"%d\"/>", name, *from,
                  width, HEIGHT);
    *from += width;
}

static void add_words(render_t *text, const sgp_status_member_t *member) {
    render_add(text, "compute ");
    words_ms(text, member->compute_ms);
    render_add(text, " ms, update ");
    words_ms(text, member->update_ms);
    render_add(text, " ms, wait ");
    words_ms(text, member->wait_ms);
    render_add(text, " ms");
}

static void add_bar(render_t *text, const sgp_status_member_t *member, const digest_t *digest,
                    size_t at, double scale) {
    const char *state = page_state(member, digest->slow[at]);
    double from = 0;
    render_format(text, "<tr class=\"%s\"><th scope=\"row\"><span class=\"mark\">%s</span> %d</th>",
                  state, page_mark(state), member->seat);
    render_format(text,
                  "<td class=\"bar\"><svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" "
                  "role=\"img\"><title>node %d: ",
                  WIDTH, HEIGHT, member->seat);
    add_words(text, member);
    render_add(text, "</title>");
    add_part(text, "compute", &from, scale * part(member->compute_ms));
    add_part(text, "update", &from, scale * part(member->update_ms));
    add_part(text, "wait", &from, scale * part(member->wait_ms));
    render_add(text, "</svg></td><td class=\"n\">");
    words_ms(text, whole(member));
    render_add(text, " ms</td></tr>\n");
}

static void add_bars(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest,
                     const sgp_status_member_t *const *shown /* (count) */, size_t count) {
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, whole(shown[i]));
    render_add(
        text, "<p class=\"key\"><span class=\"k compute\"></span> compute <span class=\"k update\">"
              "</span> update and push <span class=\"k wait\"></span> wait</p>\n"
              "<div class=\"scroll\"><table class=\"bars\"><tbody>\n");
    for (size_t i = 0; i < count; i++)
        add_bar(text, shown[i], digest, (size_t)(shown[i] - snapshot->member), WIDTH / most);
    render_add(text, "</tbody></table></div>\n");
}

/* Few members in order of seat; of many those that compute longest. */
void page_bars(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest) {
    const sgp_status_member_t **all = calloc(snapshot->members + 1, sizeof *all);
    size_t count = 0;
    if (!all) {
        text->failed = true;
        return;
    }
    for (size_t i = 0; i < snapshot->members; i++)
        if (has_bar(&snapshot->member[i])) all[count++] = &snapshot->member[i];
    size_t shown = count;
    if (count > PAGE_ROWS) {
        qsort(all, count, sizeof *all, compare_work);
        shown = PAGE_ROWS;
    }
    render_add(text, "<section id=\"time\">\n<h2>Where a step's time goes</h2>\n");
    if (shown < count) {
        render_format(text, "<p class=\"soft\">The %zu of ", shown);
        words_count(text, count);
        render_add(text, " members that compute longest.</p>\n");
    }
    if (count) add_bars(text, snapshot, digest, all, shown);
    else render_add(text, "<p class=\"soft\">No member has taken a step yet.</p>\n");
    render_add(text, "</section>\n");
    free(all);
}
