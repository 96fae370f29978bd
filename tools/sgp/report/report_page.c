/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_page.h"

#include "report/report_style.h"
#include "cli/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* gnuplot draws on white with colours chosen for white; a dark colour scheme inverts the lightness and keeps the
 * hues. The narrow picture's letters are 13 pixels in 336, the wide one's 15 in 860: the page shows the picture whose
 * letters are large enough. On a phone, and in a report about one run, a row of results is a card. */
/* clang-format off */
#define CARDS(scope)                                                                               \
    scope " thead{display:none}"                                                                   \
    scope "," scope " tbody," scope " td{display:block}"                                           \
    scope " tr{display:grid;grid-template-columns:repeat(auto-fill,minmax(96px,1fr));"             \
    "gap:10px 12px;padding:12px 0;border-bottom:1px solid var(--line)}"                            \
    scope " tr:last-child{border:0}"                                                               \
    scope " td{border:0;padding:0;text-align:left;white-space:normal}"                             \
    scope " td:first-child{grid-column:1/-1}"                                                      \
    scope " td[data-label]:before{content:attr(data-label);display:block;font-size:.85em;"         \
    "color:var(--soft)}\n"

static const char style_sheet[] =
    ":root{color-scheme:light dark;--ink:#1d1d1f;--soft:#5c5f66;--line:#d9dce1;--page:#f4f5f7;"
    "--card:#fff;--note:#fff6dd;--bad:#fde8e6;--alarm:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e9eaec;--soft:#a6abb5;--line:#3a3e46;"
    "--page:#17181b;--card:#212121;--note:#3d3417;--bad:#4a2220;--alarm:#ff9d94}"
    ".picture svg,.sample{filter:invert(.87) hue-rotate(180deg)}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:1080px;margin:0 auto;padding:24px 16px 48px}\n"
    "h1{font-size:1.7em;line-height:1.2;margin:0 0 .3em;overflow-wrap:anywhere}\n"
    "h2{font-size:1.2em;margin:0 0 .2em}\n"
    "p{margin:.3em 0;overflow-wrap:anywhere}\n"
    ".lead{font-size:1.15em}\n"
    ".soft,figcaption{color:var(--soft)}\n"
    ".card,figure{background:var(--card);border:1px solid var(--line);border-radius:10px;"
    "margin:18px 0;padding:16px 20px;min-width:0;overflow-wrap:anywhere}\n"
    "figcaption{font-size:.9em;margin:0 0 10px}\n"
    ".note{background:var(--note)}\n"
    ".bad{background:var(--bad);border-color:var(--alarm)}\n"
    ".picture{overflow:hidden}\n"
    ".picture svg{display:block;width:100%;height:auto;max-width:860px;margin:0 auto}\n"
    ".narrow{display:none}\n"
    ".scroll{overflow-x:auto;max-width:100%}\n"
    "table{overflow-wrap:normal;border-collapse:collapse;font-size:.9em;font-variant-numeric:"
    "tabular-nums}\n"
    ".runs{width:100%;margin-top:10px}\n"
    "th,td{padding:6px 7px;border-bottom:1px solid var(--line);text-align:left;"
    "vertical-align:bottom}\n"
    "td{white-space:nowrap;vertical-align:top}\n"
    "th.n,td.n{text-align:right}\n"
    "th:first-child,td:first-child{padding-left:0}th:last-child,td:last-child{padding-right:0}\n"
    "tr:last-child td{border-bottom:0}\n"
    "h3{font-size:1em;margin:.8em 0 .2em}\n"
    ".runs td:first-child{font-weight:600;white-space:normal;min-width:120px}\n"
    "td small{display:block;font-weight:400;color:var(--soft);overflow-wrap:anywhere}\n"
    "td small.alarm{color:var(--alarm)}\n"
    ".sample{background:#fff;border-radius:3px;flex:none;margin-top:.3em}\n"
    ".name{display:flex;align-items:flex-start;gap:8px}\n"
    "details{border-top:1px solid var(--line);padding:8px 0}\n"
    "summary{cursor:pointer}\n"
    "code{font-size:.9em;overflow-wrap:anywhere}\n"
    "td.value{white-space:normal;overflow-wrap:anywhere}\n"
    CARDS(".single")
    ".single td[data-label]{font-size:1.1em}\n"
    "@media(max-width:899px){" CARDS(".runs") "}\n"
    "@media(max-width:767px){main{padding:16px 4px 32px}h1{padding:0 6px}"
    ".card,figure{padding:12px 9px;border-radius:6px}.wide{display:none}.narrow{display:block}"
    ".picture svg{max-width:520px}main>p:not(.card){padding:0 6px}}\n";
/* clang-format on */

