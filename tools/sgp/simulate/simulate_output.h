/* SPDX-License-Identifier: Apache-2.0 */
/* The table that `sgp simulate` prints, and simulation.json. */
#ifndef SGP_SIMULATE_SIMULATE_OUTPUT_H
#define SGP_SIMULATE_SIMULATE_OUTPUT_H

#include "simulate/simulate_settings.h"

/* The table on standard output, in 80 columns: its head, a row, and what its words mean. rows: of this algorithm, the
 * first up to `at`. */
void simulate_print_head(const simulate_settings_t *settings);
void simulate_print_row(const simulate_settings_t *settings, int algorithm,
                        const simulation_row_t *rows, int at);
void simulate_print_legend(const simulate_settings_t *settings);

/* directory/simulation.json with the first `finished` rows, "interrupted" if these are not all, and on standard output
 * with --json; false after a line. */
bool simulate_write(const simulate_settings_t *settings, const simulation_row_t *rows,
                    int finished);

#endif
