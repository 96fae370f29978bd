/* SPDX-License-Identifier: Apache-2.0 */
/* The module libsgp-simgrid.so (simgrid_binding.h), for SimGrid 3.32 and later, and 4. */
#include "transport/simulated/simgrid_binding.h"

#include <simgrid/actor.h>
#include <simgrid/engine.h>
#include <simgrid/host.h>
#include <simgrid/semaphore.h>
#include <simgrid/version.h>
#include <xbt/dynar.h>

#include <stdlib.h>
#include <string.h>

static sg_host_t *hosts; /* (host_count) in natural order of names */
static int host_count;

/* Digits count as one number. */
static int compare_names(const char *a, const char *b) {
    while (*a && *b) {
        size_t digits_a = strspn(a, "0123456789"), digits_b = strspn(b, "0123456789");
        if (digits_a && digits_b) {
            unsigned long long number_a = strtoull(a, NULL, 10), number_b = strtoull(b, NULL, 10);
            if (number_a != number_b) return number_a < number_b ? -1 : 1;
            a += digits_a;
            b += digits_b;
        } else if (*a != *b) return *a < *b ? -1 : 1;
        else a++, b++;
    }
    return (*a != '\0') - (*b != '\0');
}

static int compare_hosts(const void *a, const void *b) {
    const char *name_a = sg_host_get_name(*(const sg_host_t *)a);
    const char *name_b = sg_host_get_name(*(const sg_host_t *)b);
    int order = compare_names(name_a, name_b);
    return order ? order : strcmp(name_a, name_b);
}

/* Rates are those of payload, so SimGrid must not subtract TCP's headers, acknowledgements or window from a link's
 * bandwidth. Times are compared to the nanosecond. */
static void start(const char *platform, bool threads) {
    char *arguments[] = {
        "sgp",
        "--log=root.thresh:error",
        "--log=xbt_cfg.thresh:error",
        "--cfg=debug/verbose-exit:no",
        "--cfg=network/model:CM02",
        "--cfg=network/TCP-gamma:0",
        "--cfg=network/crosstraffic:0",
        "--cfg=contexts/guard-size:0",
#if SIMGRID_VERSION >= 33300
        "--cfg=precision/timing:1e-9",
#else
        "--cfg=surf/precision:1e-9",
#endif
        threads ? "--cfg=contexts/factory:thread" : NULL,
        NULL
    };
    int count = 0;
    while (arguments[count]) count++;
    simgrid_init(&count, arguments);
    simgrid_load_platform(platform);
    host_count = (int)sg_host_count();
    hosts = sg_host_list();
    qsort(hosts, (size_t)host_count, sizeof *hosts, compare_hosts);
}

static int count_hosts(void) {
    return host_count;
}

static void route(int src, int dst, double *latency, double *bandwidth) {
    *latency = sg_host_get_route_latency(hosts[src], hosts[dst]);
    *bandwidth = sg_host_get_route_bandwidth(hosts[src], hosts[dst]);
}

/* The start of an actor, which frees it. */
typedef struct task {
    void (*body)(void *context);
    void *context;
} task_t;

static void actor_main(int count, char **arguments) {
    (void)count, (void)arguments;
    task_t *given = sg_actor_self_get_data(), task = *given;
    free(given);
    sg_actor_self_set_data(task.context);
    task.body(task.context);
}

static void actor(int host, size_t stack_bytes, void (*body)(void *context), void *context) {
    task_t *task = malloc(sizeof *task);
    if (!task) abort();
    *task = (task_t){body, context};
    sg_actor_t made = sg_actor_init("sgp", hosts[host]);
    sg_actor_set_stacksize(made, (unsigned)stack_bytes);
    sg_actor_set_data(made, task);
    sg_actor_start(made, actor_main, 0, NULL);
}

static void *self(void) {
    return sg_actor_self_get_data();
}

static void run(void) {
    simgrid_run();
}

static double now(void) {
    return simgrid_get_clock();
}

static void sleep_for(double seconds) {
    sg_actor_sleep_for(seconds);
}

static void *semaphore(void) {
    return sg_sem_init(0);
}

static bool acquire(void *sem, double seconds) {
    if (seconds >= 0) return sg_sem_acquire_timeout(sem, seconds) == 0;
    sg_sem_acquire(sem);
    return true;
}

static void release(void *sem) {
    sg_sem_release(sem);
}

static void destroy(void *sem) {
    sg_sem_destroy(sem);
}

static void transfer(int src, int dst, double bytes) {
    sg_host_sendto(hosts[src], hosts[dst], bytes);
}

__attribute__((visibility("default"))) const sgp_simgrid_binding_t SGP_SIMGRID_BINDING = {
    .start = start,
    .hosts = count_hosts,
    .route = route,
    .actor = actor,
    .self = self,
    .run = run,
    .now = now,
    .sleep = sleep_for,
    .semaphore = semaphore,
    .acquire = acquire,
    .release = release,
    .destroy = destroy,
    .transfer = transfer,
};
