/* SPDX-License-Identifier: Apache-2.0 */
/* How long a rank waits until it calls another silent, hung or lost (docs/membership.md, "Silence"). Read by the transports
 * that have a clock of their own. */
#ifndef SGP_TRANSPORT_SILENCE_LIMITS_H
#define SGP_TRANSPORT_SILENCE_LIMITS_H

#include "base/constants.h"

#include <stdint.h>

#define SGP_PEER_TIMEOUT_MS                                                                        \
    10000 /* the default of the peer time limit: a rank that is silent for so long is lost */
#define SGP_SUSPECT_MS 500
#define SGP_STALL_MS   1000

/* A rank that is not elastic counts as silent (fates.h) after the peer time limit divided by this. */
#define SGP_SILENT_SHARE 3

/* Of an elastic group, in milliseconds; 0: the default. */
typedef struct sgp_patience {
    int suspect_ms; /* without a word of a rank, until it is silent; SGP_SUSPECT_MS */
    int stall_ms; /* in which its step stands still, at least, until it hangs (pace.h); SGP_STALL_MS */
    int dead_ms; /* until a silent rank is lost; the peer time limit */
} sgp_patience_t;

/* The same in nanoseconds, without zeros. */
typedef struct sgp_limits {
    uint64_t peer; /* the peer time limit, of a group that is not elastic */
    uint64_t suspect, stall, dead;
} sgp_limits_t;

static inline uint64_t sgp_limit_of(int milliseconds, uint64_t otherwise) {
    return milliseconds > 0 ? (uint64_t)milliseconds * SGP_MILLISECOND : otherwise;
}

static inline sgp_limits_t sgp_limits_of(const sgp_patience_t *patience, int peer_timeout_ms) {
    uint64_t peer = sgp_limit_of(peer_timeout_ms, SGP_PEER_TIMEOUT_MS * SGP_MILLISECOND);
    return (sgp_limits_t){.peer = peer,
                          .suspect =
                              sgp_limit_of(patience->suspect_ms, SGP_SUSPECT_MS * SGP_MILLISECOND),
                          .stall = sgp_limit_of(patience->stall_ms, SGP_STALL_MS * SGP_MILLISECOND),
                          .dead = sgp_limit_of(patience->dead_ms, peer)};
}

#endif
