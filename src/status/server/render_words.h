/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as a person reads them on the page: rounded, with their unit; an en dash for one that is not known. */
#ifndef SGP_STATUS_SERVER_RENDER_WORDS_H
#define SGP_STATUS_SERVER_RENDER_WORDS_H

#include "status/server/render_text.h"
#include "status/snapshot.h"

#include <stdint.h>

void words_count(render_t *text, uint64_t count);         /* 12,345 */
void words_bytes(render_t *text, double bytes);           /* 12.3 MB, in powers of 1,000 */
void words_rate(render_t *text, double bytes_per_second); /* 12.3 MB/s */
void words_speed(render_t *text, double per_second);      /* 12.3, 1,234 */
void words_ms(render_t *text, double ms);                 /* 0.123, 1.23, 12.3, 123 */
void words_seconds(render_t *text, double seconds); /* 0.4 s, 12 s, 3 min 4 s, 2 h 5 min, 3 d 4 h */
void words_percent(render_t *text, double fraction);          /* 91.23 % */
void words_digits(render_t *text, double number, int digits); /* so many significant digits */

/* "live", "silent", ...; static. */
const char *words_condition(sgp_status_condition_t condition);

/* "error", "warning", "info", "debug"; static. */
const char *words_level(int level);

#endif
