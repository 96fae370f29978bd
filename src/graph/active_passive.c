/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/active_passive.h"

/* Hops between passive nodes: rank 2a + 1 + 2s is hop 1 + 2s from the active rank 2a. */
int sgp_pairs_partner(int size, int rank, uint64_t k) {
    int64_t passives = size / 2, lengths = 1;
    while (((int64_t)1 << lengths) < passives) lengths++;
    int64_t at = (int64_t)(k % (uint64_t)(2 * (lengths + 1)));
    int64_t length = at / 2 == 0 ? 0 : (int64_t)1 << (at / 2 - 1);
    int64_t shift = at % 2 == 0 ? length : -1 - length;
    int64_t passive = ((rank / 2 + shift) % passives + passives) % passives;
    return (int)(2 * passive + 1);
}
