/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/http_answer.h"

#include "status/server/http_events.h"

#include <string.h>
#include <strings.h>

static const char plain[] = "text/plain; charset=utf-8";

enum { CONTENT_TOO_LARGE = 413 }; /* versions of libmicrohttpd name it differently */

static const char *header(struct MHD_Connection *connection, const char *name) {
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* ---- answers ---- */

static void add_headers(const http_context_t *http, struct MHD_Response *response,
                        const char *type) {
    const char *const headers[][2] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, type},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"Content-Security-Policy", http->policy},
        {"Referrer-Policy", "same-origin"},
        {"X-Frame-Options", "DENY"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        MHD_add_response_header(response, headers[i][0], headers[i][1]);
}

/* Queues an answer and lets go of it. extra, value: NULL, or one more header. */
static enum MHD_Result queue(const http_context_t *http, struct MHD_Connection *connection,
                             unsigned code, struct MHD_Response *response, const char *type,
                             const char *extra, const char *value) {
    if (!response) return MHD_NO;
    add_headers(http, response, type);
    if (extra) MHD_add_response_header(response, extra, value);
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

/* text: static, one line. */
static enum MHD_Result refuse(const http_context_t *http, struct MHD_Connection *connection,
                              unsigned code, const char *text, const char *extra,
                              const char *value) {
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    return queue(http, connection, code, response, plain, extra, value);
}

static void release(void *rendered) {
    rendered_release(rendered);
}

static enum MHD_Result show(http_context_t *http, struct MHD_Connection *connection, form_t form,
                            const char *type) {
    rendered_t *rendered = cache_get(&http->cache, form, http->now);
    if (!rendered)
        return refuse(http, connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                      "The node is out of memory.\n", MHD_HTTP_HEADER_RETRY_AFTER, "2");
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
        rendered->length, rendered->bytes, release, rendered);
    if (!response) rendered_release(rendered);
    return queue(http, connection, MHD_HTTP_OK, response, type, MHD_HTTP_HEADER_VARY,
                 MHD_HTTP_HEADER_ACCEPT);
}

static enum MHD_Result show_metrics(http_context_t *http, struct MHD_Connection *connection) {
    if (http_wants_open_metrics(header(connection, MHD_HTTP_HEADER_ACCEPT)))
        return show(http, connection, FORM_OPEN_METRICS,
                    "application/openmetrics-text; version=1.0.0; charset=utf-8");
    return show(http, connection, FORM_PROMETHEUS, "text/plain; version=0.0.4; charset=utf-8");
}

static enum MHD_Result show_events(http_context_t *http, struct MHD_Connection *connection,
                                   http_connection_t *of) {
    struct MHD_Response *response = http_events_begin(http, connection, of);
    if (!response)
        return refuse(http, connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                      "There are as many listeners as this node serves.\n",
                      MHD_HTTP_HEADER_RETRY_AFTER, "10");
    return queue(http, connection, MHD_HTTP_OK, response, "text/event-stream", NULL, NULL);
}

/* ---- the flight recorder ---- */

/* Another page in the reader's browser may not ask for it, nor, without a token, another machine. */
static enum MHD_Result write_flight(http_context_t *http, struct MHD_Connection *connection,
                                    const http_connection_t *of) {
    const char *host = header(connection, MHD_HTTP_HEADER_HOST);
    if (!http_same_origin(header(connection, MHD_HTTP_HEADER_ORIGIN), host))
        return refuse(http, connection, MHD_HTTP_FORBIDDEN,
                      "Only this node's own page may ask for that.\n", NULL, NULL);
    if (!http->token.wanted && !sgp_address_is_loopback(&of->remote))
        return refuse(http, connection, MHD_HTTP_FORBIDDEN,
                      "Without a token only this machine may ask for that.\n", NULL, NULL);
    if (http->cache.source.write_flight(http->cache.source.context) != SGP_OK)
        return refuse(http, connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
                      "The flight recorder could not be written; the node's log says why.\n", NULL,
                      NULL);
    return refuse(http, connection, MHD_HTTP_OK, "The flight recorder has been written.\n", NULL,
                  NULL);
}

/* ---- requests ---- */

