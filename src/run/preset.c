/* SPDX-License-Identifier: Apache-2.0 */
#include "run/preset.h"

#include "run/preset_rate.h"

#include <string.h>

typedef struct preset {
    const char *name;
    sgp_algorithm_t algorithm;
    sgp_encoding_t encoding;
    int rounds, local_steps;
    double outer_lr, outer_momentum; /* 0, and below 0: none */
    const char *text;
} preset_t;

static const preset_t presets[] = {
    {"lan", SGP_ALGORITHM_SGP, SGP_ENCODING_FLOAT32, 1, 1, 0, -1,
     "--algorithm sgp --rounds 1 --encoding float32"},
    {"slow", SGP_ALGORITHM_SGP, SGP_ENCODING_INT4, SGP_ROUNDS_AUTO, 1, 0, -1,
     "--algorithm sgp --rounds auto --encoding int4"},
    {"wan", SGP_ALGORITHM_ALLREDUCE, SGP_ENCODING_INT4, 1, 16, 0.7, 0.8,
     "--algorithm allreduce --local-steps 16 --outer-lr 0.7 --outer-momentum 0.8 --encoding int4, "
     "and a quarter of the learning rate"},
};

static const preset_t *find(const char *name) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].name, name) == 0) return &presets[i];
    return NULL;
}

void preset_apply(train_options_t *options) {
    const preset_t *preset = find(options->preset);
    if (!preset) return;
    options->algorithm = train_stages_of(preset->algorithm);
    options->encoding = preset->encoding;
    options->rounds = preset->rounds;
    options->local_steps = preset->local_steps;
    options->outer_lr = preset->outer_lr;
    options->outer_momentum = preset->outer_momentum;
    if (options->lr >= 0) options->lr *= preset_rate(options->preset);
}

const char *preset_text(const char *name) {
    const preset_t *preset = find(name);
    return preset ? preset->text : NULL;
}
