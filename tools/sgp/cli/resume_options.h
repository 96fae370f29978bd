/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp train --resume DIR`: the options of the run in DIR, and what may be asked for beside
 * them. */
#ifndef SGP_CLI_RESUME_OPTIONS_H
#define SGP_CLI_RESUME_OPTIONS_H

#include "cli/train_settings.h"

#include <jansson.h>

/* Arguments that settings may point into. */
typedef struct resume {
    int argc;
    char **argv; /* (argc) as they would have to be typed for what DIR/config.json says */
} resume_t;

/* Fills settings anew: with the options in settings->run.resume, and over them what the command
 * line asks for. Returns false after a line about what is wrong: no run there, or an option that
 * would make it another run. Release *resume after the last use of settings, in either case. */
bool resume_settings(resume_t *resume, int argc, char **argv, settings_t *settings);
void resume_release(resume_t *resume);

enum { RESUME_TEXT = 256 };

typedef struct resume_difference {
    char name[RESUME_TEXT], there[RESUME_TEXT], here[RESUME_TEXT]; /* an option, and its values */
} resume_difference_t;

/* Whether `run` is another run than the one that options, of a config.json, describe: then
 * *difference is the first option that makes it another one. */
bool resume_differs(const json_t *options, const train_options_t *run,
                    resume_difference_t *difference);

/* Whether the run has ended: then *summary is what it came to. */
bool resume_finished(const char *directory, train_summary_t *summary);

#endif
