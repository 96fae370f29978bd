/* SPDX-License-Identifier: Apache-2.0 */
/* trace.json of a run: how each node spends its time. A node is a process of the file, its contexts
 * are the threads "computing" and, where the algorithm has an agent, "messages". Times are of the
 * machine's monotonic clock since the run began, so nodes of one machine can be compared.
 *
 * The nodes record in memory and hand their spans to the first node at the end of an epoch, so the file
 * grows by whole epochs. If an epoch is interrupted, the file has only that node's own spans of it. A
 * track holds a fixed number of spans; the later ones of a long run are left out, and the file and
 * the log say how many. */
#ifndef SGP_RUN_RUN_TRACE_H
#define SGP_RUN_RUN_TRACE_H

#include "base/trace.h"
#include "files/trace_file.h"

#include <sgp/group.h>
#include <stdbool.h>

#define RUN_TRACE_FILE  "trace.json"
#define RUN_TRACE_SPANS ((size_t)1 << 17) /* usually: 3 MiB in memory, about 14 MB in the file */

/* Embedded; fields are private except trace. All zero: no trace, which only begin and fini
 * accept. */
typedef struct run_trace {
    sgp_trace_t *trace;               /* to record to */
    size_t taken[SGP_TRACE_CONTEXTS]; /* spans that are in the file */
    size_t room;                      /* of a track, in spans */
    int workers;                      /* of a node */
    bool writes;                      /* this node has the file */
    uint64_t origin;                  /* of the file's times; nanoseconds */
    bool warned;                      /* of spans that were left out */
    trace_file_t file;
} run_trace_t;

/* directory: of the run, on the first node, borrowed; NULL elsewhere. spans: room of each track. workers:
 * processes of a node. SGP_ERR_NO_MEMORY, SGP_ERR_IO: there is nothing to finish. */
sgp_status_t run_trace_begin(run_trace_t *run_trace, const char *directory, size_t spans,
                             int workers);

/* The node that has the file was lost, and from now on this one has it; an error is that of the next run_trace_gather.
 * directory: as run_trace_begin. */
void run_trace_take_over(run_trace_t *run_trace, const char *directory);

/* Gathers the spans recorded since the last call; the node with the file appends them to the file. All nodes call
 * it, in their computing context; blocks as sgp_group_gather. SGP_ERR_IO, SGP_ERR_NO_MEMORY: on all
 * nodes. */
sgp_status_t run_trace_gather(run_trace_t *run_trace, sgp_group_t *group);

/* Appends this node's spans since the last call, without the other nodes: after a failed run. */
void run_trace_write_own(run_trace_t *run_trace);

void run_trace_fini(run_trace_t *run_trace);

#endif
