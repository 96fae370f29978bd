/* SPDX-License-Identifier: Apache-2.0 */
/* The pairs of AD-PSGD (Lian et al. 2018, section 3): even ranks are active and ask, odd ones are
 * passive and answer. No node does both, so no circle of nodes can wait for each other, for any number of nodes. */
#ifndef SGP_GRAPH_ACTIVE_PASSIVE_H
#define SGP_GRAPH_ACTIVE_PASSIVE_H

#include <stdbool.h>
#include <stdint.h>

static inline bool sgp_pairs_active(int rank) {
    return rank % 2 == 0;
}

/* The number of active nodes; the others, size / 2, are passive. */
static inline int sgp_pairs_actives(int size) {
    return (size + 1) / 2;
}

/* The node that an active one asks in its exchange number k: the hops of the bipartite exponential graph,
 * +1, -1, +3, -3, +5, -5, +9, ... around the ranks. size >= 2. */
int sgp_pairs_partner(int size, int rank, uint64_t k);

#endif
