/* SPDX-License-Identifier: Apache-2.0 */
/* A set of positions of an epoch, as ranges: those that nobody has taken, for example. Called by the
 * segments and the sampler; arithmetic alone.
 *
 * Positions are appended in any order. position_set_arrange then sorts the ranges, joins those that
 * overlap or touch, and numbers the positions in ascending order from 0. So a set of k positions has
 * at most k ranges, and never more than half of the positions of the epoch. */
#ifndef SGP_DATA_POSITION_SET_H
#define SGP_DATA_POSITION_SET_H

#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

/* Positions [first, end). */
typedef struct position_range {
    uint64_t first, end;
    uint64_t before; /* positions of the set below `first`; valid in an arranged set */
} position_range_t;

/* Embedded; zeros are the empty set. Owns its ranges. One thread changes it. */
typedef struct position_set {
    position_range_t *ranges; /* (count) */
    size_t count, room;
} position_set_t;

void position_set_fini(position_set_t *set);
void position_set_clear(position_set_t *set); /* keeps the memory */

/* Room for `more` further ranges. SGP_ERR_NO_MEMORY, logged; nothing changed. */
sgp_status_t position_set_reserve(position_set_t *set, size_t more);

/* Adds [first, end); nothing if it is empty. The set must be arranged before anything else is asked of
 * it. SGP_ERR_NO_MEMORY, logged; nothing changed; never where room was reserved. */
sgp_status_t position_set_append(position_set_t *set, uint64_t first, uint64_t end);

/* Adds all of another set. The errors of position_set_append. */
sgp_status_t position_set_append_all(position_set_t *set, const position_set_t *from);

void position_set_arrange(position_set_t *set);

/* Removes the positions of another set; both are arranged, before and after. SGP_ERR_NO_MEMORY, logged;
 * nothing changed. */
sgp_status_t position_set_subtract(position_set_t *set, const position_set_t *without);

/* The number of positions of an arranged set. */
uint64_t position_set_total(const position_set_t *set);

/* Position number `index` of an arranged set, index < position_set_total. */
uint64_t position_set_at(const position_set_t *set, uint64_t index);

/* Appends the positions numbered [first, end) of an arranged set to another one; end <= total. The errors of
 * position_set_append. */
sgp_status_t position_set_append_part(position_set_t *set, const position_set_t *from,
                                      uint64_t first, uint64_t end);

#endif
