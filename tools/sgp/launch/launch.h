/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the nodes of a run as processes of this machine and waits until all have ended. The folder
 * launch starts and ends processes: commands call it; it parses no option of its own, trains
 * nothing outside node.c and threads.c, and prints only the cause of a failure. */
#ifndef SGP_LAUNCH_LAUNCH_H
#define SGP_LAUNCH_LAUNCH_H

#include <stdbool.h>

enum { LAUNCH_REASON = 128 };

typedef struct launch_options {
    int nodes;         /* processes; required, > 0 */
    int workers;       /* consecutive processes that messages call one node; 0: one */
    bool once;         /* the nodes join once, and then remove the rendezvous directory */
    const char *file;  /* the program, searched in PATH if it has no slash */
    char *const *argv; /* its arguments with its name first, ends with NULL */
    int grace; /* seconds that nodes have to end after Ctrl-C or SIGTERM; 0: 5. Nodes may ask for more (patience.h) */
    bool goes_on; /* the nodes go on without one that is lost */
    bool apart;   /* with goes_on: also if several fail alike, and before they have joined */
    bool speaks;  /* nodes that all end alike have printed the cause themselves */
    const char *
        records; /* SIGQUIT asks the nodes to write their flight recorders, into that folder; NULL: it ends the run */
    char *reason; /* (LAUNCH_REASON) receives the failure, "" without one; NULL: unused */
} launch_options_t;

/* Each node finds its placement in the environment: SGP_RANK, SGP_SIZE, SGP_RENDEZVOUS,
 * OMP_NUM_THREADS=1 unless that is set, and SGP_LOSSES, the file in which it reports a loss
 * (sgp_group_tell_losses). When a node fails, the others have a few seconds to report the loss and
 * are then ended; with goes_on a node that is killed is named at once and the others are not ended, and the
 * exit status is theirs; one that fails is named if the others do not fail alike. Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 end all, and so does
 * SIGQUIT without options.records. No process is left behind, not even a node's
 * own children, and no file; if this process is killed, the kernel kills the nodes. Returns the
 * program's exit status and has printed the node that caused a failure (a node that ended because
 * another was lost is no cause) and each node that had to be killed. */
int launch(const launch_options_t *options);

#endif
