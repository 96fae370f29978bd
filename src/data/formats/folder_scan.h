/* SPDX-License-Identifier: Apache-2.0 */
/* Lists the pictures of one folder of class folders, in the order of torchvision's ImageFolder. Called by
 * folder.c; opens no picture. */
#ifndef SGP_DATA_FORMATS_FOLDER_SCAN_H
#define SGP_DATA_FORMATS_FOLDER_SCAN_H

#include "data/formats/names.h"

#include <limits.h>
#include <stdint.h>

enum { FOLDER_SCAN_EXAMPLE = PATH_MAX + NAME_MAX + 2 };

/* All zero before the scan. */
typedef struct folder_scan {
    names_t classes;  /* sorted by bytes */
    names_t files;    /* of class after class, each below its class folder: "x.jpg", "part/y.png" */
    uint64_t *first;  /* (classes + 1) where each class begins in files */
    uint64_t ignored; /* files with another ending */
    uint64_t pictures; /* of these, pictures of a format that is not read: .bmp, .webp, ... */
    char example[FOLDER_SCAN_EXAMPLE]; /* the path of one ignored file, a picture if there is one */
} folder_scan_t;

/* path: "DATA/train". Entries of `path` that are directories, or links to one, are classes; their files .jpg,
 * .jpeg and .png (in any case, at any depth, also behind links) are its samples, in the order of (folder, name) by
 * bytes. A file's kind comes from the directory's entry: no file is looked at unless the file system leaves its kind
 * out.
 * SGP_ERR_FORMAT: no class, a class without pictures, a folder that holds itself through a link. SGP_ERR_IO,
 * SGP_ERR_NO_MEMORY. Logged. Call folder_scan_fini in any case. */
sgp_status_t folder_scan(const char *path, folder_scan_t *scan);
void folder_scan_fini(folder_scan_t *scan);

#endif
