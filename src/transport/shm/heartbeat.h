/* SPDX-License-Identifier: Apache-2.0 */
/* The heartbeat of a rank: a thread that counts in the rank's control page, and looks at the counts
 * and sockets of the other local ranks. So a loss is noticed while both ranks compute: the end of a
 * process at once, by its socket, and a process that does not run (stopped, hung in the kernel)
 * when its count has stood still for the peer time limit; after a third of that it counts as silent. In an elastic
 * group it is silent after suspect_ms, and the thread also tells the step of its own rank, and whether it hangs
 * (transport/pace.h). A thread that finds that its own process did not run accuses nobody for a while.
 *
 * Silence is measured in the looker's own ticks, and a late tick counts as two at most. So a
 * machine that was suspended, or on which no process gets to run, makes no rank lost.
 *
 * The thread blocks all signals, allocates nothing, and touches nothing that a step reads or
 * writes. */
#ifndef SGP_TRANSPORT_SHM_HEARTBEAT_H
#define SGP_TRANSPORT_SHM_HEARTBEAT_H

#include "transport/slots/slots.h"

#include <poll.h>
#include <pthread.h>

/* A peer, as the thread knows it. */
typedef struct sgp_beat {
    bool gone;               /* it left or is lost: the thread looks no more */
    uint32_t count;          /* the last one read */
    bool noted;              /* that it is silent */
    _Atomic uint64_t silent; /* nanoseconds that it has stood still */
} sgp_beat_t;

/* Embedded; private. Zeros are one that was not started. */
typedef struct sgp_heartbeat {
    sgp_slots_t *slots;
    uint64_t tick; /* nanoseconds */
    sgp_limits_t limits;
    sgp_beat_t *beats;      /* (size) */
    struct pollfd *watched; /* (1 + size) `stop`, and the peers' sockets */
    int stop;               /* an eventfd */
    atomic_bool watches;
    pthread_t thread;
    bool started;
} sgp_heartbeat_t;

/* The thread begins to count. slots: borrowed. In the thread slots->note is called once for each
 * peer that leaves or is lost, and for a loss that a peer knew of when it ended. SGP_ERR_NO_MEMORY,
 * SGP_ERR_SYSTEM (logged): nothing to stop. */
sgp_status_t sgp_heartbeat_start(sgp_heartbeat_t *heartbeat, sgp_slots_t *slots,
                                 const sgp_limits_t *limits);

/* The local peers are mapped: the thread looks at them from now on. sockets: (size). */
void sgp_heartbeat_watch(sgp_heartbeat_t *heartbeat, const int *sockets);

/* How long the rank's count has stood still, in nanoseconds; 0: it moves, or is not looked at. Any thread. */
uint64_t sgp_heartbeat_silence(const sgp_heartbeat_t *heartbeat, int rank);

/* Ends the thread: this rank falls silent. Fine if it was not started. */
void sgp_heartbeat_stop(sgp_heartbeat_t *heartbeat);

#endif
