/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes without which the others of a run went on, and those that joined, in words. Called by the page and the terminal's
 * table. */
#ifndef SGP_REPORT_REPORT_LOSSES_H
#define SGP_REPORT_REPORT_LOSSES_H

#include "report/report_data.h"

/* "Went on without node 3 from step 120 on (its process ended; the others waited 0.20 s) and node 1 from step 200 on (...). No
 * node took 123 samples. Node 4 joined after step 150 and node 3 came back after step 160." Clean text; "" if none was lost and
 * none joined, or the run is of an earlier version. Released with free; NULL when out of memory. */
char *report_losses(const report_run_t *run);

/* Whether a node was lost, or joined. */
bool report_has_losses(const report_run_t *run);

#endif
