/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text for a reader: "90.35 %", "1 h 12 min", "25.6 M". A missing number (NAN) becomes a
 * dash. A value that is not 0, not 100 % or not a tie is never rounded to one. */
#ifndef SGP_REPORT_REPORT_NUMBER_H
#define SGP_REPORT_REPORT_NUMBER_H

/* Bytes of `text`, which each function returns. */
enum { NUMBER_TEXT = 48 };

#define NUMBER_NONE "\xe2\x80\x93" /* an en dash */

/* As printf; for a terminal, where a missing number is "-". */
const char *number_text(const char *format, double value, char text[NUMBER_TEXT]);

/* A fraction as "90.35 %". */
const char *number_percent(double fraction, char text[NUMBER_TEXT]);

/* "0.21 s", "21.8 s", "3 min 20 s", "1 h 12 min". */
const char *number_duration(double seconds, char text[NUMBER_TEXT]);

/* Digits in groups of three, with narrow spaces: "102 228 128". */
const char *number_count(double count, char text[NUMBER_TEXT]);

/* Three digits and a unit: "25.6 M", "269 k", "512". */
const char *number_short(double count, char text[NUMBER_TEXT]);

/* A ratio of times with two decimals, or with two significant digits below 0.1: "0.61", "0.0043",
 * "12". */
const char *number_ratio(double ratio, char text[NUMBER_TEXT]);

/* The difference of two fractions, in percentage points: "0.4 points less accuracy", "0.03 points
 * more accuracy", "the same accuracy". */
const char *number_points(double fraction, double reference, const char *noun, char text[96]);

#endif
