/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping on purpose, for the experiments that make a node slow; and the date. The run measures
 * time with sgp_clock_now (base/clock.h). */
#ifndef SGP_RUN_PACING_H
#define SGP_RUN_PACING_H

#include <signal.h>
#include <stdint.h>

/* Seconds since 1970, of the clock that people set. */
double pacing_wall_time(void);

/* Sleeps; ends early if *stop is set (NULL: never) when a signal arrives. */
void pacing_sleep_ns(uint64_t nanoseconds, const volatile sig_atomic_t *stop);

#endif
