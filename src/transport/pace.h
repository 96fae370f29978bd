/* SPDX-License-Identifier: Apache-2.0 */
/* The pace of this rank's steps, by which its own heartbeat tells whether its thread hangs (docs/membership.md, "Silence").
 * The owner's thread writes it (transport.h, sgp_transport_at), the transport's thread reads it. Knows no transport and no
 * clock: callers hand over nanoseconds of one clock.
 *
 * A thread hangs if its step stands still for longer than `stall` and 8 times the median of its last 64 steps. Time in
 * which it waits for others does not count, nor what follows a rest (a collective call, an evaluation) until the next
 * step; and nothing counts before the first steps have been timed. */
#ifndef SGP_TRANSPORT_PACE_H
#define SGP_TRANSPORT_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SGP_PACE_STEPS 64 /* whose times are kept */
#define SGP_PACE_FIRST 8  /* steps that are timed before the clock starts */
#define SGP_PACE_TIMES 8  /* the median's */

/* Embedded; zeros at first. */
typedef struct sgp_pace {
    _Atomic uint64_t step; /* of the owner */
    _Atomic uint64_t
        alive; /* when the owner last came out of a wait or began a step; 0: it rests */
    _Atomic uint64_t median; /* 0: too few steps */
    _Atomic uint32_t waits;  /* contexts that wait now */
    /* The owner's. */
    uint64_t begun; /* of the step; 0: it is not timed */
    uint64_t times[SGP_PACE_STEPS];
    uint32_t count; /* of times, ever */
} sgp_pace_t;

/* The owner begins that step. Allocates nothing; a few loads and stores, and a sort of 64 numbers in each eighth step. */
void sgp_pace_step(sgp_pace_t *pace, uint64_t step, uint64_t now);

/* The clock rests until the next step. */
void sgp_pace_rest(sgp_pace_t *pace);

/* Around each wait of a context. */
static inline void sgp_pace_begin_wait(sgp_pace_t *pace) {
    atomic_fetch_add_explicit(&pace->waits, 1, memory_order_relaxed);
}
void sgp_pace_end_wait(sgp_pace_t *pace, uint64_t now);

/* The process itself did not run for so long. Any thread. */
void sgp_pace_forgive(sgp_pace_t *pace, uint64_t late);

/* Any thread. */
bool sgp_pace_hangs(const sgp_pace_t *pace, uint64_t now, uint64_t stall);

#endif
