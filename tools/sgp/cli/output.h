/* SPDX-License-Identifier: Apache-2.0 */
/* The run's directory, and JSON on standard output. */
#ifndef SGP_CLI_OUTPUT_H
#define SGP_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    OUTPUT_PATH = 4096,
    OUTPUT_ROOM = 65536, /* bytes that there should be at least */
};

/* A name that is not taken: runs/MODEL-ALGORITHM-TIME. */
void output_name(const char *model, const char *algorithm, char path[OUTPUT_PATH]);

/* Makes the directory with all above it, and tries to write so many bytes there, OUTPUT_ROOM at most.
 * (Several nodes of one machine do so at once, and one of them asking for room is enough.) Returns false
 * after a line about what is wrong. */
bool output_prepare(const char *path, size_t bytes);

/* Prints what was made after files_json_begin as one line: all of it, or nothing and false. json: NULL if
 * there was no memory for it. flags: of jansson. */
bool output_json(const json_t *json, size_t flags);

#endif
