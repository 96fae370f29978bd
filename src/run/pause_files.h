/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of what a paused node has saved: OUTPUT/paused/node-R is the directory of a run of its own, which --resume continues.
 * OUTPUT may be shared by all nodes, and the others may be writing checkpoints into it. Called by run_pause.c, and when
 * a run's files are removed. */
#ifndef SGP_RUN_PAUSE_FILES_H
#define SGP_RUN_PAUSE_FILES_H

#include <limits.h>
#include <sgp/status.h>

/* Makes the folder, without the files of an earlier pause. path: its name. SGP_ERR_INVALID: longer than PATH_MAX.
 * SGP_ERR_IO. Both logged. */
sgp_status_t pause_files_make(const char *output, int node, char path[PATH_MAX]);

/* Removes the folder of that node, and then that of all nodes if it is empty. Warns of what cannot be removed. */
void pause_files_remove(const char *output, int node);

/* Removes those of all nodes. */
sgp_status_t pause_files_remove_all(const char *output);

#endif
