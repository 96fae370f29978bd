/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp train --transport loopback`: all nodes as threads of this process. */
#ifndef SGP_LAUNCH_THREADS_H
#define SGP_LAUNCH_THREADS_H

#include "cli/train_settings.h"

/* Trains with one thread for each node, or each worker of a node. Returns the program's exit status
 * and has printed the cause of a failure. */
int threads_run(const settings_t *settings);

#endif
