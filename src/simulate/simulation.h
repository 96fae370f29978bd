/* SPDX-License-Identifier: Apache-2.0 */
/* The room src/simulate: the node program of the simulated cluster, with the library's algorithms and rival all-reduces.
 * One simulation gives one row of figures. Called by tools/sgp, in a process of its own for each row, and by tests. It
 * never prints, never reads a command line or a clock, and starts no process. */
#ifndef SGP_SIMULATE_SIMULATION_H
#define SGP_SIMULATE_SIMULATION_H

#include "simulate/simulated_algorithms.h"
#include "simulate/simulation_row.h"

/* Simulates `nodes` nodes on the hosts of a platform file; once per process. Returns when all have ended. on_step: called
 * after each step of the first node; may be NULL. SGP_ERR_NO_MEMORY, errors of sgp_simulated_create and of the algorithm;
 * all logged. */
sgp_status_t simulation_run(const simulation_settings_t *settings,
                            const simulation_algorithm_t *algorithm, int nodes,
                            const char *platform, void (*on_step)(int step, void *user), void *user,
                            simulation_row_t *row);

/* Checks that a platform file has hosts and usable links for so many nodes; once per process, instead of a run. Errors as
 * simulation_run; SGP_ERR_INVALID, logged: too few hosts, or a route whose rate is not above 0. */
sgp_status_t simulation_probe(const char *platform, int nodes);

#endif
