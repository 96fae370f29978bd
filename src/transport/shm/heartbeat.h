/* SPDX-License-Identifier: Apache-2.0 */
/* The pulse of a rank: a thread that counts in the rank's control page and looks at the others' counts and sockets.
 * So a loss is noticed while both ranks compute: the end of a process at once, by its socket, and one that does not run
 * (stopped, hung in the kernel) when its count has stood still for the peer time limit.
 *
 * Silence is measured by the looker's own ticks: a tick that came late counts as two ticks at most. So a machine that
 * was suspended, or on which nobody gets to run, makes nobody lost.
 *
 * The thread blocks all signals, allocates nothing, and touches nothing that a step reads or writes. */
#ifndef SGP_TRANSPORT_SHM_HEARTBEAT_H
#define SGP_TRANSPORT_SHM_HEARTBEAT_H

#include "transport/fates.h"
#include "transport/shm/rendezvous.h"

#include <poll.h>
#include <pthread.h>

typedef struct sgp_pulse_options {
    int rank, size;
    const sgp_region_t *own; /* borrowed, as all below */
    const sgp_shm_peer_t
        *peers; /* (size); those without a region are left alone. Read from sgp_pulse_watch on */
    int peer_timeout_ms; /* > 0 */
    /* In the thread: a peer has left or is lost. Called once for each peer and each fate, and for a loss that a peer
     * has told of. */
    void (*note)(void *owner, int rank, sgp_fate_t fate, const char *why);
    void *owner;
} sgp_pulse_options_t;

/* What the thread knows of a peer. */
typedef struct sgp_beat {
    bool gone;       /* nothing more is to be learned of it */
    uint32_t count;  /* its last */
    uint64_t silent; /* nanoseconds that it has stood still */
} sgp_beat_t;

/* Embedded; private. Zeros are one that was not started. */
typedef struct sgp_pulse {
    sgp_pulse_options_t options;
    uint64_t tick, timeout; /* nanoseconds */
    sgp_beat_t *beats;      /* (size) */
    struct pollfd *watched; /* (1 + size) `stop`, and the peers' sockets */
    int stop;               /* an eventfd */
    atomic_bool watches;
    pthread_t thread;
    bool started;
} sgp_pulse_t;

/* The thread begins to count: before the others meet this rank, so that they find it alive. options: copied.
 * SGP_ERR_NO_MEMORY, SGP_ERR_SYSTEM (logged): nothing to stop. */
sgp_status_t sgp_pulse_start(sgp_pulse_t *pulse, const sgp_pulse_options_t *options);

/* The peers are there: from now on it looks at them. */
void sgp_pulse_watch(sgp_pulse_t *pulse);

/* Ends the thread: from now on the others hear nothing of this rank. Fine if it was not started. */
void sgp_pulse_stop(sgp_pulse_t *pulse);

#endif
