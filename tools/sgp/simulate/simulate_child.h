/* SPDX-License-Identifier: Apache-2.0 */
/* Each row in a child process: SimGrid simulates one cluster per process, and ends the process if it refuses its input. */
#ifndef SGP_SIMULATE_SIMULATE_CHILD_H
#define SGP_SIMULATE_SIMULATE_CHILD_H

#include "simulate/simulate_settings.h"

/* Simulates a row in a child process and shows its progress. Returns the exit status, after a message if it is not 0. With
 * interrupt_signal set it ends the child and prints nothing. */
int simulate_row(const simulate_settings_t *settings, const simulation_algorithm_t *algorithm,
                 int nodes, const char *platform, const char *label, simulation_row_t *row);

/* Checks the platform file for so many nodes (simulation_probe). As simulate_row. */
int simulate_probe(const simulate_settings_t *settings, int nodes);

#endif
