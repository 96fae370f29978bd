/* SPDX-License-Identifier: Apache-2.0 */
#include "run/recipe.h"

#include <string.h>

enum { PAPER_EPOCHS = 90, PAPER_BATCH = 256 };

void recipe_apply(train_options_t *options) {
    if (strcmp(options->recipe, "paper") != 0) return;
    int workers = options->workers > 0 ? options->workers : 1;
    options->epochs = PAPER_EPOCHS;
    options->batch_size = (PAPER_BATCH + workers - 1) / workers;
    options->lr = 0.1;
    options->warmup_epochs = -1; /* 5/90 of the epochs */
    options->lr_schedule = "step";
    options->optimizer = "sgd";
    options->momentum = 0.9;
    options->nesterov = true;
    options->weight_decay = 1e-4;
    options->augment = 1;
    options->label_smoothing = 0;
}