static enum MHD_Result answer_target(http_context_t *http, struct MHD_Connection *connection,
                                     http_target_t target, http_connection_t *of) {
    switch (target) {
    case HTTP_PAGE:
        return show(http, connection, FORM_PAGE, "text/html; charset=utf-8");
    case HTTP_MEMBERS:
        return show(http, connection, FORM_MEMBERS, "text/html; charset=utf-8");
    case HTTP_JSON:
        return show(http, connection, FORM_JSON, "application/json");
    case HTTP_METRICS:
        return show_metrics(http, connection);
    case HTTP_EVENTS:
        return show_events(http, connection, of);
    case HTTP_FLIGHT:
        return write_flight(http, connection, of);
    case HTTP_NOTHING:
        break;
    }
    return refuse(http, connection, MHD_HTTP_NOT_FOUND, "There is no such page.\n", NULL, NULL);
}

static enum MHD_Result answer(http_context_t *http, struct MHD_Connection *connection,
                              const char *url, const char *method, http_connection_t *of) {
    http_target_t target = http_target(url);
    bool post = strcmp(method, MHD_HTTP_METHOD_POST) == 0;
    bool get =
        strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    if (!http_token_given(&http->token, header(connection, MHD_HTTP_HEADER_AUTHORIZATION)))
        return refuse(http, connection, MHD_HTTP_UNAUTHORIZED,
                      "The token is asked for as a password; any user name will do.\n",
                      MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                      "Basic realm=\"sgp status\", charset=\"UTF-8\"");
    if (target == HTTP_FLIGHT && !http->cache.source.write_flight) target = HTTP_NOTHING;
    if (target != HTTP_NOTHING && (target == HTTP_FLIGHT ? !post : !get))
        return refuse(http, connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                      target == HTTP_FLIGHT ? "POST only.\n" : "GET and HEAD only.\n",
                      MHD_HTTP_HEADER_ALLOW, target == HTTP_FLIGHT ? "POST" : "GET, HEAD");
    return answer_target(http, connection, target, of);
}

static enum MHD_Result count_host(void *count, enum MHD_ValueKind kind, const char *name,
                                  const char *value) {
    (void)kind;
    (void)value;
    *(int *)count += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
    return MHD_YES;
}

/* What is refused before anything else of the request is read; MHD_NO and *done false: nothing. */
static enum MHD_Result refuse_early(http_context_t *http, struct MHD_Connection *connection,
                                    const http_connection_t *of, bool *done) {
    const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *host = header(connection, MHD_HTTP_HEADER_HOST);
    int hosts = 0;
    *done = true;
    if (!rate_take(&http->rate, &of->remote, http->now))
        return refuse(http, connection, MHD_HTTP_TOO_MANY_REQUESTS, "Too many requests.\n",
                      MHD_HTTP_HEADER_CONNECTION, "close");
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_host, &hosts);
    if (hosts != 1 || !http_host_allowed(host, &http->names, &of->local))
        return refuse(http, connection, MHD_HTTP_FORBIDDEN,
                      "The header Host does not name this node: use its address, the name of its "
                      "machine, or localhost.\n",
                      MHD_HTTP_HEADER_CONNECTION, "close");
    if ((length && strcmp(length, "0") != 0) ||
        header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING))
        return refuse(http, connection, CONTENT_TOO_LARGE, "A request has no body here.\n",
                      MHD_HTTP_HEADER_CONNECTION, "close");
    *done = false;
    return MHD_NO;
}

/* Called with the headers, and again with the whole request. */
enum MHD_Result http_answer(void *context, struct MHD_Connection *connection, const char *url,
                            const char *method, const char *version, const char *upload,
                            size_t *upload_size, void **request) {
    (void)version;
    (void)upload;
    http_context_t *http = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    http_connection_t *of = info ? info->socket_context : NULL;
    bool done;
    if (!of) return MHD_NO; /* no memory: the connection ends */
    if (!*request) {
        *request = of;
        of->since = http->now;
        enum MHD_Result refused = refuse_early(http, connection, of, &done);
        return done ? refused : MHD_YES;
    }
    *upload_size = 0;
    return answer(http, connection, url, method, of);
}
