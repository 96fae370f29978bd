/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/http_events.h"

#include <stdlib.h>
#include <string.h>

#define PERIOD UINT64_C(1000000000)

enum { BLOCK = 16384 };

static void end_sending(http_listener_t *listener) {
    rendered_release(listener->sending);
    listener->sending = NULL;
    listener->sent = 0;
}

/* Called by libmicrohttpd for the next bytes; 0: none yet, and the connection sleeps. */
static ssize_t next_bytes(void *context, uint64_t position, char *bytes, size_t most) {
    (void)position;
    http_listener_t *listener = context;
    http_context_t *http = listener->http;
    if (!listener->sending && http->event && listener->event != http->events) {
        listener->sending = http->event;
        listener->sending->uses++;
        listener->event = http->events;
    }
    if (!listener->sending) {
        listener->suspended = true;
        listener->of->since = 0;
        MHD_suspend_connection(listener->connection);
        return 0;
    }
    size_t left = listener->sending->length - listener->sent, count = left < most ? left : most;
    memcpy(bytes, listener->sending->bytes + listener->sent, count);
    listener->sent += count;
    if (count == left) end_sending(listener);
    return (ssize_t)count;
}

static void remove_listener(void *context) {
    http_listener_t *listener = context;
    end_sending(listener);
    if (listener->before) listener->before->next = listener->next;
    else listener->http->listeners = listener->next;
    if (listener->next) listener->next->before = listener->before;
    listener->http->listening--;
    free(listener);
}

static void add_listener(http_context_t *http, http_listener_t *listener) {
    listener->next = http->listeners;
    if (listener->next) listener->next->before = listener;
    http->listeners = listener;
    http->listening++;
}

struct MHD_Response *http_events_begin(http_context_t *http, struct MHD_Connection *connection,
                                       http_connection_t *of) {
    http_listener_t *listener;
    if (http->listening >= HTTP_LISTENERS || !(listener = malloc(sizeof *listener))) return NULL;
    *listener = (http_listener_t){.http = http,
                                  .connection = connection,
                                  .of = of,
                                  .sending = cache_get(&http->cache, FORM_EVENT, http->now),
                                  .event = http->events};
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK, next_bytes, listener, remove_listener);
    if (!response) {
        end_sending(listener);
        free(listener);
        return NULL;
    }
    if (!http->listeners) http->event_at = http->now; /* it has just got one */
    add_listener(http, listener);
    return response;
}

void http_events_resume(http_context_t *http) {
    for (http_listener_t *at = http->listeners; at; at = at->next) {
        if (!at->suspended) continue;
        at->suspended = false;
        at->of->since = http->now;
        MHD_resume_connection(at->connection);
    }
}

void http_events_tick(http_context_t *http) {
    if (!http->listeners || http->now - http->event_at < PERIOD) return;
    rendered_t *event = cache_get(&http->cache, FORM_EVENT, http->now);
    http->event_at = http->now;
    if (!event) return;
    rendered_release(http->event);
    http->event = event;
    http->events++;
    http_events_resume(http);
}
