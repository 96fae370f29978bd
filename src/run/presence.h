/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes are there, in a run that goes on without lost ones: those that took part in the group's last collective
 * call. All nodes that are there have the same answer between two such calls, so the lowest of them has the duties that
 * one node does for all, and no node asks another. In a group that is not elastic all are there. Called by the files of
 * this folder and by the program's node. */
#ifndef SGP_RUN_PRESENCE_H
#define SGP_RUN_PRESENCE_H

#include <sgp/group.h>
#include <stdbool.h>
#include <stddef.h>

bool presence_has(const sgp_group_t *group, int rank);

int presence_count(const sgp_group_t *group);

/* The lowest rank that is there. */
int presence_first(const sgp_group_t *group);

/* Ranks below `rank` that are there: its place among them, from 0. */
int presence_place(const sgp_group_t *group, int rank);

/* After a gather: gives absent ranks, whose places are zeros, the contents of the first that is there, so that they differ
 * from nobody. all: (size, bytes) */
void presence_fill(const sgp_group_t *group, void *all, size_t bytes);

#endif
