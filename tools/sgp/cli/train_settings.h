/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of `sgp train`: the run's options, and what only the program needs. */
#ifndef SGP_CLI_TRAIN_SETTINGS_H
#define SGP_CLI_TRAIN_SETTINGS_H

#include "cli/joining.h"
#include "cli/options.h"

#include "run/train.h"

typedef struct settings {
    train_options_t run;
    joining_t joining;
    const char *graph; /* NULL: by the algorithm */
    int no_nesterov;
    int augment; /* -1: as the model asks */
    int biased;
    int slow_alone;
    int keep_going;
    int tensorboard;
    int trace;
    int overwrite;
    const char *encoding;
    struct {
        int rank; /* -1: nobody */
        double factor;
    } slow;
    int quiet;
    int json;
    int help;
    int version;
} settings_t;

extern const option_table_t settings_table;

/* The defaults: what a command line without options means. */
void settings_init(settings_t *settings);

/* Puts what the table cannot store into settings->run. After a successful options_parse. */
void settings_finish(settings_t *settings);

#endif
