/* SPDX-License-Identifier: Apache-2.0 */
/* The options that say how nodes reach each other, the same for `sgp train` and `sgp run`. */
#ifndef SGP_CLI_JOINING_H
#define SGP_CLI_JOINING_H

#include "cli/options.h"

#include "base/constants.h"

#include <sgp/group.h>

typedef struct joining {
    const char *join;    /* NULL: not given, as all below */
    int rank;            /* -1 */
    double join_timeout; /* seconds; 0 */
    const char *interface;
    const char *ports;
    const char *key_file;
    int insecure;
    double peer_timeout; /* seconds; 0 */
} joining_t;

#define JOINING_DEFAULTS                                                                           \
    { .rank = -1 }

/* Entries of an option table; `at` is the offset of the joining_t in the command's settings. */
#define JOINING_OPTIONS(at)                                                                        \
    {.name = "join",                                                                               \
     .argument = "HOST:PORT",                                                                      \
     .type = OPTION_STRING,                                                                        \
     .offset = (at) + offsetof(joining_t, join),                                                   \
     .shown = "",                                                                                  \
     .wanted = "HOST:PORT, such as node17:7070",                                                   \
     .help = "be one node of a group of --nodes N that meets there; the same on every machine"},   \
        {.name = "rank",                                                                           \
         .argument = "R",                                                                          \
         .type = OPTION_INT,                                                                       \
         .offset = (at) + offsetof(joining_t, rank),                                               \
         .max = SGP_MOST_PROCESSES - 1,                                                            \
         .shown = "in order of arrival",                                                           \
         .help = "with --join: the rank that this node claims"},                                   \
        {.name = "join-timeout",                                                                   \
         .argument = "SECONDS",                                                                    \
         .type = OPTION_REAL,                                                                      \
         .offset = (at) + offsetof(joining_t, join_timeout),                                       \
         .min = 0.001,                                                                             \
         .max = 1e6,                                                                               \
         .shown = "30; 300 with --join",                                                           \
         .wanted = "a number of seconds above 0",                                                  \
         .help = "for all nodes to come"},                                                         \
        {.name = "interface",                                                                      \
         .argument = "NAME",                                                                       \
         .type = OPTION_STRING,                                                                    \
         .offset = (at) + offsetof(joining_t, interface),                                          \
         .shown = "the one that leads to HOST",                                                    \
         .wanted = "an interface of this machine, by name or address",                             \
         .help = "the interface, or its address, on which other nodes reach this one"},            \
        {.name = "ports",                                                                          \
         .argument = "A-B",                                                                        \
         .type = OPTION_STRING,                                                                    \
         .offset = (at) + offsetof(joining_t, ports),                                              \
         .shown = "any",                                                                           \
         .wanted = "a port or a range such as 7070-7090",                                          \
         .help = "where this node listens: the first that is free"},                               \
        {.name = "key-file",                                                                       \
         .argument = "FILE",                                                                       \
         .type = OPTION_STRING,                                                                    \
         .offset = (at) + offsetof(joining_t, key_file),                                           \
         .shown = "SGP_KEY_FILE, or the secret in SGP_KEY",                                        \
         .wanted = "a file",                                                                       \
         .help = "a secret that all nodes know; without one only this machine's are let in"},      \
        {.name = "insecure",                                                                       \
         .type = OPTION_FLAG,                                                                      \
         .offset = (at) + offsetof(joining_t, insecure),                                           \
         .value = 1,                                                                               \
         .help = "let other machines in without a key"},                                           \
    {                                                                                              \
        .name = "peer-timeout", .argument = "SECONDS", .type = OPTION_REAL,                        \
        .offset = (at) + offsetof(joining_t, peer_timeout), .min = 0.001, .max = 1e6,              \
        .shown = "10", .wanted = "a number of seconds above 0",                                    \
        .help = "a node that is silent for so long is lost"                                        \
    }

/* Whether this process is told to join somewhere, by the option or by SGP_JOIN. */
bool joining_wanted(const joining_t *joining);

/* Whether what --join needs is there: a size, and a rank below it. size: 0: not said. false after a line. */
bool joining_check_join(const joining_t *joining, int size);

/* Whether the options go together. placed: this process is a node that somebody has started, or that
 * joins. false after a line that says what would be right. */
bool joining_check(const joining_t *joining, const char *transport, bool placed);

/* size: of the group; 0: not known. Strings are borrowed. */
void joining_options(const joining_t *joining, const char *transport, int size,
                     sgp_group_options_t *options);

/* The same for a program that calls sgp_group_join itself. */
void joining_export(const joining_t *joining, const char *transport, int size);

#endif
