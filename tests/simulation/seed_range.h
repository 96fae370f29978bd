/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a range of seeds in several processes, and prints those that fail. Used by simulation_main.c alone. */
#ifndef SGP_TESTS_SIMULATION_SEED_RANGE_H
#define SGP_TESTS_SIMULATION_SEED_RANGE_H

#include "simulation_run.h"

/* Returns how many failed; ends after `most` of them. A process that ends in the middle of a seed, or hangs in it, fails
 * that seed. */
int seed_range_run(uint64_t first, uint64_t last, int processes, int most,
                   void (*run)(uint64_t seed, void *context, outcome_t *outcome), void *context);

#endif
