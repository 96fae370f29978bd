/* SPDX-License-Identifier: Apache-2.0 */
/* The table that `sgp simulate` prints, and simulation.json. No time of this machine is in them: the same seed gives the
 * same bytes. */
#ifndef SGP_SIMULATE_SIMULATE_OUTPUT_H
#define SGP_SIMULATE_SIMULATE_OUTPUT_H

#include "simulate/simulate_settings.h"

/* The table on standard output, in 80 columns: head, row, legend. rows: of this algorithm, (at + 1). */
void simulate_print_head(const simulate_settings_t *settings);
void simulate_print_row(const simulate_settings_t *settings, int algorithm,
                        const simulation_row_t *rows, int at);
void simulate_print_legend(const simulate_settings_t *settings);

/* Writes simulation.json with the first `finished` rows, marked as interrupted if these are not all; with --json also to
 * standard output. false after a message. */
bool simulate_write(const simulate_settings_t *settings, const simulation_row_t *rows,
                    int finished);

#endif
