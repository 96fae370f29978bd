/* SPDX-License-Identifier: Apache-2.0 */
/* The store instructions with which a sender writes to its slots: plain, or non-temporal
 * (base/stream.h).
 *
 * Plain stores leave the chunk in the cache for its receiver. But where the two run on cores
 * without a common cache (two sockets, two L3s of an AMD EPYC), the cache of the receiver must
 * give up each line before it is written again, which was measured to take five times as long as a
 * write to memory (docs/results.md). Non-temporal stores take the same time in both cases. The
 * operating system, or a hypervisor, moves processes between such cores at any time. So a sender
 * measures: it times its chunks, tries the other kind now and then, and uses non-temporal stores
 * while plain ones take far longer. The values stored are the same. */
#ifndef SGP_TRANSPORT_SLOTS_STORES_H
#define SGP_TRANSPORT_SLOTS_STORES_H

#include <stdbool.h>
#include <stdint.h>

/* Zeros are fine. */
typedef struct sgp_stores {
    double time[2];    /* nanoseconds a chunk takes, [non-temporal]; 0: unknown */
    bool non_temporal; /* in use */
    bool trying;       /* this chunk is written with the other kind */
    uint32_t chunks;   /* since the last trial */
    uint64_t begun;    /* the current chunk; 0: it is not timed */
} sgp_stores_t;

/* Before a chunk is written. timed: its time compares with others' (it is of full size, and its
 * slot was used before). Returns whether to use non-temporal stores. */
bool sgp_stores_begin(sgp_stores_t *stores, bool timed, uint64_t now);

/* After the chunk is written. */
void sgp_stores_end(sgp_stores_t *stores, uint64_t now);

/* For tests: use non-temporal stores whatever the times are. */
void sgp_stores_always_non_temporal(bool always);

#endif
