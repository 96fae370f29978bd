/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_number.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NARROW_SPACE "\xe2\x80\xaf" /* does not break a line */

static const char *none(char *text) {
    return strcpy(text, NUMBER_NONE);
}

const char *number_text(const char *format, double value, char text[NUMBER_TEXT]) {
    if (!isfinite(value)) return strcpy(text, "-");
    snprintf(text, NUMBER_TEXT, format, value);
    return text;
}

const char *number_percent(double fraction, char text[NUMBER_TEXT]) {
    double percent = 100 * fraction;
    if (!isfinite(fraction)) return none(text);
    if (fraction > 0 && percent < 0.005)
        return strcpy(text, "<" NARROW_SPACE "0.01" NARROW_SPACE "%");
    if (fraction < 1 && percent >= 99.995)
        return strcpy(text, ">" NARROW_SPACE "99.99" NARROW_SPACE "%");
    snprintf(text, NUMBER_TEXT, "%.2f" NARROW_SPACE "%%", percent);
    return text;
}

const char *number_duration(double seconds, char text[NUMBER_TEXT]) {
    if (!(seconds >= 0) || seconds > 1e9) return none(text);
    if (seconds > 0 && seconds < 0.0995)
        snprintf(text, NUMBER_TEXT, "%.2g" NARROW_SPACE "ms", 1e3 * seconds);
    else if (seconds < 9.995) snprintf(text, NUMBER_TEXT, "%.2f" NARROW_SPACE "s", seconds);
    else if (seconds < 99.95) snprintf(text, NUMBER_TEXT, "%.1f" NARROW_SPACE "s", seconds);
    else if (seconds < 3599.5)
        snprintf(text, NUMBER_TEXT, "%.0f" NARROW_SPACE "min %.0f" NARROW_SPACE "s",
                 floor(round(seconds) / 60), fmod(round(seconds), 60));
    else
        snprintf(text, NUMBER_TEXT, "%.0f" NARROW_SPACE "h %.0f" NARROW_SPACE "min",
                 floor(round(seconds / 60) / 60), fmod(round(seconds / 60), 60));
    return text;
}

const char *number_count(double count, char text[NUMBER_TEXT]) {
    char digits[32];
    size_t used = 0;
    if (!isfinite(count)) return none(text);
    if (fabs(count) >= 1e15) {
        snprintf(text, NUMBER_TEXT, "%.3g", count);
        return text;
    }
    int length = snprintf(digits, sizeof digits, "%.0f", count);
    for (int i = 0; i < length; i++) {
        bool group = i > 0 && length > 4 && (length - i) % 3 == 0 && digits[i - 1] != '-';
        used += (size_t)snprintf(text + used, NUMBER_TEXT - used, "%s%c", group ? NARROW_SPACE : "",
                                 digits[i]);
    }
    return text;
}

const char *number_short(double count, char text[NUMBER_TEXT]) {
    static const char *const units[] = {"", " k", " M", " G", " T"};
    int unit = 0;
    if (!isfinite(count)) return none(text);
    for (; fabs(count) >= 999.5 && unit < 4; unit++) count /= 1000;
    int decimals = unit == 0 || fabs(count) >= 99.95 ? 0 : fabs(count) >= 9.995 ? 1 : 2;
    snprintf(text, NUMBER_TEXT, "%.*f%s", decimals, count, units[unit]);
    return text;
}

const char *number_ratio(double ratio, char text[NUMBER_TEXT]) {
    if (!isfinite(ratio)) return none(text);
    if (ratio >= 9.995) snprintf(text, NUMBER_TEXT, "%.0f", ratio);
    else if (ratio >= 0.0995) snprintf(text, NUMBER_TEXT, "%.2f", ratio);
    else snprintf(text, NUMBER_TEXT, "%.2g", ratio);
    return text;
}

/* Below a tenth of a point one decimal would show 0.0 or double the difference. */
const char *number_points(double fraction, double reference, const char *noun, char text[96]) {
    double points = 100 * (fraction - reference);
    if (fraction == reference) snprintf(text, 96, "the same %s", noun);
    else if (fabs(points) < 0.005) snprintf(text, 96, "the same %s within 0.01 points", noun);
    else
        snprintf(text, 96, "%.*f points %s %s", fabs(points) < 0.095 ? 2 : 1, fabs(points),
                 points < 0 ? "less" : "more", noun);
    return text;
}
