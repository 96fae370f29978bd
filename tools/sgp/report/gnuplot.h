/* SPDX-License-Identifier: Apache-2.0 */
/* gnuplot as a child process: turns a script into a picture for an HTML page. */
#ifndef SGP_REPORT_GNUPLOT_H
#define SGP_REPORT_GNUPLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Whether gnuplot can be started. Prints nothing. */
bool gnuplot_found(void);

/* Whether gnuplot can be started; false after a line that names the package to install. */
bool gnuplot_check(void);

/* Writes text as a quoted string of a script. gnuplot sees letters and digits only: every other
 * ASCII character is replaced by one of Unicode's private area, and gnuplot_svg restores it, so
 * that no text can be read as a command. text: clean (cli/text.h). */
void gnuplot_text(FILE *script, const char *text);

/* Runs a script that plots to the svg terminal. Returns the element <svg>, without namespaces, as
 * HTML takes it; `name` prefixes each of its ids, and screen readers read `title` (clean). Released
 * with free. NULL after a line about the failure. Blocks until gnuplot ends. */
char *gnuplot_svg(const char *script, size_t length, const char *name, const char *title);

#endif
