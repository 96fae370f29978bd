/* SPDX-License-Identifier: Apache-2.0 */
/* Every line is made in a buffer, cut at the width, and then written. */
#include "watch/watch_text.h"

#include "cli/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 1024, CELL = 32, LEAST_WIDTH = 20, MOST_WIDTH = 240, SHOWN_LINES = 6 };

/* ---- lines ---- */

typedef struct page {
    FILE *out;
    const watch_style_t *style;
    const char *end;
    int width, left; /* lines left; INT_MAX: any number */
} page_t;

/* clean text of one column a character; colour: of the whole line, "": none. */
static void put_line(page_t *page, const char *text, const char *colour) {
    if (page->left <= 0) return;
    page->left--;
    bool coloured = page->style->colours && *colour;
    if (coloured) fputs(colour, page->out);
    const char *at = text;
    for (int columns = 0; *at && columns < page->width; columns++) {
        uint32_t c = text_next(&at);
        text_put(page->out, c >= 0x80 && !page->style->utf8 ? '?' : c);
    }
    if (coloured) fputs("\033[0m", page->out);
    fputs(page->end, page->out);
}

__attribute__((format(printf, 3, 4))) static void print_line(page_t *page, const char *colour,
                                                             const char *format, ...) {
    char text[LINE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put_line(page, text, colour);
}

#define PLAIN  ""
#define BOLD   "\033[1m"
#define RED    "\033[31m"
#define YELLOW "\033[33m"

/* Appends to a text of `room` bytes. */
__attribute__((format(printf, 3, 4))) static void append(char *text, size_t room,
                                                         const char *format, ...) {
    size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, room - length, format, arguments);
    va_end(arguments);
}

/* ---- numbers ---- */

/* A missing number is a dash. decimals: below 0: with an exponent. */
static const char *cell(double value, int decimals, char text[CELL]) {
    if (!isfinite(value)) return "-";
    if (decimals < 0 || fabs(value) >= 1e9) snprintf(text, CELL, "%.1e", value);
    else snprintf(text, CELL, "%.*f", decimals, value);
    return text;
}

static const char *duration(double seconds, char text[CELL]) {
    if (!(seconds >= 0 && seconds < 1e8)) return "-";
    long s = (long)(seconds + 0.5);
    if (s < 3600) snprintf(text, CELL, "%ld:%02ld", s / 60, s % 60);
    else snprintf(text, CELL, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    return text;
}

static const char *age_text(double seconds, char text[CELL]) {
    if (!(seconds >= 0 && seconds < 1e8)) return "-";
    if (seconds < 120) snprintf(text, CELL, "%.0f s", seconds);
    else if (seconds < 7200) snprintf(text, CELL, "%.0f min", seconds / 60);
    else snprintf(text, CELL, "%.0f h", seconds / 3600);
    return text;
}

/* ---- the head ---- */

static void put_title(page_t *page, const watch_view_t *view) {
    char text[LINE] = "";
    const char *name = *view->directory ? view->directory : view->run;
    append(text, sizeof text, "%s%s%s", *view->state ? view->state : "unknown", *name ? ": " : "",
           name);
    if (*view->model) append(text, sizeof text, "  %s", view->model);
    if (*view->algorithm) append(text, sizeof text, "  %s", view->algorithm);
    if (*view->graph) append(text, sizeof text, ", %s", view->graph);
    if (*view->encoding && strcmp(view->encoding, "float32") != 0)
        append(text, sizeof text, ", %s", view->encoding);
    put_line(page, text, watch_view_is_good(view) ? BOLD : RED);
    if (*view->reason) print_line(page, PLAIN, "  %s", view->reason);
}

static void put_progress(page_t *page, const watch_view_t *view) {
    char text[LINE] = "", number[CELL], more[CELL];
    append(text, sizeof text, "epoch %s", cell(view->epoch, 0, number));
    if (view->epochs > 0) append(text, sizeof text, "/%s", cell(view->epochs, 0, number));
    append(text, sizeof text, "  step %s", cell(view->step, 0, number));
    if (view->steps > 0) append(text, sizeof text, "/%s", cell(view->steps, 0, number));
    append(text, sizeof text, "  %s samples/s", cell(view->samples_per_second, 0, number));
    append(text, sizeof text, "  %s", duration(view->seconds, number));
    if (isfinite(view->seconds_left))
        append(text, sizeof text, ", %s left", duration(view->seconds_left, more));
    put_line(page, text, PLAIN);
    *text = '\0';
    append(text, sizeof text, "loss %s", cell(view->loss, 4, number));
    append(text, sizeof text, "  accuracy %s", cell(view->accuracy, 4, number));
    if (isfinite(view->average_model_accuracy))
        append(text, sizeof text, " (averaged model %s)",
               cell(view->average_model_accuracy, 4, number));
    append(text, sizeof text, "  distance %s", cell(view->distance, -1, number));
    put_line(page, text, PLAIN);
}

/* The mean of the part of the curve that a column stands for. */
static double part_of(const watch_view_t *view, int column, int columns) {
    int begin = column * view->points / columns, end = (column + 1) * view->points / columns;
    double sum = 0;
    for (int i = begin; i < end; i++) sum += view->curve[i];
    return sum / (end - begin);
}

static void put_curve(page_t *page, const watch_view_t *view) {
    static const char *const blocks[] = {"\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83",
                                         "\xe2\x96\x84", "\xe2\x96\x85", "\xe2\x96\x86",
                                         "\xe2\x96\x87", "\xe2\x96\x88"};
    char text[LINE] = "loss ", number[CELL], more[CELL];
    int columns = page->width - 30;
    if (columns > view->points) columns = view->points;
    if (columns > 100) columns = 100;
    if (columns < 2) return;
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < columns; i++) {
        low = fmin(low, part_of(view, i, columns));
        high = fmax(high, part_of(view, i, columns));
    }
    for (int i = 0; i < columns; i++) {
        int level =
            high > low ? (int)((part_of(view, i, columns) - low) / (high - low) * 7.999) : 0;
        if (page->style->utf8) append(text, sizeof text, "%s", blocks[level]);
        else append(text, sizeof text, "%d", level);
    }
    append(text, sizeof text, " %s to %s", cell(view->curve[0], 4, number),
           cell(view->curve[view->points - 1], 4, more));
    put_line(page, text, PLAIN);
}

