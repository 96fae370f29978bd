/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a run whose values have a syntax of their own: functions for the rows in option_rows.c, which alone calls
 * them. option.h says what parse, print and agree do. Pure. */
#ifndef SGP_RUN_OPTION_VALUES_H
#define SGP_RUN_OPTION_VALUES_H

#include <stdbool.h>

bool value_parse_algorithms(const char *text, void *value);
void value_print_algorithms(const void *value, char *text);
bool value_parse_peers(const char *text, void *value);
void value_print_peers(const void *value, char *text);
bool value_parse_graph(const char *text, void *value);
void value_print_graph(const void *value, char *text);
void value_agree_graph(const void *options, char *text);
bool value_parse_encoding(const char *text, void *value);
void value_print_encoding(const void *value, char *text);
bool value_parse_overlap(const char *text, void *value);
void value_print_overlap(const void *value, char *text);
void value_agree_overlap(const void *options, char *text);
bool value_parse_rounds(const char *text, void *value);
void value_print_rounds(const void *value, char *text);
void value_agree_slow_momentum(const void *options, char *text);
void value_agree_outer_momentum(const void *options, char *text);
void value_agree_output(const void *options, char *text);
void value_agree_resume(const void *options, char *text);
bool value_parse_slow_node(const char *text, void *value);
void value_print_slow_node(const void *value, char *text);
bool value_parse_split(const char *text, void *value);
void value_print_split(const void *value, char *text);

#endif
