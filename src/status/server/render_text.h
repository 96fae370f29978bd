/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows, and the escapes of HTML, JSON and metrics. Called by every file that renders a snapshot.
 *
 * Without memory a text stays as it was and says so once, at its end. Texts of a snapshot may hold any bytes: what is
 * not UTF-8, and control characters, become U+FFFD. Numbers are printed by the thread's locale, which must be "C". */
#ifndef SGP_STATUS_SERVER_RENDER_TEXT_H
#define SGP_STATUS_SERVER_RENDER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* All zero: empty. */
typedef struct render {
    char *bytes; /* (length), without a 0 byte at the end; owned */
    size_t length, room;
    bool failed; /* for want of memory; nothing is added any more */
} render_t;

void render_free(render_t *text);

void render_bytes(render_t *text, const char *bytes, size_t count);
void render_add(render_t *text, const char *plain);
__attribute__((format(printf, 2, 3))) void render_format(render_t *text, const char *format, ...);

/* For text and for attributes in double quotes. */
void render_html(render_t *text, const char *foreign);

/* A string with its quotes. */
void render_json_string(render_t *text, const char *foreign);

/* The value of a label in metrics, with its quotes. */
void render_label(render_t *text, const char *foreign);

/* The shortest decimal number that reads back as the same double; `otherwise` if it is not finite. */
void render_number(render_t *text, double number, const char *otherwise);

#endif
