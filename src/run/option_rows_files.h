/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of option_rows.c: how often files are written. Nothing else includes it. */
#ifndef SGP_RUN_OPTION_ROWS_FILES_H
#define SGP_RUN_OPTION_ROWS_FILES_H

#define CHECKPOINT_MINUTES_ROW                                                                     \
    {                                                                                              \
        .name = "checkpoint-minutes", .argument = "M", .type = OPTION_REAL,                        \
        .section = SECTION_FILES, .offset = AT(checkpoint_minutes), .initial = "10", .max = 1e6,   \
        .wanted = "a number, 0 or more", .may_change = true,                                       \
        .help = "longest time without a checkpoint, also within an epoch; 0: no limit",            \
        .more = "Ctrl-C and SIGTERM write one more."                                               \
    }

#define MORE_METRICS_SECONDS                                                                       \
    "Each node appends its lines to metrics-R.jsonl, R its number, and the first node appends to " \
    "metrics.jsonl and TensorBoard's files the lines that all nodes have made. A finished run "    \
    "has metrics.jsonl alone, with the same lines whatever S is. Where the nodes do not share "    \
    "the directory metrics.jsonl grows at the ends of epochs."

#define METRICS_SECONDS_ROW                                                                        \
    {                                                                                              \
        .name = "metrics-seconds", .argument = "S", .type = OPTION_REAL, .section = SECTION_FILES, \
        .offset = AT(metrics_seconds), .initial = "10", .max = 1e6,                                \
        .wanted = "a number, 0 or more", .may_change = true,                                       \
        .help = "seconds between two writes of metrics within an epoch; 0: at its end only",       \
        .more = MORE_METRICS_SECONDS                                                               \
    }

#endif
