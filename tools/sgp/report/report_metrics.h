/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.jsonl as curves over all nodes, and the time that each node spent. */
#ifndef SGP_REPORT_REPORT_METRICS_H
#define SGP_REPORT_REPORT_METRICS_H

#include "report/report_data.h"

/* Reads directory/metrics.jsonl into the run, after its config. Leaves out damaged lines, with a
 * warning. Returns the last line of an evaluation, to be released with json_decref; NULL: none. */
json_t *report_metrics_read(const char *directory, report_run_t *run);

#endif
