/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/status_server.h"

#include "base/clock.h"
#include "base/fork.h"
#include "base/logging.h"
#include "base/thread.h"
#include "status/server/http_answer.h"
#include "status/server/http_context.h"
#include "status/server/http_events.h"
#include "status/server/http_listen.h"

#include <errno.h>
#include <locale.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TICK = 200 }; /* milliseconds, while there is a connection */

struct sgp_status_server {
    http_context_t http;
    struct MHD_Daemon *daemon;
    int listener;
    int stop; /* an eventfd; readable: the thread ends */
    pthread_t thread;
    rate_bucket_t pace;
    uint64_t used; /* processor time of the thread */
};

/* ---- connections ---- */

static void take_address(struct sockaddr *at, socklen_t length, sgp_address_t *address) {
    address->length = length;
    memcpy(&address->at, at, length < sizeof address->at ? length : sizeof address->at);
}

static http_connection_t *begin_connection(http_context_t *http,
                                           struct MHD_Connection *connection) {
    http_connection_t *made = calloc(1, sizeof *made);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!made || !info) {
        free(made);
        return NULL;
    }
    made->socket = info->connect_fd;
    made->since = http->now;
    made->local.length = sizeof made->local.at;
    getsockname(made->socket, (struct sockaddr *)&made->local.at, &made->local.length);
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info && info->client_addr)
        take_address(info->client_addr,
                     info->client_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                                             : sizeof(struct sockaddr_in6),
                     &made->remote);
    made->next = http->connections;
    if (made->next) made->next->before = made;
    http->connections = made;
    return made;
}

static void end_connection(http_context_t *http, http_connection_t *connection) {
    if (!connection) return;
    if (connection->before) connection->before->next = connection->next;
    else http->connections = connection->next;
    if (connection->next) connection->next->before = connection->before;
    free(connection);
}

static void notify_connection(void *context, struct MHD_Connection *connection,
                              void **socket_context, enum MHD_ConnectionNotificationCode code) {
    http_context_t *http = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) *socket_context = begin_connection(http, connection);
    else end_connection(http, *socket_context);
}

/* The pause until the next request begins. */
static void notify_completed(void *context, struct MHD_Connection *connection, void **request,
                             enum MHD_RequestTerminationCode code) {
    (void)connection;
    (void)code;
    http_context_t *http = context;
    http_connection_t *of = *request;
    if (of) of->since = http->now;
}

/* Ends connections that take too long as a whole, though not silent for long at a time: libmicrohttpd then sees their
 * end. */
static void end_slow(const http_context_t *http) {
    for (const http_connection_t *at = http->connections; at; at = at->next)
        if (at->since && http->now - at->since > HTTP_PATIENCE * UINT64_C(1000000000))
            shutdown(at->socket, SHUT_RDWR);
}

/* ---- the thread ---- */

