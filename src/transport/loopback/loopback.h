/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as threads of one process, for tests and small runs. With virtual time the run is a
 * simulation: time stands still while any rank works and jumps to the next arrival or deadline when
 * all wait, so that delays cost nothing and the same seed gives the same run, whatever the threads'
 * real order. */
#ifndef SGP_TRANSPORT_LOOPBACK_LOOPBACK_H
#define SGP_TRANSPORT_LOOPBACK_LOOPBACK_H

#include "transport/transport.h"

typedef struct sgp_loopback sgp_loopback_t;

typedef struct sgp_loopback_options {
    int size;              /* ranks; required, >= 1 */
    size_t chunk_bytes;    /* a multiple of 64; 0: 256 KiB */
    size_t capacity;       /* chunks that a rank may have under way; 0: no limit */
    bool virtual_time;     /* false: real time, and messages arrive at once */
    uint64_t seed;         /* of delays and losses */
    uint64_t delay_min_ns; /* with virtual time: each chunk is underway for a time drawn from [min,
                              max]: */
    uint64_t delay_max_ns; /*   an interval that is not a point reorders */
    double loss;           /* share of messages that are lost, all chunks of one alike */
} sgp_loopback_options_t;

/* Sets *hub only on success. SGP_ERR_INVALID (logged), SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_loopback_create(const sgp_loopback_options_t *options, sgp_loopback_t **hub);

/* The transport of a rank, for one thread; owned by the hub: its destroy only marks the rank as
 * gone (as lost, if it did not leave before). */
sgp_transport_t *sgp_loopback_transport(sgp_loopback_t *hub, int rank);

/* Call when no thread uses its transports any more. NULL is fine. */
void sgp_loopback_destroy(sgp_loopback_t *hub);

#endif
