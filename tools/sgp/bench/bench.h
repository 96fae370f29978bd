/* SPDX-License-Identifier: Apache-2.0 */
/* The measurements of `sgp bench`, which become the constants of `sgp simulate`. command_bench.c
 * calls bench_node on each node. This folder starts no process and parses no option. */
#ifndef SGP_BENCH_BENCH_H
#define SGP_BENCH_BENCH_H

#include "cli/joining.h"

#include <sgp/sgp.h>

#include <stdbool.h>
#include <stddef.h>

/* The command line. */
typedef struct bench_settings {
    int nodes; /* 0: not given */
    const char *transport;
    joining_t joining;
    const char *model;
    int batch_size;
    double megabytes;
    int rounds;
    const char *output;
    int json, quiet, help;
} bench_settings_t;

typedef struct bench_work {
    const char *model; /* NULL: no gradient is measured */
    int batch_size;
    size_t numbers; /* floats of a message, and of the vector that passes run over */
    int rounds;
} bench_work_t;

/* Measured on one node; NAN: not measured. */
typedef struct bench_links {
    double together; /* bytes per second of a push to the next node while all nodes push */
    double alone;    /* the same of a push from node 0 to node 1; known on node 1 */
    double latency;  /* seconds of a small message, half a round trip; known on node 0 */
} bench_links_t;

typedef struct bench_local {
    double parameters;                  /* of the model */
    double gradient, gradient_variance; /* seconds, and their square */
    double update, copy, absorb;        /* seconds of a pass over the vector */
} bench_local_t;

/* The measurements of one node, as they travel to node 0. */
typedef struct bench_found {
    bench_links_t links;
    bench_local_t local;
} bench_found_t;

/* Joins the group and measures; node 0 writes and prints the result. rank: -1 if it is not known
 * before the group is complete. check: node 0 first tests that the output file can be written.
 * Returns the exit status, after a line about a failure. */
int bench_node(const bench_settings_t *settings, int rank, bool check);

/* Vector length of messages and passes, in floats. */
size_t bench_numbers(const bench_settings_t *settings);

/* All nodes call both in this order and measure at the same time. Errors: those of the group and of
 * the model. */
sgp_status_t bench_links(sgp_group_t *group, const bench_work_t *work, bench_links_t *found);
sgp_status_t bench_local(sgp_group_t *group, const bench_work_t *work, bench_local_t *found);

/* Whether the file can be written; false after a line. Called before the measurements. */
bool bench_check_output(const char *path);

/* Writes the means over the nodes to the output file, and prints them as the settings ask. false
 * after a line. */
bool bench_write(const bench_settings_t *settings, const bench_found_t *all /* (nodes) */,
                 int nodes);

#endif
