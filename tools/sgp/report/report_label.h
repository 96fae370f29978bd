/* SPDX-License-Identifier: Apache-2.0 */
/* Short names that tell the runs of a report apart. */
#ifndef SGP_REPORT_REPORT_LABEL_H
#define SGP_REPORT_REPORT_LABEL_H

#include "report/report_data.h"

/* Sets the label of each run, after its directory and result: the algorithm, with the settings that
 * differ where the algorithm is not unique, or else the directory. Returns false when out of
 * memory. */
bool report_label_runs(report_t *report);

#endif
