/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated cluster's node program, and the rival all-reduces that it is compared with: one simulation gives one row of
 * figures. Called by tools/sgp, in a process of its own for each row, and by tests. It never prints, reads no command line
 * and starts no process. */
#ifndef SGP_SIMULATE_SIMULATION_H
#define SGP_SIMULATE_SIMULATION_H

#include "simulate/simulated_algorithms.h"
#include "simulate/simulation_row.h"

/* Simulates `nodes` nodes on the hosts of a platform's file; once per process. told: NULL, or called with the first node's
 * steps as they are made. SGP_ERR_NO_MEMORY, those of sgp_simulated_create, and those of the algorithm; logged. */
sgp_status_t simulation_run(const simulation_settings_t *settings,
                            const simulation_algorithm_t *algorithm, int nodes,
                            const char *platform, void (*told)(int step, void *user), void *user,
                            simulation_row_t *row);

/* Whether the platform's file is one, with hosts and links enough for so many nodes; once per process, instead of a run. As
 * simulation_run; SGP_ERR_INVALID: a link has no rate or no latency. */
sgp_status_t simulation_probe(const char *platform, int nodes);

#endif
