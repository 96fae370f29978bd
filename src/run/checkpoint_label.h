/* SPDX-License-Identifier: Apache-2.0 */
/* The label of a checkpoint file: the metadata with its run, step and node. Written
 * into every file, and compared before a run is continued from it. */
#ifndef SGP_RUN_CHECKPOINT_LABEL_H
#define SGP_RUN_CHECKPOINT_LABEL_H

#include "files/tensor_file.h"
#include "run/replica.h"

enum { CHECKPOINT_LABEL_PAIRS = 16, CHECKPOINT_LABEL_TEXT = 64 };

typedef struct checkpoint_label {
    int count;
    safetensors_pair_t pairs[CHECKPOINT_LABEL_PAIRS]; /* (count) values point into texts */
    char texts[CHECKPOINT_LABEL_PAIRS][CHECKPOINT_LABEL_TEXT];
} checkpoint_label_t;

/* id: of the run, "" if it is of an earlier version. */
void checkpoint_label_init(checkpoint_label_t *label, const train_options_t *options,
                           const replica_t *replica, const char *id, uint64_t step, int rank);

/* Whether the file at path is whole and has this label; files of earlier versions have no id.
 * problem: filled on failure, nothing is logged. SGP_ERR_NOT_FOUND: there is no file.
 * SGP_ERR_FORMAT: damaged, or no checkpoint. SGP_ERR_MISMATCH: of another run, step or node.
 * SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t checkpoint_label_check(const char *path, const checkpoint_label_t *label,
                                    char problem[TENSOR_FILE_PROBLEM]);

#endif
