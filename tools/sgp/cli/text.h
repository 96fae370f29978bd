/* SPDX-License-Identifier: Apache-2.0 */
/* Strings of a run (names, paths), cleaned and escaped for files with a syntax of their own. */
#ifndef SGP_CLI_TEXT_H
#define SGP_CLI_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_UNKNOWN 0xfffd /* replaces bytes that are no character */

/* Returns the next character of a UTF-8 string and moves *text behind it; 0 at the end. Each byte
 * that is not UTF-8 gives TEXT_UNKNOWN. */
uint32_t text_next(const char **text);

/* Writes one character as UTF-8. */
void text_put(FILE *out, uint32_t character);

/* A copy in valid UTF-8 without control characters, for one line of any file. Released with free;
 * NULL when out of memory. */
char *text_clean(const char *text);

/* A copy of at most `most` characters (> 4), cut in the middle. Released with free; NULL when out
 * of memory. text: clean. */
char *text_shorten(const char *text, int most);

/* Prints text in lines of at most `width` characters, broken at spaces and newlines; those after
 * the first begin with `indent` spaces. A word that is longer has a line of its own. text:
 * clean. */
void text_wrap(FILE *out, const char *text, int indent, int width);

/* Characters of a clean text. */
int text_length(const char *text);

/* Escapes text as contents or quoted attribute of HTML. text: clean. */
void text_html(FILE *out, const char *text);

/* Escapes text as a cell of a Markdown table. text: clean. */
void text_markdown(FILE *out, const char *text);

#endif
