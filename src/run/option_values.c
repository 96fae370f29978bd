/* SPDX-License-Identifier: Apache-2.0 */
#include "run/option_values.h"

#include "run/option.h"
#include "run/train_options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool value_parse_algorithms(const char *text, void *value) {
    return train_algorithms_parse(text, value);
}

void value_print_algorithms(const void *value, char *text) {
    train_algorithms_text(value, text);
}

bool value_parse_peers(const char *text, void *value) {
    return train_peers_parse(text, value);
}

void value_print_peers(const void *value, char *text) {
    train_stages_text(value, NULL, text);
}

bool value_parse_graph(const char *text, void *value) {
    sgp_graph_kind_t graph;
    if (*text && sgp_graph_parse(text, &graph) != SGP_OK) return false;
    *(int *)value = *text ? (int)graph : TRAIN_BY_ALGORITHM;
    return true;
}

void value_print_graph(const void *value, char *text) {
    int graph = *(const int *)value;
    if (graph == TRAIN_BY_ALGORITHM) text[0] = '\0';
    else snprintf(text, OPTION_TEXT, "%s", sgp_graph_name((sgp_graph_kind_t)graph));
}

void value_agree_graph(const void *options, char *text) {
    const train_options_t *run = options;
    sgp_algorithm_t first = (sgp_algorithm_t)run->algorithm.stage[0].value;
    snprintf(text, OPTION_TEXT, "%s", sgp_graph_name(train_graph(run, first)));
}

bool value_parse_encoding(const char *text, void *value) {
    return sgp_encoding_parse(text, value) == SGP_OK;
}

void value_print_encoding(const void *value, char *text) {
    snprintf(text, OPTION_TEXT, "%s", sgp_encoding_name(*(const sgp_encoding_t *)value));
}

/* Steps, or "async". */
bool value_parse_overlap(const char *text, void *value) {
    char *end;
    long steps = strtol(text, &end, 10);
    if (!*text) steps = TRAIN_BY_ALGORITHM;
    else if (!strcmp(text, "async")) steps = SGP_OVERLAP_ASYNC;
    else if (end == text || *end != '\0' || steps < 0 || steps > 1000) return false;
    *(int *)value = (int)steps;
    return true;
}

void value_print_overlap(const void *value, char *text) {
    int overlap = *(const int *)value;
    if (overlap == TRAIN_BY_ALGORITHM) text[0] = '\0';
    else if (overlap == SGP_OVERLAP_ASYNC) strcpy(text, "async");
    else snprintf(text, OPTION_TEXT, "%d", overlap);
}

void value_agree_overlap(const void *options, char *text) {
    snprintf(text, OPTION_TEXT, "%d", ((const train_options_t *)options)->overlap);
}

/* Exchanges per step, or "auto". */
bool value_parse_rounds(const char *text, void *value) {
    char *end;
    long rounds = strtol(text, &end, 10);
    if (!strcmp(text, "auto")) rounds = SGP_ROUNDS_AUTO;
    else if (end == text || *end != '\0' || rounds < 1 || rounds > SGP_ROUNDS_MOST) return false;
    *(int *)value = (int)rounds;
    return true;
}

void value_print_rounds(const void *value, char *text) {
    int rounds = *(const int *)value;
    if (rounds == SGP_ROUNDS_AUTO) strcpy(text, "auto");
    else snprintf(text, OPTION_TEXT, "%d", rounds);
}

void value_agree_slow_momentum(const void *options, char *text) {
    const train_options_t *run = options;
    snprintf(text, OPTION_TEXT, "%.15g", run->slow_momentum < 0 ? 0 : run->slow_momentum);
}

void value_agree_outer_momentum(const void *options, char *text) {
    const train_options_t *run = options;
    snprintf(text, OPTION_TEXT, "%.15g", run->outer_momentum < 0 ? 0 : run->outer_momentum);
}

void value_agree_output(const void *options, char *text) {
    strcpy(text, ((const train_options_t *)options)->output ? "written" : "none");
}

void value_agree_resume(const void *options, char *text) {
    strcpy(text, ((const train_options_t *)options)->resume ? "on" : "off");
}

/* "RANK:FACTOR", such as "2:4". value: the whole struct. */
bool value_parse_slow_node(const char *text, void *value) {
    train_options_t *run = value;
    char *colon, *end;
    long rank = strtol(text, &colon, 10);
    if (!*text) {
        run->slow_rank = -1;
        run->slow_factor = 1;
        return true;
    }
    if (colon == text || *colon != ':' || rank < 0 || rank > INT_MAX) return false;
    double factor = strtod(colon + 1, &end);
    if (end == colon + 1 || *end != '\0' || !(factor >= 1 && factor <= 1e6)) return false;
    run->slow_rank = (int)rank;
    run->slow_factor = factor;
    return true;
}

void value_print_slow_node(const void *value, char *text) {
    const train_options_t *run = value;
    text[0] = '\0';
    if (run->slow_rank >= 0)
        snprintf(text, OPTION_TEXT, "%d:%.17g", run->slow_rank, run->slow_factor);
}

bool value_parse_split(const char *text, void *value) {
    return division_parse(text, value);
}

void value_print_split(const void *value, char *text) {
    division_print(value, text);
}
