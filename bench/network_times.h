/* SPDX-License-Identifier: Apache-2.0 */
/* Measurements that the programs of bench/network share: times, CPU, and the bytes of the host's
 * interface. */
#ifndef SGP_BENCH_NETWORK_TIMES_H
#define SGP_BENCH_NETWORK_TIMES_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct moment {
    double time, cpu;      /* milliseconds; cpu: of this process, all threads */
    double received, sent; /* bytes of eth0 since its creation */
    double busy;           /* milliseconds that all cores of the machine were not idle */
} moment_t;

static double clock_milliseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

/* Each host is a network namespace and sees only its own interfaces. */
static void read_counters(moment_t *moment) {
    char line[512];
    FILE *file = fopen("/proc/self/net/dev", "r");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (colon && strstr(line, "eth0"))
            sscanf(colon + 1, "%lf %*f %*f %*f %*f %*f %*f %*f %lf", &moment->received,
                   &moment->sent);
    }
    if (file) fclose(file);
}

static void read_busy(moment_t *moment) {
    double user, nice, system, idle, wait, interrupts, soft;
    FILE *file = fopen("/proc/stat", "r");
    if (file && fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &system, &idle, &wait,
                       &interrupts, &soft) == 7)
        moment->busy =
            (user + nice + system + interrupts + soft) * 1e3 / (double)sysconf(_SC_CLK_TCK);
    if (file) fclose(file);
}

static moment_t moment_now(void) {
    moment_t moment = {0};
    read_counters(&moment);
    read_busy(&moment);
    moment.cpu = clock_milliseconds(CLOCK_PROCESS_CPUTIME_ID);
    moment.time = clock_milliseconds(CLOCK_MONOTONIC);
    return moment;
}

/* A gradient that takes a fixed time and no CPU, as on an accelerator. */
static void compute_for(double milliseconds) {
    struct timespec left = {.tv_sec = (time_t)(milliseconds * 1e-3)};
    left.tv_nsec = (long)((milliseconds - (double)left.tv_sec * 1e3) * 1e6);
    while (nanosleep(&left, &left) && errno == EINTR) continue;
}

/* Writes one line to the file of this rank: per step, milliseconds from the first barrier to the
 * last, milliseconds of this node's own steps, CPU milliseconds, bytes received and sent; and the
 * number of busy cores of the machine. Returns 0 or -1. */
static int report(const char *directory, int rank, int steps, const moment_t *start,
                  const moment_t *own, const moment_t *end) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%d", directory, rank);
    FILE *file = fopen(path, "w");
    if (!file) return -1;
    fprintf(file, "%.4f %.4f %.4f %.0f %.0f %.3f\n", (end->time - start->time) / steps,
            (own->time - start->time) / steps, (end->cpu - start->cpu) / steps,
            (end->received - start->received) / steps, (end->sent - start->sent) / steps,
            (end->busy - start->busy) / (end->time - start->time));
    return fclose(file) ? -1 : 0;
}

#endif
