/* SPDX-License-Identifier: Apache-2.0 */
#include "run/stages.h"

#include <sgp/mixer.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool train_stages_begin(const train_stages_t *stages, uint64_t epoch) {
    for (int i = 0; i < stages->count; i++)
        if ((uint64_t)stages->stage[i].epoch == epoch) return true;
    return false;
}

/* "EPOCH:VALUE" or, alone, "VALUE". */
static bool parse_stage(const char *word, bool (*value)(const char *text, int *value),
                        train_stages_t *stages) {
    const char *colon = strchr(word, ':');
    long epoch = 0;
    if (colon) {
        char *end;
        epoch = strtol(word, &end, 10);
        if (*word < '0' || *word > '9' || end != colon || epoch > INT_MAX) return false;
    }
    int count = stages->count;
    if (count == TRAIN_STAGES || (count == 0) != (epoch == 0)) return false;
    if (count > 0 && (!colon || epoch <= stages->stage[count - 1].epoch)) return false;
    stages->stage[count].epoch = (int)epoch;
    if (!value(colon ? colon + 1 : word, &stages->stage[count].value)) return false;
    stages->count++;
    return true;
}

bool train_stages_parse(const char *text, bool (*value)(const char *text, int *value),
                        train_stages_t *stages) {
    train_stages_t parsed = {0};
    for (;;) {
        char word[64];
        size_t length = strcspn(text, ",");
        if (length >= sizeof word) return false;
        memcpy(word, text, length);
        word[length] = '\0';
        if (!parse_stage(word, value, &parsed)) return false;
        if (text[length] == '\0') break;
        text += length + 1;
    }
    *stages = parsed;
    return true;
}

const char *train_stages_text(const train_stages_t *stages, const char *(*name)(int value),
                              char text[TRAIN_STAGES_TEXT]) {
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < stages->count; i++) {
        char number[16], epoch[16] = "";
        snprintf(number, sizeof number, "%d", stages->stage[i].value);
        if (stages->count > 1) snprintf(epoch, sizeof epoch, "%d:", stages->stage[i].epoch);
        int length = snprintf(text + at, TRAIN_STAGES_TEXT - at, "%s%s%s", i ? "," : "", epoch,
                              name ? name(stages->stage[i].value) : number);
        at += (size_t)length;
        if (at >= TRAIN_STAGES_TEXT) break;
    }
    return text;
}

static bool parse_algorithm(const char *text, int *value) {
    sgp_algorithm_t algorithm;
    if (sgp_algorithm_parse(text, &algorithm) != SGP_OK) return false;
    *value = (int)algorithm;
    return true;
}

static bool parse_peers(const char *text, int *value) {
    char *end;
    long peers = strtol(text, &end, 10);
    if (end == text || *end != '\0' || peers < 1 || peers > INT_MAX) return false;
    *value = (int)peers;
    return true;
}

static const char *name_algorithm(int value) {
    return sgp_algorithm_name((sgp_algorithm_t)value);
}

bool train_algorithms_parse(const char *text, train_stages_t *stages) {
    return train_stages_parse(text, parse_algorithm, stages);
}
bool train_peers_parse(const char *text, train_stages_t *stages) {
    return train_stages_parse(text, parse_peers, stages);
}
const char *train_algorithms_text(const train_stages_t *stages, char text[TRAIN_STAGES_TEXT]) {
    return train_stages_text(stages, name_algorithm, text);
}
