/* SPDX-License-Identifier: Apache-2.0 */
/* src/files: formats on disk, and how files are replaced. Called by src/run and the
 * program, with plain values. Nothing here knows a run or a data set, decides what is written or
 * when, or prints. Symbols begin with the name of their file; those of json.h with files_json_,
 * because json_ is jansson's.
 *
 * atomic_file: a file is written as NAME.PID.part, forced to the disk, and renamed:
 * readers of NAME see the old file or the new one, never a part of it, nor a mixture of two writers': a node that slept
 * while it wrote may wake as another one writes the same file in its place. Errors (a full disk, a
 * quota, a vanished directory) log one line with the file and the reason, and leave no part
 * behind; a killed process leaves one (atomic_file_is_part). */
#ifndef SGP_FILES_ATOMIC_FILE_H
#define SGP_FILES_ATOMIC_FILE_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>

/* A piece of a file's contents, borrowed for the call. */
typedef struct atomic_file_part {
    const void *bytes;
    size_t count;
} atomic_file_part_t;

/* Replaces directory/name by the parts one after the other. May block on the disk. SGP_ERR_IO. */
sgp_status_t atomic_file_replace(const char *directory, const char *name,
                                 const atomic_file_part_t *parts /* (count) */, int count);

/* Appends to directory/name, which must exist. An incomplete write is taken back, so that a file of
 * lines holds whole ones. SGP_ERR_IO. */
sgp_status_t atomic_file_append(const char *directory, const char *name, const void *bytes,
                                size_t count);

/* The same without forcing it to the disk: what was appended outlives the process, but perhaps not the machine. */
sgp_status_t atomic_file_grow(const char *directory, const char *name, const void *bytes,
                              size_t count);

/* Removes directory/name, if it exists. SGP_ERR_IO. */
sgp_status_t atomic_file_remove(const char *directory, const char *name);

/* Makes the directory directory/name, if it does not exist, and forces that to the disk.
 * SGP_ERR_IO. */
sgp_status_t atomic_file_make_directory(const char *directory, const char *name);

/* Whether `file` is a part of NAME, of any process. */
bool atomic_file_is_part(const char *file, const char *name);

#endif
