/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `sgp train`: the options of the run (run/option_rows.h), how nodes join, and options of the
 * program alone. */
#ifndef SGP_CLI_TRAIN_SETTINGS_H
#define SGP_CLI_TRAIN_SETTINGS_H

#include "cli/joining.h"
#include "cli/options.h"
#include "cli/watching.h"

#include "run/train.h"

typedef struct settings {
    train_options_t run;
    joining_t joining;
    watching_t watching;
    bool overwrite;
    bool quiet;
    bool json;
    bool help;
    bool version;
} settings_t;

extern const option_table_t train_table;

/* The defaults, before settings_parse: what a command line without options means. */
void settings_init(settings_t *settings);

/* Puts the command line over *settings, which settings_init or a resumed run has filled, and settles the defaults that
 * follow from other options. Strings point into argv. Returns false after a line about the first mistake. */
bool settings_parse(settings_t *settings, int argc, char **argv);

#endif
