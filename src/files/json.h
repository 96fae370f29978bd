/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing JSON files with jansson, with every failed allocation reported. */
#ifndef SGP_FILES_JSON_H
#define SGP_FILES_JSON_H

#include "files/atomic_file.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* Fifteen digits reproduce every decimal number that a person has typed (0.1 stays 0.1). */
#define FILES_JSON_FLAGS (JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15))

/* jansson does not report all of its failed allocations, and then returns incomplete values: an
 * array without an element, a key without its beginning. Call begin before making or reading a
 * value that must be complete; failed says whether an allocation of this thread has failed
 * since. */
void files_json_begin(void);
bool files_json_failed(void);

/* As json_loadb and json_load_file, but without memory for a text they fail (files_json_failed)
 * instead of aborting. error: NULL, or filled on failure. */
json_t *files_json_parse(const char *text, size_t length, size_t flags, json_error_t *error);
json_t *files_json_load(const char *path, size_t flags, json_error_t *error);

/* JSON knows no NaN: a number that does not exist is null. */
static inline json_t *files_json_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

/* jansson's integers are signed: a larger value becomes a string of digits. */
json_t *files_json_u64(uint64_t value);

/* Reads an object or an array from path; *json: a new reference. On failure problem has the reason,
 * to be printed after the path, and nothing is logged. SGP_ERR_NOT_FOUND: there is no such file.
 * SGP_ERR_IO: it cannot be opened. SGP_ERR_FORMAT: no regular file, or not JSON.
 * SGP_ERR_NO_MEMORY. */
enum { FILES_JSON_PROBLEM = 256 };
sgp_status_t files_json_read(const char *path, json_t **json, char problem[FILES_JSON_PROBLEM]);

/* Replaces directory/name by the indented text and releases json, which was made after
 * files_json_begin (NULL: out of memory). SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t files_json_write(const char *directory, const char *name, json_t *json);

#endif
