/* SPDX-License-Identifier: Apache-2.0 */
/* Reads runs from their directories: config.json, summary.json and metrics.jsonl. An interrupted
 * run counts with the measurements that it left. */
#ifndef SGP_REPORT_REPORT_READ_H
#define SGP_REPORT_REPORT_READ_H

#include "report/report_data.h"

/* Whether the directory holds files of a run. */
bool report_is_run(const char *directory);

/* Reads count > 0 runs. Returns 0, or the program's exit status after a line about the first
 * directory that does not hold a run. Release in any case. */
int report_read(const char *const *directories, int count, report_t *report);

/* The same, but leaves out runs that cannot be read, with a line for each. */
int report_read_good(const char *const *directories, int count, report_t *report);

#endif
