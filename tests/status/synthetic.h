/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots made up for tests and for bench: every number differs from the others, so that one in the wrong place shows. */
#ifndef SGP_TESTS_STATUS_SYNTHETIC_H
#define SGP_TESTS_STATUS_SYNTHETIC_H

#include "status/snapshot.h"

/* A run of so many members, all live and equally fast, on a static exponential graph. Ends the process without memory. */
void synthetic_make(sgp_status_snapshot_t *snapshot, size_t members);

/* Member `seat` computes so many times as long as the others, and waits for nobody. */
void synthetic_slow(sgp_status_snapshot_t *snapshot, int seat, double factor);

/* Member `seat` has been lost. */
void synthetic_lose(sgp_status_snapshot_t *snapshot, int seat, const char *reason);

/* Member `seat` has reported nothing, and neither has the run. */
void synthetic_forget(sgp_status_snapshot_t *snapshot, int seat);

/* Of member `seat` 1,001 messages were lost, 1,002 late, 1,003 refused and 1,004 sent again; it is the third in its seat. */
void synthetic_trouble(sgp_status_snapshot_t *snapshot, int seat);

void synthetic_free(sgp_status_snapshot_t *snapshot);

#endif
