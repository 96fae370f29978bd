/* SPDX-License-Identifier: Apache-2.0 */
/* The operating system's clock, for transports in real time and for the program. The mixing asks its transport. */
#ifndef SGP_BASE_CLOCK_H
#define SGP_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t sgp_clock_now(void);

#endif
