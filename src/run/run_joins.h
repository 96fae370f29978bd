/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes that have joined the running run, in the order in which they did: alike on all nodes (run/run_arrivals.h). Called by
 * the files of this folder. */
#ifndef SGP_RUN_RUN_JOINS_H
#define SGP_RUN_RUN_JOINS_H

#include "run/train_types.h"

/* Embedded. All zero: none has. */
typedef struct run_joins {
    train_join_t *list; /* (count) owned */
    int count, room;
} run_joins_t;

/* Adds so many at the end. SGP_ERR_NO_MEMORY, logged; nothing changed. fini accepts zeros. */
sgp_status_t run_joins_add(run_joins_t *joins, const train_join_t *more, int count);
void run_joins_fini(run_joins_t *joins);

#endif
