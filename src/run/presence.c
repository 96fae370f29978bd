/* SPDX-License-Identifier: Apache-2.0 */
#include "run/presence.h"

#include "group/group_internal.h"

#include <string.h>

bool presence_has(const sgp_group_t *group, int rank) {
    return sgp_group_took_part(group, rank);
}

int presence_count(const sgp_group_t *group) {
    return presence_place(group, sgp_group_capacity(group));
}

int presence_first(const sgp_group_t *group) {
    int rank = 0, last = sgp_group_capacity(group) - 1;
    while (rank < last && !presence_has(group, rank)) rank++;
    return rank;
}

int presence_place(const sgp_group_t *group, int rank) {
    int below = 0;
    for (int r = 0; r < rank; r++) below += presence_has(group, r);
    return below;
}

void presence_fill(const sgp_group_t *group, void *all, size_t bytes) {
    unsigned char *places = all;
    const unsigned char *first = places + (size_t)presence_first(group) * bytes;
    for (int r = 0; r < sgp_group_capacity(group); r++)
        if (!presence_has(group, r)) memcpy(places + (size_t)r * bytes, first, bytes);
}
