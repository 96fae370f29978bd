/* SPDX-License-Identifier: Apache-2.0 */
/* The options of published trainings. */
#ifndef SGP_RUN_RECIPE_H
#define SGP_RUN_RECIPE_H

#include "run/train_options.h"

/* Sets the options of options->recipe, which is known, for options->workers workers per node; "none" sets nothing.
 *
 * paper: Assran et al. 2019, section 6 (after Goyal et al. 2017): 90 epochs of ImageNet with 256 samples per node and
 * step, which the workers of a node share (rounded up), and 0.1 as the learning rate of 256 samples. */
void recipe_apply(train_options_t *options);

#endif
