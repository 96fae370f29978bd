/* SPDX-License-Identifier: Apache-2.0 */
/* The run's directory, and JSON on standard output. Called by subcommands; prints one line about a mistake. */
#ifndef SGP_CLI_OUTPUT_H
#define SGP_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    OUTPUT_PATH = 4096,
    OUTPUT_ROOM = 65536, /* least free bytes */
};

/* An unused name, runs/MODEL-ALGORITHM-TIME. */
void output_name(const char *model, const char *algorithm, char path[OUTPUT_PATH]);

/* Makes the directory and its parents, and tries to write so many bytes there, at most OUTPUT_ROOM. Several nodes of
 * one machine call this at once; only one of them needs to ask for OUTPUT_ROOM. Returns false after a line about the
 * cause. */
bool output_prepare(const char *path, size_t bytes);

/* Prints a value made after files_json_begin as one line: all of it, or nothing and false. json: NULL if it could not
 * be allocated. flags: of jansson. */
bool output_json(const json_t *json, size_t flags);

#endif
