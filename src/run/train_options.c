/* SPDX-License-Identifier: Apache-2.0 */
#include "run/train_options.h"

#include "mixing/algorithm_table.h"
#include "run/preset_rate.h"

#include <stdio.h>
#include <string.h>

/* The residual networks for small images, which He et al. 2016 train with 0.1 per 128 samples; batch norm lets a short
 * run take that rate from the start. */
static bool takes_high_rate(const char *model) {
    static const char *const names[] = {"resnet20", "resnet32", "resnet56"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(model, names[i]) == 0) return true;
    return false;
}

void train_options_settle(train_options_t *options) {
    bool is_short = options->epochs < TRAIN_SHORT_EPOCHS;
    bool residual = strncmp(options->model, "resnet", 6) == 0;
    if (options->augment < 0) options->augment = residual && !is_short;
    if (options->lr < 0)
        options->lr = (is_short && takes_high_rate(options->model) ? 0.2 : 0.1) *
                      preset_rate(options->preset);
    if (strcmp(options->lr_schedule, "auto") == 0)
        options->lr_schedule = is_short ? "cosine" : "step";
    if (options->slow_momentum < 0 && options->slow_every > 0) options->slow_momentum = 0.5;
    else if (options->slow_momentum >= 0 && options->slow_every == 0) options->slow_every = 48;
    if (options->outer_momentum < 0 && options->outer_lr > 0) options->outer_momentum = 0.8;
    else if (options->outer_momentum >= 0 && options->outer_lr == 0) options->outer_lr = 0.7;
}

const char *train_data_path(const train_options_t *options, int node, char path[TRAIN_PATH]) {
    static const char mark[] = "{node}";
    const char *data = options->data;
    const char *found = options->private_data ? strstr(data, mark) : NULL;
    if (found)
        snprintf(path, TRAIN_PATH, "%.*s%d%s", (int)(found - data), data, node,
                 found + sizeof mark - 1);
    else snprintf(path, TRAIN_PATH, "%s", data);
    return path;
}

sgp_graph_kind_t train_graph(const train_options_t *options, sgp_algorithm_t algorithm) {
    return options->graph == TRAIN_BY_ALGORITHM ? sgp_algorithm_default_graph(algorithm)
                                                : (sgp_graph_kind_t)options->graph;
}
