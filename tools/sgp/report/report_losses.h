/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes without which the others of a run went on, as a sentence. Called by the page and the terminal's table. */
#ifndef SGP_REPORT_REPORT_LOSSES_H
#define SGP_REPORT_REPORT_LOSSES_H

#include "report/report_data.h"

/* "Went on without node 3 from step 120 on (its process ended; the others waited 0.20 s) and node 1 from step 200 on (...). No
 * node took 123 samples." Clean text; "" if none was
 * lost, or the run is of an earlier version. Released with free; NULL when out of memory. */
char *report_losses(const report_run_t *run);

#endif
