/* SPDX-License-Identifier: Apache-2.0 */
/* Do the nodes want the same run? Each lists what must agree as lines "name=value"; the lists are
 * gathered and compared with node 0's. Also: how the nodes tell each other that one of them failed
 * on its own, so that nobody waits for a node that will not come. */
#ifndef SGP_RUN_AGREEMENT_H
#define SGP_RUN_AGREEMENT_H

#include <sgp/group.h>
#include <stdbool.h>

#define AGREEMENT_BYTES 4096

typedef struct agreement {
    size_t length;
    char text[AGREEMENT_BYTES]; /* lines, and zeros behind them */
} agreement_t;

/* The first difference from node 0. */
typedef struct agreement_difference {
    int node;
    char name[64];
    char value[256];  /* there */
    char value0[256]; /* on node 0 */
} agreement_difference_t;

/* An empty list. */
void agreement_init(agreement_t *agreement);

/* Adds a line; the value has no newline. What exceeds AGREEMENT_BYTES is cut. */
__attribute__((format(printf, 3, 4))) void agreement_add(agreement_t *agreement, const char *name,
                                                         const char *format, ...);

/* True if a node's list differs from node 0's: the lowest such node and its first different line.
 */
bool agreement_compare(const agreement_t *all /* (size) */, int size,
                       agreement_difference_t *difference);

/* All nodes call it; may block as sgp_group_gather. SGP_ERR_MISMATCH: some node's list differs;
 * node 0 and that node log which name, and the two values. */
sgp_status_t agreement_check(sgp_group_t *group, const agreement_t *mine);

/* All nodes call it with what became of their own work: SGP_OK if it was SGP_OK everywhere, else
 * this node's error, or the error of the lowest node that has one. May block as sgp_group_gather.
 */
sgp_status_t agreement_share(sgp_group_t *group, sgp_status_t mine);

#endif
