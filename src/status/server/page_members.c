/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/page_parts.h"

#include "status/server/render_words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { MOST_NOTES = 8 };

const char *page_state(const sgp_status_member_t *member, bool slow) {
    if (slow && member->condition == SGP_STATUS_LIVE) return "slow";
    return words_condition(member->condition);
}

const char *page_mark(const char *state) {
    static const char *const marks[][2] = {
        {"live", "&#9679;"},    /* a disc */
        {"slow", "&#9670;"},    /* a diamond */
        {"silent", "&#9650;"},  /* a triangle */
        {"joining", "&#9632;"}, /* a square */
        {"left", "&#9675;"},    /* a circle */
        {"gone", "&#10005;"},   /* a cross */
    };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (strcmp(marks[i][0], state) == 0) return marks[i][1];
    return "";
}

/* ---- trouble in words ---- */

static void add_reason(render_t *text, const char *reason) {
    if (!*reason) return;
    render_add(text, ": ");
    render_html(text, reason);
}

static void add_factor(render_t *text, const sgp_status_member_t *member, const digest_t *digest) {
    words_digits(text, digest_work(member) / digest->work_ms, 2);
    render_add(text, " &times; the median");
}

static void add_note(render_t *text, const sgp_status_member_t *member, bool slow,
                     const digest_t *digest) {
    const char *state = page_state(member, slow);
    render_format(text, "<li class=\"%s\"><b><span class=\"mark\">%s</span> Node %d ", state,
                  page_mark(state), member->seat);
    switch (member->condition) {
    case SGP_STATUS_GONE:
        render_add(text, "is gone</b> since step ");
        words_count(text, member->gone_step);
        add_reason(text, member->reason);
        break;
    case SGP_STATUS_SILENT:
        render_add(text, "is silent</b> for ");
        words_seconds(text, member->age);
        add_reason(text, member->reason);
        break;
    case SGP_STATUS_JOINING:
        render_add(text, "is joining</b>");
        add_reason(text, member->reason);
        break;
    default:
        render_add(text, "is slow</b>: it computes for ");
        words_ms(text, digest_work(member));
        render_add(text, " ms a step, ");
        add_factor(text, member, digest);
    }
    render_add(text, "</li>\n");
}

static void add_notes(render_t *text, const sgp_status_snapshot_t *snapshot,
                      const digest_t *digest) {
    size_t shown = digest->troubled < MOST_NOTES ? digest->troubled : MOST_NOTES;
    if (shown == 0) return;
    render_add(text, "<ul class=\"notes\">\n");
    for (size_t i = 0; i < shown; i++) {
        size_t at = digest->order[i];
        add_note(text, &snapshot->member[at], digest->slow[at], digest);
    }
    if (shown < digest->troubled) {
        render_add(text, "<li>and ");
        words_count(text, digest->troubled - shown);
        render_add(text, " more</li>\n");
    }
    render_add(text, "</ul>\n");
}

/* ---- the table ---- */

static const char head[] =
    "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Members\">"
    "<table class=\"members\"><thead><tr><th scope=\"col\">node</th><th "
    "scope=\"col\">condition</th>"
    "<th scope=\"col\">host</th><th scope=\"col\" class=\"n\">step</th>"
    "<th scope=\"col\" class=\"n\">samples/s</th><th scope=\"col\" class=\"n\">step, ms</th>"
    "<th scope=\"col\" class=\"n\">compute</th><th scope=\"col\" class=\"n\">update</th>"
    "<th scope=\"col\" class=\"n\">wait</th><th scope=\"col\" class=\"n\">loss</th>"
    "<th scope=\"col\" class=\"n\">accuracy</th><th scope=\"col\" class=\"n\">weight</th>"
    "<th scope=\"col\" class=\"n\">sent</th><th scope=\"col\" class=\"n\">received</th>"
    "<th scope=\"col\">messages</th><th scope=\"col\" class=\"n\">memory</th>"
    "<th scope=\"col\" class=\"n\">heard</th></tr></thead>\n<tbody>\n";

/* Cells of the class `more` are left out on a phone, of members without trouble. */
static void begin_cell(render_t *text, const char *label) {
    static const char *const most[] = {"step", "step, ms", "wait"};
    const char *more = " more";
    for (size_t i = 0; i < sizeof most / sizeof *most; i++)
        if (strcmp(most[i], label) == 0) more = "";
    render_format(text, "<td class=\"n%s\" data-label=\"%s\">", more, label);
}

static void add_ms(render_t *text, const char *label, double ms) {
    begin_cell(text, label);
    words_ms(text, ms);
    render_add(text, "</td>");
}

static void add_bytes(render_t *text, const char *label, double bytes, uint64_t messages,
                      const char *unit) {
    begin_cell(text, label);
    words_bytes(text, bytes);
    if (unit) {
        render_add(text, "<small>");
        words_count(text, messages);
        render_format(text, " %s</small>", unit);
    }
    render_add(text, "</td>");
}

static void add_condition(render_t *text, const sgp_status_member_t *member, bool slow,
                          const digest_t *digest) {
    const char *state = page_state(member, slow);
    bool ended = member->condition == SGP_STATUS_GONE || member->condition == SGP_STATUS_LEFT;
    render_format(text, "<td data-label=\"condition\"><span class=\"mark\">%s</span> %s",
                  page_mark(state), state);
    if (ended) {
        render_add(text, "<small>after step ");
        words_count(text, member->gone_step);
        render_add(text, "</small>");
    }
    if (slow) {
        render_add(text, "<small>");
        add_factor(text, member, digest);
        render_add(text, "</small>");
    }
    if (*member->reason) {
        render_add(text, "<small>");
        render_html(text, member->reason);
        render_add(text, "</small>");
    }
    render_add(text, "</td>");
}

