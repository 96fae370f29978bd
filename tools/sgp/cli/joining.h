/* SPDX-License-Identifier: Apache-2.0 */
/* The options that say how nodes reach each other, shared by `sgp train`, `sgp run` and `sgp bench`. */
#ifndef SGP_CLI_JOINING_H
#define SGP_CLI_JOINING_H

#include "cli/options.h"

#include <sgp/group.h>

typedef struct joining {
    const char *join;    /* NULL: not given */
    int rank;            /* -1: not given */
    double join_timeout; /* seconds; 0: not given */
    const char *interface;
    const char *ports;
    const char *key_file;
    bool insecure;
    const char *encryption; /* "auto", "on", "off"; NULL: not given */
    double peer_timeout;    /* seconds; 0: not given */
} joining_t;

/* The part of an option table whose joining_t begins at `offset` in the settings. text: option_part_t.manual. */
#define JOINING_PART(offset, text)                                                                 \
    { .rows = joining_rows, .at = (offset), .manual = (text) }

#define JOINING_MANUAL "*--join* to *--peer-timeout*, which say how nodes join, as for *sgp train*."

extern const option_t joining_rows[];

/* Whether this process is told to join a group, by --join or by SGP_JOIN. */
bool joining_wanted(const joining_t *joining);

/* Whether --join has what it needs: a size, and a rank below it. size: 0: not given. false after a line. */
bool joining_check_join(const joining_t *joining, int size);

/* Whether the options go together. placed: this process is a node that a launcher has started, or that joins. false
 * after a line with the remedy. */
bool joining_check(const joining_t *joining, const char *transport, bool placed);

/* The options for sgp_group_join. size: of the group; 0: not known. Strings are borrowed. */
void joining_options(const joining_t *joining, const char *transport, int size,
                     sgp_group_options_t *options);

/* Puts them into the environment, for a program that calls sgp_group_join itself. */
void joining_export(const joining_t *joining, const char *transport, int size);

#endif
