/* SPDX-License-Identifier: Apache-2.0 */
/* Names of classes from a text file, one per line in the order of the labels. */
#ifndef SGP_DATA_FORMATS_CLASS_FILE_H
#define SGP_DATA_FORMATS_CLASS_FILE_H

#include "data/formats/names.h"

/* Appends the lines of directory/name, without empty lines at the end. SGP_ERR_NOT_FOUND: no such file, not logged.
 * Logged: SGP_ERR_FORMAT: an empty line between others, a control character, more than SOURCE_MAX_CLASSES lines;
 * SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t class_file_read(const char *directory, const char *name, names_t *names);

/* The same where there is no file: the labels as numbers. A file with another number of lines than `classes` is
 * SGP_ERR_FORMAT, logged. */
sgp_status_t class_file_names(const char *directory, const char *name, int classes, names_t *names);

#endif
