/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of option_rows.c: presets, local steps and outer steps. Nothing else includes it. */
#ifndef SGP_RUN_OPTION_ROWS_OUTER_H
#define SGP_RUN_OPTION_ROWS_OUTER_H

#define MORE_OUTER                                                                                 \
    "With *--local-steps* H, the change that H local steps have made counts as one step of an "    \
    "outer optimizer, SGD with Nesterov's momentum (DiLoCo). With *allreduce* the nodes take the " \
    "exact mean of these changes, and only they are encoded: *--encoding int4* sends about a "     \
    "byte per parameter every H steps. With *sgp* and *dpsgd*, without an overlap, each node "     \
    "makes its own outer step before it pushes. The usual values are 0.7 and 0.8. The learning "   \
    "rate is best at a quarter to a half of that without local steps."

#define MORE_PRESET                                                                                \
    "*lan*: *--algorithm sgp*, one push of float32 per step, as in the paper. *slow*: "            \
    "*--algorithm sgp --rounds auto --encoding int4*, half a byte per number and exchange; the "   \
    "loss of a node ends the run, which *--encoding int8* beside it avoids. *wan*: "               \
    "*--algorithm allreduce --local-steps 16 --outer-lr 0.7 --outer-momentum 0.8 --encoding "      \
    "int4*, outer steps, with a quarter of the usual *--lr*."

#define OUTER_ROWS                                                                                 \
    {.name = "preset",                                                                             \
     .argument = "NAME",                                                                           \
     .type = OPTION_CHOICE,                                                                        \
     .section = SECTION_AVERAGING,                                                                 \
     .offset = AT(preset),                                                                         \
     .initial = "none",                                                                            \
     .choices = "none, lan, slow, wan",                                                            \
     .help =                                                                                       \
         "options of averaging by the network: fast, about 100 Mb/s or less, or the internet; "    \
         "options that are given as well win",                                                     \
     .more = MORE_PRESET},                                                                         \
        {.name = "local-steps",                                                                    \
         .argument = "H",                                                                          \
         .type = OPTION_INT,                                                                       \
         .section = SECTION_AVERAGING,                                                             \
         .offset = AT(local_steps),                                                                \
         .initial = "1",                                                                           \
         .min = 1,                                                                                 \
         .max = 1e6,                                                                               \
         .agreed = 13,                                                                             \
         .help = "exchange in every H-th step only"},                                              \
        {.name = "outer-lr",                                                                       \
         .argument = "LR",                                                                         \
         .type = OPTION_REAL,                                                                      \
         .section = SECTION_AVERAGING,                                                             \
         .offset = AT(outer_lr),                                                                   \
         .initial = "0",                                                                           \
         .shown = "0.7 with --outer-momentum",                                                     \
         .max = 10,                                                                                \
         .wanted = "a number from 0 to 10",                                                        \
         .agreed = 51,                                                                             \
         .help = "rate of outer steps, which --local-steps make; 0: none",                         \
         .more = MORE_OUTER},                                                                      \
    {                                                                                              \
        .name = "outer-momentum", .argument = "MU", .type = OPTION_REAL,                           \
        .section = SECTION_AVERAGING, .offset = AT(outer_momentum), .initial = "-1",               \
        .shown = "0.8 with --outer-lr", .max = 1 - DBL_EPSILON,                                    \
        .wanted = "a number from 0 to below 1", .agreed = 52, .agree = value_agree_outer_momentum, \
        .help = "momentum of outer steps"                                                          \
    }

#endif
