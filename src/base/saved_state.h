/* SPDX-License-Identifier: Apache-2.0 */
/* The state of an object (base/state.h) as one block of bytes that a program keeps and gives back to the same object in
 * a later process. Pure functions; nothing is changed before all of the block has been found good.
 *
 *   "SGPSTATE", u32 version, u32 items, u64 size of the block, u64 XXH3 of all that follows it, u64 length of the
 *   description, the description (UTF-8); for each item: 32 bytes of name, u32 kind, u32 0, u64 count, the numbers.
 *   Each part begins at a multiple of 8. Little-endian.
 *
 * The description names the object, as "name=value" separated by blanks; one of another description is
 * refused with the first difference. */
#ifndef SGP_BASE_SAVED_STATE_H
#define SGP_BASE_SAVED_STATE_H

#include "base/state.h"

#include <sgp/status.h>

size_t sgp_saved_state_size(const char *description, const sgp_state_t *state);

/* bytes: (sgp_saved_state_size). */
void sgp_saved_state_write(const char *description, const sgp_state_t *state, void *bytes);

/* Fills the places of `state`. what: "mixer", for the log. SGP_ERR_INVALID: these bytes are no whole, undamaged block;
 * SGP_ERR_MISMATCH: of another version, description or list of items; both logged, and nothing has changed. */
sgp_status_t sgp_saved_state_read(const char *what, const char *description, sgp_state_t *state,
                                  const void *bytes, size_t size);

#endif
