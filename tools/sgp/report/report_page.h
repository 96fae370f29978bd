/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a report's page: HTML that loads nothing and runs no script. */
#ifndef SGP_REPORT_REPORT_PAGE_H
#define SGP_REPORT_REPORT_PAGE_H

#include "report/report_plot.h"
#include "report/report_table.h"

#include <jansson.h>
#include <stdio.h>

/* Everything up to the heading. title: clean. */
void page_begin(FILE *out, const char *title);
void page_end(FILE *out);

/* A plot with its title and note. */
void page_plot(FILE *out, const report_plot_t *plot);

/* A run's line as the plots draw it: the table is also the legend. */
void page_sample(FILE *out, const report_t *report, int run);

/* One cell with its number, and the column's title for narrow screens, where the table has no
 * head. */
void page_cell(FILE *out, const report_run_t *run, const report_column_t *column);
void page_head_cell(FILE *out, const report_column_t *column);

/* The first cell of a row: the run's sample where there are several runs, its name, and below it
 * lines in small letters. An empty line is left out. */
void page_name_begin(FILE *out, const report_t *report, int run, const char *name);
void page_name_line(FILE *out, const char *text, bool alarming);
void page_name_end(FILE *out);

/* A heading and the members of an object with their values. */
void page_part(FILE *out, const char *name, json_t *part);

#endif
