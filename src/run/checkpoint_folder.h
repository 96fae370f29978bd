/* SPDX-License-Identifier: Apache-2.0 */
/* Where a run's checkpoints lie: RUN/checkpoint/step-000000123/node-0.safetensors, one file for
 * each process; where a node has several workers, R is the worker's rank in the run. A checkpoint
 * is complete when all files are there; a run keeps the last two. */
#ifndef SGP_RUN_CHECKPOINT_FOLDER_H
#define SGP_RUN_CHECKPOINT_FOLDER_H

#include <limits.h>
#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKPOINT_FOLDER "checkpoint"

enum { CHECKPOINT_NAME = 40 };

/* The steps of which there is a folder, complete or not, the newest first. */
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

/* Makes the folder, without a file of this node in it. SGP_ERR_IO, logged. */
sgp_status_t checkpoint_folder_prepare(const char *run, uint64_t step, int rank);

/* Removes this node's files of that step, on node 0 those of all nodes, and the folder if that made
 * it empty. What cannot be removed stays, with a warning. */
void checkpoint_folder_remove(const char *run, uint64_t step, int rank);

/* The same for all steps but these two: older ones, and what runs that were killed have left. */
void checkpoint_folder_keep(const char *run, uint64_t newest, uint64_t before, int rank);

#endif
