/* SPDX-License-Identifier: Apache-2.0 */
/* Which members delay the others: the rule of docs/status.md, for runs that are read from their directory. */
#ifndef SGP_WATCH_WATCH_SLOW_H
#define SGP_WATCH_WATCH_SLOW_H

#include <jansson.h>

/* Sets "slow" of each member. A member is slow if it is live or silent, computes and updates for at least 1.5 times the median
 * of the live members, and waits no longer than the median of them does. */
void watch_slow_mark(json_t *members);

#endif
