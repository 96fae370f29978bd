/* SPDX-License-Identifier: Apache-2.0 */
/* What the pages of all reports are made of: HTML that needs nothing else, neither a network nor a script. */
#ifndef SGP_REPORT_PAGE_H
#define SGP_REPORT_PAGE_H

#include "report_plot.h"

#include <jansson.h>
#include <stdio.h>

/* Up to the heading. title: clean. */
void page_begin(FILE *out, const char *title);
void page_end(FILE *out);

/* A plot with its title and note. */
void page_plot(FILE *out, const report_plot_t *plot);

/* The line of a run as it is drawn: a table is the legend as well. */
void page_sample(FILE *out, int run);

/* The members of an object with their values, below a heading. */
void page_part(FILE *out, const char *name, json_t *part);

#endif
