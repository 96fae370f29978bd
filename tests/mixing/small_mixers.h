/* SPDX-License-Identifier: Apache-2.0 */
/* Mixers of a few chunks with different values on each rank, and a loopback that reorders their messages. */
#ifndef SGP_TESTS_MIXING_SMALL_MIXERS_H
#define SGP_TESTS_MIXING_SMALL_MIXERS_H

#include "ranks.h"

#include "base/random.h"

#include <sgp/mixer.h>

#define LENGTH 333 /* with chunks of 16 floats: 20 full ones and a short one */

static inline float initial_value(int rank, size_t i) {
    sgp_random_t random;
    sgp_random_init(&random, 11, (uint64_t)rank * 100000 + i);
    return (float)sgp_random_normal(&random);
}

static inline sgp_optimizer_t *make_optimizer(size_t count, float momentum) {
    sgp_optimizer_t *optimizer = NULL;
    sgp_optimizer_options_t options = {.count = count, .momentum = momentum};
    CHECK(sgp_optimizer_create(&options, &optimizer) == SGP_OK);
    return optimizer;
}

static inline sgp_mixer_t *make_mixer(sgp_group_t *group, const sgp_mixer_options_t *options) {
    float initial[LENGTH];
    sgp_mixer_t *mixer = NULL;
    for (size_t i = 0; i < LENGTH; i++) initial[i] = initial_value(sgp_group_rank(group), i);
    CHECK(sgp_mixer_create(group, options, initial, &mixer) == SGP_OK);
    return mixer;
}

static inline ranks_setup_t reordering(int size, uint64_t seed) {
    return (ranks_setup_t){.loopback = {.size = size,
                                        .chunk_bytes = 64,
                                        .virtual_time = true,
                                        .seed = seed,
                                        .delay_min_ns = 1000,
                                        .delay_max_ns = 50000000}};
}

#endif
