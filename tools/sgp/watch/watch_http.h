/* SPDX-License-Identifier: Apache-2.0 */
/* One GET of HTTP/1.0, for the status server of a node. So small that a library would be more to look after than this: no
 * redirection, no encoding, no connection that is kept, no TLS; the answer and the time are bounded. Called by watch_source.c. */
#ifndef SGP_WATCH_WATCH_HTTP_H
#define SGP_WATCH_WATCH_HTTP_H

#include "watch/watch.h"

#include <stddef.h>

typedef struct watch_http_request {
    const char *address; /* HOST:PORT */
    const char *path;
    const char *token; /* the password of HTTP Basic; NULL: none */
    const int *stops;  /* (stop_count) descriptors; one that can be read ends the call */
    int stop_count;    /* at most WATCH_HTTP_STOPS */
} watch_http_request_t;

enum {
    WATCH_HTTP_STOPS = 2,
    WATCH_HTTP_SECONDS = 5,      /* of a whole call, but for the resolver's time */
    WATCH_HTTP_MOST = 64 << 20,  /* bytes of an answer */
    WATCH_HTTP_HEAD_MOST = 16384 /* of its head */
};

typedef struct watch_http_answer {
    int status;
    char *text;       /* the whole answer, followed by a 0 byte; released with free */
    const char *body; /* (length) in it */
    size_t length;
} watch_http_answer_t;

typedef enum watch_http_end {
    WATCH_HTTP_DONE,
    WATCH_HTTP_NONE,   /* nobody answers; problem says why */
    WATCH_HTTP_OTHER,  /* it is no HTTP server, or its answer is too long; problem says so */
    WATCH_HTTP_STOPPED /* by the caller's descriptors */
} watch_http_end_t;

/* *answer: only after WATCH_HTTP_DONE. */
watch_http_end_t watch_http_get(const watch_http_request_t *request, watch_http_answer_t *answer,
                                char problem[WATCH_PROBLEM]);

/* Reads the head of an answer of `length` bytes, text[length] being 0: *answer borrows text. false: it is no answer of HTTP, it
 * is cut, or it is in a form that was not asked for. */
bool watch_http_parse(char *text, size_t length, watch_http_answer_t *answer);

#endif
