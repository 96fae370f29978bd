/* SPDX-License-Identifier: Apache-2.0 */
/* How a sender writes to its slots: with plain stores, or with non-temporal ones (base/stream.h).
 *
 * Plain stores leave the chunk in the cache for its receiver. But where the two run on cores without a common
 * cache (two sockets, two L3s of an AMD EPYC), the cache of the receiver has to give up each line before it is
 * written again, and that was measured to take five times as long as a write to memory (docs/results.md).
 * Non-temporal stores take the same time in both cases. The scheduler of this system, or that of a hypervisor,
 * moves processes between such cores at any time. So a sender measures: it times its chunks, tries the other kind
 * now and then, and uses non-temporal stores while plain ones take far longer. The numbers are the same. */
#ifndef SGP_TRANSPORT_SLOTS_STORES_H
#define SGP_TRANSPORT_SLOTS_STORES_H

#include <stdbool.h>
#include <stdint.h>

/* Zeros are fine. */
typedef struct sgp_stores {
    double time[2];    /* nanoseconds a chunk takes, [non-temporal]; 0: unknown */
    bool non_temporal; /* in use */
    bool trying;       /* this chunk is written in the other way */
    uint32_t chunks;   /* since the last trial */
    uint64_t begun;    /* the current chunk; 0: it is not timed */
} sgp_stores_t;

/* Before a chunk is written. timed: it compares with others (it is of full size, and its slot was used
 * before). Whether to use non-temporal stores. */
bool sgp_stores_begin(sgp_stores_t *stores, bool timed, uint64_t now);

/* After it. */
void sgp_stores_end(sgp_stores_t *stores, uint64_t now);

/* For tests: whatever the times are. */
void sgp_stores_always_non_temporal(bool always);

#endif