void page_begin(FILE *out, const char *title) {
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          out);
    text_html(out, title);
    fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", style_sheet);
    text_html(out, title);
    fputs("</h1>\n", out);
}

void page_end(FILE *out) {
    fputs("</main>\n</body>\n</html>\n", out);
}

/* The mark of a run, drawn as gnuplot draws it. */
static void print_mark(FILE *out, const report_style_t *style) {
    static const struct {
        int mark;
        const char *shape;
    } shapes[] = {
        {7, "<circle cx=\"18\" cy=\"7\" r=\"4\" %s/>"},
        {6, "<circle cx=\"18\" cy=\"7\" r=\"4\" %s/>"},
        {5, "<rect x=\"14\" y=\"3\" width=\"8\" height=\"8\" %s/>"},
        {4, "<rect x=\"14\" y=\"3\" width=\"8\" height=\"8\" %s/>"},
        {9, "<path d=\"M18 2l5 8h-10z\" %s/>"},
        {11, "<path d=\"M18 12l5-8h-10z\" %s/>"},
        {13, "<path d=\"M18 1.5l5.5 5.5-5.5 5.5-5.5-5.5z\" %s/>"},
    };
    char paint[64];
    bool open = style->mark == 6 || style->mark == 4;
    snprintf(paint, sizeof paint, open ? "fill=\"none\" stroke=\"%s\"" : "fill=\"%s\"",
             style->color);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (shapes[i].mark != style->mark) continue;
        const char *hole = strstr(shapes[i].shape, "%s");
        fprintf(out, "%.*s%s%s", (int)(hole - shapes[i].shape), shapes[i].shape, paint, hole + 2);
    }
}

void page_sample(FILE *out, const report_t *report, int run) {
    report_style_t style = report_style(report, run);
    fprintf(out,
            "<svg class=\"sample\" width=\"36\" height=\"14\" viewBox=\"0 0 36 14\" "
            "aria-hidden=\"true\"><path d=\"M0 7h36\" fill=\"none\" stroke=\"%s\" "
            "stroke-width=\"2\" stroke-dasharray=\"%s\"/>",
            style.color, *style.dash ? style.dash : "none");
    print_mark(out, &style);
    fputs("</svg>", out);
}

void page_head_cell(FILE *out, const report_column_t *column) {
    fprintf(out, "<th class=\"n\">%s</th>", column->title);
}

void page_cell(FILE *out, const report_run_t *run, const report_column_t *column) {
    char *cell = report_cell(run, column);
    fprintf(out, "<td class=\"n\" data-label=\"%s\">", column->title);
    text_html(out, cell ? cell : "");
    fputs("</td>", out);
    free(cell);
}

void page_name_begin(FILE *out, const report_t *report, int run, const char *name) {
    fputs("<tr><td><div class=\"name\">", out);
    if (report->count > 1) page_sample(out, report, run);
    fputs("<div><span>", out);
    text_html(out, name);
    fputs("</span>", out);
}

void page_name_line(FILE *out, const char *text, bool alarming) {
    if (!text || !*text) return;
    fputs(alarming ? "<small class=\"alarm\">" : "<small>", out);
    text_html(out, text);
    fputs("</small>", out);
}

void page_name_end(FILE *out) {
    fputs("</div></div></td>", out);
}

void page_plot(FILE *out, const report_plot_t *plot) {
    fprintf(out, "<figure id=\"%s\">\n<h2>%s</h2>\n<figcaption>", plot->name, plot->title);
    text_html(out, plot->note ? plot->note : "");
    fputs("</figcaption>\n", out);
    if (plot->wide && plot->narrow)
        fprintf(out,
                "<div class=\"picture wide\">%s</div>\n<div class=\"picture narrow\">%s</div>\n",
                plot->wide, plot->narrow);
    else fputs("<p>There is nothing to draw.</p>\n", out);
    fputs("</figure>\n", out);
}

static void print_value(FILE *out, const json_t *value) {
    char *text = json_is_string(value)
                     ? text_clean(json_string_value(value))
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    text_html(out, text ? text : "");
    free(text);
}

void page_part(FILE *out, const char *name, json_t *part) {
    const char *key;
    json_t *value;
    char *clean = text_clean(name);
    fputs("<h3>", out);
    text_html(out, clean ? clean : "");
    fputs("</h3>\n<div class=\"scroll\"><table>\n", out);
    free(clean);
    json_object_foreach(part, key, value) {
        clean = text_clean(key);
        fputs("<tr><td>", out);
        text_html(out, clean ? clean : "");
        fputs("</td><td class=\"value\">", out);
        print_value(out, value);
        fputs("</td></tr>\n", out);
        free(clean);
    }
    fputs("</table></div>\n", out);
}
