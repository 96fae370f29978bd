/* SPDX-License-Identifier: Apache-2.0 */
/* A run's directory as it is found: whether it holds files of a run, whether that run has finished,
 * and their removal. Other files in it are ignored. */
#ifndef SGP_RUN_RUN_FILES_H
#define SGP_RUN_RUN_FILES_H

#include <jansson.h>
#include <sgp/status.h>
#include <stdbool.h>

/* Whether a new run here would replace files of a run. */
bool run_files_exist(const char *directory);

/* Whether the run has finished. summary: summary.json, NULL if there is none. One without a status
 * is of an earlier version, which wrote it only for finished runs. */
bool run_files_finished(const json_t *summary);

/* Removes the files of a run, and leftovers of a killed one; checkpoint/ and tensorboard/ only if
 * they are then empty. SGP_ERR_IO, logged: a file cannot be removed. */
sgp_status_t run_files_remove(const char *directory);

#endif
