/* SPDX-License-Identifier: Apache-2.0 */
/* A file descriptor that is readable once the doorbell of a rank's region has rung: a thread sleeps on the doorbell, as
 * the rank's own wait does, and writes to an eventfd. Called by shm.c and tcp/tcp.c for the owner; costs nothing until
 * the first call. A word of its own in the control page asks for a ring, so it takes no wake-up away from a wait. */
#ifndef SGP_TRANSPORT_SHM_DESCRIPTOR_H
#define SGP_TRANSPORT_SHM_DESCRIPTOR_H

#include "transport/slots/region.h"

#include <pthread.h>
#include <stdbool.h>

/* Embedded; private. Zeros are one that was not opened. */
typedef struct sgp_descriptor {
    sgp_region_t *region;
    int file;
    pthread_mutex_t lock; /* of the next three */
    pthread_cond_t changed;
    bool armed, ending; /* armed: not readable, until the doorbell differs from: */
    uint32_t seen;
    pthread_t thread;
    bool open;
} sgp_descriptor_t;

/* Starts the thread; later calls return the same. region: borrowed. -1 (logged): no memory. */
int sgp_descriptor_open(sgp_descriptor_t *descriptor, sgp_region_t *region);

/* Not readable until the next ring. Fine if it was not opened. */
void sgp_descriptor_rearm(sgp_descriptor_t *descriptor);

/* Ends the thread. Fine if it was not opened. */
void sgp_descriptor_fini(sgp_descriptor_t *descriptor);

#endif
