/* SPDX-License-Identifier: Apache-2.0 */
/* Structs that cross the library's border and grow from one version to the next.
 *
 * Each such call takes the size of the caller's struct beside it (the wrappers in include/sgp pass sizeof). An older
 * caller's struct is shorter: the fields it lacks are zero, their default. A newer caller's is longer: its unknown tail
 * must be zero, that is, at the defaults. New fields are appended at the old sizeof, never put into padding. */
#ifndef SGP_BASE_ABI_H
#define SGP_BASE_ABI_H

#include <sgp/status.h>
#include <stddef.h>

/* Copies the caller's options (theirs, their_size bytes) into ours (our_size bytes). least: sizeof in version 1.0.
 * SGP_ERR_INVALID, logged with `name` and both sizes: no struct of any version has this size, or its unknown tail is
 * not zero; ours is then undefined. */
sgp_status_t sgp_abi_read(const char *name, const void *theirs, size_t their_size, void *ours,
                          size_t our_size, size_t least);

/* Whether a caller's struct for results can have this size. SGP_ERR_INVALID, logged. */
sgp_status_t sgp_abi_check(const char *name, size_t their_size, size_t least);

/* Copies a result to the caller; fields that this library does not know become zero. */
void sgp_abi_write(const void *ours, size_t our_size, void *theirs, size_t their_size);

#endif
