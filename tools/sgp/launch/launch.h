/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the nodes of a run as processes of this machine and stays until all have ended. */
#ifndef SGP_LAUNCH_LAUNCH_H
#define SGP_LAUNCH_LAUNCH_H

#include <stdbool.h>

enum { LAUNCH_REASON = 128 };

typedef struct launch_options {
    int nodes;         /* processes; required, > 0 */
    int workers;       /* so many of them are one node, in messages; 0: one */
    bool once;         /* the nodes join once, and then remove the directory in which they met */
    const char *file;  /* the program, searched in PATH if it has no slash */
    char *const *argv; /* its arguments with its name first, ends with NULL */
    int grace;         /* seconds to end in after Ctrl-C or SIGTERM; 0: 5 */
    bool speaks;       /* when all nodes end alike, they have said why themselves */
    char *reason;      /* (LAUNCH_REASON) gets what went wrong, "" if nothing has; NULL: unused */
} launch_options_t;

/* Each node gets its place in the environment: SGP_RANK, SGP_SIZE, SGP_RENDEZVOUS, and
 * OMP_NUM_THREADS=1 unless that is set; and SGP_LOSSES, the file in which it tells of a loss
 * (sgp_group_tell_losses). When one fails, the others have a few seconds to say what they saw, and
 * are then ended; Ctrl-C, SIGTERM and SIGHUP end all. Nothing is left behind: no process, not even a
 * node's own children, and no file; if this process itself is killed, the nodes are too. Returns the
 * program's exit status and has said what went wrong: which node is the cause, not counting those
 * that ended because another was lost, and whom it had to kill. */
int launch(const launch_options_t *options);

#endif
