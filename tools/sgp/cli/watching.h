/* SPDX-License-Identifier: Apache-2.0 */
/* The options by which nodes show the run while it runs, shared by `sgp train` and `sgp run`. They reach the library by the
 * environment. */
#ifndef SGP_CLI_WATCHING_H
#define SGP_CLI_WATCHING_H

#include "cli/options.h"

typedef struct watching {
    const char *status; /* "[HOST:]PORT"; NULL: not given */
    const char *token_file;
    bool insecure;
} watching_t;

/* The part of an option table whose watching_t begins at `offset` in the settings. text: option_part_t.manual. */
#define WATCHING_PART(offset, text)                                                                \
    { .rows = watching_rows, .at = (offset), .manual = (text) }

extern const option_t watching_rows[];

/* Whether the options go together. false after a line with the remedy. */
bool watching_check(const watching_t *watching);

/* Puts them into the environment. name: of the run; NULL: none. */
void watching_export(const watching_t *watching, const char *name);

#endif
