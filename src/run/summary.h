/* SPDX-License-Identifier: Apache-2.0 */
/* The run's result and description as JSON. */
#ifndef SGP_RUN_SUMMARY_H
#define SGP_RUN_SUMMARY_H

#include "run/train.h"

#include <jansson.h>

/* The object of summary.json: every field that docs lists for it; a number that does not exist
 * (the accuracy of a run with compute_ms) is null. A new reference; NULL when out of memory. */
json_t *train_summary_json(const train_options_t *options, const train_summary_t *summary);

/* Of a run that ended early and of which nothing else is known: the rest is 0, and NAN where it has no
 * value. */
void train_summary_early(train_summary_t *summary, train_state_t state);

#endif
