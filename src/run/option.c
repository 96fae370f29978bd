/* SPDX-License-Identifier: Apache-2.0 */
#include "run/option.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool option_is_flag(const option_t *option) {
    return option->type <= OPTION_SWITCH;
}

bool option_listed(const char *list, const char *name) {
    size_t length = strlen(name);
    while (list && *list) {
        size_t word = strcspn(list, ", ");
        if (word == length && strncmp(list, name, length) == 0) return true;
        list += word;
        list += strspn(list, ", ");
    }
    return false;
}

const char *option_choices(const option_t *option) {
    return option->list ? option->list() : option->choices;
}

/* ---- from text ---- */

static bool read_flag(const option_t *option, const char *text, void *value) {
    bool on = strcmp(text, "on") == 0;
    if (!on && strcmp(text, "off") != 0) return false;
    if (option->type == OPTION_SWITCH) *(int *)value = on;
    else *(bool *)value = on;
    return true;
}

static bool read_whole(const char *text, int64_t *number) {
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    *number = parsed;
    return end != text && *end == '\0' && errno == 0;
}

static bool read_seed(const char *text, uint64_t *value) {
    char *end;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 10);
    *value = parsed;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static bool read_real(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*value);
}

static bool read_int(const char *text, int *value) {
    int64_t number;
    if (!read_whole(text, &number) || number < INT32_MIN || number > INT32_MAX) return false;
    *value = (int)number;
    return true;
}

/* Without regard to range and choices. */
static bool read_value(const option_t *option, const char *text, void *value) {
    switch (option->type) {
    case OPTION_STRING:
    case OPTION_CHOICE:
        *(const char **)value = text;
        return *text != '\0';
    case OPTION_INT:
        return read_int(text, value);
    case OPTION_LONG:
        return read_whole(text, value);
    case OPTION_SEED:
        return read_seed(text, value);
    case OPTION_REAL:
        return read_real(text, value);
    case OPTION_PARSED:
        return option->parse(text, value);
    default:
        return read_flag(option, text, value);
    }
}

/* Written so that NaN is outside. */
static bool in_range(const option_t *option, double value) {
    return value >= option->min && value <= option->max;
}

static bool is_right(const option_t *option, const void *value) {
    switch (option->type) {
    case OPTION_STRING:
        return *(const char *const *)value != NULL;
    case OPTION_CHOICE:
        return *(const char *const *)value &&
               option_listed(option_choices(option), *(const char *const *)value);
    case OPTION_INT:
        return in_range(option, *(const int *)value);
    case OPTION_LONG:
        return in_range(option, (double)*(const int64_t *)value);
    case OPTION_REAL:
        return in_range(option, *(const double *)value);
    default:
        return true;
    }
}

bool option_parse(const option_t *option, const char *text, void *base) {
    void *value = (char *)base + option->offset;
    return *text && read_value(option, text, value) && is_right(option, value);
}

/* ---- the default ---- */

static void set_zero(const option_t *option, void *value) {
    switch (option->type) {
    case OPTION_FLAG:
    case OPTION_OFF:
        *(bool *)value = option->type == OPTION_OFF;
        break;
    case OPTION_SWITCH:
        *(int *)value = -1;
        break;
    case OPTION_STRING:
    case OPTION_CHOICE:
        *(const char **)value = NULL;
        break;
    case OPTION_INT:
        *(int *)value = 0;
        break;
    case OPTION_LONG:
        *(int64_t *)value = 0;
        break;
    case OPTION_SEED:
        *(uint64_t *)value = 0;
        break;
    case OPTION_REAL:
        *(double *)value = 0;
        break;
    case OPTION_PARSED:
        break;
    }
}

void option_init(const option_t *option, void *base) {
    void *value = (char *)base + option->offset;
    if (option->initial) read_value(option, option->initial, value);
    else set_zero(option, value);
}

