/* SPDX-License-Identifier: Apache-2.0 */
/* flight-NODE.json: the flight recorder of a process (base/flight.h), with what it knows of the other ranks, as a file. `sgp flight`
 * reads it (docs/troubleshooting.md). A later incarnation of a seat writes flight-NODE.INCARNATION.json.
 *
 * The text is plain ASCII, whatever names and reasons hold. The file is replaced as a whole. Called by flight_watch.c, in any thread; takes
 * no lock that a step holds for long. */
#ifndef SGP_GROUP_FLIGHT_FILE_H
#define SGP_GROUP_FLIGHT_FILE_H

#include "transport/transport.h"

/* A group of this process. Embedded in it. */
typedef struct sgp_flight_source {
    sgp_transport_t *transport; /* with a recorder */
    bool failed;                /* a file was written because a call of it has failed */
    struct sgp_flight_source *next;
} sgp_flight_source_t;

/* The machine's monotonic clock and the wall clock at one moment. */
typedef struct sgp_clock_pair {
    uint64_t monotonic, wall; /* nanoseconds; wall: since 1970 */
    uint64_t within; /* the wall clock was read within so many nanoseconds of `monotonic` */
} sgp_clock_pair_t;

sgp_clock_pair_t sgp_clock_pair(void);

/* The number of the process that has that rank: a node, or a worker of one. */
int sgp_flight_process(const sgp_transport_t *transport, int rank);

/* Why a file is written. */
typedef struct sgp_flight_cause {
    const char *run;     /* the run's id; "": the transport's */
    const char *why;     /* "SIGQUIT", "asked", "failure" */
    sgp_status_t status; /* of the failure */
    const char *text;    /* its line */
    sgp_clock_pair_t began;
} sgp_flight_cause_t;

/* Nothing is written to a disk with less. */
#define SGP_FLIGHT_LEAST_SPACE ((uint64_t)16 << 20)

/* Writes the file of process `process`, with those of the sources (a list) that are its groups. The folder is made if it is
 * missing. path: (room) its name. SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_flight_file_write(const char *folder, const sgp_flight_source_t *sources,
                                   int process, const sgp_flight_cause_t *cause, char *path,
                                   size_t room);

#endif
