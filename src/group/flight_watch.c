/* SPDX-License-Identifier: Apache-2.0 */
#include "group/flight_watch.h"

#include "base/fork.h"
#include "base/logging.h"
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* While the thread is started or ended; taken before the next one. Groups of several threads of a program begin and end at once. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static sgp_flight_source_t *sources;
static char folder[PATH_MAX]; /* "": none */
static char run[64];
static bool failures;
static bool asked_environment;
static sgp_clock_pair_t began;
static bool listens; /* there is a thread, and the handler */
static pthread_t thread;
static sgp_fork_hook_t hook;

/* For the handler and the thread alone. */
static volatile sig_atomic_t bell = -1; /* an eventfd */
static volatile sig_atomic_t owner;     /* the process whose handler it is */

/* ---- writing; lock held ---- */

/* The first of the list of its process. */
static bool is_first(const sgp_flight_source_t *source) {
    int process = sgp_flight_process(source->transport, source->transport->rank);
    for (const sgp_flight_source_t *at = sources; at != source; at = at->next)
        if (sgp_flight_process(at->transport, at->transport->rank) == process) return false;
    return true;
}

static sgp_status_t write_one(const sgp_flight_source_t *source, const sgp_flight_cause_t *cause) {
    char path[PATH_MAX + 48];
    int process = sgp_flight_process(source->transport, source->transport->rank);
    sgp_status_t status = sgp_flight_file_write(folder, sources, process, cause, path, sizeof path);
    if (status == SGP_OK)
        sgp_log(SGP_LOG_INFO, "the flight recorder is written (%s): %s", cause->why, path);
    return status;
}

/* A group of its process: the file of the first failure stays. */
static bool has_failed(const sgp_flight_source_t *source) {
    int process = sgp_flight_process(source->transport, source->transport->rank);
    for (const sgp_flight_source_t *at = sources; at; at = at->next)
        if (at->failed && sgp_flight_process(at->transport, at->transport->rank) == process)
            return true;
    return false;
}

static sgp_status_t write_all(const char *why) {
    sgp_flight_cause_t cause = {.run = run, .why = why, .began = began};
    sgp_status_t status = SGP_OK;
    for (const sgp_flight_source_t *at = sources; at; at = at->next) {
        sgp_status_t written = is_first(at) ? write_one(at, &cause) : SGP_OK;
        if (status == SGP_OK) status = written;
    }
    return status;
}

sgp_status_t sgp_flight_watch_write(const char *why) {
    pthread_mutex_lock(&lock);
    sgp_status_t status =
        folder[0] ? write_all(why)
                  : sgp_fail(SGP_ERR_INVALID, "the flight recorder has no folder to be written to: "
                                              "SGP_FLIGHT is not set");
    pthread_mutex_unlock(&lock);
    return status;
}

sgp_status_t sgp_flight_watch_asked(void *context) {
    (void)context;
    return sgp_flight_watch_write("asked");
}

/* ---- SIGQUIT ---- */

static void ring(int number) {
    int error = errno;
    uint64_t one = 1;
    if (owner == (sig_atomic_t)getpid()) (void)!write(bell, &one, sizeof one);
    else { /* the child of a fork: as if nobody had taken the signal */ signal(number, SIG_DFL);
        raise(number);
    }
    errno = error;
}

enum { STOP = 1 << 16 /* added to the bell: the thread ends */ };

static void *listen_main(void *argument) {
    int descriptor = *(const int *)argument;
    uint64_t count;
    for (;;) {
        if (read(descriptor, &count, sizeof count) != sizeof count) {
            if (errno == EINTR) continue;
            return NULL;
        }
        if (count >= STOP) return NULL;
        sgp_flight_watch_write("SIGQUIT");
    }
}

static void in_child(void *context) {
    (void)context;
    pthread_mutex_init(&changing, NULL);
    pthread_mutex_init(&lock, NULL);
    sources = NULL;
    listens = false;
}