static void add_speed(render_t *text, const sgp_status_member_t *member) {
    begin_cell(text, "step");
    words_count(text, member->step);
    if (member->epoch) {
        render_add(text, "<small>epoch ");
        words_count(text, member->epoch);
        render_add(text, "</small>");
    }
    render_add(text, "</td>");
    begin_cell(text, "samples/s");
    words_speed(text, member->samples_per_second);
    render_add(text, "</td>");
    add_ms(text, "step, ms", member->step_ms);
    add_ms(text, "compute", member->compute_ms);
    add_ms(text, "update", member->update_ms);
    add_ms(text, "wait", member->wait_ms);
}

static void add_learning(render_t *text, const sgp_status_member_t *member) {
    begin_cell(text, "loss");
    words_digits(text, member->loss, 4);
    render_add(text, "</td>");
    begin_cell(text, "accuracy");
    words_percent(text, member->accuracy);
    render_add(text, "</td>");
    begin_cell(text, "weight");
    words_digits(text, member->weight, 4);
    render_add(text, "</td>");
}

/* The kinds of trouble that have occurred. */
static void add_messages(render_t *text, const sgp_status_member_t *member) {
    const struct {
        const char *name;
        uint64_t count;
    } kinds[] = {{"lost", member->lost},
                 {"late", member->late},
                 {"refused", member->refused},
                 {"resent", member->resent}};
    int shown = 0;
    render_add(text, "<td class=\"more\" data-label=\"messages\">");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].count == 0) continue;
        render_add(text, shown++ ? "<br>" : "");
        words_count(text, kinds[i].count);
        render_format(text, " %s", kinds[i].name);
    }
    render_add(text, shown ? "</td>" : "all well</td>");
}

static void add_row(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest,
                    size_t at) {
    const sgp_status_member_t *member = &snapshot->member[at];
    bool slow = digest->slow[at];
    render_format(text, "<tr class=\"%s\"><th scope=\"row\">%d", page_state(member, slow),
                  member->seat);
    if (member->incarnation)
        render_format(text, "<small>use %" PRIu64 "</small>", (uint64_t)member->incarnation + 1);
    if (member->seat == snapshot->self) render_add(text, "<small>this node</small>");
    render_add(text, "</th>");
    add_condition(text, member, slow, digest);
    render_add(text, "<td class=\"host\" data-label=\"host\">");
    render_html(text, *member->host ? member->host : "\xe2\x80\x93");
    render_add(text, "</td>");
    add_speed(text, member);
    add_learning(text, member);
    add_bytes(text, "sent", member->bytes_sent, member->sent, "msg");
    add_bytes(text, "received", member->bytes_received, member->received, "msg");
    add_messages(text, member);
    add_bytes(text, "memory", member->memory ? (double)member->memory : NAN, 0, NULL);
    begin_cell(text, "heard");
    words_seconds(text, member->age);
    render_add(text, isfinite(member->age) ? " ago</td></tr>\n" : "</td></tr>\n");
}

/* The members first to end - 1 in order of trouble. */
static void add_table(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest,
                      size_t first, size_t end) {
    render_add(text, head);
    for (size_t i = first; i < end; i++) add_row(text, snapshot, digest, digest->order[i]);
    render_add(text, "</tbody></table></div>\n");
}

void page_all_members(render_t *text, const sgp_status_snapshot_t *snapshot,
                      const digest_t *digest) {
    render_add(text, "<section id=\"members\" class=\"whole\">\n<h2>Members</h2>\n");
    add_table(text, snapshot, digest, 0, snapshot->members);
    render_add(text, "</section>\n");
}

/* Of a large group: those in trouble, and the others folded away or behind a link. */
static void add_folded(render_t *text, const sgp_status_snapshot_t *snapshot,
                       const digest_t *digest) {
    size_t shown = digest->troubled, rest;
    if (snapshot->members > PAGE_EACH && shown > PAGE_ROWS) shown = PAGE_ROWS;
    rest = snapshot->members - shown;
    if (shown) add_table(text, snapshot, digest, 0, shown);
    if (rest == 0) return;
    if (snapshot->members > PAGE_EACH) {
        render_add(text, "<p><a href=\"members\">All ");
        words_count(text, snapshot->members);
        render_add(text, " members</a> <span class=\"soft\">");
        words_count(text, rest);
        render_format(text, " %s not in this table</span></p>\n", rest == 1 ? "is" : "are");
        return;
    }
    render_add(text, "<details id=\"healthy\"><summary>");
    words_count(text, rest);
    render_add(text, shown ? " others, without trouble" : " members, all without trouble");
    render_add(text, "</summary>\n");
    add_table(text, snapshot, digest, shown, snapshot->members);
    render_add(text, "</details>\n");
}

void page_members(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest) {
    render_add(text, "<section id=\"members\">\n<h2>Members</h2>\n");
    add_notes(text, snapshot, digest);
    if (snapshot->members == 0) render_add(text, "<p class=\"soft\">None is known yet.</p>\n");
    else if (snapshot->members <= PAGE_ALL) add_table(text, snapshot, digest, 0, snapshot->members);
    else add_folded(text, snapshot, digest);
    render_add(text, "</section>\n");
}
