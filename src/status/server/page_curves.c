/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/page_parts.h"

#include "status/server/render_words.h"

#include <math.h>

/* The drawing is stretched to the width of the page, so the letters stand beside it, in HTML. */
enum { WIDTH = 1000, HEIGHT = 240, INTERVALS = 4 };

typedef struct range {
    double low, high;
} range_t;

/* false: no point is finite. */
static bool range_of(const sgp_status_curve_t *curve, range_t *values, range_t *times) {
    bool found = false;
    for (size_t i = 0; i < curve->count; i++) {
        const sgp_status_point_t *point = &curve->point[i];
        if (!isfinite(point->value) || !isfinite(point->seconds)) continue;
        if (!found) {
            *values = (range_t){point->value, point->value};
            *times = (range_t){point->seconds, point->seconds};
        }
        found = true;
        values->low = fmin(values->low, point->value);
        values->high = fmax(values->high, point->value);
        times->low = fmin(times->low, point->seconds);
        times->high = fmax(times->high, point->seconds);
    }
    return found;
}

/* 1, 2, 2.5 or 5 times a power of ten, at least `least`. */
static double round_step(double least) {
    static const double steps[] = {1, 2, 2.5, 5, 10};
    double power = pow(10, floor(log10(least)));
    int i = 0;
    while (i < 4 && steps[i] * power < least * (1 - 1e-9)) i++;
    return steps[i] * power;
}

typedef struct axis {
    double low, step;
    int intervals;
} axis_t;

/* Round steps around the values, so many of them or a few more. */
static axis_t axis_of(range_t values) {
    double spread = values.high - values.low;
    if (!(spread > 1e-9 * fabs(values.high))) spread = fmax(fabs(values.high) / 10, 1e-6);
    double step = round_step(spread / INTERVALS), low = step * floor(values.low / step + 1e-9);
    int intervals = (int)ceil((values.high - low) / step - 1e-9);
    return (axis_t){low, step, intervals > 0 ? intervals : 1};
}

static double place(range_t range, double value) {
    return range.high > range.low ? (value - range.low) / (range.high - range.low) : 0.5;
}

static void add_path(render_t *text, const sgp_status_curve_t *curve, range_t values,
                     range_t times) {
    char command = 'M';
    render_add(text, "<path class=\"curve\" d=\"");
    for (size_t i = 0; i < curve->count; i++) {
        const sgp_status_point_t *point = &curve->point[i];
        if (!isfinite(point->value) || !isfinite(point->seconds)) {
            command = 'M'; /* a gap */
            continue;
        }
        render_format(text, "%c%.1f %.1f", command, WIDTH * place(times, point->seconds),
                      HEIGHT * (1 - place(values, point->value)));
        command = 'L';
    }
    render_add(text, "\"/>");
}

static void add_tick(render_t *text, double value, bool percent, double step) {
    int decimals = 0;
    double unit = percent ? 100 * step : step;
    while (decimals < 9 && fabs(unit - round(unit)) > 1e-6 * unit) {
        unit *= 10;
        decimals++;
    }
    render_format(text, "<span>%.*f%s</span>", decimals, percent ? 100 * value : value,
                  percent ? " %" : "");
}

static void add_value(render_t *text, double value, bool percent) {
    if (percent) words_percent(text, value);
    else words_digits(text, value, 4);
}

static void add_drawing(render_t *text, const char *title, const sgp_status_curve_t *curve,
                        range_t values, range_t times, bool percent) {
    axis_t axis = axis_of(values);
    range_t shown = {axis.low, axis.low + axis.intervals * axis.step};
    render_add(text, "<div class=\"plot\"><div class=\"ticks\" aria-hidden=\"true\">");
    for (int i = axis.intervals; i >= 0; i--)
        add_tick(text, axis.low + i * axis.step, percent, axis.step);
    render_format(text,
                  "</div><svg class=\"chart\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" "
                  "role=\"img\" aria-label=\"%s: from ",
                  WIDTH, HEIGHT, title);
    add_value(text, values.low, percent);
    render_add(text, " to ");
    add_value(text, values.high, percent);
    render_add(text, "\"><path class=\"grid\" d=\"");
    for (int i = 0; i <= axis.intervals; i++)
        render_format(text, "M0 %.1fH%d", (double)(i * HEIGHT) / axis.intervals, WIDTH);
    render_add(text, "\"/>");
    add_path(text, curve, shown, times);
    render_add(text, "</svg><div class=\"times\" aria-hidden=\"true\"><span>");
    words_seconds(text, times.low);
    render_add(text, "</span><span>");
    words_seconds(text, times.high);
    if (curve->point[curve->count - 1].step > 0) {
        render_add(text, ", step ");
        words_count(text, (uint64_t)curve->point[curve->count - 1].step);
    }
    render_add(text, "</span></div></div>\n");
}

static void add_curve(render_t *text, const char *title, const sgp_status_curve_t *curve,
                      bool percent) {
    range_t values = {0}, times = {0};
    render_format(text, "<figure><figcaption><b>%s</b>", title);
    if (!range_of(curve, &values, &times)) {
        render_add(text, "</figcaption><p class=\"soft\">None has been reported yet.</p></figure>");
        return;
    }
    render_add(text, " <span class=\"soft\">last ");
    add_value(text, curve->point[curve->count - 1].value, percent);
    render_format(text, ", %s ", percent ? "best" : "least");
    add_value(text, percent ? values.high : values.low, percent);
    render_add(text, "</span></figcaption>\n");
    add_drawing(text, title, curve, values, times, percent);
    render_add(text, "</figure>\n");
}

void page_curves(render_t *text, const sgp_status_snapshot_t *snapshot) {
    render_add(text, "<section id=\"curves\">\n<h2>Learning</h2>\n<div class=\"pair\">\n");
    add_curve(text, "Loss", &snapshot->loss, false);
    add_curve(text, "Accuracy", &snapshot->accuracy, true);
    render_add(text, "</div>\n</section>\n");
}
