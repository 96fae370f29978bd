/* SPDX-License-Identifier: Apache-2.0 */
/* The mixer that a run's options ask for in each epoch. Pure functions. */
#ifndef SGP_RUN_MIXING_PLAN_H
#define SGP_RUN_MIXING_PLAN_H

#include "run/train_options.h"

/* The mixer's options in an epoch. count and buffers stay 0. */
sgp_mixer_options_t train_mixer_options(const train_options_t *options, uint64_t epoch);

/* Whether they differ from those of the epoch before; false for epoch 0. */
bool train_mixer_changes(const train_options_t *options, uint64_t epoch);

#endif
