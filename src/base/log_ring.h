/* SPDX-License-Identifier: Apache-2.0 */
/* The last log lines of this process, up to level SGP_LOG_INFO, kept as long as somebody holds the ring: for the status page
 * (status/snapshot.h). logging.c adds them, whether or not a callback takes them too. Any thread; allocates nothing. */
#ifndef SGP_BASE_LOG_RING_H
#define SGP_BASE_LOG_RING_H

#include <sgp/log.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SGP_LOG_RING_LINES = 32, SGP_LOG_RING_TEXT = 256 };

typedef struct sgp_log_kept {
    uint64_t time; /* nanoseconds of the process's clock */
    sgp_log_level_t level;
    char text[SGP_LOG_RING_TEXT]; /* cut off; its last byte is 0 */
} sgp_log_kept_t;

/* Lines are kept from the first hold to the last release. */
void sgp_log_ring_hold(void);
void sgp_log_ring_release(void);

/* Whether lines of that level are kept. One atomic load. */
bool sgp_log_ring_takes(sgp_log_level_t level);

/* For logging.c. A line is dropped if readers keep the ring busy: a thread that logs does not wait for them. */
void sgp_log_ring_add(sgp_log_level_t level, const char *text);

/* Copies the lines that are kept, oldest first; returns how many. */
size_t sgp_log_ring_read(sgp_log_kept_t lines[SGP_LOG_RING_LINES]);

#endif
