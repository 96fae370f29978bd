/* SPDX-License-Identifier: Apache-2.0 */
/* Agreement of the nodes of a run, by gathers: that they want the same run, for which each lists
 * its settings as lines "name=value" and the lists are compared with the first node's; and that all
 * of them succeeded in a step of their own, so that no node waits for one that failed. */
#ifndef SGP_RUN_AGREEMENT_H
#define SGP_RUN_AGREEMENT_H

#include <sgp/group.h>
#include <stdbool.h>

#define AGREEMENT_BYTES 4096

typedef struct agreement {
    size_t length;
    char text[AGREEMENT_BYTES]; /* lines, then zeros */
} agreement_t;

/* The first difference from the first node. */
typedef struct agreement_difference {
    int node, first;
    char name[64];
    char value[256];  /* on that node */
    char value0[256]; /* on the first node */
} agreement_difference_t;

/* An empty list. */
void agreement_init(agreement_t *agreement);

/* Adds a line; the value has no newline. The list is cut at AGREEMENT_BYTES. */
__attribute__((format(printf, 3, 4))) void agreement_add(agreement_t *agreement, const char *name,
                                                         const char *format, ...);

/* Whether a node's list differs from that of the first node. A list of length 0 is of an absent node.
 * *difference: of the lowest such node, its first different line. */
bool agreement_compare(const agreement_t *all /* (size) */, int size,
                       agreement_difference_t *difference);

/* All nodes call it; blocks as sgp_group_gather. SGP_ERR_MISMATCH: some node's list differs; the
 * first node and that node log the name and the two values. */
sgp_status_t agreement_check(sgp_group_t *group, const agreement_t *mine);

/* All nodes call it with the status of their own work. Returns SGP_OK if all are; else this node's
 * error, or that of the lowest node that has one. Blocks as sgp_group_gather. */
sgp_status_t agreement_share(sgp_group_t *group, sgp_status_t mine);

#endif
