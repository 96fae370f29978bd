/* SPDX-License-Identifier: Apache-2.0 */
/* The results of a report as files for other programs: comparison.md and comparison.json. */
#ifndef SGP_REPORT_REPORT_COMPARISON_H
#define SGP_REPORT_REPORT_COMPARISON_H

#include "report/report_data.h"

/* comparison.md as text, released with free; NULL when out of memory. */
char *report_markdown(const report_t *report);

/* comparison.json: the result of each run with directory, label and finished. NULL when out of
 * memory. */
json_t *report_json(const report_t *report);

#endif
