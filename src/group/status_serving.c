/* SPDX-License-Identifier: Apache-2.0 */
#include "group/flight_watch.h"
#include "group/status_serving.h"

#include "base/constants.h"
#include "base/fork.h"
#include "base/logging.h"
#include "base/thread.h"
#include "group/status_take.h"
#include "transport/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define LOOK_EACH SGP_SECOND
#define FIRST_LOOK                                                                                 \
    (300 * SGP_MILLISECOND) /* of ranks above 0: the lower ones may come a little later */
#define QUIET_TRIES 10 /* after another node has ended: its port may take a while to come free */

enum { SERVES = -1 /* in place of a rank */ };

struct sgp_status_serving {
    sgp_group_status_t *status;
    int rank;
    uint64_t run;
    const char *token_file;
    bool insecure;
    char *address;
    int of_rank, of_server; /* sockets; -1: none */
    bool waited;            /* another node served, or was to */
    bool over;              /* it cannot serve, and has said so */
    int tries;
    sgp_status_server_t *server;
    sgp_status_server_stop_t *end;
    pthread_t thread;
    bool started;
    atomic_bool child; /* of a fork: without the thread */
    sgp_fork_hook_t hook;
    pthread_mutex_t lock; /* of quit */
    pthread_cond_t changed;
    bool quit;
};

/* ---- the machine's other nodes ---- */

static socklen_t name_of(const sgp_status_serving_t *serving, int rank, struct sockaddr_un *name) {
    char *text = name->sun_path + 1; /* behind a 0: it is abstract */
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(text, sizeof name->sun_path - 1, "sgp-status/%016" PRIx64 "/%.48s/%d",
                          serving->run, serving->address, rank);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static int open_socket(void) {
    sgp_fork_hold();
    int made = sgp_fork_mark(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sgp_fork_release();
    return made;
}

/* A socket of that name; -1: another process has it. */
static int take_name(const sgp_status_serving_t *serving, int rank) {
    struct sockaddr_un name;
    socklen_t length = name_of(serving, rank, &name);
    int made = open_socket();
    if (made < 0 || bind(made, (struct sockaddr *)&name, length) == 0) return made;
    sgp_fork_close(made);
    return -1;
}

/* Whether a process has that name. */
static bool is_there(const sgp_status_serving_t *serving, int socket, int rank) {
    struct sockaddr_un name;
    socklen_t length = name_of(serving, rank, &name);
    return connect(socket, (struct sockaddr *)&name, length) == 0;
}

static bool is_lowest(const sgp_status_serving_t *serving) {
    int socket = open_socket();
    bool lower = false;
    for (int r = 0; r < serving->rank && socket >= 0 && !lower; r++)
        lower = is_there(serving, socket, r);
    sgp_fork_close(socket);
    return !lower;
}

/* ---- the server ---- */

static sgp_status_t take(void *context, sgp_status_snapshot_t *snapshot) {
    return sgp_group_status_take(context, snapshot);
}

static void release(void *context, sgp_status_snapshot_t *snapshot) {
    (void)context;
    sgp_group_status_release(snapshot);
}

static sgp_status_server_start_t *find_module(sgp_status_serving_t *serving) {
    const char *why;
    void *module = sgp_module_open("status", &why);
    if (!module) {
        if (why)
            sgp_fail(SGP_ERR_UNSUPPORTED, "status: libsgp-status.so cannot be loaded: %s", why);
        else
            sgp_fail(SGP_ERR_UNSUPPORTED,
                     "status: no module libsgp-status.so beside libsgp: the package libsgp has it, "
                     "and so has a build where libmicrohttpd is found (Debian: libmicrohttpd-dev)");
        return NULL;
    }
    sgp_status_server_start_t *start;
    *(void **)&start = dlsym(module, SGP_STATUS_START);
    *(void **)&serving->end = dlsym(module, SGP_STATUS_STOP);
    if (start && serving->end) return start;
    sgp_fail(SGP_ERR_UNSUPPORTED, "status: libsgp-status.so is of another version");
    return NULL;
}

static void log_line(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)rank;
    (void)user;
    sgp_log(level, "%s", line);
}

/* Only a node that serves asks the others for rows; they go by way of those that may take its place. */
static void ask(sgp_group_status_t *status, bool asks) {
    pthread_mutex_lock(&status->handing);
    sgp_group_status_t *part = atomic_load(&status->to);
    atomic_store(&status->asks, asks);
    if (part) atomic_store(&part->asks, asks);
    pthread_mutex_unlock(&status->handing);
}

/* The module logs what is wrong, but for a port that a node which has ended may still have. */
static void start_server(sgp_status_serving_t *serving, sgp_status_server_start_t *start) {
    bool quiet = serving->waited ? serving->tries != QUIET_TRIES : serving->tries > 0;
    sgp_status_server_options_t options = {.address = serving->address,
                                           .token_file = serving->token_file,
                                           .insecure = serving->insecure,
                                           .log = quiet ? NULL : log_line};
    sgp_status_source_t source = {.context = serving->status,
                                  .take = take,
                                  .release = release,
                                  .write_flight = sgp_flight_watch_asked};
    int port = 0;
    sgp_status_t status = start(&options, &source, &port, &serving->server);
    serving->tries++;
    serving->over = status == SGP_ERR_INVALID;
    ask(serving->status, status == SGP_OK);
    const char *port_text = strrchr(serving->address, ':');
    bool chosen = strcmp(port_text ? port_text + 1 : serving->address, "0") == 0;
    if (status == SGP_OK)
        sgp_log(chosen ? SGP_LOG_WARNING : SGP_LOG_INFO,
                "status: node %d serves the page of the run at port %d", serving->rank, port);
}

static void look(sgp_status_serving_t *serving) {
    if (serving->server || serving->over) return;
    if (serving->of_server < 0 && is_lowest(serving))
        serving->of_server = take_name(serving, SERVES);
    if (serving->of_server < 0) {
        serving->waited = true;
        return;
    }
    sgp_status_server_start_t *start = find_module(serving);
    if (start) start_server(serving, start);
    else serving->over = true;
}

/* ---- the thread ---- */

/* Returns whether it goes on. */
static bool sleep_for(sgp_status_serving_t *serving, uint64_t length) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t end = (uint64_t)until.tv_sec * SGP_SECOND + (uint64_t)until.tv_nsec + length;
    until = (struct timespec){.tv_sec = (time_t)(end / SGP_SECOND),
                              .tv_nsec = (long)(end % SGP_SECOND)};
    pthread_mutex_lock(&serving->lock);
    for (int error = 0; !serving->quit && !error;)
        error = pthread_cond_timedwait(&serving->changed, &serving->lock, &until);
    bool goes_on = !serving->quit;
    pthread_mutex_unlock(&serving->lock);
    return goes_on;
}

