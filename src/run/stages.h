/* SPDX-License-Identifier: Apache-2.0 */
/* A setting that changes between epochs, such as "0:allreduce,5:sgp": sgp from epoch 5 on, where
 * epochs count from 0. A single value is one stage. Plain values; any caller in src/run and tools. */
#ifndef SGP_RUN_STAGES_H
#define SGP_RUN_STAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRAIN_STAGES = 16, TRAIN_STAGES_TEXT = 512 };

typedef struct train_stages {
    int count; /* >= 1 */
    struct {
        int epoch; /* ascending, the first is 0 */
        int value;
    } stage[TRAIN_STAGES];
} train_stages_t;

/* One value for all epochs. */
static inline train_stages_t train_stages_of(int value) {
    return (train_stages_t){.count = 1, .stage = {{.epoch = 0, .value = value}}};
}

static inline int train_stages_at(const train_stages_t *stages, uint64_t epoch) {
    int at = 0;
    while (at + 1 < stages->count && (uint64_t)stages->stage[at + 1].epoch <= epoch) at++;
    return stages->stage[at].value;
}

/* Whether a stage begins with this epoch. */
bool train_stages_begin(const train_stages_t *stages, uint64_t epoch);

/* Reads "VALUE" or "0:VALUE,EPOCH:VALUE,..."; value reads one VALUE. false: the text is no schedule, and *stages is
 * unchanged. */
bool train_stages_parse(const char *text, bool (*value)(const char *text, int *value),
                        train_stages_t *stages);

/* Writes the text that train_stages_parse reads. name: of a value; NULL: its number. Returns text. */
const char *train_stages_text(const train_stages_t *stages, const char *(*name)(int value),
                              char text[TRAIN_STAGES_TEXT]);

/* The same for sgp_algorithm_t and for numbers of peers. */
bool train_algorithms_parse(const char *text, train_stages_t *stages);
bool train_peers_parse(const char *text, train_stages_t *stages);
const char *train_algorithms_text(const train_stages_t *stages, char text[TRAIN_STAGES_TEXT]);

#endif
