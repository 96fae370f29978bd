/* SPDX-License-Identifier: Apache-2.0 */
/* What the server's thread works on: the snapshot, the limits, its connections and the listeners of /events. All of it
 * belongs to that thread; nothing is locked. */
#ifndef SGP_STATUS_SERVER_HTTP_CONTEXT_H
#define SGP_STATUS_SERVER_HTTP_CONTEXT_H

#include "status/server/http_rate.h"
#include "status/server/http_request.h"
#include "status/server/http_token.h"
#include "status/server/page_frame.h"
#include "status/server/snapshot_cache.h"

#include <microhttpd.h>

enum {
    HTTP_CONNECTIONS = 96,        /* at once */
    HTTP_CONNECTIONS_OF_ONE = 32, /* of one address */
    HTTP_LISTENERS = 16,          /* of /events */
    HTTP_HEAD = 16384,            /* bytes of memory for a request and the head of its answer */
    HTTP_SILENCE = 10,            /* seconds without a byte that end a connection */
    HTTP_PATIENCE = 30 /* seconds that a request and its answer may take, or a pause between two */
};

/* A connection. In a list of all. */
typedef struct http_connection {
    struct http_connection *next, *before;
    int socket; /* libmicrohttpd's */
    sgp_address_t remote, local;
    uint64_t since; /* when the present request, answer or pause began; 0: it may take any time */
} http_connection_t;

/* A listener of /events. In a list of all. */
typedef struct http_listener {
    struct http_listener *next, *before;
    struct http_context *http;
    struct MHD_Connection *connection;
    http_connection_t *of;
    rendered_t *sending; /* NULL: it waits for the next event */
    size_t sent;
    uint64_t event; /* the number of the last one that it got */
    bool suspended;
} http_listener_t;

typedef struct http_context {
    snapshot_cache_t cache;
    http_token_t token;
    http_names_t names;
    rate_t rate;
    char policy[PAGE_POLICY];
    uint64_t now; /* when the thread woke up last */
    http_connection_t *connections;
    http_listener_t *listeners;
    int listening;
    rendered_t *event; /* the last one; NULL: there was none */
    uint64_t events, event_at;
} http_context_t;

#endif
