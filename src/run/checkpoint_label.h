/* SPDX-License-Identifier: Apache-2.0 */
/* The label of a checkpoint file: the metadata with its run, step and node. Written into every file, and compared before a
 * run is continued from it.
 *
 * The second part of a label, the origin, is not compared with the options but read: the number of nodes that wrote the
 * file and how far they were in the samples. A run may be continued by another number of nodes. Files of earlier versions
 * have no such part: their nodes were the same from the beginning of the run. */
#ifndef SGP_RUN_CHECKPOINT_LABEL_H
#define SGP_RUN_CHECKPOINT_LABEL_H

#include "files/tensor_file.h"
#include "run/replica.h"
#include "run/train_types.h"

enum { CHECKPOINT_LABEL_PAIRS = 20, CHECKPOINT_LABEL_TEXT = 64 };

typedef struct checkpoint_label {
    int count;
    safetensors_pair_t pairs[CHECKPOINT_LABEL_PAIRS]; /* (count) values point into texts */
    char texts[CHECKPOINT_LABEL_PAIRS][CHECKPOINT_LABEL_TEXT];
} checkpoint_label_t;

/* The state of the nodes that wrote a checkpoint. Two are equal if checkpoint_origin_same says so. */
typedef struct checkpoint_origin {
    int nodes;
    epochs_t epochs;         /* of these nodes */
    train_resumed_t resumed; /* before they began */
} checkpoint_origin_t;

/* id: of the run, "" if it is of an earlier version. nodes: that wrote the file. */
void checkpoint_label_init(checkpoint_label_t *label, const train_options_t *options, int nodes,
                           const replica_t *replica, const char *id, uint64_t step, int rank);

/* Adds the second part: origin is that of the present nodes. */
void checkpoint_label_add_origin(checkpoint_label_t *label, const checkpoint_origin_t *origin,
                                 uint64_t step);

/* Whether the file has the label's first part; files of earlier versions have no id. The hash is not looked at. problem:
 * filled on failure, nothing is logged. SGP_ERR_FORMAT: no checkpoint. SGP_ERR_MISMATCH: of another run, step or
 * node. */
sgp_status_t checkpoint_label_compare(const tensor_file_t *file, const checkpoint_label_t *label,
                                      char problem[TENSOR_FILE_PROBLEM]);

/* The number of nodes that wrote the file. SGP_ERR_FORMAT: it does not say so, and is no checkpoint. */
sgp_status_t checkpoint_label_nodes(const tensor_file_t *file, int *nodes,
                                    char problem[TENSOR_FILE_PROBLEM]);

/* Reads the origin of a file of `step`. options: of this run, in which only `nodes` may be another. SGP_ERR_FORMAT: no
 * run writes such a label. */
sgp_status_t checkpoint_label_origin(const tensor_file_t *file, const train_options_t *options,
                                     const replica_t *replica, uint64_t step,
                                     checkpoint_origin_t *origin,
                                     char problem[TENSOR_FILE_PROBLEM]);

bool checkpoint_origin_same(const checkpoint_origin_t *one, const checkpoint_origin_t *other);

#endif
