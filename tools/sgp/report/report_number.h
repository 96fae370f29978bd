/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as a person reads them: "90.35 %", "1 h 12 min", "25.6 M". A number that does not exist
 * becomes a dash, and rounding never turns a value into 0, 100 % or a tie that it is not. */
#ifndef SGP_REPORT_REPORT_NUMBER_H
#define SGP_REPORT_REPORT_NUMBER_H

/* For each of the functions below, which return `text`. */
enum { NUMBER_TEXT = 48 };

#define NUMBER_NONE "\xe2\x80\x93" /* an en dash */

/* As printf does it; on a terminal, where a number that does not exist is "-". */
const char *number_text(const char *format, double value, char text[NUMBER_TEXT]);

/* A fraction as "90.35 %". */
const char *number_percent(double fraction, char text[NUMBER_TEXT]);

/* "0.21 s", "21.8 s", "3 min 20 s", "1 h 12 min". */
const char *number_duration(double seconds, char text[NUMBER_TEXT]);

/* Digits in groups of three, with narrow spaces: "102 228 128". */
const char *number_count(double count, char text[NUMBER_TEXT]);

/* Three digits and a unit: "25.6 M", "269 k", "512". */
const char *number_short(double count, char text[NUMBER_TEXT]);

/* A ratio of times to two digits behind the point, or two digits where there are more zeros:
 * "0.61", "0.0043", "12". */
const char *number_ratio(double ratio, char text[NUMBER_TEXT]);

/* Two fractions, in percent points: "0.4 points less accuracy", "0.03 points more accuracy", "the
 * same accuracy". */
const char *number_points(double fraction, double reference, const char *noun, char text[96]);

#endif
