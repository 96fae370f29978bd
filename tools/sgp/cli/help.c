/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include "cli/text.h"

#include <stdio.h>
#include <string.h>

enum { HELP_COLUMN = 28, HELP_WIDTH = 78 };

void options_spelling(const option_t *option, char text[OPTION_SPELLING]) {
    const char *format = option->type == OPTION_OFF      ? "--no-%s"
                         : option->type == OPTION_SWITCH ? "--%s, --no-%s"
                                                         : "--%s";
    snprintf(text, OPTION_SPELLING, format, option->name, option->name);
}

/* Choices stand behind the first clause of the help. */
void options_text(const option_t *option, char *text, size_t room) {
    char fallback[OPTION_TEXT];
    const char *choices = option_choices(option), *also = option->also;
    const char *rest = choices ? strchr(option->help, ';') : NULL;
    int clause = (int)(rest ? (size_t)(rest - option->help) : strlen(option->help));
    option_default(option, fallback);
    snprintf(text, room, "%.*s%s%s%s%s%s%s%s%s", clause, option->help, choices ? ": " : "",
             choices ? choices : "", also ? " " : "", also ? also : "", rest ? rest : "",
             fallback[0] ? " (" : "", fallback, fallback[0] ? ")" : "");
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

static void print_option(const option_t *option) {
    char text[1024], spelling[OPTION_SPELLING];
    options_text(option, text, sizeof text);
    options_spelling(option, spelling);
    int column = printf("  %s%s%s", spelling, option->argument ? " " : "",
                        option->argument ? option->argument : "");
    print_wrapped(text, column);
}

const char *options_heading(int section) {
    static const char *const headings[SECTION_COUNT] = {
        "Nodes and messages", "Averaging",   "Training",    "Files",
        "Watching a run",     "Experiments", "This program"};
    return headings[section];
}

static void print_section(const option_table_t *table, int section) {
    int part;
    printf("\n%s:\n", options_heading(section));
    for (const option_t *option = NULL; (option = options_next(table, option, &part));)
        if ((int)option->section == section) print_option(option);
}

static void print_all(const option_table_t *table) {
    int part;
    putchar('\n');
    for (const option_t *option = NULL; (option = options_next(table, option, &part));)
        print_option(option);
}

void options_help(const option_table_t *table) {
    printf("usage: %s\n\n", table->synopsis);
    text_wrap(stdout, table->about, 0, HELP_WIDTH);
    for (int section = 0; section < SECTION_COUNT && table->sections; section++)
        print_section(table, section);
    if (!table->sections) print_all(table);
}
