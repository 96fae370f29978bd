/* SPDX-License-Identifier: Apache-2.0 */
/* A run's directory as it is found: whether it holds files of a run, whether that run has finished,
 * and their removal. Other files in it are ignored. */
#ifndef SGP_RUN_RUN_FILES_H
#define SGP_RUN_RUN_FILES_H

#include <limits.h>
#include <jansson.h>
#include <sgp/status.h>
#include <stdbool.h>

/* Whether a new run here would replace files of a run. */
bool run_files_exist(const char *directory);

/* Whether the run has finished. summary: summary.json, NULL if there is none. One without a status
 * is of an earlier version, which wrote it only for finished runs. */
bool run_files_finished(const json_t *summary);

/* Removes the lines that processes have told of an unfinished epoch (run/own_lines.h), of process `from` and later ones.
 * SGP_ERR_IO, logged. */
sgp_status_t run_files_remove_own_lines(const char *directory, int from);

/* Removes the files of a run, and leftovers of a killed one; checkpoint/ and tensorboard/ only if
 * they are then empty. SGP_ERR_IO, logged: a file cannot be removed. */
sgp_status_t run_files_remove(const char *directory);

/* The folder of what a paused node has saved (run/run_pause.h): OUTPUT/paused/node-R is the directory of a run of its own, which
 * --resume continues. OUTPUT may be shared by all nodes, and the others may be writing checkpoints into it. Makes it, without
 * the files of an earlier pause. path: its name. SGP_ERR_INVALID: longer than PATH_MAX. SGP_ERR_IO. Both logged. */
sgp_status_t run_files_make_pause(const char *output, int node, char path[PATH_MAX]);

/* Removes the folder of that node, and then that of all nodes if it is empty. What cannot be removed stays, and the log says so. */
void run_files_remove_pause(const char *output, int node);

#endif
