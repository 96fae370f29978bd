/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommand `sgp simulate`: its command line, what it prints and writes, and the processes of its rows. Called by
 * command_simulate.c alone; what is simulated, and how, is src/simulate. */
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
    const char *model; /* of the list in presets.c; NULL: --parameters alone */
    const char *encoding_name;
    const char *network_name;
    double rate_mbps;        /* 0: the preset's */
    double latency_ms;       /* below 0: the preset's */
    const char *calibration; /* a file of `sgp bench`; NULL: none */
    double
        pass_parameters; /* numbers that a calibration's passes are over; 0: those of the model */
    const char *output;
    const char *command; /* that made it, without what only says where it goes; NULL: not known */
    int json, quiet, help;
    /* Which of them the command line said: what a calibration does not overwrite. */
    bool compute_given, local_given, network_given, parameters_given;
} simulate_settings_t;

/* Rows are (algorithms_count, nodes_count), simulated in this order. */
static inline int simulate_rows_count(const simulate_settings_t *settings) {
    return settings->algorithms_count * settings->nodes_count;
}

extern const option_table_t simulate_table;

/* The defaults, which are the cluster of the paper's figure. */
void simulate_settings_init(simulate_settings_t *settings);

/* After a successful options_parse: fills in what follows from the rest, reads the calibration, and judges the
 * whole. false after a line. */
bool simulate_settings_finish(simulate_settings_t *settings);

#endif
