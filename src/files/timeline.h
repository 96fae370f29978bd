/* SPDX-License-Identifier: Apache-2.0 */
/* trace.json: what each node did when, in Chrome's trace event format, for ui.perfetto.dev and
 * chrome://tracing. A node is a process of the picture, its contexts are its threads: "computing", and
 * "messages" where the algorithm has an agent. Times are microseconds of the machine's monotonic
 * clock since the run began, so they compare between nodes of one machine.
 *
 * The nodes record in memory and hand their spans to node 0 when they meet at the end of an epoch, so
 * the file grows by whole epochs and is valid JSON at all times but for the moment of writing. Of an
 * epoch that is interrupted it has what node 0 itself did. A track holds so many spans and no more; what
 * comes later in a long run is left out, and the file and the log say how much that was. */
#ifndef SGP_FILES_TIMELINE_H
#define SGP_FILES_TIMELINE_H

#include "base/trace.h"

#include <sgp/group.h>
#include <stdbool.h>

#define TIMELINE_FILE  "trace.json"
#define TIMELINE_SPANS ((size_t)1 << 17) /* usually: 3 MiB in memory, about 14 MB in the file */

/* Embedded; fields are private but for trace. All zero is none: begin and fini alone know it. */
typedef struct timeline {
    sgp_trace_t *trace;               /* to record to */
    size_t taken[SGP_TRACE_CONTEXTS]; /* spans that are in the file */
    size_t room;                      /* of a track, in spans */
    const char *directory;            /* borrowed; NULL: this node writes no file */
    uint64_t origin;                  /* on node 0: when the run began */
    long end;                         /* of the last event in the file, bytes */
    bool told;                        /* the log knows that spans were left out */
    int workers;                      /* of a node, set by the caller; 0: one */
} timeline_t;

/* directory: of the run, on node 0; NULL elsewhere. spans: room of each track. SGP_ERR_NO_MEMORY, SGP_ERR_IO: there is nothing to
 * finish. */
sgp_status_t timeline_begin(timeline_t *timeline, const char *directory, size_t spans);

/* Gathers what was recorded since the last time, and on node 0 appends it to the file. All nodes call
 * it, in their computing context; blocks as gather. SGP_ERR_IO, SGP_ERR_NO_MEMORY: on node 0 */
sgp_status_t timeline_meet(timeline_t *timeline, sgp_group_t *group);

/* Appends what this node has recorded since, without the others: after a run that failed. */
void timeline_rescue(timeline_t *timeline);

void timeline_fini(timeline_t *timeline);

#endif
