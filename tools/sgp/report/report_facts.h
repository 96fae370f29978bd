/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of runs as words, such as "4 nodes", "lenet" and "seed 1": a page names those that
 * all runs share once, and the others with each run. */
#ifndef SGP_REPORT_REPORT_FACTS_H
#define SGP_REPORT_REPORT_FACTS_H

#include "report/report_data.h"

/* The settings that all runs share, joined by `separator`. Clean text; "" without any. Released
 * with free; NULL when out of memory. */
char *report_facts_shared(const report_t *report, const char *separator);

/* The settings of one run that the others do not share, in the same form. */
char *report_facts_own(const report_t *report, const report_run_t *run, const char *separator);

#endif
