/* SPDX-License-Identifier: Apache-2.0 */
/* The exact mean over the nodes. Not in the step path. */
#ifndef SGP_MIXING_EXACT_AVERAGE_H
#define SGP_MIXING_EXACT_AVERAGE_H

#include "mixing/mixer_core.h"

/* z <- the exact mean over the nodes, w <- their mean weight. All nodes call it, settled; of the segment alone: a node's
 * other workers do not have it yet. Errors as sgp_mixer_average. */
sgp_status_t sgp_mixer_agree(sgp_mixer_t *mixer, uint64_t deadline);

#endif
