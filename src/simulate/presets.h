/* SPDX-License-Identifier: Apache-2.0 */
/* Networks and models by name, and the platform file of a network. Called by tools/sgp; knows no option. */
#ifndef SGP_SIMULATE_PRESETS_H
#define SGP_SIMULATE_PRESETS_H

#include "simulate/simulation_settings.h"

#include <stdbool.h>

/* Trainable parameters; 0: no model has that name. */
double simulation_model_parameters(const char *name);
const char *simulation_model_names(void);

/* false: no network has that name. */
bool simulation_network_find(const char *name, simulation_network_t *network);
const char *simulation_network_names(void);

/* A file in memory with a platform of so many hosts, which SimGrid reads as /proc/self/fd/N. -1: it cannot be made; logged. */
int simulation_network_file(const simulation_network_t *network, int hosts);

#endif
