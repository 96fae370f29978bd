/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/render_words.h"

#include <sgp/log.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define UNKNOWN "\xe2\x80\x93" /* an en dash */

void words_count(render_t *text, uint64_t count) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) render_add(text, ",");
        render_bytes(text, digits + i, 1);
    }
}

/* Three significant digits, none of them behind a number from 100 on. */
static void add_three(render_t *text, double number) {
    render_format(text, "%.*f", number < 9.995 ? 2 : number < 99.95 ? 1 : 0, number);
}

static void add_scaled(render_t *text, double bytes, const char *behind) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    enum { UNITS = sizeof units / sizeof *units };
    int unit = 0;
    if (!isfinite(bytes)) {
        render_add(text, UNKNOWN);
        return;
    }
    for (; bytes >= 999.5 && unit < UNITS - 1; unit++) bytes /= 1000;
    if (unit == 0) render_format(text, "%.0f", bytes);
    else add_three(text, bytes);
    render_format(text, " %s%s", units[unit], behind);
}

void words_bytes(render_t *text, double bytes) {
    add_scaled(text, bytes, "");
}

void words_rate(render_t *text, double bytes_per_second) {
    add_scaled(text, bytes_per_second, "/s");
}

void words_speed(render_t *text, double per_second) {
    if (!isfinite(per_second) || per_second < 0 || per_second > 1e18) render_add(text, UNKNOWN);
    else if (per_second < 99.95) add_three(text, per_second);
    else words_count(text, (uint64_t)llround(per_second));
}

void words_ms(render_t *text, double ms) {
    if (!isfinite(ms)) render_add(text, UNKNOWN);
    else if (ms != 0 && fabs(ms) < 0.9995) render_format(text, "%.3f", ms);
    else add_three(text, ms);
}

void words_seconds(render_t *text, double seconds) {
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e12) {
        render_add(text, UNKNOWN);
        return;
    }
    if (seconds == 0) {
        render_add(text, "0 s");
        return;
    }
    if (seconds < 9.95) {
        render_format(text, "%.1f s", seconds);
        return;
    }
    long long whole = llround(seconds), minutes = whole / 60, hours = minutes / 60;
    if (whole < 60) render_format(text, "%lld s", whole);
    else if (minutes < 60) render_format(text, "%lld min %lld s", minutes, whole % 60);
    else if (hours < 24) render_format(text, "%lld h %lld min", hours, minutes % 60);
    else render_format(text, "%lld d %lld h", hours / 24, hours % 24);
}

void words_percent(render_t *text, double fraction) {
    if (isfinite(fraction)) render_format(text, "%.2f %%", 100 * fraction);
    else render_add(text, UNKNOWN);
}

void words_digits(render_t *text, double number, int digits) {
    if (isfinite(number)) render_format(text, "%.*g", digits, number);
    else render_add(text, UNKNOWN);
}

const char *words_condition(sgp_status_condition_t condition) {
    switch (condition) {
    case SGP_STATUS_LIVE:
        return "live";
    case SGP_STATUS_SILENT:
        return "silent";
    case SGP_STATUS_JOINING:
        return "joining";
    case SGP_STATUS_LEFT:
        return "left";
    case SGP_STATUS_GONE:
        break;
    }
    return "gone";
}

const char *words_level(int level) {
    switch (level) {
    case SGP_LOG_ERROR:
        return "error";
    case SGP_LOG_WARNING:
        return "warning";
    case SGP_LOG_DEBUG:
        return "debug";
    default:
        return "info";
    }
}
