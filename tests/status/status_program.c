/* SPDX-License-Identifier: Apache-2.0 */
/* Serves synthetic snapshots by the module, for the tests in Python: status_program ADDRESS [--members N] [--token FILE]
 * [--insecure] [--no-flight]. Prints "port N", or the line that was logged and ends with 1. Then each line of its input
 * changes the snapshot and is answered by a line:
 *   gone SEAT REASON, silent SEAT, slow SEAT FACTOR, unknown SEAT, trouble SEAT, name TEXT, finished: "done"
 *   taken, flights: the number of snapshots taken, of flight recorders written
 *   cpu: processor time of the process in ms
 * The end of its input ends it. */
#include "base/logging.h"
#include "synthetic.h"
#include "transport/module.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct run {
    pthread_mutex_t lock;
    sgp_status_snapshot_t now; /* behind the lock */
    atomic_int taken, flights;
} run_t;

static void copy(void **to, const void *from, size_t bytes) {
    void *made = realloc(*to, bytes + 1);
    if (!made) abort();
    if (bytes) memcpy(made, from, bytes);
    *to = made;
}

static sgp_status_t take(void *context, sgp_status_snapshot_t *snapshot) {
    run_t *run = context;
    void *member = snapshot->member, *edge = snapshot->edge;
    pthread_mutex_lock(&run->lock);
    copy(&member, run->now.member, run->now.members * sizeof *run->now.member);
    copy(&edge, run->now.edge, run->now.edges * sizeof *run->now.edge);
    *snapshot = run->now;
    pthread_mutex_unlock(&run->lock);
    snapshot->member = member;
    snapshot->edge = edge;
    snapshot->seconds += atomic_fetch_add(&run->taken, 1);
    return SGP_OK;
}

static void release(void *context, sgp_status_snapshot_t *snapshot) {
    (void)context;
    synthetic_free(snapshot);
}

static sgp_status_t write_flight(void *context) {
    run_t *run = context;
    atomic_fetch_add(&run->flights, 1);
    return SGP_OK;
}

/* ---- commands ---- */

static void change(run_t *run, const char *line) {
    int seat = 0, length = 0;
    double factor;
    if (strcmp(line, "finished") == 0) run->now.finished = true;
    else if (strncmp(line, "name ", 5) == 0)
        snprintf(run->now.run, sizeof run->now.run, "%.*s", SGP_STATUS_TEXT - 1, line + 5);
    else if (sscanf(line, "slow %d %lf", &seat, &factor) == 2)
        synthetic_slow(&run->now, seat, factor);
    else if (sscanf(line, "silent %d", &seat) == 1)
        run->now.member[seat].condition = SGP_STATUS_SILENT;
    else if (sscanf(line, "unknown %d", &seat) == 1) synthetic_forget(&run->now, seat);
    else if (sscanf(line, "trouble %d", &seat) == 1) synthetic_trouble(&run->now, seat);
    else if (sscanf(line, "gone %d %n", &seat, &length) == 1)
        synthetic_lose(&run->now, seat, line + length);
}

static void obey(run_t *run, const char *line) {
    struct timespec used;
    if (strcmp(line, "taken") == 0) printf("%d\n", atomic_load(&run->taken));
    else if (strcmp(line, "flights") == 0) printf("%d\n", atomic_load(&run->flights));
    else if (strcmp(line, "cpu") == 0) {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        printf("%lld\n", (long long)used.tv_sec * 1000 + used.tv_nsec / 1000000);
    } else {
        pthread_mutex_lock(&run->lock);
        change(run, line);
        pthread_mutex_unlock(&run->lock);
        printf("done\n");
    }
    fflush(stdout);
}

static void print_line(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level;
    (void)rank;
    (void)user;
    printf("%s\n", line);
}

/* ---- the program ---- */

static size_t read_options(int count, char **arguments, sgp_status_server_options_t *options,
                           sgp_status_source_t *source) {
    size_t members = 8;
    options->address = count > 1 ? arguments[1] : "0";
    for (int i = 2; i < count; i++) {
        if (strcmp(arguments[i], "--insecure") == 0) options->insecure = true;
        if (strcmp(arguments[i], "--no-flight") == 0) source->write_flight = NULL;
        if (i + 1 == count) break;
        if (strcmp(arguments[i], "--members") == 0)
            members = (size_t)strtoul(arguments[i + 1], NULL, 10);
        if (strcmp(arguments[i], "--token") == 0) options->token_file = arguments[i + 1];
    }
    return members;
}

static void *function(void *module, const char *name) {
    void *found = dlsym(module, name);
    if (found) return found;
    printf("%s: no such function\n", name);
    exit(1);
}

int main(int count, char **arguments) {
    static run_t run = {.lock = PTHREAD_MUTEX_INITIALIZER};
    sgp_status_source_t source = {&run, take, release, write_flight};
    sgp_status_server_options_t options = {.log = print_line};
    sgp_status_server_t *server = NULL;
    const char *why = NULL;
    char line[1024];
    int port;
    synthetic_make(&run.now, read_options(count, arguments, &options, &source));
    void *module = sgp_module_open("status", &why);
    if (!module) {
        printf("libsgp-status.so: %s\n", why ? why : "not found");
        return 1;
    }
    sgp_status_server_start_t *start;
    sgp_status_server_stop_t *stop;
    *(void **)&start = function(module, SGP_STATUS_START);
    *(void **)&stop = function(module, SGP_STATUS_STOP);
    if (start(&options, &source, &port, &server) != SGP_OK) return 1;
    printf("port %d\n", port);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        obey(&run, line);
    }
    stop(server);
    synthetic_free(&run.now);
    return 0;
}
