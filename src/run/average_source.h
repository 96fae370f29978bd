/* SPDX-License-Identifier: Apache-2.0 */
/* The files of one checkpoint of a run, open for reading: whole, and all of one run. average_checkpoint.c and resize.c open
 * them, average_mean.c reads them. */
#ifndef SGP_RUN_AVERAGE_SOURCE_H
#define SGP_RUN_AVERAGE_SOURCE_H

#include "files/tensor_file.h"

#include <limits.h>
#include <stdbool.h>

/* The files of one checkpoint: each of them whole, and all of one run. */
typedef struct average_source {
    int nodes, workers;    /* of each node */
    int count;             /* nodes * workers */
    tensor_file_t *files;  /* (count) worker m of node i is at i * workers + m */
    char folder[PATH_MAX]; /* of the files */
    bool checked;          /* their hashes were compared before */
} average_source_t;

/* Opens a checkpoint. path: its folder; or the directory of a run, of which the newest good
 * checkpoint is taken, with a warning for each bad one. SGP_ERR_NOT_FOUND: there is none.
 * SGP_ERR_FORMAT, SGP_ERR_MISMATCH: none is good. SGP_ERR_IO, SGP_ERR_NO_MEMORY. Logged. Close
 * *source after success. */
sgp_status_t average_open(const char *path, average_source_t *source);

/* Opens the checkpoint in `folder`, whose files have just been found good: their hashes are not compared again. The
 * errors of average_open; problem is filled and nothing logged. */
sgp_status_t average_open_checked(const char *folder, average_source_t *source,
                                  char problem[TENSOR_FILE_PROBLEM]);
void average_close(average_source_t *source);

/* Fills problem with "PATH: reason". Returns SGP_ERR_FORMAT. */
__attribute__((format(printf, 3, 4))) sgp_status_t
average_say(const tensor_file_t *file, char problem[TENSOR_FILE_PROBLEM], const char *format, ...);

/* A whole number in the metadata; -1: none. */
long average_number(const tensor_file_t *file, const char *key);

#endif
