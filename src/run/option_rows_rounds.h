/* SPDX-License-Identifier: Apache-2.0 */
/* A row of option_rows.c: exchanges per step. Nothing else includes it. */
#ifndef SGP_RUN_OPTION_ROWS_ROUNDS_H
#define SGP_RUN_OPTION_ROWS_ROUNDS_H

#define MORE_ROUNDS                                                                                \
    "For sgp and dpsgd without an overlap; in a schedule of algorithms, for the epochs with "      \
    "those. After the local "                                                                      \
    "update of a step a node pushes to the graph's next peers and absorbs, R times; the next "     \
    "gradient follows the last "                                                                   \
    "round. Rounds overlap: each part of the vector leaves for the next round as soon as it is "   \
    "absorbed. *auto* is the "                                                                     \
    "number of steps after which the graph repeats, for the nodes at the start: ceil(log2 N) "     \
    "with one peer on the exponential graph. For 2, 4, 8, "                                        \
    "16, ... nodes all of them then have the exact mean after each step, as with *allreduce*, "    \
    "though each waits for a few nodes only. "                                                     \
    "The graph *base* is exact for every number of nodes. Each round sends the whole vector once " \
    "to each peer. With *--local-steps* H every "                                                  \
    "H-th step makes all the rounds."

#define ROUNDS_ROW                                                                                 \
    {                                                                                              \
        .name = "rounds", .argument = "R", .type = OPTION_PARSED, .section = SECTION_AVERAGING,    \
        .offset = AT(rounds), .initial = "1", .parse = value_parse_rounds,                         \
        .print = value_print_rounds, .wanted = "a number from 1 to 64, or auto", .agreed = 50,     \
        .help = "exchanges per step; auto: the graph's period, such as 3 for 8 nodes, which then " \
                "have the exact mean",                                                             \
        .more = MORE_ROUNDS                                                                        \
    }

#endif
