/* SPDX-License-Identifier: Apache-2.0 */
/* The cells of a report's tables, and the state of a run that did not finish. */
#ifndef SGP_REPORT_REPORT_TABLE_H
#define SGP_REPORT_REPORT_TABLE_H

#include "report/report_data.h"

typedef enum cell {
    CELL_TEXT,
    CELL_FIXED,
    CELL_SCIENTIFIC,
    CELL_COUNT,
    CELL_SHORT,   /* 25.6 M */
    CELL_PERCENT, /* of a fraction */
    CELL_DURATION /* of seconds */
} cell_t;

typedef struct report_column {
    const char *title;
    const char *key; /* report_member's */
    cell_t type;
    int decimals;  /* CELL_FIXED */
    bool optional; /* shown only where a run has it */
} report_column_t;

/* The cell's text, clean; a dash for a missing value. Released with free; NULL when out of
 * memory. */
char *report_cell(const report_run_t *run, const report_column_t *column);

enum { REPORT_STATE = 128 };

/* The end of a run that did not finish, such as "diverged after 412 of 1407 steps"; else "". */
const char *report_state(const report_run_t *run, char text[REPORT_STATE]);

#endif
