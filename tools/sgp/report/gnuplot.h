/* SPDX-License-Identifier: Apache-2.0 */
/* gnuplot as a child process: a script in, a picture out that can stand in an HTML page. */
#ifndef SGP_REPORT_GNUPLOT_H
#define SGP_REPORT_GNUPLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Whether there is a gnuplot, without a word. */
bool gnuplot_found(void);

/* Whether gnuplot can be started; false after a line that names the package to install. */
bool gnuplot_check(void);

/* Writes text as a quoted string of a script. Whatever the text holds, gnuplot sees letters alone:
 * every other ASCII character travels as one from Unicode's private area, and gnuplot_svg puts it
 * back. text: clean (report_text.h). */
void gnuplot_text(FILE *script, const char *text);

/* Runs a script that plots to the svg terminal. Returns the element <svg>, without namespaces, as
 * it stands in HTML; `name` goes before each of its ids, and `title` (clean) is read aloud in its
 * place. Released with free. NULL after a line about what went wrong. Blocks until gnuplot ends. */
char *gnuplot_svg(const char *script, size_t length, const char *name, const char *title);

#endif
