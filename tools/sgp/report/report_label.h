/* SPDX-License-Identifier: Apache-2.0 */
/* The short names by which the runs of a report are told apart. */
#ifndef SGP_REPORT_REPORT_LABEL_H
#define SGP_REPORT_REPORT_LABEL_H

#include "report/report_data.h"

/* Sets the label of each run, whose directory and result are read already: the algorithm, with the
 * settings that differ where that is not unique, else the directory. Returns false when out of
 * memory. */
bool report_label_runs(report_t *report);

#endif
