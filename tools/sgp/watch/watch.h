/* SPDX-License-Identifier: Apache-2.0 */
/* tools/sgp/watch: `sgp status` and `sgp watch`, what a run does, read from its directory or asked of a node's status server.
 *
 * Both ways lead to the same JSON object, that of /status.json (docs/status.md) with a few more members; watch_view.h reads
 * it, and watch_text.h draws that. Everything in it may come from another machine: no byte of it reaches the terminal but
 * through watch_clean. Called by command_status.c and command_watch.c.
 *
 * This header: where the object comes from. */
#ifndef SGP_WATCH_WATCH_H
#define SGP_WATCH_WATCH_H

#include <jansson.h>
#include <stdbool.h>

enum { WATCH_PROBLEM = 512, WATCH_TOKEN = 512 };

/* The option of the commands that ask a status server. value_offset: of a const char *. */
#define WATCH_TOKEN_ROW(value_offset)                                                              \
    {                                                                                              \
        .name = "status-token-file", .argument = "FILE", .type = OPTION_STRING,                    \
        .offset = (value_offset), .shown = "", .wanted = "a file",                                 \
        .help = "the token of the status server, as the run was given it"                          \
    }

typedef struct watch_source watch_source_t;

/* what: the directory of a run, or [HOST:]PORT; a directory comes first. token_file: NULL: none. NULL after one line about a
 * mistake. */
watch_source_t *watch_open(const char *what, const char *token_file);
void watch_close(watch_source_t *source);

typedef enum watch_answer {
    WATCH_READ,
    WATCH_REFUSED, /* problem says why; the same again is no use */
    WATCH_FAILED,  /* problem says why; it may answer later */
    WATCH_STOPPED  /* by the caller's descriptors */
} watch_answer_t;

/* *json: a new reference, on WATCH_READ. stops: (count) descriptors; one that can be read ends a wait. A server is waited for
 * for a few seconds at most. */
watch_answer_t watch_read(watch_source_t *source, const int *stops, int count, json_t **json,
                          char problem[WATCH_PROBLEM]);

#endif
