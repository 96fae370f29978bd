/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a run in its directory: whether there are any, whether the run has finished, and how
 * they are removed. What else lies there is not looked at. */
#ifndef SGP_RUN_RUN_FILES_H
#define SGP_RUN_RUN_FILES_H

#include <jansson.h>
#include <sgp/status.h>
#include <stdbool.h>

/* Whether a new run here would replace something that a run has written. */
bool run_files_exist(const char *directory);

/* summary: summary.json, NULL if there is none. It says so itself, or is of an earlier version,
 * which wrote it for finished runs alone. */
bool run_files_finished(const json_t *summary);

/* Removes what a run writes, and what a killed one has left of it; checkpoint/ and tensorboard/ go
 * if that makes them empty. SGP_ERR_IO, logged: something cannot be removed. */
sgp_status_t run_files_remove(const char *directory);

#endif
