/* SPDX-License-Identifier: Apache-2.0 */
/* Whether options make sense on their own, without opening a file. */
#ifndef SGP_RUN_CHECK_H
#define SGP_RUN_CHECK_H

#include "run/train.h"

/* Ranges and names. SGP_ERR_INVALID with one line for the first thing that is wrong. */
sgp_status_t check_ranges(const train_options_t *options);

#endif
