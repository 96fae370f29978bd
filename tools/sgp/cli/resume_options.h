/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp train --resume DIR`: the options of the run in DIR, under those of the command line. */
#ifndef SGP_CLI_RESUME_OPTIONS_H
#define SGP_CLI_RESUME_OPTIONS_H

#include "cli/train_settings.h"

#include <jansson.h>

/* Fills settings anew: with the options of the run in settings->run.resume, and over them the command line. Returns
 * false after a line about the mistake: no run there, or an option that would make it another run. *config: the run's
 * config.json, whose strings settings points into; the caller releases it after the last use of settings, in either
 * case. */
bool resume_settings(json_t **config, int argc, char **argv, settings_t *settings);

/* Whether the run in the directory has ended; then *summary holds the figures that summary_print shows. */
bool resume_finished(const char *directory, train_summary_t *summary);

#endif