static void *serve(void *argument) {
    sgp_status_serving_t *serving = argument;
    sgp_log_set_rank(serving->rank);
    if (serving->rank > 0 && !sleep_for(serving, FIRST_LOOK)) return NULL;
    do look(serving);
    while (sleep_for(serving, LOOK_EACH));
    return NULL;
}

static void in_child(void *context) {
    atomic_store(&((sgp_status_serving_t *)context)->child, true);
}

static void end_thread(sgp_status_serving_t *serving) {
    pthread_mutex_lock(&serving->lock);
    serving->quit = true;
    pthread_cond_signal(&serving->changed);
    pthread_mutex_unlock(&serving->lock);
    pthread_join(serving->thread, NULL);
    if (serving->server) serving->end(serving->server);
}

/* The port is free before another node can see that. */
static void end(sgp_status_serving_t *serving) {
    sgp_fork_remove_hook(&serving->hook);
    if (atomic_load(&serving->child)) return; /* its thread may have had the lock */
    if (serving->started) end_thread(serving);
    sgp_fork_close(serving->of_server);
    sgp_fork_close(serving->of_rank);
    pthread_cond_destroy(&serving->changed);
    pthread_mutex_destroy(&serving->lock);
    free(serving->address);
    free(serving);
}

static const char *text_of(const char *name) {
    const char *text = getenv(name);
    return text && *text ? text : NULL;
}

static sgp_status_serving_t *make(sgp_group_status_t *status, const char *address) {
    sgp_status_serving_t *made = calloc(1, sizeof *made);
    char *copy = strdup(address);
    if (!made || !copy) {
        free(made);
        free(copy);
        return NULL;
    }
    const char *insecure = text_of("SGP_STATUS_INSECURE");
    made->status = status;
    made->rank = status->self;
    made->run = status->run;
    made->address = copy;
    made->token_file = text_of("SGP_STATUS_TOKEN_FILE");
    made->insecure = insecure && strcmp(insecure, "0") != 0;
    made->of_rank = made->of_server = -1;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&made->lock, NULL);
    return made;
}

sgp_status_t sgp_status_serving_start(sgp_group_status_t *status, const char *address) {
    sgp_status_serving_t *made = make(status, address);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "status: no memory to serve a page");
    made->of_rank = take_name(made, made->rank);
    atomic_store(&status->asks, false);
    sgp_fork_add_hook(&made->hook, in_child, made);
    int error = sgp_thread_start(&made->thread, serve, made);
    made->started = !error;
    if (error) {
        end(made);
        return sgp_fail(SGP_ERR_NO_MEMORY, "status: the thread of the page cannot be started: %s",
                        strerror(error));
    }
    status->serving = made;
    status->end_serving = end;
    return SGP_OK;
}
