/* SPDX-License-Identifier: Apache-2.0 */
/* A folder that appears as a whole: it is written as OUT.sgp-part, which becomes OUT at the end. After a failure, Ctrl-C or
 * a power cut OUT is as it was before; an OUT.sgp-part that is left is removed by the next attempt. */
#ifndef SGP_DATA_OUTPUT_FOLDER_H
#define SGP_DATA_OUTPUT_FOLDER_H

#include <limits.h>
#include <stdbool.h>

#define OUTPUT_FOLDER_PART ".sgp-part"

typedef struct output_folder {
    char path[PATH_MAX]; /* OUT */
    char part[PATH_MAX]; /* the files go here */
    bool replaces;       /* an OUT with files */
    int lock;            /* the open OUT.sgp-part, locked against other processes */
} output_folder_t;

/* Makes OUT.sgp-part and the folders above it. may_replace: whether a file with this name may be removed with an OUT that is
 * there; NULL: only an empty OUT may be there. Returns false after a line: OUT holds files (wanted: the option that
 * allows it, or what to do), or the disk refuses. */
bool output_folder_begin(const char *out, bool (*may_replace)(const char *name), const char *remedy,
                         output_folder_t *folder);

/* OUT.sgp-part becomes OUT, safely on the disk. Returns false after a line; OUT.sgp-part is then gone. */
bool output_folder_finish(output_folder_t *folder);

/* Removes OUT.sgp-part. */
void output_folder_abandon(output_folder_t *folder);

/* Makes part/name and the folders above it within part. Returns false after a line. */
bool output_folder_make(const output_folder_t *folder, const char *name);

#endif
