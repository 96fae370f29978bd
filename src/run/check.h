/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a run's options without opening a file. */
#ifndef SGP_RUN_CHECK_H
#define SGP_RUN_CHECK_H

#include "data/feed.h"
#include "run/train.h"

/* Each option by its row, then the options together. SGP_ERR_INVALID with one line about the first mistake. */
sgp_status_t check_ranges(const train_options_t *options);

/* Whether the split fits data of this shape and the nodes, of a new run. SGP_ERR_INVALID with one line. */
sgp_status_t check_split(const train_options_t *options, const feed_shape_t *shape);

#endif
