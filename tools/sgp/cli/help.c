/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include "cli/text.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { HELP_COLUMN = 28, HELP_WIDTH = 78 };

/* "" where the option has no default to show. */
static void default_text(const option_t *option, const void *settings, char *text, size_t size) {
    const void *value = (const char *)settings + option->offset;
    text[0] = '\0';
    if (option->shown) {
        snprintf(text, size, "%s", option->shown);
        return;
    }
    switch (option->type) {
    case OPTION_STRING:
    case OPTION_CHOICE:
        if (*(const char *const *)value) snprintf(text, size, "%s", *(const char *const *)value);
        break;
    case OPTION_INT:
        snprintf(text, size, "%d", *(const int *)value);
        break;
    case OPTION_LONG:
        snprintf(text, size, "%" PRId64, *(const int64_t *)value);
        break;
    case OPTION_SEED:
        snprintf(text, size, "%" PRIu64, *(const uint64_t *)value);
        break;
    case OPTION_REAL:
        snprintf(text, size, "%g", *(const double *)value);
        break;
    default:
        break;
    }
}

/* Prints text from HELP_COLUMN on, in lines of HELP_WIDTH; the cursor is at `column`. */
static void print_wrapped(const char *text, int column) {
    if (column >= HELP_COLUMN) {
        putchar('\n');
        column = 0;
    }
    printf("%*s", HELP_COLUMN - column, "");
    column = HELP_COLUMN;
    while (*text) {
        int word = (int)strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + word > HELP_WIDTH) {
            printf("\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            putchar(' ');
            column++;
        }
        printf("%.*s", word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_option(const option_t *option, const void *settings) {
    char text[512], fallback[128];
    default_text(option, settings, fallback, sizeof fallback);
    const char *choices = option->list ? option->list() : option->choices;
    int length =
        snprintf(text, sizeof text, "%s%s%s%s%s%s", option->help, choices ? ": " : "",
                 choices ? choices : "", fallback[0] ? " (" : "", fallback, fallback[0] ? ")" : "");
    if (option->type == OPTION_ABSENT && length < (int)sizeof text)
        snprintf(text + length, sizeof text - (size_t)length, " (not in this version)");
    int column = printf("  --%s%s%s", option->name, option->argument ? " " : "",
                        option->argument ? option->argument : "");
    print_wrapped(text, column);
}

void options_help(const option_table_t *table, const void *settings) {
    printf("usage: %s\n\n", table->synopsis);
    text_wrap(stdout, table->about, 0, HELP_WIDTH);
    putchar('\n');
    for (size_t i = 0; i < table->count; i++) print_option(&table->options[i], settings);
}
