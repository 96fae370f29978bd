/* SPDX-License-Identifier: Apache-2.0 */
/* A run read from its directory, again and again while it runs: config.json, metrics.jsonl, the processes' own lines
 * (run/own_lines.h), summary.json and the lock. metrics.jsonl is read on from where it ended the last time. */
#ifndef SGP_WATCH_WATCH_DIRECTORY_H
#define SGP_WATCH_WATCH_DIRECTORY_H

#include "watch/watch.h"

typedef struct watch_directory watch_directory_t;

/* NULL after one line: it is no run, or its config.json cannot be read. */
watch_directory_t *watch_directory_open(const char *directory);
void watch_directory_close(watch_directory_t *source); /* NULL is fine */

/* *json: a new reference, the object of watch.h. false: problem says why. */
bool watch_directory_read(watch_directory_t *source, json_t **json, char problem[WATCH_PROBLEM]);

#endif
