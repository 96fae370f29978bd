/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners of /events: each gets an event at once, and the newest one once a second. One that reads slowly misses
 * events, and holds no more than the one that it is reading. */
#ifndef SGP_STATUS_SERVER_HTTP_EVENTS_H
#define SGP_STATUS_SERVER_HTTP_EVENTS_H

#include "status/server/http_context.h"

/* The answer of a new listener. NULL: there are as many as may be, or no memory. */
struct MHD_Response *http_events_begin(http_context_t *http, struct MHD_Connection *connection,
                                       http_connection_t *of);

/* Sends a new event if it is time for one. */
void http_events_tick(http_context_t *http);

/* Lets all go on, as libmicrohttpd wants it before it stops. */
void http_events_resume(http_context_t *http);

#endif
