/* SPDX-License-Identifier: Apache-2.0 */
/* The page about a simulation: report.html, made from simulation.json. Called by `sgp simulate` and `sgp report`; it never
 * simulates. */
#ifndef SGP_REPORT_REPORT_SIMULATION_H
#define SGP_REPORT_REPORT_SIMULATION_H

#include <stdbool.h>

#define SIMULATION_FILE  "simulation.json"
#define REPORT_NOT_DRAWN " (without plots: gnuplot is missing; apt-get install gnuplot-nox)"

/* Whether the directory holds a simulation. */
bool report_simulation_is(const char *directory);

/* Reads directory/simulation.json and writes report.html into the existing directory `output`. Without gnuplot the page
 * has the table alone, and *drawn is false. Returns the program's exit status, after a message if it is not 0. */
int report_simulation_write(const char *directory, const char *output, bool *drawn);

#endif
