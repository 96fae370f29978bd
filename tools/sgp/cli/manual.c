/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a subcommand in man's markup, for docs/sgp.1; scripts/make-manual puts them there. */
#include "cli/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* One character; a dash would become a hyphen, and a dot or an apostrophe would begin a request. */
static void put(char letter, bool begins, FILE *out) {
    if (letter == '-' || letter == '\\') fprintf(out, "\\%c", letter == '-' ? '-' : 'e');
    else fprintf(out, "%s%c", begins && (letter == '.' || letter == '\'') ? "\\&" : "", letter);
}

static void put_word(const char *word, size_t length, const char *font, FILE *out) {
    if (*font) fprintf(out, "\\f%s", font);
    for (size_t i = 0; i < length; i++) put(word[i], false, out);
    if (*font) fputs("\\fR", out);
}

/* "--name" at text is bold: its length, 0 if there is none. */
static size_t option_length(const char *text) {
    size_t length = 2;
    if (strncmp(text, "--", 2) != 0) return 0;
    while (islower((unsigned char)text[length]) || text[length] == '-') length++;
    return length > 2 ? length : 0;
}

/* The argument's name as a word of its own is italic. */
static size_t argument_length(const char *before, const char *text, const char *argument) {
    size_t length = argument ? strlen(argument) : 0;
    bool begins = before == text || !isalnum((unsigned char)text[-1]);
    if (length == 0 || !begins || strncmp(text, argument, length) != 0) return 0;
    return isalnum((unsigned char)text[length]) ? 0 : length;
}

/* One sentence a line. */
static void put_text(const char *text, const char *argument, FILE *out) {
    for (const char *at = text; *at;) {
        size_t bold = option_length(at), italic = argument_length(text, at, argument);
        const char *end = *at == '*' ? strchr(at + 1, '*') : NULL;
        bool sentence = at > text && *at == ' ' && at[-1] == '.';
        if (bold) put_word(at, bold, "B", out);
        else if (italic) put_word(at, italic, "I", out);
        else if (end) put_word(at + 1, (size_t)(end - at) - 1, "B", out);
        else put(sentence ? '\n' : *at, at == text || at[-1] == '\n', out);
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

void options_manual(const option_table_t *table, FILE *out) {
    int part;
    fprintf(out, ".SH OPTIONS OF SGP ");
    for (const char *letter = table->command; *letter; letter++)
        fputc(toupper((unsigned char)*letter), out);
    fputc('\n', out);
    for (const option_t *option = NULL; (option = options_next(table, option, &part));) {
        const option_part_t *shared = &table->parts[part];
        if (!shared->manual) put_option(option, out);
        else if (option == shared->rows) {
            fputs(".TP\n", out);
            put_text(shared->manual, NULL, out);
            fputc('\n', out);
        }
    }
}
