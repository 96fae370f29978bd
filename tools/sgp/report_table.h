/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a report: one row for each run. */
#ifndef SGP_REPORT_TABLE_H
#define SGP_REPORT_TABLE_H

#include "report_data.h"

typedef enum cell { CELL_TEXT, CELL_FIXED, CELL_SCIENTIFIC, CELL_COUNT } cell_t;

typedef struct report_column {
    const char *title;
    const char *key; /* report_member's */
    cell_t type;
    int decimals;    /* CELL_FIXED */
    bool if_differs; /* shown only where the runs differ */
    bool of_gossip;  /* means nothing for allreduce */
} report_column_t;

extern const report_column_t report_columns[];
extern const int report_column_count;

bool report_column_shown(const report_t *report, const report_column_t *column);

/* The cell's text, clean; "–" where there is no value. Released with free; NULL when out of memory.
 */
char *report_cell(const report_run_t *run, const report_column_t *column);

/* Why a run is not whole, such as "interrupted: 2 of 5 epochs"; "" for a finished one. */
void report_state(const report_run_t *run, char text[80]);

/* comparison.md as text, released with free; NULL when out of memory. */
char *report_markdown(const report_t *report);

/* comparison.json: of each run its result with directory, label, finished. NULL when out of memory.
 */
json_t *report_json(const report_t *report);

#endif
