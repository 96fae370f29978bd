/* SPDX-License-Identifier: Apache-2.0 */
/* A run that starts from a file, --init: a model that this program wrote, or a torchvision state
 * dict saved with safetensors. */
#ifndef SGP_RUN_INITIAL_H
#define SGP_RUN_INITIAL_H

#include "run/replica.h"
#include "run/train_options.h"

/* Whether options->init, if it is given, fits the model: its header, and its hash if it has one.
 * SGP_ERR_NOT_FOUND, SGP_ERR_FORMAT, SGP_ERR_MISMATCH: one line that names the first tensor that is
 * missing, wrongly shaped or no tensor of the model. SGP_ERR_NO_MEMORY. */
sgp_status_t initial_check(const train_options_t *options, const model_t *model);

/* After replica_init: reads options->init, if it is given, into replica->average, for replica_join,
 * and sets replica->initial_hash. The errors of initial_check; SGP_ERR_FORMAT also if a number is
 * not finite. */
sgp_status_t initial_load(const train_options_t *options, replica_t *replica);

#endif
