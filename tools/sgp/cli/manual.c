/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a subcommand in man's markup, for docs/sgp.1; scripts/make-manual puts them there. */
#include "cli/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* One character of text. At the beginning of a line a dot or an apostrophe would be a request. */
static void put(char letter, bool begins, FILE *out) {
    if (begins && (letter == '.' || letter == '\'')) fputs("\\&", out);
    fputc(letter, out);
}

/* A word in a font, with dashes that stay dashes. */
static void put_word(const char *word, size_t length, const char *font, FILE *out) {
    fprintf(out, "\\f%s", font);
    for (size_t i = 0; i < length; i++) fprintf(out, word[i] == '-' ? "\\%c" : "%c", word[i]);
    fputs("\\fR", out);
}

/* "--name" at text is bold: its length, or 0. */
static size_t option_length(const char *text) {
    size_t length = 2;
    if (strncmp(text, "--", 2) != 0) return 0;
    while (islower((unsigned char)text[length]) || text[length] == '-') length++;
    return length > 2 ? length : 0;
}

static bool in_word(char letter) {
    return isalnum((unsigned char)letter) || letter == '_';
}

/* The argument's name as a word of its own is italic: its length, or 0. */
static size_t argument_length(const char *before, const char *text, const char *argument) {
    size_t length = argument ? strlen(argument) : 0;
    bool begins = before == text || !in_word(text[-1]);
    if (length == 0 || !begins || strncmp(text, argument, length) != 0) return 0;
    return in_word(text[length]) ? 0 : length;
}

/* Whether the space at `at` ends a sentence; "..." does not. */
static bool ends_sentence(const char *text, const char *at) {
    return *at == ' ' && at - text >= 2 && at[-1] == '.' && at[-2] != '.';
}

/* One sentence a line. */
static void put_text(const char *text, const char *argument, FILE *out) {
    bool begins = true;
    for (const char *at = text; *at;) {
        size_t bold = option_length(at), italic = argument_length(text, at, argument);
        const char *end = *at == '*' ? strchr(at + 1, '*') : NULL;
        bool sentence = ends_sentence(text, at);
        if (bold) put_word(at, bold, "B", out);
        else if (italic) put_word(at, italic, "I", out);
        else if (end) put_word(at + 1, (size_t)(end - at) - 1, "B", out);
        else put(sentence ? '\n' : *at, begins, out);
        begins = sentence;
        at += bold ? bold : italic ? italic : end ? (size_t)(end - at) + 1 : 1;
    }
}

static void put_option(const option_t *option, FILE *out) {
    char text[1024], spelling[OPTION_SPELLING];
    options_text(option, text, sizeof text);
    options_spelling(option, spelling);
    text[0] = (char)toupper((unsigned char)text[0]);
    fputs(".TP\n", out);
    put_text(spelling, NULL, out);
    if (option->argument) fputc(' ', out);
    if (option->argument) put_word(option->argument, strlen(option->argument), "I", out);
    fputc('\n', out);
    put_text(text, option->argument, out);
    fputs(".\n", out);
    if (!option->more) return;
    put_text(option->more, option->argument, out);
    fputc('\n', out);
}

static void put_heading(const option_table_t *table, FILE *out) {
    fprintf(out, ".SH OPTIONS OF SGP ");
    for (const char *letter = table->command; *letter; letter++)
        fputc(toupper((unsigned char)*letter), out);
    fputc('\n', out);
    if (!table->manual) return;
    put_text(table->manual, NULL, out);
    fputc('\n', out);
}

/* Part of a table that another section describes. */
static void put_reference(const char *text, FILE *out) {
    fputs(".PP\n", out);
    put_text(text, NULL, out);
    fputc('\n', out);
}

static bool is_shown(const option_t *option) {
    return strcmp(option->name, "help") != 0;
}

static void put_section(const option_table_t *table, int section, FILE *out) {
    int part;
    if (table->sections) fprintf(out, ".SS %s\n", options_heading(section));
    for (const option_t *option = NULL; (option = options_next(table, option, &part));) {
        const option_part_t *of = &table->parts[part];
        if (!is_shown(option) || (table->sections && (int)option->section != section)) continue;
        if (!of->manual) put_option(option, out);
        else if (option == of->rows) put_reference(of->manual, out);
    }
}

void options_manual(const option_table_t *table, FILE *out) {
    int part;
    const option_t *first = options_next(table, NULL, &part);
    if (!is_shown(first)) return;
    put_heading(table, out);
    for (int section = 0; section < (table->sections ? SECTION_COUNT : 1); section++)
        put_section(table, section, out);
}
