/* SPDX-License-Identifier: Apache-2.0 */
/* A row in a process of its own. */
#ifndef SGP_SIMULATE_SIMULATE_CHILD_H
#define SGP_SIMULATE_SIMULATE_CHILD_H

#include "simulate/simulate_settings.h"

/* Simulates a row in a child process, with lines of progress. Returns the exit status, and has said what went wrong; where
 * interrupt_signal asks for an end, it has ended the child and says nothing. */
int simulate_row(const simulate_settings_t *settings, const simulation_algorithm_t *algorithm,
                 int nodes, const char *platform, const char *label, simulation_row_t *row);

/* Whether the platform's file is one, with hosts and links enough for so many nodes. The same. */
int simulate_probe(const simulate_settings_t *settings, int nodes);

#endif