/* Room for the value of any type but OPTION_PARSED. */
typedef union option_value {
    bool flag;
    int number;
    int64_t longer;
    uint64_t seed;
    double real;
    const char *text;
} option_value_t;

static void default_of(const option_t *option, option_value_t *value) {
    option_t row = *option;
    row.offset = 0;
    option_init(&row, value);
}

/* A number may be negative to say that it is not given. */
static bool is_absent(const option_t *option, const void *value) {
    bool can_be = option->type == OPTION_REAL && option->initial && option->initial[0] == '-';
    return can_be && *(const double *)value < option->min;
}

bool option_valid(const option_t *option, const void *base) {
    const void *value = (const char *)base + option->offset;
    option_value_t fallback;
    if (option->type == OPTION_PARSED || is_right(option, value)) return true;
    default_of(option, &fallback);
    switch (option->type) {
    case OPTION_STRING:
    case OPTION_CHOICE:
        return !fallback.text && !*(const char *const *)value;
    case OPTION_INT:
        return fallback.number == *(const int *)value;
    case OPTION_LONG:
        return fallback.longer == *(const int64_t *)value;
    case OPTION_REAL:
        return fallback.real == *(const double *)value || is_absent(option, value);
    default:
        return true;
    }
}

/* ---- to text ---- */

static void print_value(const option_t *option, const void *value, int digits, char *text) {
    switch (option->type) {
    case OPTION_FLAG:
    case OPTION_OFF:
        snprintf(text, OPTION_TEXT, "%s", *(const bool *)value ? "on" : "off");
        break;
    case OPTION_SWITCH:
        if (*(const int *)value >= 0)
            snprintf(text, OPTION_TEXT, "%s", *(const int *)value ? "on" : "off");
        break;
    case OPTION_STRING:
    case OPTION_CHOICE:
        if (*(const char *const *)value)
            snprintf(text, OPTION_TEXT, "%s", *(const char *const *)value);
        break;
    case OPTION_INT:
        snprintf(text, OPTION_TEXT, "%d", *(const int *)value);
        break;
    case OPTION_LONG:
        snprintf(text, OPTION_TEXT, "%" PRId64, *(const int64_t *)value);
        break;
    case OPTION_SEED:
        snprintf(text, OPTION_TEXT, "%" PRIu64, *(const uint64_t *)value);
        break;
    case OPTION_REAL:
        snprintf(text, OPTION_TEXT, "%.*g", digits, *(const double *)value);
        break;
    case OPTION_PARSED:
        option->print(value, text);
        break;
    }
}

void option_print(const option_t *option, const void *base, int digits, char text[OPTION_TEXT]) {
    const void *value = (const char *)base + option->offset;
    text[0] = '\0';
    if (is_absent(option, value)) return;
    print_value(option, value, digits, text);
}

void option_default(const option_t *option, char text[OPTION_TEXT]) {
    option_value_t fallback;
    text[0] = '\0';
    if (option->shown) snprintf(text, OPTION_TEXT, "%s", option->shown);
    else if (option->type == OPTION_PARSED)
        snprintf(text, OPTION_TEXT, "%s", option->initial ? option->initial : "");
    else if (!option_is_flag(option)) {
        default_of(option, &fallback);
        print_value(option, &fallback, 6, text);
    }
}

const char *option_wanted(const option_t *option, char text[OPTION_TEXT]) {
    const char *choices = option_choices(option);
    if (option->wanted) snprintf(text, OPTION_TEXT, "%s", option->wanted);
    else if (choices && option->also) snprintf(text, OPTION_TEXT, "%s %s", choices, option->also);
    else if (choices) snprintf(text, OPTION_TEXT, "one of %s", choices);
    else if (option->min == option->max) snprintf(text, OPTION_TEXT, "%.0f", option->min);
    else snprintf(text, OPTION_TEXT, "a whole number from %.0f to %.0f", option->min, option->max);
    return text;
}
