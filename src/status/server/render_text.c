/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/render_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void render_free(render_t *text) {
    free(text->bytes);
    *text = (render_t){0};
}

static bool make_room(render_t *text, size_t count) {
    if (text->failed) return false;
    if (count <= text->room - text->length) return true;
    size_t room = text->room ? text->room : 4096;
    while (room - text->length < count) room *= 2;
    char *bytes = realloc(text->bytes, room);
    if (!bytes) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->room = room;
    return true;
}

void render_bytes(render_t *text, const char *bytes, size_t count) {
    if (count == 0 || !make_room(text, count)) return;
    memcpy(text->bytes + text->length, bytes, count);
    text->length += count;
}

void render_add(render_t *text, const char *plain) {
    render_bytes(text, plain, strlen(plain));
}

void render_format(render_t *text, const char *format, ...) {
    enum { MOST = 512 }; /* of what this module formats; longer texts go through render_add */
    if (!make_room(text, MOST)) return;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->bytes + text->length, MOST, format, arguments);
    va_end(arguments);
    text->length += length < MOST ? (size_t)length : MOST - 1;
}

/* ---- foreign text ---- */

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Bytes of the character at the beginning of `bytes`, which is not empty; 0: it is not UTF-8 (RFC 3629). */
static size_t character(const unsigned char *bytes) {
    unsigned first = bytes[0], low = 0x80, high = 0xbf;
    if (first < 0x80) return 1;
    size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
    for (size_t i = 1; i < length; i++) { /* a 0 byte ends it, too */
        if (bytes[i] < low || bytes[i] > high) return 0;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

/* C0, DEL and C1, and the characters that change the direction of the text around them. */
static bool is_control(const unsigned char *bytes, size_t length) {
    if (length == 1) return bytes[0] < 0x20 || bytes[0] == 0x7f;
    if (length == 2) return bytes[0] == 0xc2 && bytes[1] < 0xa0;
    if (length != 3 || bytes[0] != 0xe2) return false;
    return (bytes[1] == 0x80 && bytes[2] >= 0xaa && bytes[2] <= 0xae) ||
           (bytes[1] == 0x81 && bytes[2] >= 0xa6 && bytes[2] <= 0xa9);
}

/* escape: of one ASCII character; NULL: it stands for itself. */
static void add_foreign(render_t *text, const char *foreign, const char *(*escape)(char)) {
    const unsigned char *at = (const unsigned char *)foreign;
    while (*at) {
        size_t length = character(at);
        const char *instead = length == 1 ? escape((char)*at) : NULL;
        if (length == 0 || is_control(at, length)) instead = REPLACEMENT;
        if (instead) render_add(text, instead);
        else render_bytes(text, (const char *)at, length);
        at += length ? length : 1;
    }
}

static const char *escape_html(char c) {
    switch (c) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

static const char *escape_quoted(char c) {
    return c == '"' ? "\\\"" : c == '\\' ? "\\\\" : NULL;
}

void render_html(render_t *text, const char *foreign) {
    add_foreign(text, foreign, escape_html);
}

static void add_quoted(render_t *text, const char *foreign) {
    render_add(text, "\"");
    add_foreign(text, foreign, escape_quoted);
    render_add(text, "\"");
}

void render_json_string(render_t *text, const char *foreign) {
    add_quoted(text, foreign);
}

void render_label(render_t *text, const char *foreign) {
    add_quoted(text, foreign);
}

/* ---- numbers ---- */

void render_number(render_t *text, double number, const char *otherwise) {
    char digits[40];
    if (!isfinite(number)) {
        render_add(text, otherwise);
        return;
    }
    if (fabs(number) < 1e15 && number == (double)(long long)number && !signbit(number)) {
        render_format(text, "%lld", (long long)number);
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, number);
        if (strtod(digits, NULL) == number) break;
    }
    render_add(text, digits);
}
