/* SPDX-License-Identifier: Apache-2.0 */
/* summary.json: the result of a run, beside the options that describe it. */
#ifndef SGP_RUN_SUMMARY_H
#define SGP_RUN_SUMMARY_H

#include "run/train_types.h"

#include <jansson.h>

struct train_options;

/* The whole object. A number that does not exist (the accuracy of a run with
 * compute_ms) is null. A new reference; NULL when out of memory. */
json_t *train_summary_json(const struct train_options *options, const train_summary_t *summary);

/* [{"node": 3, "step": 120, "reason": "its process ended", "seconds": 0.2, "left": false}]; seconds: by which the step was
 * longer than usual in which a node noticed the loss, the longest of all nodes. As train_summary_json. */
json_t *summary_losses_json(const train_loss_t *losses, int count);

/* Frees the list of losses; zeros are fine. */
void train_summary_release(train_summary_t *summary);

/* Of a run that ended early, with nothing else known: counts are 0, and other figures NAN. */
void train_summary_early(train_summary_t *summary, train_state_t state);

#endif
