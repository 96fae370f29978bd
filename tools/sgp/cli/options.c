/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include "cli/message.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { CHOICE_TEXT = 64, LINE_WIDTH = 80 };

/* Edits (insertions, deletions, changes of one character) between two names. */
static int edits(const char *a, const char *b) {
    enum { LONGEST = 64 };
    size_t columns = strlen(b);
    int row[LONGEST + 1];
    if (strlen(a) > LONGEST || columns > LONGEST) return LONGEST;
    for (size_t j = 0; j <= columns; j++) row[j] = (int)j;
    for (size_t i = 1; a[i - 1]; i++) {
        int diagonal = row[0]; /* distance of a[0, i - 1) and b[0, j - 1) */
        row[0] = (int)i;
        for (size_t j = 1; j <= columns; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[columns];
}

bool options_near(const char *given, const char *name, int *best) {
    int most = (int)strlen(given) / 2 < 3 ? (int)strlen(given) / 2 : 3;
    int distance = edits(given, name);
    if (distance > most || distance >= *best) return false;
    *best = distance;
    return true;
}

/* The choice that may have been meant; false: none is near. */
static bool nearest_choice(const char *choices, const char *text, char nearest[CHOICE_TEXT]) {
    int best = INT_MAX;
    for (size_t word; *choices; choices += word + strspn(choices + word, ", ")) {
        char choice[CHOICE_TEXT];
        word = strcspn(choices, ", ");
        snprintf(choice, sizeof choice, "%.*s", (int)word, choices);
        if (options_near(text, choice, &best)) strcpy(nearest, choice);
    }
    return best < INT_MAX;
}

/* All choices, the one that may have been meant, or as many as a line has room for, and what else may stand there. */
static void refuse_choice(const option_t *option, const char *text, const char *choices) {
    char nearest[CHOICE_TEXT], wanted[OPTION_TEXT];
    int head = snprintf(NULL, 0, "sgp: --%s %s: must be , ...", option->name, text), shown = 0;
    option_wanted(option, wanted);
    const char *space = option->also ? " " : "", *also = option->also ? option->also : "";
    if (head + (int)strlen(wanted) <= LINE_WIDTH) {
        message_error("--%s %s: must be %s", option->name, text, wanted);
    } else if (!option->also && nearest_choice(choices, text, nearest)) {
        message_error("--%s %s: did you mean %s? --help lists all", option->name, text, nearest);
    } else {
        head += (int)strlen(space) + (int)strlen(also);
        for (int end = 0; choices[end]; end++)
            if (choices[end] == ',' && (shown == 0 || head + end <= LINE_WIDTH)) shown = end;
        message_error("--%s %s: must be %.*s, ...%s%s", option->name, text, shown, choices, space,
                      also);
    }
}

bool options_refuse(const option_t *option, const char *text) {
    char wanted[OPTION_TEXT];
    const char *choices = option_choices(option);
    if (choices && !option->wanted) refuse_choice(option, text, choices);
    else
        message_error("--%s %s: must be %s", option->name, *text ? text : "\"\"",
                      option_wanted(option, wanted));
    return false;
}

/* Bytes that a terminal may not show, as \xff. */
static void escape(const char *text, char *shown, size_t room) {
    size_t at = 0;
    for (; *text && at + 5 < room; text++) {
        unsigned char byte = (unsigned char)*text;
        bool plain = byte >= ' ' && byte < 0x7f;
        at += (size_t)snprintf(shown + at, room - at, plain ? "%c" : "\\x%02x", byte);
    }
    shown[at] = '\0';
}

bool options_utf8(const char *option, const char *text) {
    char shown[512];
    json_t *string = json_string(text);
    json_decref(string);
    if (string) return true;
    escape(text, shown, sizeof shown);
    message_error("%s%s%s: must be UTF-8, as the files that name it are", option,
                  *option ? " " : "", shown);
    return false;
}

static bool parse_value(const option_table_t *table, const option_t *option, const char *text,
                        void *base) {
    char name[64];
    snprintf(name, sizeof name, "--%s", option->name);
    if (!table->any_bytes && !options_utf8(name, text)) return false;
    return option_parse(option, text, base) || options_refuse(option, text);
}

/* ---- finding an option ---- */

const option_t *options_next(const option_table_t *table, const option_t *row, int *part) {
    if (!row) *part = 0;
    else if ((++row)->name) return row;
    else ++*part;
    return *part < OPTION_PARTS ? table->parts[*part].rows : NULL;
}

/* An option on the command line. */
typedef struct found {
    const option_t *option;
    size_t at; /* of its struct in the settings */
    bool no;   /* spelled --no-NAME */
} found_t;

/* Calls match for each spelling of each option, until it returns true. */
static bool each_name(const option_table_t *table,
                      bool (*match)(const char *name, const found_t *found, void *user),
                      void *user) {
    int part;
    for (const option_t *option = NULL; (option = options_next(table, option, &part));) {
        char no[OPTION_SPELLING];
        found_t found = {.option = option, .at = table->parts[part].at};
        if (option->type != OPTION_OFF && match(option->name, &found, user)) return true;
        if (option->type != OPTION_OFF && option->type != OPTION_SWITCH) continue;
        snprintf(no, sizeof no, "no-%s", option->name);
        found.no = true;
        if (match(no, &found, user)) return true;
    }
    return false;
}

typedef struct search {
    const char *name; /* (length) */
    size_t length;
    found_t found;
} search_t;

static bool is_it(const char *name, const found_t *found, void *user) {
    search_t *search = user;
    if (strlen(name) != search->length || strncmp(name, search->name, search->length) != 0)
        return false;
    search->found = *found;
    return true;
}

typedef struct guess {
    char given[65], nearest[OPTION_SPELLING];
    int best;
} guess_t;

static bool is_nearer(const char *name, const found_t *found, void *user) {
    guess_t *guess = user;
    (void)found;
    if (options_near(guess->given, name, &guess->best))
        snprintf(guess->nearest, sizeof guess->nearest, "%s", name);
    return false;
}

static bool unknown(const option_table_t *table, const char *name, size_t length) {
    guess_t guess = {.best = INT_MAX};
    memcpy(guess.given, name, length < sizeof guess.given - 1 ? length : sizeof guess.given - 1);
    each_name(table, is_nearer, &guess);
    if (guess.best < INT_MAX)
        message_error("--%s: unknown option; did you mean --%s?", guess.given, guess.nearest);
    else
        message_error("--%s: unknown option; sgp %s --help lists the options", guess.given,
                      table->command);
    return false;
}

/* ---- the whole line ---- */

/* One "--name value", "--name=value" or "--flag" at argv[*at]; *at moves past what it took. */
static bool parse_option(const option_table_t *table, int argc, char **argv, void *settings,
                         int *at) {
    const char *name = argv[*at] + 2;
    search_t search = {.name = name, .length = strcspn(name, "=")};
    const char *text = name[search.length] == '=' ? name + search.length + 1 : NULL;
    if (!each_name(table, is_it, &search)) return unknown(table, name, search.length);
    const option_t *option = search.found.option;
    void *base = (char *)settings + search.found.at;
    *at += 1;
    if (option_is_flag(option)) {
        if (text) message_error("--%.*s %s: takes no value", (int)search.length, name, text);
        return !text && option_parse(option, search.found.no ? "off" : "on", base);
    }
    if (!text && *at < argc) text = argv[(*at)++];
    if (text) return parse_value(table, option, text, base);
    message_error("--%s: its value is missing (%s)", option->name, option->argument);
    return false;
}

void options_init(const option_table_t *table, void *settings) {
    int part;
    for (const option_t *option = NULL; (option = options_next(table, option, &part));)
        option_init(option, (char *)settings + table->parts[part].at);
}

bool options_parse(const option_table_t *table, int argc, char **argv, void *settings, int *first) {
    int at = 1;
    while (at < argc) {
        if (strcmp(argv[at], "-h") == 0) argv[at] = "--help";
        if (strncmp(argv[at], "--", 2) != 0) break;
        if (argv[at][2] == '\0') {
            at++;
            break;
        }
        if (!parse_option(table, argc, argv, settings, &at)) return false;
    }
    if (at < argc && !table->operands) {
        message_error("%s: not an option; sgp %s --help lists the options", argv[at],
                      table->command);
        return false;
    }
    *first = at;
    return true;
}

bool options_parse_one(const option_table_t *table, int argc, char **argv, void *settings,
                       const char **operand) {
    int at = 0, more;
    *operand = NULL;
    for (;;) {
        if (!options_parse(table, argc - at, argv + at, settings, &more)) return false;
        at += more;
        if (at == argc) return true;
        if (*operand) break;
        *operand = argv[at];
        if (!table->any_bytes && !options_utf8("", *operand)) return false;
    }
    message_error("%s: one too many; %s", argv[at], table->synopsis);
    return false;
}