/* Both locks held. Best effort: without a thread SIGQUIT stays what it was. */
static void listen_to_signal(void) {
    static int descriptor;
    struct sigaction before, action = {.sa_handler = ring, .sa_flags = SA_RESTART | SA_ONSTACK};
    if (listens || !sources || !folder[0]) return;
    if (sigaction(SIGQUIT, NULL, &before) != 0 || before.sa_handler != SIG_DFL) return;
    sgp_fork_hold();
    descriptor = sgp_fork_mark(eventfd(0, EFD_CLOEXEC));
    sgp_fork_release();
    if (descriptor < 0) return;
    const sgp_log_sink_t *sink = sgp_log_use(NULL); /* a group's can end before the thread */
    int error = sgp_thread_start(&thread, listen_main, &descriptor);
    sgp_log_use(sink);
    if (error) {
        sgp_fork_close(descriptor);
        return;
    }
    bell = descriptor;
    owner = (sig_atomic_t)getpid();
    sigaction(SIGQUIT, &action, NULL);
    sgp_fork_add_hook(&hook, in_child, NULL);
    listens = true;
}

/* `changing` is held, `lock` is not: the thread may be about to take it. */
static void stop_listening(void) {
    struct sigaction now;
    uint64_t stop = STOP;
    int descriptor = bell;
    if (sigaction(SIGQUIT, NULL, &now) == 0 && now.sa_handler == ring) signal(SIGQUIT, SIG_DFL);
    (void)!write(descriptor, &stop, sizeof stop);
    pthread_join(thread, NULL);
    bell = -1;
    sgp_fork_close(descriptor);
    sgp_fork_remove_hook(&hook);
}

/* ---- the calls ---- */

/* Lock held. */
static void ask_environment(void) {
    const char *text = getenv("SGP_FLIGHT");
    if (asked_environment) return;
    asked_environment = true;
    if (!text || !text[0] || folder[0]) return;
    snprintf(folder, sizeof folder, "%s", text);
    failures = true;
}

void sgp_flight_watch_add(sgp_flight_source_t *source) {
    pthread_mutex_lock(&changing);
    pthread_mutex_lock(&lock);
    ask_environment();
    if (!sources) began = sgp_clock_pair();
    sgp_flight_source_t **end = &sources;
    while (*end) end = &(*end)->next;
    source->next = NULL;
    *end = source;
    listen_to_signal();
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&changing);
}

void sgp_flight_watch_remove(sgp_flight_source_t *source) {
    pthread_mutex_lock(&changing);
    pthread_mutex_lock(&lock);
    sgp_flight_source_t **at = &sources;
    while (*at && *at != source) at = &(*at)->next;
    if (*at) *at = source->next;
    bool last = listens && !sources;
    if (last) listens = false;
    pthread_mutex_unlock(&lock);
    if (last) stop_listening();
    pthread_mutex_unlock(&changing);
}

void sgp_flight_watch_name(const char *id) {
    pthread_mutex_lock(&lock);
    snprintf(run, sizeof run, "%s", id);
    pthread_mutex_unlock(&lock);
}

void sgp_flight_watch_into(const char *path, bool also_failures) {
    pthread_mutex_lock(&changing);
    pthread_mutex_lock(&lock);
    asked_environment = true;
    snprintf(folder, sizeof folder, "%s", path ? path : "");
    failures = also_failures;
    listen_to_signal();
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&changing);
}

/* Statuses that end a call alone, or nothing. */
static bool ends_a_run(sgp_status_t status) {
    return status != SGP_OK && status != SGP_ERR_AGAIN && status != SGP_ERR_INTERRUPTED &&
           status != SGP_ERR_INVALID && status != SGP_ERR_UNSUPPORTED &&
           status != SGP_ERR_NOT_FOUND;
}

void sgp_flight_watch_failed(sgp_flight_source_t *source, sgp_status_t status) {
    if (!source->transport || !source->transport->flight || !ends_a_run(status)) return;
    char text[SGP_LOG_LINE];
    snprintf(text, sizeof text, "%s", sgp_last_error());
    pthread_mutex_lock(&lock);
    if (folder[0] && failures && !has_failed(source)) {
        source->failed = true;
        write_one(
            source,
            &(sgp_flight_cause_t){
                .run = run, .why = "failure", .status = status, .text = text, .began = began});
    }
    pthread_mutex_unlock(&lock);
    sgp_set_last_error(text);
}
