/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of a server that strangers may flood: requests of each address and of all, and the processor time of the
 * server's thread. Pure arithmetic over times that the caller passes, in nanoseconds; allocates nothing. */
#ifndef SGP_STATUS_SERVER_HTTP_RATE_H
#define SGP_STATUS_SERVER_HTTP_RATE_H

#include "net/address.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RATE_OF_ADDRESS = 10, /* requests a second */
    RATE_BURST = 40,      /* at once, after a pause */
    RATE_OF_ALL = 50,
    RATE_BURST_OF_ALL = 200,
    RATE_ADDRESSES =
        64, /* that are told apart; the one that was quiet longest makes room for another */
};

/* Tokens that grow with time up to a most. All zero: full. */
typedef struct rate_bucket {
    double used; /* of the most */
    uint64_t at; /* when `used` held */
} rate_bucket_t;

/* All zero: nobody has asked. */
typedef struct rate {
    rate_bucket_t all;
    struct {
        sgp_address_t address;
        rate_bucket_t bucket;
    } of[RATE_ADDRESSES];
    int addresses;
} rate_t;

/* Whether a request of this address is answered now; if so, it counts. */
bool rate_take(rate_t *rate, const sgp_address_t *address, uint64_t now);

#define PACE_SHARE 0.03 /* of a processor that the thread may take for long */
#define PACE_BURST 0.3  /* seconds of it at once, after a pause */

/* The thread has used so much processor time since the last call. Nanoseconds that it has to rest; 0: none. */
uint64_t pace_rest(rate_bucket_t *pace, uint64_t used, uint64_t now);

#endif
