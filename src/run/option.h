/* SPDX-License-Identifier: Apache-2.0 */
/* One option as a row of a table, and its value as text.
 *
 * A row states everything about an option: its name, type, default, range, help, and the field that it fills in a
 * settings struct. option_rows.h has the rows of a run, each subcommand in tools/ has rows of its own. The command
 * line, --help, the manual, config.json, --resume and the comparison of nodes all read rows.
 *
 * Anyone above src/run may call this file. It never sees argv, prints nothing and allocates nothing. */
#ifndef SGP_RUN_OPTION_H
#define SGP_RUN_OPTION_H

#include <stdbool.h>
#include <stddef.h>

typedef enum option_type {
    OPTION_FLAG,   /* bool: false, and --NAME sets it */
    OPTION_OFF,    /* bool: true, and --no-NAME clears it */
    OPTION_SWITCH, /* int: 1 by --NAME, 0 by --no-NAME, -1 if neither is given */
    OPTION_STRING, /* const char *, points at the text; not empty */
    OPTION_CHOICE, /* const char *, points at the text; one of the choices */
    OPTION_INT,    /* int, from .min to .max */
    OPTION_LONG,   /* int64_t, from .min to .max */
    OPTION_SEED,   /* uint64_t, any */
    OPTION_REAL,   /* double, finite, from .min to .max */
    OPTION_PARSED, /* what .parse writes */
} option_type_t;

/* Headings of --help, in this order. */
typedef enum option_section {
    SECTION_NODES,
    SECTION_AVERAGING,
    SECTION_TRAINING,
    SECTION_FILES,
    SECTION_STATUS,
    SECTION_EXPERIMENTS,
    SECTION_PROGRAM,
    SECTION_COUNT,
} option_section_t;

enum { OPTION_TEXT = 512 }; /* bytes of a value as text, but for strings */

typedef struct option {
    const char *name;     /* without dashes and "no-" */
    const char *argument; /* how --help calls the value; NULL: the option takes none */
    option_type_t type;
    option_section_t section;
    size_t offset; /* of the field in its struct */

    /* The default as text; NULL: 0, NULL or false; of OPTION_PARSED: the field stays as it is. The default may be
     * outside the range: then the command line cannot ask for it, and .shown explains it. If it is a negative
     * OPTION_REAL, every number below .min means "not given". */
    const char *initial;
    const char *shown; /* the default in --help; NULL: the value; "": none */
    const char *help;  /* one clause */
    const char *more;  /* further sentences for the manual, *bold*; may be NULL */

    double min, max;           /* numbers */
    const char *choices;       /* "a, b, c" */
    const char *(*list)(void); /* the choices, from where they are registered */
    const char *also;          /* right beside the choices: "or ..." */
    const char *wanted;        /* the right values, after "must be"; NULL: follows from the above */

    /* OPTION_PARSED. parse: false: the text is no value; "" comes from .initial alone. print: "" stands for a
     * default that follows from other options. value: the field at .offset. text: (OPTION_TEXT). */
    bool (*parse)(const char *text, void *value);
    void (*print)(const void *value, char *text);

    /* The rest concerns the rows of a run (option_rows.h). */

    /* Place in the list that all nodes must agree on, from 1; 0: nodes may differ. The list is hashed into
     * checkpoints, so a place never changes. */
    int agreed;
    /* The value in that list, if it is not the printed one. options: the whole struct. */
    void (*agree)(const void *options, char *text /* (OPTION_TEXT) */);
    bool may_change; /* --resume may give another value */
    bool
        may_resize; /* the same, and a checkpoint is hashed with the value that it was written with */
    bool unrecorded; /* not in config.json */
    bool elsewhere;  /* in config.json, but --resume does not read it back */
    /* Names of the parts of an "INTEGER:NUMBER", which config.json holds as an object. */
    const char *parts[2];
} option_t;

/* Sets the field to the row's default. base: the struct that .offset counts in. */
void option_init(const option_t *option, void *base);

/* Sets the field to the value of the text: of a flag "on" or "off". Strings are borrowed. false: the text is no value,
 * or it is out of range; the field may then hold anything. */
bool option_parse(const option_t *option, const char *text, void *base);

/* Whether the field holds the default or a value in range. OPTION_PARSED: always true. */
bool option_valid(const option_t *option, const void *base);

/* The value as text, which option_parse reads back: "" if it is the default that follows from other options, and of
 * an absent string. Numbers have `digits` digits. Strings may be cut to OPTION_TEXT. */
void option_print(const option_t *option, const void *base, int digits, char text[OPTION_TEXT]);

/* The default as --help shows it; "" if there is none to show. */
void option_default(const option_t *option, char text[OPTION_TEXT]);

/* The right values, to stand after "must be". Returns text. */
const char *option_wanted(const option_t *option, char text[OPTION_TEXT]);

/* "a, b, c"; NULL: any value. */
const char *option_choices(const option_t *option);

/* Whether the option takes no value. */
bool option_is_flag(const option_t *option);

/* Whether `name` is in a list such as "a, b, c". */
bool option_listed(const char *list, const char *name);

#endif
