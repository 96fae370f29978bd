/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `sgp simulate`. */
#ifndef SGP_SIMULATE_SIMULATE_SETTINGS_H
#define SGP_SIMULATE_SIMULATE_SETTINGS_H

#include "cli/options.h"
#include "simulate/simulation.h"

extern const option_table_t simulate_table;

/* The defaults, which are the cluster of the paper's figure. */
void simulate_settings_init(simulate_settings_t *settings);

/* After a successful options_parse: fills in what follows from the rest, reads the calibration, and judges the
 * whole. false after a line. */
bool simulate_settings_finish(simulate_settings_t *settings);

#endif
