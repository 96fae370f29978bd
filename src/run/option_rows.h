/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of a run's options.
 *
 * To add an option, add its row to option_rows.c, its field to train_options_t, and the code that uses it. The command
 * line, --help, the manual, config.json, --resume, the range check and the comparison of nodes follow from the row. */
#ifndef SGP_RUN_OPTION_ROWS_H
#define SGP_RUN_OPTION_ROWS_H

#include "run/option.h"
#include "run/train_options.h"

/* The rows, in the order of config.json; the last has no name. Offsets count in train_options_t. */
extern const option_t train_option_rows[];

/* The defaults, settled. */
void train_options_init(train_options_t *options);

/* The defaults before settling, for a caller that goes on to parse. */
void train_options_unset(train_options_t *options);

#endif
