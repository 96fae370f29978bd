/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of an epoch under way, put together from the files of all processes (run/own_lines.h) by the one that writes
 * metrics.jsonl. A line is complete as soon as every process that is there has made it; its distance then follows from
 * their probes, as at the end of the epoch. A process whose file is not seen, on a disk that is not shared, completes no line.
 * Called by run/run_live.c, in its thread. */
#ifndef SGP_RUN_LIVE_MERGE_H
#define SGP_RUN_LIVE_MERGE_H

#include "run/own_lines.h"

/* Embedded; fields are private but `taken`. */
typedef struct live_merge {
    int size; /* of processes: places */
    const char *directory, *run_id;
    int epoch;
    int taken;         /* lines of the epoch that were taken */
    bool frozen;       /* a process has joined in this epoch: the rest is for its end */
    bool *there;       /* (size) that count */
    own_lines_t **own; /* (size), owned; NULL: not read yet */
} live_merge_t;

/* Strings are borrowed. SGP_ERR_NO_MEMORY, logged. fini accepts zeros. */
sgp_status_t live_merge_init(live_merge_t *merge, int size, const char *directory,
                             const char *run_id);
void live_merge_fini(live_merge_t *merge);

/* Forgets the epoch: no line is taken. */
void live_merge_restart(live_merge_t *merge);

/* Reads the files. there: (size) as the run knows it now; of another epoch than before the lines begin anew. *lines: those that
 * are complete and were not taken, from `first` on; released with metrics_release. After success with lines->count >
 * lines->first the caller writes them and calls live_merge_taken. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t live_merge_look(live_merge_t *merge, int epoch, const bool *there,
                             metrics_lines_t *lines);
void live_merge_taken(live_merge_t *merge, const metrics_lines_t *lines);

/* The lines `first` to `count` of what was read, with their distances; a process that has fewer than `count` is not there.
 * own: (size), NULL: of none. As live_merge_look. */
sgp_status_t live_merge_lines(own_lines_t *const *own, int size, const bool *there, int first,
                              int count, metrics_lines_t *lines);

#endif
