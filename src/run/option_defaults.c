/* SPDX-License-Identifier: Apache-2.0 */
#include "run/option_rows.h"

#include <string.h>

void train_options_unset(train_options_t *options) {
    memset(options, 0, sizeof *options);
    for (const option_t *row = train_option_rows; row->name; row++) option_init(row, options);
}

void train_options_init(train_options_t *options) {
    train_options_unset(options);
    train_options_settle(options);
}
