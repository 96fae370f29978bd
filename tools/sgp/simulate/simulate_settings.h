/* SPDX-License-Identifier: Apache-2.0 */
/* The room tools/sgp/simulate: the command line, the output and the child processes of `sgp simulate`; this header is its
 * command line. Called by command_simulate.c alone. It simulates nothing itself: src/simulate does. */
#ifndef SGP_SIMULATE_SIMULATE_SETTINGS_H
#define SGP_SIMULATE_SIMULATE_SETTINGS_H

#include "cli/options.h"
#include "simulate/simulation.h"

enum { SIMULATE_LIST = 16 /* entries of --nodes and of --algorithm */ };

typedef struct simulate_settings {
    simulation_settings_t simulation; /* of every row */
    int nodes[SIMULATE_LIST];
    int nodes_count;
    const simulation_algorithm_t *algorithms[SIMULATE_LIST];
    int algorithms_count;
    const char *model; /* of presets.h or a calibration; NULL: --parameters alone */
    const char *encoding_name;
    const char *network_name;
    double rate_mbps;        /* 0: the preset's */
    double latency_ms;       /* below 0: the preset's */
    const char *calibration; /* a file of `sgp bench`; NULL: none */
    double pass_parameters; /* numbers in the vector of a calibration's passes; 0: none are given */
    const char *output;
    const char
        *command; /* the command line, without --output, --json and --quiet; NULL: not known */
    bool json, quiet, help;
    /* On the command line, so that a calibration does not overwrite them. */
    bool compute_given, local_given, network_given, parameters_given;
} simulate_settings_t;

/* Rows are (algorithms_count, nodes_count), simulated in this order. */
static inline int simulate_rows_count(const simulate_settings_t *settings) {
    return settings->algorithms_count * settings->nodes_count;
}

extern const option_table_t simulate_table;

/* The defaults: the cluster of the paper's figure. */
void simulate_settings_init(simulate_settings_t *settings);

/* After options_parse: reads the calibration, fills in the remaining settings, and checks all of them. false after a
 * message. */
bool simulate_settings_finish(simulate_settings_t *settings);

#endif
