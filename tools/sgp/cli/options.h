/* SPDX-License-Identifier: Apache-2.0 */
/* Command-line options from one table, which also is their --help.
 *
 * A table's entries say where a value goes (an offset into the command's settings), its type and
 * what is allowed. The settings hold the defaults before parsing, and --help prints them from
 * there, so a default is written once. */
#ifndef SGP_CLI_OPTIONS_H
#define SGP_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum option_type {
    OPTION_FLAG,   /* int, set to .value; takes no argument */
    OPTION_STRING, /* const char *, points into argv */
    OPTION_CHOICE, /* const char *, one of .choices */
    OPTION_INT,    /* int, from .min to .max */
    OPTION_LONG,   /* int64_t, from .min to .max */
    OPTION_SEED,   /* uint64_t, any */
    OPTION_REAL,   /* double, from .min to .max and finite */
    OPTION_PARSED, /* by .parse */
    OPTION_ABSENT  /* known, but not in this version */
} option_type_t;

typedef struct option {
    const char *name;     /* without the dashes */
    const char *argument; /* how --help names the value; NULL for a flag */
    option_type_t type;
    size_t offset; /* of the value in the settings */
    const char *help;
    const char *shown;   /* the default in --help; NULL: the value in the settings; "": none */
    int value;           /* OPTION_FLAG */
    double min, max;     /* numbers */
    double max_later;    /* OPTION_INT: values in (max, max_later] are not in this version */
    const char *wanted;  /* what would be right; needed by REAL and PARSED */
    const char *choices; /* "a, b, c" */
    const char *(*list)(void); /* the choices, where a function knows them */
    const char *later;         /* "d, e": values that are known, but not in this version */
    bool schedule; /* a schedule by epoch, "0:x,5:y", is known, but not in this version */
    bool (*parse)(const char *text, void *value);
} option_t;

typedef struct option_table {
    const char *command;  /* "train" */
    const char *synopsis; /* "sgp train [OPTIONS]" */
    const char *about;    /* a sentence or two under the synopsis */
    const option_t *options;
    size_t count;
    bool operands;  /* arguments that are no options are allowed */
    bool any_bytes; /* values need not be UTF-8: no file in JSON has to name them */
} option_table_t;

/* Puts the values into settings; stops at "--" or, with operands, at the first argument that is no
 * option. argv[0] is skipped. *first: index of the first operand, argc if there is none.
 * Returns false after one line about the first mistake: option, value and what would be right. */
bool options_parse(const option_table_t *table, int argc, char **argv, void *settings, int *first);

/* The same with options on both sides of one operand at most. *operand: NULL if there is none. */
bool options_parse_one(const option_table_t *table, int argc, char **argv, void *settings,
                       const char **operand);

/* Whether the text, often the name of a directory, is UTF-8, as JSON needs it: what sgp writes
 * names it. Returns false after a line. option: "--output", or "" for an operand. */
bool options_utf8(const char *option, const char *text);

/* Prints synopsis and options, with the defaults found in settings, on standard output. */
void options_help(const option_table_t *table, const void *settings);

/* Whether `name` may be what was meant by `given`, and closer to it than *best edits (which it then
 * becomes; start with INT_MAX). */
bool options_near(const char *given, const char *name, int *best);

/* Whether `name` is in a list such as "a, b, c". */
bool options_listed(const char *list, const char *name);

#endif
