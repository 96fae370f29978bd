/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/page_frame.h"

#include "status/server/page_assets.h"
#include "status/server/page_parts.h"
#include "status/server/render_words.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define DOT " \xc2\xb7 "

static const char *name_of(const sgp_status_snapshot_t *snapshot) {
    return *snapshot->run ? snapshot->run : "a run without a name";
}

/* ---- the head ---- */

static void add_fact(render_t *text, const char *fact) {
    if (!*fact) return;
    render_html(text, fact);
    render_add(text, DOT);
}

static void add_title(render_t *text, const sgp_status_snapshot_t *snapshot) {
    render_add(text, "<section id=\"title\" class=\"bare\">\n<h1>");
    render_html(text, name_of(snapshot));
    render_add(text, "</h1>\n<p class=\"soft\">");
    add_fact(text, snapshot->algorithm);
    add_fact(text, snapshot->graph);
    add_fact(text, snapshot->encoding);
    add_fact(text, snapshot->transport);
    render_format(text, "as node %d sees it", snapshot->self);
    render_add(text, snapshot->finished ? DOT "<b>finished</b> after " : DOT "running for ");
    words_seconds(text, snapshot->seconds);
    render_add(text, "</p>\n</section>\n");
}

static void begin_figure(render_t *text, const char *name) {
    render_format(text, "<div><dt>%s</dt><dd>", name);
}

/* note: NULL: none. */
static void end_figure(render_t *text, const char *note) {
    if (note) render_format(text, "<small>%s</small>", note);
    render_add(text, "</dd></div>\n");
}

static void add_progress(render_t *text, const sgp_status_snapshot_t *snapshot,
                         const digest_t *digest) {
    begin_figure(text, "step");
    words_count(text, digest->step);
    if (digest->step_min < digest->step) {
        render_add(text, "<small>the last at ");
        words_count(text, digest->step_min);
        render_add(text, "</small>");
    }
    end_figure(text, NULL);
    begin_figure(text, "epoch");
    words_count(text, digest->epoch);
    if (snapshot->epochs) {
        render_add(text, "<small>of ");
        words_count(text, snapshot->epochs);
        render_add(text, "</small>");
    }
    end_figure(text, NULL);
    begin_figure(text, "time left");
    words_seconds(text, snapshot->seconds_left);
    end_figure(text, NULL);
    begin_figure(text, "samples/s");
    words_speed(text, digest->samples_per_second);
    end_figure(text, NULL);
}

static void add_figures(render_t *text, const sgp_status_snapshot_t *snapshot,
                        const digest_t *digest) {
    render_add(text, "<section id=\"figures\" class=\"bare\">\n<dl>\n");
    begin_figure(text, "members live");
    words_count(text, digest->live);
    render_add(text, " / ");
    words_count(text, snapshot->members);
    end_figure(text, digest->live == snapshot->members ? NULL : "of all that took part");
    add_progress(text, snapshot, digest);
    begin_figure(text, "loss");
    words_digits(text, digest->loss, 4);
    end_figure(text, NULL);
    begin_figure(text, "accuracy");
    words_percent(text, digest->accuracy);
    end_figure(text, NULL);
    begin_figure(text, "consensus distance");
    words_digits(text, snapshot->distance, 3);
    if (snapshot->distance_step) {
        render_add(text, "<small>at step ");
        words_count(text, snapshot->distance_step);
        render_add(text, "</small>");
    }
    end_figure(text, NULL);
    render_add(text, "</dl>\n</section>\n");
}

/* ---- parts ---- */

static void add_parts(render_t *text, const sgp_status_snapshot_t *snapshot,
                      const digest_t *digest) {
    add_title(text, snapshot);
    add_figures(text, snapshot, digest);
    page_members(text, snapshot, digest);
    page_curves(text, snapshot);
    render_add(text, "<div class=\"pair\">\n");
    page_graph(text, snapshot, digest);
    page_bars(text, snapshot, digest);
    render_add(text, "</div>\n");
    page_log(text, snapshot);
}

