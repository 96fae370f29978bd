/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are whole or not there. A file is written beside its place under NAME.part, forced to
 * the disk, and renamed: whoever opens NAME sees the old file or the new one, never a half. Errors
 * (a full disk, a quota, a vanished directory) log one line with the file and the reason, and leave
 * no NAME.part behind. */
#ifndef SGP_FILES_ATOMIC_FILE_H
#define SGP_FILES_ATOMIC_FILE_H

#include <sgp/status.h>
#include <stddef.h>

/* A piece of a file's contents, borrowed for the call. */
typedef struct atomic_file_part {
    const void *bytes;
    size_t count;
} atomic_file_part_t;

/* Replaces directory/name by the parts one after the other. May block on the disk. SGP_ERR_IO. */
sgp_status_t atomic_file_replace(const char *directory, const char *name,
                                 const atomic_file_part_t *parts /* (count) */, int count);

/* Adds to the end of directory/name, which must exist. What could not be written entirely is taken
 * back, so that a file of lines holds whole ones. SGP_ERR_IO. */
sgp_status_t atomic_file_append(const char *directory, const char *name, const void *bytes,
                                size_t count);

/* Removes directory/name, if it is there. SGP_ERR_IO. */
sgp_status_t atomic_file_remove(const char *directory, const char *name);

/* Makes directory/name, if it is not there, and makes that last. SGP_ERR_IO. */
sgp_status_t atomic_file_make_directory(const char *directory, const char *name);

#endif
