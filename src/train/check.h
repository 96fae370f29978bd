/* SPDX-License-Identifier: Apache-2.0 */
/* Whether options make sense on their own, without opening a file. */
#ifndef TRAIN_CHECK_H
#define TRAIN_CHECK_H

#include "train/train.h"

/* Ranges and names. SGP_ERR_INVALID with one line for the first thing that is wrong. */
sgp_status_t check_ranges(const train_options_t *options);

#endif
