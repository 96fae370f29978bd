/* SPDX-License-Identifier: Apache-2.0 */
/* Time as the run sees it, and sleeping for the experiments that make a node slow. */
#ifndef SGP_RUN_PACING_H
#define SGP_RUN_PACING_H

#include <signal.h>
#include <stdint.h>

/* Nanoseconds of the monotonic clock. */
uint64_t clock_now_ns(void);

/* Seconds since 1970, of the clock that people set. */
double clock_date(void);

/* Sleeps; ends early once *stop is set (NULL: never) and a signal arrives. */
void clock_sleep_ns(uint64_t nanoseconds, const volatile sig_atomic_t *stop);

#endif
