/* SPDX-License-Identifier: Apache-2.0 */
/* A set of seats as bits: seat s is bit s % 8 of byte s / 8, as it travels in messages of agree. Called by the files of
 * agree and by callers that read an agreed set. Pure functions; seats are 0 to capacity - 1, and bits beyond them are
 * zero. */
#ifndef SGP_GROUP_SEATS_H
#define SGP_GROUP_SEATS_H

#include <stdbool.h>
#include <stddef.h>

static inline size_t sgp_seats_bytes(int capacity) {
    return ((size_t)capacity + 7) / 8;
}

static inline bool sgp_seats_has(const unsigned char *set, int seat) {
    return set[seat / 8] >> seat % 8 & 1;
}

static inline void sgp_seats_add(unsigned char *set, int seat) {
    set[seat / 8] |= (unsigned char)(1u << seat % 8);
}

static inline void sgp_seats_remove(unsigned char *set, int seat) {
    set[seat / 8] &= (unsigned char)~(1u << seat % 8);
}

static inline int sgp_seats_count(const unsigned char *set, int capacity) {
    int count = 0;
    for (size_t i = 0; i < sgp_seats_bytes(capacity); i++) count += __builtin_popcount(set[i]);
    return count;
}

/* The lowest seat of the set from `seat` on; -1: there is none. */
static inline int sgp_seats_next(const unsigned char *set, int capacity, int seat) {
    while (seat < capacity && !sgp_seats_has(set, seat)) {
        bool empty = seat % 8 == 0 && set[seat / 8] == 0;
        seat += empty ? 8 : 1;
    }
    return seat < capacity ? seat : -1;
}

#endif
