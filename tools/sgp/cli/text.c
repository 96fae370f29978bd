/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of the character with this first byte; 0: no character begins so. */
static int length_of(unsigned char first) {
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return 2;
    if (first >= 0xe0 && first <= 0xef) return 3;
    if (first >= 0xf0 && first <= 0xf4) return 4;
    return 0;
}

/* Refuses overlong forms, surrogates, and code points that XML does not allow. */
static bool is_character(uint32_t character, int length) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (character < smallest[length] || character > 0x10ffff) return false;
    if (character >= 0xd800 && character <= 0xdfff) return false;
    return (character & 0xfffe) != 0xfffe;
}

uint32_t text_next(const char **text) {
    const unsigned char *bytes = (const unsigned char *)*text;
    int length = length_of(bytes[0]);
    if (bytes[0] == '\0') return 0;
    uint32_t character = length == 1 ? bytes[0] : bytes[0] & (0xffU >> (length + 1));
    for (int i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) length = 0;
        else character = character << 6 | (bytes[i] & 0x3f);
    }
    *text += length ? length : 1;
    return length && is_character(character, length) ? character : TEXT_UNKNOWN;
}

void text_put(FILE *out, uint32_t character) {
    if (character < 0x80) {
        fputc((int)character, out);
    } else if (character < 0x800) {
        fputc((int)(0xc0 | character >> 6), out);
        fputc((int)(0x80 | (character & 0x3f)), out);
    } else {
        if (character < 0x10000) fputc((int)(0xe0 | character >> 12), out);
        else {
            fputc((int)(0xf0 | character >> 18), out);
            fputc((int)(0x80 | (character >> 12 & 0x3f)), out);
        }
        fputc((int)(0x80 | (character >> 6 & 0x3f)), out);
        fputc((int)(0x80 | (character & 0x3f)), out);
    }
}

char *text_clean(const char *text) {
    char *clean = NULL;
    size_t length;
    FILE *out = open_memstream(&clean, &length);
    if (!out) return NULL;
    for (uint32_t c = text_next(&text); c; c = text_next(&text))
        text_put(out, c < 0x20 || (c >= 0x7f && c < 0xa0) ? TEXT_UNKNOWN : c);
    if (fclose(out) == 0) return clean;
    free(clean);
    return NULL;
}

int text_length(const char *text) {
    int count = 0;
    while (text_next(&text)) count++;
    return count;
}

char *text_shorten(const char *text, int most) {
    int count = text_length(text), head = most / 2, tail = most - head - 1;
    if (count <= most) return strdup(text);
    char *shortened = NULL;
    size_t length;
    FILE *out = open_memstream(&shortened, &length);
    if (!out) return NULL;
    for (int i = 0; i < count; i++) {
        uint32_t character = text_next(&text);
        if (i == head) text_put(out, 0x2026); /* an ellipsis */
        if (i < head || i >= count - tail) text_put(out, character);
    }
    if (fclose(out) == 0) return shortened;
    free(shortened);
    return NULL;
}

void text_wrap(FILE *out, const char *text, int indent, int width) {
    int column = 0;
    while (*text) {
        int bytes = (int)strcspn(text, " \n"), word = 0;
        for (const char *at = text; at < text + bytes; word++) text_next(&at);
        if (column > indent && column + 1 + word > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > 0) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", bytes, text);
        column += word;
        text += bytes;
        text += strspn(text, " \n");
    }
    fputc('\n', out);
}

void text_html(FILE *out, const char *text) {
    for (; *text; text++) {
        if (strchr("<>&\"'`", *text)) fprintf(out, "&#%d;", *text);
        else fputc(*text, out);
    }
}

void text_markdown(FILE *out, const char *text) {
    for (; *text; text++) {
        if (strchr("<>&", *text)) fprintf(out, "&#%d;", *text);
        else {
            if (strchr("\\`*_[]|~", *text)) fputc('\\', out);
            fputc(*text, out);
        }
    }
}