/* ---- the members ---- */

/* The columns, and from which width on each is there. */
enum { AT_LOSS = 43, AT_SPEED = 54, AT_AGE = 63, AT_BAR = 76, AT_HOST = 100, HOST = 14 };

static const char *word_of(const watch_view_t *view, const view_member_t *member) {
    static const char *const words[] = {"live", "silent", "joining", "left", "gone", "?"};
    bool done = member->condition == VIEW_LEFT && !isfinite(member->gone_step);
    if (done && strcmp(view->state, "running") != 0) return "done";
    return member->slow ? "SLOW" : words[member->condition];
}

/* The ones to look at come first where not all have room. */
static int rank_of(const view_member_t *member) {
    if (member->slow) return 0;
    switch (member->condition) {
    case VIEW_SILENT:
        return 1;
    case VIEW_GONE:
        return 2;
    case VIEW_JOINING:
        return 3;
    case VIEW_LEFT:
        return 5;
    default:
        return 4;
    }
}

static const char *colour_of(const view_member_t *member) {
    if (member->condition == VIEW_GONE) return RED;
    return member->slow || member->condition == VIEW_SILENT ? YELLOW : PLAIN;
}

/* "#" computes, "+" updates, "." waits. most: milliseconds of the whole bar. */
static void append_bar(char *text, size_t room, const view_member_t *member, double most,
                       int columns) {
    const double parts[] = {member->compute_ms, member->update_ms, member->wait_ms};
    double sum = 0;
    int drawn = 0;
    if (!(most > 0)) return;
    for (int i = 0; i < 3; i++) {
        if (isfinite(parts[i]) && parts[i] > 0) sum += parts[i];
        int until = (int)(fmin(sum / most, 1) * columns + 0.5);
        for (; drawn < until; drawn++) append(text, room, "%c", "#+."[i]);
    }
}

static void put_head(page_t *page) {
    char text[LINE] = "";
    append(text, sizeof text, "%6s %-7s", "node", "state");
    if (page->width >= AT_HOST) append(text, sizeof text, " %-*s", HOST, "host");
    append(text, sizeof text, " %9s", "step");
    if (page->width >= AT_LOSS) append(text, sizeof text, " %9s", "loss");
    if (page->width >= AT_SPEED) append(text, sizeof text, " %10s", "samples/s");
    if (page->width >= AT_AGE) append(text, sizeof text, " %8s", "age");
    append(text, sizeof text, " %8s", "step ms");
    put_line(page, text, BOLD);
}

/* Who takes part no more, since which step and why. */
static bool put_absent(page_t *page, const watch_view_t *view, const view_member_t *member) {
    char number[CELL];
    if (!isfinite(member->gone_step)) return false;
    print_line(page, colour_of(member), "%6s %-7s step %s%s%s", member->name, word_of(view, member),
               cell(member->gone_step, 0, number), *member->reason ? ": " : "", member->reason);
    return true;
}

