/* SPDX-License-Identifier: Apache-2.0 */
#include "run/mixing_plan.h"

#include <string.h>

/* A schedule from all-reduce to osgp has an overlap for the epochs that can have one. */
static int overlap_at(const train_options_t *options, sgp_algorithm_t algorithm) {
    if (options->overlap == TRAIN_BY_ALGORITHM) return algorithm == SGP_ALGORITHM_OSGP ? 1 : 0;
    if (options->algorithm.count > 1 && algorithm != SGP_ALGORITHM_OSGP) return 0;
    return options->overlap;
}

/* Not given and not needed: 0. */
static float slow_momentum(const train_options_t *options) {
    bool none = options->slow_momentum < 0 && options->slow_every == 0;
    return none ? 0 : (float)options->slow_momentum;
}

sgp_mixer_options_t train_mixer_options(const train_options_t *options, uint64_t epoch) {
    sgp_algorithm_t algorithm = (sgp_algorithm_t)train_stages_at(&options->algorithm, epoch);
    return (sgp_mixer_options_t){
        .algorithm = algorithm,
        .graph = {.kind = train_graph(options, algorithm),
                  .size = options->nodes,
                  .peers = train_stages_at(&options->peers, epoch),
                  .seed = options->seed},
        .overlap = overlap_at(options, algorithm),
        .allow_not_finite = options->keep_going,
        .biased = options->biased,
        .encoding = options->encoding,
        .local_steps = options->local_steps,
        .slow_momentum = slow_momentum(options),
        .slow_every = options->slow_every,
        .slow_alone = options->slow_alone,
        .library_allreduce = strcmp(options->allreduce, "library") == 0,
    };
}

bool train_mixer_changes(const train_options_t *options, uint64_t epoch) {
    return epoch > 0 && (train_stages_begin(&options->algorithm, epoch) ||
                         train_stages_begin(&options->peers, epoch));
}
