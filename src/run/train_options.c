/* SPDX-License-Identifier: Apache-2.0 */
#include "run/train_options.h"

#include "mixing/algorithm_table.h"

#include <string.h>

void train_options_settle(train_options_t *options) {
    if (options->augment < 0) options->augment = strncmp(options->model, "resnet", 6) == 0;
    if (options->slow_momentum < 0 && options->slow_every > 0) options->slow_momentum = 0.5;
    else if (options->slow_momentum >= 0 && options->slow_every == 0) options->slow_every = 48;
}

sgp_graph_kind_t train_graph(const train_options_t *options, sgp_algorithm_t algorithm) {
    return options->graph == TRAIN_BY_ALGORITHM ? sgp_algorithm_default_graph(algorithm)
                                                : (sgp_graph_kind_t)options->graph;
}
