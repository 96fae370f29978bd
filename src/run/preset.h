/* SPDX-License-Identifier: Apache-2.0 */
/* Options of averaging by the kind of network between the nodes. */
#ifndef SGP_RUN_PRESET_H
#define SGP_RUN_PRESET_H

#include "run/train_options.h"

/* Sets the options of options->preset, which is known; "none" sets nothing.
 *
 * lan: sgp, one push of float32 per step, as in the paper.
 * slow: sgp with --rounds auto in int4, codes that know the receiver; the loss of a node ends the run then.
 * wan: outer steps: every 16 steps the exact mean of what they changed, in int4 with error feedback. A learning rate that was
 * set before, by a recipe, becomes a quarter of it, as the default does in train_options_settle. */
void preset_apply(train_options_t *options);

/* The options that a preset sets, as its user would write them; static. "none": NULL. */
const char *preset_text(const char *preset);

#endif
