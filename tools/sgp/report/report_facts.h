/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of runs in words, such as "4 nodes", "lenet" and "seed 1": those that all runs of a
 * report share are said once, the others belong to each run. */
#ifndef SGP_REPORT_REPORT_FACTS_H
#define SGP_REPORT_REPORT_FACTS_H

#include "report/report_data.h"

/* What all runs share, with `separator` between two of them. Clean text; "" where there is none.
 * Released with free; NULL when out of memory. */
char *report_facts_shared(const report_t *report, const char *separator);

/* What is the run's own, the same way. */
char *report_facts_own(const report_t *report, const report_run_t *run, const char *separator);

#endif
