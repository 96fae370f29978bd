/* SPDX-License-Identifier: Apache-2.0 */
/* What a node needs to go on after its end, as one file for each node
 * (run/checkpoint_folder.h).
 *
 * The file is a safetensors file. Its tensors of the model's names are the node's own parameters
 * and batch-norm statistics, as any reader of the format finds them in model.safetensors. Names
 * that begin with "sgp." are the rest: the mixer's ("sgp.mixer.weight"), the optimizer's and the
 * run's own state. "__metadata__" says of which run, step and node it is, and has a hash of the
 * file.
 *
 * The nodes write after the same step. A checkpoint counts when all have: only then older ones
 * are removed, so that whoever is killed at any moment finds a complete one, and the one before. */
#ifndef SGP_RUN_CHECKPOINT_H
#define SGP_RUN_CHECKPOINT_H

#include "run/run_state.h"
#include "files/tensor_file.h"

#define CHECKPOINT_OWN "sgp." /* begins the names of what is not the model's */

enum { CHECKPOINT_TEXTS = 16, CHECKPOINT_TEXT = 64 };

/* The metadata that tell a file's run, step and node. */
typedef struct checkpoint_label {
    int count;
    safetensors_pair_t pairs[CHECKPOINT_TEXTS]; /* (count) values point into texts or options */
    char texts[CHECKPOINT_TEXTS][CHECKPOINT_TEXT];
} checkpoint_label_t;

/* id: of the run, "" if it is of an earlier version. options and replica are borrowed as long as
 * the label is used. */
void checkpoint_label_init(checkpoint_label_t *label, const train_options_t *options,
                           const replica_t *replica, const char *id, uint64_t step, int rank);

/* Whether the file at path is whole and what the label says; one of an earlier version has no id.
 * SGP_ERR_NOT_FOUND: there is none. SGP_ERR_FORMAT: damaged, or no checkpoint. SGP_ERR_MISMATCH: of
 * another run, step or node. SGP_ERR_IO, SGP_ERR_NO_MEMORY. problem says which and why; nothing is
 * logged. */
sgp_status_t checkpoint_check(const char *path, const checkpoint_label_t *label,
                              char problem[TENSOR_FILE_PROBLEM]);

/* Whether a checkpoint is due after this step, which does not end an epoch. */
bool checkpoint_due(const run_t *run);

/* The same at the end of an epoch, after the nodes have met. */
bool checkpoint_due_after_epoch(const run_t *run);

/* The next one by time is due checkpoint_minutes from now. */
void checkpoint_restart_clock(run_t *run);

/* Writes one of the steps done so far; all nodes call it. The time that it takes is not the run's.
 * SGP_ERR_NOT_FINITE: some node's vector is not finite. SGP_ERR_IO: some node could not, and its log says why; the ones before are still there.
 * SGP_ERR_INTERRUPTED, and the errors of sgp_mixer_settle. */
sgp_status_t checkpoint_write(run_t *run);

/* Goes on from that checkpoint of the run in `directory`; after replica_join, instead of any step.
 * SGP_ERR_FORMAT: the file is not what this version writes. */
sgp_status_t checkpoint_read(run_t *run, const char *directory, uint64_t step);

#endif
