/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of a subcommand, read from a table of options, which also gives --help and the manual.
 *
 * A row (run/option.h) states everything about one option. A table joins the rows of several structs, so that
 * subcommands share rows. Called by the subcommands alone; prints, but never exits. */
#ifndef SGP_CLI_OPTIONS_H
#define SGP_CLI_OPTIONS_H

#include "run/option.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Rows, and where the struct that they fill begins in the subcommand's settings. */
typedef struct option_part {
    const option_t *rows; /* the last has no name */
    size_t at;
    const char *manual; /* stands for the rows in the manual, *bold*; NULL: each is listed */
} option_part_t;

enum { OPTION_PARTS = 4 };

typedef struct option_table {
    const char *command;               /* "train" */
    const char *synopsis;              /* "sgp train [OPTIONS]" */
    const char *about;                 /* a sentence or two under the synopsis */
    option_part_t parts[OPTION_PARTS]; /* as many as have rows */
    const char *manual;                /* begins its section of the manual, *bold*; may be NULL */
    bool sections;                     /* --help groups the options under headings */
    bool operands;                     /* arguments that are not options are allowed */
    bool any_bytes;                    /* values need not be UTF-8, since no JSON file names them */
    const struct option_table *next;   /* in the manual, of a command with commands of its own */
} option_table_t;

/* The row after `row`, of any part; NULL: the first, or none. *part: its part. */
const option_t *options_next(const option_table_t *table, const option_t *row, int *part);

/* Sets every option to its default. OPTION_PARSED without .initial stays as it is. */
void options_init(const option_table_t *table, void *settings);

/* Puts the values into settings; stops at "--" or, with operands, at the first argument that is not an option. Skips
 * argv[0]. *first: index of the first operand, argc if there is none. Returns false after one line about the first
 * mistake: option, value, and the right values. */
bool options_parse(const option_table_t *table, int argc, char **argv, void *settings, int *first);

/* The same with options on both sides of at most one operand. *operand: NULL if there is none. */
bool options_parse_one(const option_table_t *table, int argc, char **argv, void *settings,
                       const char **operand);

/* Prints the line about a value that option_parse does not accept. Returns false. */
bool options_refuse(const option_t *option, const char *text);

/* Whether the text is UTF-8, as the JSON files that name it must be. Returns false after a line. option: "--output",
 * or "" for an operand. */
bool options_utf8(const char *option, const char *text);

/* Prints synopsis and options with their defaults on standard output. */
void options_help(const option_table_t *table);

/* The section of docs/sgp.1, in man's markup: a tagged paragraph per option, but for --help. Nothing if there is no
 * other option. */
void options_manual(const option_table_t *table, FILE *out);

/* The option's help with choices and default, as --help prints it. */
void options_text(const option_t *option, char *text, size_t room);

/* The heading of a section. */
const char *options_heading(int section);

enum { OPTION_SPELLING = 80 };

/* "--name", "--no-name", or "--name, --no-name". */
void options_spelling(const option_t *option, char text[OPTION_SPELLING]);

/* Whether `name` is close to `given`, and closer than *best edits, which it then becomes. Start with INT_MAX. */
bool options_near(const char *given, const char *name, int *best);

#endif
