/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/watch_slow.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_FACTOR 1.5

static double number(const json_t *member, const char *key) {
    const json_t *value = json_object_get(member, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static double work_of(const json_t *member) {
    return number(member, "compute_ms") + number(member, "update_ms");
}

static double wait_of(const json_t *member) {
    return number(member, "wait_ms");
}

static bool is(const json_t *member, const char *condition) {
    const char *its = json_string_value(json_object_get(member, "condition"));
    return its && strcmp(its, condition) == 0;
}

static int compare(const void *a, const void *b) {
    const double *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

/* Over the live members that have the number; NAN: none has. values: scratch. */
static double median(const json_t *members, double (*of)(const json_t *), double *values) {
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        if (is(member, "live") && isfinite(of(member))) values[count++] = of(member);
    }
    if (count == 0) return NAN;
    qsort(values, count, sizeof *values, compare);
    return values[(count - 1) / 2];
}

void watch_slow_mark(json_t *members) {
    size_t count = json_array_size(members);
    double *values = calloc(count + 1, sizeof *values);
    if (!values) return;
    double work = median(members, work_of, values), wait = median(members, wait_of, values);
    free(values);
    for (size_t i = 0; i < count; i++) {
        json_t *member = json_array_get(members, i);
        bool here = is(member, "live") || is(member, "silent");
        bool slow =
            here && work > 0 && work_of(member) >= SLOW_FACTOR * work && wait_of(member) <= wait;
        json_object_set_new(member, "slow", json_boolean(slow));
    }
}
