/* SPDX-License-Identifier: Apache-2.0 */
/* A time limit for joining, on the machine's clock. */
#ifndef SGP_GROUP_JOIN_DEADLINE_H
#define SGP_GROUP_JOIN_DEADLINE_H

#include <stdint.h>

typedef struct sgp_deadline {
    uint64_t end;   /* nanoseconds of sgp_clock_now */
    int timeout_ms; /* from the start, for log lines */
} sgp_deadline_t;

sgp_deadline_t sgp_deadline_in(int timeout_ms);

/* Rounded up; 0: it has passed. */
int sgp_deadline_left_ms(const sgp_deadline_t *deadline);

/* The whole time for a log line, "30 s". Returns text. */
const char *sgp_deadline_text(const sgp_deadline_t *deadline, char text[32]);

#endif
