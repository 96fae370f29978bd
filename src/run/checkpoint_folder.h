/* SPDX-License-Identifier: Apache-2.0 */
/* The folders of a run's checkpoints: RUN/checkpoint/step-000000123/node-R.safetensors, one file
 * for each process; R is its rank in the run. A checkpoint is complete when all files are there; a
 * run keeps the last two. */
#ifndef SGP_RUN_CHECKPOINT_FOLDER_H
#define SGP_RUN_CHECKPOINT_FOLDER_H

#include <limits.h>
#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKPOINT_FOLDER "checkpoint"

enum { CHECKPOINT_NAME = 40 };

/* The steps that have a folder, complete or not, newest first. */
typedef struct checkpoint_list {
    size_t count;
    uint64_t *steps; /* (count) */
} checkpoint_list_t;

/* A run without checkpoints has an empty list. SGP_ERR_IO: the folder cannot be read; logged.
 * SGP_ERR_NO_MEMORY. Released with checkpoint_list_release after success. */
sgp_status_t checkpoint_list(const char *run, checkpoint_list_t *list);
void checkpoint_list_release(checkpoint_list_t *list);

/* RUN/checkpoint/step-..., and a node's file in it. SGP_ERR_INVALID: longer than PATH_MAX;
 * logged. */
sgp_status_t checkpoint_folder(const char *run, uint64_t step, char path[PATH_MAX]);
sgp_status_t checkpoint_file(const char *run, uint64_t step, int rank, char path[PATH_MAX]);

/* "node-0.safetensors" */
void checkpoint_file_name(int rank, char name[CHECKPOINT_NAME]);

/* Makes the folder and removes an old file of this node from it; node 0 also those of nodes that a run of so many nodes does not have.
 * Between this and the writing the nodes wait for each other. SGP_ERR_IO, logged. */
sgp_status_t checkpoint_folder_prepare(const char *run, uint64_t step, int rank, int nodes);

/* Removes this node's files of that step, on node 0 those of all nodes, and the folder if it is
 * then empty. Warns of a file that cannot be removed. */
void checkpoint_folder_remove(const char *run, uint64_t step, int rank);

/* The same for all steps except these two: older ones, and leftovers of killed runs. */
void checkpoint_folder_keep(const char *run, uint64_t newest, uint64_t before, int rank);

#endif