static uint64_t processor_time(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* Milliseconds until something has to be done without a request. -1: never. */
static int patience(const sgp_status_server_t *server) {
    MHD_UNSIGNED_LONG_LONG limit;
    if (!server->http.connections) return -1;
    if (MHD_get_timeout(server->daemon, &limit) == MHD_YES && limit < TICK) return (int)limit;
    return TICK;
}

/* Whether the server is to end. descriptor: what to wait for beside that; -1: nothing. */
static bool wait_for(const sgp_status_server_t *server, int descriptor, int milliseconds) {
    struct pollfd waiting[2] = {{.fd = server->stop, .events = POLLIN},
                                {.fd = descriptor, .events = POLLIN}};
    return poll(waiting, 2, milliseconds) > 0 && waiting[0].revents;
}

/* A flood gets the thread's share of a processor, and no more. */
static int rest(sgp_status_server_t *server) {
    uint64_t before = server->used;
    server->used = processor_time();
    uint64_t pause = pace_rest(&server->pace, server->used - before, sgp_clock_now());
    return (int)((pause + 999999) / 1000000);
}

static void *serve(void *argument) {
    sgp_status_server_t *server = argument;
    int requests = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    int pause = 0;
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = (locale_t)0;
    if (plain) before = uselocale(plain);
    sgp_log_use(NULL); /* the starting thread's ends with its call */
    while (!(pause && wait_for(server, -1, pause)) &&
           !wait_for(server, requests, patience(server))) {
        server->http.now = sgp_clock_now();
        http_events_tick(&server->http);
        MHD_run(server->daemon);
        end_slow(&server->http);
        pause = rest(server);
    }
    http_events_resume(&server->http);
    if (plain) {
        uselocale(before);
        freelocale(plain);
    }
    return NULL;
}

/* ---- start and stop ---- */

/* No path here has an escape, and "/%00" is none. */
static size_t leave_escaped(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
}

static sgp_status_t start_daemon(sgp_status_server_t *server) {
    http_context_t *http = &server->http;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_SUSPEND_RESUME, 0, NULL, NULL, http_answer, http,
        MHD_OPTION_LISTEN_SOCKET, server->listener, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)HTTP_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)HTTP_CONNECTIONS_OF_ONE, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_SILENCE,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEAD, MHD_OPTION_NOTIFY_CONNECTION,
        notify_connection, http, MHD_OPTION_NOTIFY_COMPLETED, notify_completed, http,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (server->daemon) return SGP_OK;
    return sgp_fail(SGP_ERR_SYSTEM, "status: libmicrohttpd cannot start: %s", strerror(errno));
}

static void stop_daemon(sgp_status_server_t *server) {
    if (server->daemon) {
        MHD_quiesce_daemon(server->daemon); /* leaves the socket to us */
        MHD_stop_daemon(server->daemon);
    }
    rendered_release(server->http.event);
    cache_fini(&server->http.cache);
    sgp_fork_close(server->listener);
    if (server->stop >= 0) close(server->stop);
    free(server);
}

static sgp_status_t start_thread(sgp_status_server_t *server) {
    server->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = server->stop < 0 ? errno : sgp_thread_start(&server->thread, serve, server);
    if (error == 0) return SGP_OK;
    return sgp_fail(error == ENOMEM ? SGP_ERR_NO_MEMORY : SGP_ERR_SYSTEM,
                    "status: the server's thread cannot start: %s", strerror(error));
}

static sgp_status_t start(const sgp_status_server_options_t *options,
                          const sgp_status_source_t *source, int *port,
                          sgp_status_server_t **server) {
    sgp_status_server_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "status: out of memory");
    made->stop = made->listener = -1;
    cache_init(&made->http.cache, source);
    page_policy(made->http.policy);
    made->http.now = sgp_clock_now();
    sgp_status_t status = SGP_OK;
    int bound = 0;
    if (sodium_init() < 0) status = sgp_fail(SGP_ERR_SYSTEM, "libsodium cannot be initialised");
    if (status == SGP_OK) status = http_token_read(options->token_file, &made->http.token);
    if (status == SGP_OK)
        status = http_listen(options->address, options->insecure || made->http.token.wanted,
                             &made->listener, &bound, &made->http.names);
    if (status == SGP_OK) status = start_daemon(made);
    if (status == SGP_OK) status = start_thread(made);
    if (status == SGP_OK) {
        *server = made;
        *port = bound;
    } else stop_daemon(made);
    return status;
}

/* The module's own log goes to the caller's meanwhile, and afterwards nowhere. */
sgp_status_t sgp_status_server_start(const sgp_status_server_options_t *options,
                                     const sgp_status_source_t *source, int *port,
                                     sgp_status_server_t **server) {
    const sgp_log_sink_t sink = {options->log, options->log_user, SGP_LOG_INFO};
    sgp_log_use(&sink);
    sgp_status_t status = start(options, source, port, server);
    sgp_log_use(NULL);
    return status;
}

void sgp_status_server_stop(sgp_status_server_t *server) {
    if (!server) return;
    uint64_t one = 1;
    while (write(server->stop, &one, sizeof one) < 0 && errno == EINTR) {
    }
    pthread_join(server->thread, NULL);
    stop_daemon(server);
}
