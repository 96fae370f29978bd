/* SPDX-License-Identifier: Apache-2.0 */
/* The transport `loopback`: ranks as threads of one process, joined by a hub. Called by the program and by tests; its
 * messages never leave the process.
 *
 * With virtual time the run is a simulation: time stands still while any rank works, and jumps to the next arrival or
 * deadline when all ranks sleep. So delays cost nothing, and the same seed gives the same run, in whatever order the
 * operating system runs the threads. */
#ifndef SGP_TRANSPORT_LOOPBACK_LOOPBACK_H
#define SGP_TRANSPORT_LOOPBACK_LOOPBACK_H

#include "transport/transport.h"

typedef struct sgp_loopback sgp_loopback_t;

typedef struct sgp_loopback_options {
    int size;              /* ranks; required, >= 1 */
    size_t chunk_bytes;    /* a multiple of 64; 0: 256 KiB */
    size_t capacity;       /* chunks that one rank may have under way; 0: no limit */
    bool virtual_time;     /* false: real time, and messages arrive at once */
    uint64_t seed;         /* of delays and losses */
    uint64_t delay_min_ns; /* with virtual time: each chunk's delay is drawn from [min, max]; */
    uint64_t delay_max_ns; /*   chunks are reordered if min < max */
    double loss;           /* probability that a message is lost, with all its chunks */
} sgp_loopback_options_t;

/* Sets *hub only on success. SGP_ERR_INVALID (logged), SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_loopback_create(const sgp_loopback_options_t *options, sgp_loopback_t **hub);

/* The transport of a rank, for one thread; owned by the hub. Its destroy marks the rank as gone: as lost, unless it has
 * left before. */
sgp_transport_t *sgp_loopback_transport(sgp_loopback_t *hub, int rank);

/* Call when no thread uses the hub's transports any more. NULL is fine. */
void sgp_loopback_destroy(sgp_loopback_t *hub);

#endif
