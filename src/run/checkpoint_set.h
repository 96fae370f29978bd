/* SPDX-License-Identifier: Apache-2.0 */
/* The files of one checkpoint, of all its nodes, as the processes that want to continue the run check them.
 *
 * Process r of n checks the hashes of the files r, r + n, ...: its own file alone where as many processes continue the run
 * as have written the checkpoint, and together all files in any case. Where the numbers differ, it also reads the labels of
 * all other files, because each process will read all of them (run/resize.h). Nothing is logged: to one caller a bad file is
 * an error, to another a reason to take an older checkpoint. */
#ifndef SGP_RUN_CHECKPOINT_SET_H
#define SGP_RUN_CHECKPOINT_SET_H

#include "run/checkpoint_label.h"

/* Who checks, and for which run. All is borrowed. */
typedef struct checkpoint_reader {
    const char *directory; /* of the run */
    const train_options_t *options;
    const replica_t *replica;
    const char *id; /* of the run; "": of an earlier version */
    int rank, size; /* of the processes that check; a single one checks everything */
} checkpoint_reader_t;

/* Whether the reader's part of the checkpoint of `step` is good; *origin is filled on success. problem: filled on failure,
 * for the first damaged file, or else for the first missing one. SGP_ERR_NOT_FOUND: a file is missing. SGP_ERR_FORMAT:
 * damaged, or no checkpoint. SGP_ERR_MISMATCH: of another run, step or node. SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t checkpoint_set_check(const checkpoint_reader_t *reader, uint64_t step,
                                  checkpoint_origin_t *origin, char problem[TENSOR_FILE_PROBLEM]);

#endif
