/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the nanoseconds in which a cache line moves from one core to another and back:
 * `cache_line`. Measures the first two cores of this process and takes the shortest of many
 * batches, because other processes use the cores too. Cores with a common cache need about 50 ns,
 * others 200 or more. On a virtual machine the value changes as the hypervisor moves its cores. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define BATCHES 50
#define TRIPS   100

static _Alignas(128) atomic_int turn; /* 1: of the other core */
static int cores[2], count;

static double nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void *answer(void *unused) {
    (void)unused;
    pin(cores[1]);
    for (int i = 0; i < BATCHES * TRIPS; i++) {
        while (!atomic_load(&turn)) continue;
        atomic_store(&turn, 0);
    }
    return NULL;
}

static double batch(void) {
    double start = nanoseconds();
    for (int i = 0; i < TRIPS; i++) {
        atomic_store(&turn, 1);
        while (atomic_load(&turn)) continue;
    }
    return (nanoseconds() - start) / TRIPS;
}

int main(void) {
    cpu_set_t allowed;
    pthread_t other;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    for (int c = 0; c < CPU_SETSIZE && count < 2; c++)
        if (CPU_ISSET(c, &allowed)) cores[count++] = c;
    if (count < 2) return 1;
    pin(cores[0]);
    if (pthread_create(&other, NULL, answer, NULL) != 0) return 1;
    double best = batch();
    for (int i = 1; i < BATCHES; i++) {
        double time = batch();
        if (time < best) best = time;
    }
    pthread_join(other, NULL);
    printf("%.0f\n", best);
    return 0;
}