void page_log(render_t *text, const sgp_status_snapshot_t *snapshot) {
    render_add(text, "<section id=\"log\">\n<h2>Last log lines</h2>\n");
    if (snapshot->lines == 0) render_add(text, "<p class=\"soft\">There is none yet.</p>\n");
    else render_add(text, "<ol class=\"log\">\n");
    for (size_t i = 0; i < snapshot->lines; i++) {
        const sgp_status_line_t *line = &snapshot->line[i];
        const char *level = words_level(line->level);
        render_format(text, "<li class=\"%s\"><span class=\"soft\">", level);
        words_seconds(text, line->seconds);
        render_format(text, "</span> <b>%s</b> <span>", level);
        render_html(text, line->text);
        render_add(text, "</span></li>\n");
    }
    render_add(text, snapshot->lines ? "</ol>\n</section>\n" : "</section>\n");
}

static void begin_page(render_t *text, const sgp_status_snapshot_t *snapshot, bool script) {
    render_add(text, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<link rel=\"icon\" href=\"data:,\">\n<title>");
    render_html(text, name_of(snapshot));
    render_add(text, DOT "sgp</title>\n<style>");
    render_bytes(text, page_style, page_style_size);
    render_add(text, "</style>\n");
    if (script) {
        render_add(text, "<script>");
        render_bytes(text, page_script, page_script_size);
        render_add(text, "</script>\n");
    }
    render_add(text, "</head>\n<body>\n<main>\n");
}

void page_render(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest,
                 bool flight) {
    begin_page(text, snapshot, true);
    render_add(text, "<p id=\"connection\" role=\"status\" hidden></p>\n<div id=\"parts\">\n");
    add_parts(text, snapshot, digest);
    render_add(text,
               "</div>\n<footer>\n<p><a href=\"status.json\">status.json</a>" DOT
               "<a href=\"metrics\">metrics</a>" DOT "<a href=\"members\">all members</a></p>\n");
    if (flight)
        render_add(text, "<form id=\"flight\" method=\"post\" action=\"flight\"><button>Write this "
                         "node's flight recorder</button> <span role=\"status\"></span></form>\n");
    render_add(text, "</footer>\n</main>\n</body>\n</html>\n");
}

void page_render_members(render_t *text, const sgp_status_snapshot_t *snapshot,
                         const digest_t *digest) {
    begin_page(text, snapshot, false);
    render_add(text, "<p><a href=\"./\">The whole run</a> <span class=\"soft\">This page shows one "
                     "moment; load it again for the next.</span></p>\n");
    add_title(text, snapshot);
    page_all_members(text, snapshot, digest);
    render_add(text, "</main>\n</body>\n</html>\n");
}

/* Each line of the parts is a line of data. */
void page_render_event(render_t *text, const sgp_status_snapshot_t *snapshot,
                       const digest_t *digest) {
    render_t parts = {0};
    add_parts(&parts, snapshot, digest);
    text->failed |= parts.failed;
    render_add(text, "event: status\n");
    for (size_t at = 0; at < parts.length;) {
        const char *end = memchr(parts.bytes + at, '\n', parts.length - at);
        size_t count = end ? (size_t)(end - parts.bytes) - at : parts.length - at;
        render_add(text, "data: ");
        render_bytes(text, parts.bytes + at, count);
        render_add(text, "\n");
        at += count + 1;
    }
    render_add(text, "\n");
    render_free(&parts);
}

/* ---- the policy ---- */

static void hash(const char *bytes, size_t size, char base64[64]) {
    unsigned char binary[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(binary, (const unsigned char *)bytes, size);
    sodium_bin2base64(base64, 64, binary, sizeof binary, sodium_base64_VARIANT_ORIGINAL);
}

void page_policy(char policy[PAGE_POLICY]) {
    char style[64], script[64];
    hash(page_style, page_style_size, style);
    hash(page_script, page_script_size, script);
    snprintf(
        policy, PAGE_POLICY,
        "default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; connect-src 'self'; "
        "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        style, script);
}
