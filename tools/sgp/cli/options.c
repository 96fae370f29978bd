/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include "cli/message.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

bool options_listed(const char *list, const char *name) {
    size_t length = strlen(name);
    while (list && *list) {
        size_t word = strcspn(list, ", ");
        if (word == length && strncmp(list, name, length) == 0) return true;
        list += word;
        list += strspn(list, ", ");
    }
    return false;
}

static const char *choices_of(const option_t *option) {
    return option->list ? option->list() : option->choices;
}

/* Refuses a value that a later version will take; `right` is what this one takes. */
static bool refuse_later(const option_t *option, const char *text, const char *right) {
    message_error("--%s %s: not in this version; here: %s", option->name, text, right);
    return false;
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

/* All that would be right, what may have been meant, or as much as a line has room for. */
static void refuse_choice(const option_t *option, const char *text, const char *choices) {
    char nearest[CHOICE_TEXT];
    int head = snprintf(NULL, 0, "sgp: --%s %s: must be , ...", option->name, text), shown = 0;
    if (head + (int)strlen("one of ") + (int)strlen(choices) <= LINE_WIDTH) {
        message_error("--%s %s: must be one of %s", option->name, text, choices);
    } else if (nearest_choice(choices, text, nearest)) {
        message_error("--%s %s: did you mean %s? --help lists all", option->name, text, nearest);
    } else {
        for (int end = 0; choices[end]; end++)
            if (choices[end] == ',' && (shown == 0 || head + end <= LINE_WIDTH)) shown = end;
        message_error("--%s %s: must be %.*s, ...", option->name, text, shown, choices);
    }
}

static bool parse_choice(const option_t *option, const char *text, void *value) {
    const char *choices = choices_of(option);
    if (options_listed(choices, text)) {
        *(const char **)value = text;
        return true;
    }
    if (options_listed(option->later, text)) return refuse_later(option, text, choices);
    refuse_choice(option, text, choices);
    return false;
}

static bool out_of_range(const option_t *option, const char *text) {
    if (option->wanted) message_error("--%s %s: must be %s", option->name, text, option->wanted);
    else if (option->min == option->max)
        message_error("--%s %s: must be %.0f", option->name, text, option->min);
    else
        message_error("--%s %s: must be a whole number from %.0f to %.0f", option->name, text,
                      option->min, option->max);
    return false;
}

static bool parse_whole(const option_t *option, const char *text, int64_t *number) {
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    bool whole = end != text && *end == '\0' && errno == 0;
    char right[32];
    snprintf(right, sizeof right, "%.0f", option->max);
    if (options_listed(option->later, text) ||
        (whole && (double)parsed > option->max && (double)parsed <= option->max_later))
        return refuse_later(option, text, right);
    if (!whole || (double)parsed < option->min || (double)parsed > option->max)
        return out_of_range(option, text);
    *number = parsed;
    return true;
}

static bool parse_seed(const option_t *option, const char *text, uint64_t *value) {
    char *end;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return out_of_range(option, text);
    *value = parsed;
    return true;
}

static bool parse_real(const option_t *option, const char *text, double *value) {
    char *end;
    double parsed = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(parsed) || parsed < option->min ||
        parsed > option->max)
        return out_of_range(option, text);
    *value = parsed;
    return true;
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

static bool check_text(const option_table_t *table, const option_t *option, const char *text) {
    char name[64];
    snprintf(name, sizeof name, "--%s", option->name);
    return table->any_bytes || options_utf8(name, text);
}

static bool parse_value(const option_table_t *table, const option_t *option, const char *text,
                        void *value) {
    int64_t number;
    if (!check_text(table, option, text)) return false;
    if (option->schedule && strchr(text, ':')) {
        message_error("--%s %s: schedules by epoch are not in this version; give one value",
                      option->name, text);
        return false;
    }
    switch (option->type) {
    case OPTION_STRING:
        if (*text == '\0') return out_of_range(option, "\"\"");
        *(const char **)value = text;
        return true;
    case OPTION_CHOICE:
        return parse_choice(option, text, value);
    case OPTION_INT:
        if (!parse_whole(option, text, &number)) return false;
        *(int *)value = (int)number;
        return true;
    case OPTION_LONG:
        return parse_whole(option, text, value);
    case OPTION_SEED:
        return parse_seed(option, text, value);
    case OPTION_REAL:
        return parse_real(option, text, value);
    case OPTION_PARSED:
        return option->parse(text, value) || out_of_range(option, text);
    default:
        return false;
    }
}

static const option_t *find(const option_table_t *table, const char *name, size_t length) {
    for (size_t i = 0; i < table->count; i++) {
        const option_t *option = &table->options[i];
        if (strlen(option->name) == length && strncmp(option->name, name, length) == 0)
            return option;
    }
    return NULL;
}

static bool unknown(const option_table_t *table, const char *name, size_t length) {
    char given[65] = {0};
    const char *nearest = NULL;
    int best = INT_MAX;
    memcpy(given, name, length < sizeof given - 1 ? length : sizeof given - 1);
    for (size_t i = 0; i < table->count; i++)
        if (options_near(given, table->options[i].name, &best)) nearest = table->options[i].name;
    if (nearest) message_error("--%s: unknown option; did you mean --%s?", given, nearest);
    else message_error("--%s: unknown option; sgp %s --help lists them", given, table->command);
    return false;
}

/* One "--name value", "--name=value" or "--flag" at argv[*at]; *at moves past what it took. */
static bool parse_option(const option_table_t *table, int argc, char **argv, void *settings,
                         int *at) {
    const char *name = argv[*at] + 2;
    size_t length = strcspn(name, "=");
    const char *text = name[length] == '=' ? name + length + 1 : NULL;
    const option_t *option = find(table, name, length);
    if (!option) return unknown(table, name, length);
    if (option->type == OPTION_ABSENT) {
        message_error("--%s: not in this version", option->name);
        return false;
    }
    void *value = (char *)settings + option->offset;
    *at += 1;
    if (option->type == OPTION_FLAG) {
        if (text) message_error("--%s %s: takes no value", option->name, text);
        *(int *)value = option->value;
        return !text;
    }
    if (!text && *at < argc) text = argv[(*at)++];
    if (text) return parse_value(table, option, text, value);
    message_error("--%s: its value is missing (%s)", option->name, option->argument);
    return false;
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
        message_error("%s: not an option; sgp %s --help lists them", argv[at], table->command);
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
