/* SPDX-License-Identifier: Apache-2.0 */
#include "base/state_description.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

void sgp_describe_text(sgp_state_description_t *description, const char *name, const char *text) {
    size_t left = sizeof description->text - description->length;
    int written = snprintf(description->text + description->length, left, "%s%s=%s",
                           description->length ? " " : "", name, text);
    if (written > 0 && (size_t)written < left) description->length += (size_t)written;
    description->text[description->length] = 0;
}

void sgp_describe_integer(sgp_state_description_t *description, const char *name, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    sgp_describe_text(description, name, text);
}

void sgp_describe_size(sgp_state_description_t *description, const char *name, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    sgp_describe_text(description, name, text);
}

/* The decimal point is the locale's, and may have several bytes. */
void sgp_describe_float(sgp_state_description_t *description, const char *name, float value) {
    char printed[32], text[32];
    size_t length = 0;
    snprintf(printed, sizeof printed, "%.9g", (double)value);
    for (const char *at = printed; *at; at++)
        if (strchr("0123456789+-einfa", *at)) text[length++] = *at;
        else if (length == 0 || text[length - 1] != '.') text[length++] = '.';
    text[length] = 0;
    sgp_describe_text(description, name, text);
}

void sgp_describe_place(sgp_state_description_t *description, const char *name, int place, int of) {
    char text[32];
    snprintf(text, sizeof text, "%d/%d", place, of);
    sgp_describe_text(description, name, text);
}

void sgp_describe_bytes(sgp_state_description_t *description, const char *name, const void *bytes,
                        size_t count) {
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, (uint64_t)XXH3_64bits(bytes, count));
    sgp_describe_text(description, name, text);
}