static void append_host(char *text, size_t room, const view_member_t *member) {
    char *host = text_shorten(member->host, HOST);
    append(text, room, " %s%*s", host ? host : "", HOST - (host ? text_length(host) : 0), "");
    free(host);
}

static void put_member(page_t *page, const watch_view_t *view, const view_member_t *member,
                       double most) {
    char text[LINE] = "", number[CELL];
    if (put_absent(page, view, member)) return;
    append(text, sizeof text, "%6s %-7s", member->name, word_of(view, member));
    if (page->width >= AT_HOST) append_host(text, sizeof text, member);
    append(text, sizeof text, " %9s", cell(member->step, 0, number));
    if (page->width >= AT_LOSS) append(text, sizeof text, " %9s", cell(member->loss, 4, number));
    if (page->width >= AT_SPEED)
        append(text, sizeof text, " %10s", cell(member->samples_per_second, 0, number));
    if (page->width >= AT_AGE) append(text, sizeof text, " %8s", age_text(member->age, number));
    append(text, sizeof text, " %8s", cell(member->step_ms, 1, number));
    bool fits = text_length(text) + 2 + text_length(member->reason) <= page->width;
    if (*member->reason && fits) append(text, sizeof text, "  %s", member->reason);
    else if (page->width >= AT_BAR && member->step_ms > 0) {
        append(text, sizeof text, "  ");
        append_bar(text, sizeof text, member, most, page->width - text_length(text));
    }
    put_line(page, text, colour_of(member));
}

static double longest_step(const watch_view_t *view) {
    double most = 0;
    for (int i = 0; i < view->members; i++) most = fmax(most, view->member[i].step_ms);
    return most;
}

/* Those of the first ranks, `room` of them, in order of seats. */
static void put_members(page_t *page, const watch_view_t *view, int room) {
    double most = longest_step(view);
    int counts[6] = {0}, last = 0, of_last = 0, left = room;
    for (int i = 0; i < view->members; i++) counts[rank_of(&view->member[i])]++;
    for (last = 0; last < 6 && counts[last] <= left; last++) left -= counts[last];
    of_last = left;
    put_head(page);
    for (int i = 0; i < view->members; i++) {
        int rank = rank_of(&view->member[i]);
        if (rank > last || (rank == last && of_last-- <= 0)) continue;
        put_member(page, view, &view->member[i], most);
    }
    int hidden = view->members - room;
    if (view->total > view->members) hidden += (int)fmin(view->total - view->members, 1e6);
    if (hidden > 0) print_line(page, PLAIN, "%6s %d more", "...", hidden);
}

static void put_log(page_t *page, const watch_view_t *view) {
    int shown = view->lines < SHOWN_LINES ? view->lines : SHOWN_LINES;
    if (shown > 0) put_line(page, "", PLAIN);
    for (int i = view->lines - shown; i < view->lines; i++) put_line(page, view->line[i], PLAIN);
}

/* ---- all ---- */

void watch_text_draw(FILE *out, const watch_view_t *view, const watch_style_t *style,
                     const char *end) {
    char number[CELL], more[CELL];
    int width = style->width < LEAST_WIDTH  ? LEAST_WIDTH
                : style->width > MOST_WIDTH ? MOST_WIDTH
                                            : style->width;
    page_t page = {.out = out,
                   .style = style,
                   .end = end,
                   .width = width,
                   .left = style->height > 0 ? style->height : 1 << 30};
    put_title(&page, view);
    put_progress(&page, view);
    put_curve(&page, view);
    print_line(&page, PLAIN, "%s of %s nodes live%s", cell(view->live, 0, number),
               cell(view->total, 0, more),
               width >= AT_BAR ? "    of a step # computes, + updates, . waits" : "");
    int room = page.left - 1; /* and the line that says how many are hidden */
    if (room >= view->members) room = view->members;
    else room--;
    put_members(&page, view, room > 0 ? room : 0);
    put_log(&page, view);
}

watch_style_t watch_style_of(int width, int height, bool terminal) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    const char *locale = NULL, *no_colour = getenv("NO_COLOR"), *kind = getenv("TERM");
    for (int i = 0; i < 3 && !(locale && *locale); i++) locale = getenv(names[i]);
    bool utf8 = locale && (strcasestr(locale, "utf-8") || strcasestr(locale, "utf8"));
    bool plain = (no_colour && *no_colour) || !kind || strcmp(kind, "dumb") == 0;
    return (watch_style_t){
        .width = width, .height = height, .utf8 = utf8, .colours = terminal && !plain};
}
