/* SPDX-License-Identifier: Apache-2.0 */
/* The networks and models that are known by name, and the platform of a network. */
#ifndef SGP_SIMULATE_PRESETS_H
#define SGP_SIMULATE_PRESETS_H

#include "simulate/simulation_settings.h"

#include <stdbool.h>

/* Parameters of a model that is known by name; 0: it is not. */
double simulation_model_parameters(const char *name);
const char *simulation_model_names(void);

/* The preset of a name; false: there is none. */
bool simulation_network_find(const char *name, simulation_network_t *network);
const char *simulation_network_names(void);

/* A file in memory with a platform of so many hosts, for SimGrid to read as /proc/self/fd/N; -1 after a line. */
int simulation_network_file(const simulation_network_t *network, int hosts);

#endif
