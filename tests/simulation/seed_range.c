/* SPDX-License-Identifier: Apache-2.0 */
#include "seed_range.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A run takes milliseconds of the processor. One that takes so long waits for something that never comes: virtual time
 * passes only while somebody has a time limit. */
enum { HANGS_AFTER_S = 240, MOST_PROCESSES = 256 };

typedef struct report {
    uint64_t seed;
    bool begins; /* otherwise outcome is set */
    outcome_t outcome;
} report_t;

typedef struct worker {
    pid_t process;
    int pipe;
    uint64_t next; /* seed that has not been run, or is being run */
    double since;  /* seconds */
    bool done;
} worker_t;

typedef struct range {
    uint64_t first, last;
    int processes, most, failures;
    void (*run)(uint64_t seed, void *context, outcome_t *outcome);
    void *context;
    worker_t workers[MOST_PROCESSES];
    uint64_t runs, steps, calls, lost, joined, torn, returned;
} range_t;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- a process ---- */

static void send_report(int pipe, const report_t *report) {
    if (write(pipe, report, sizeof *report) != sizeof *report) _exit(1);
}

/* The threads of a run take turns. On one processor a turn costs half of what it costs between two. */
static void stay_on_one_processor(int worker) {
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all) != 0) return;
    int skip = worker % CPU_COUNT(&all);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all) || skip-- > 0) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

static void be_worker(const range_t *range, uint64_t seed, int pipe, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    stay_on_one_processor((int)((seed - range->first) % (uint64_t)range->processes));
    for (; seed <= range->last; seed += (uint64_t)range->processes) {
        report_t report = {.seed = seed, .begins = true};
        send_report(pipe, &report);
        report.begins = false;
        range->run(seed, range->context, &report.outcome);
        send_report(pipe, &report);
    }
    _exit(0);
}

static void start(range_t *range, worker_t *worker, uint64_t seed) {
    int ends[2];
    *worker = (worker_t){.next = seed, .since = seconds(), .done = seed > range->last};
    if (worker->done) return;
    if (pipe(ends) != 0) {
        perror("simulation: pipe");
        exit(2);
    }
    fflush(NULL);
    pid_t parent = getpid();
    worker->process = fork();
    if (worker->process == 0) be_worker(range, seed, ends[1], parent);
    close(ends[1]);
    worker->pipe = ends[0];
    if (worker->process > 0) return;
    perror("simulation: fork");
    exit(2);
}

/* ---- the parent ---- */

static void tell_failure(range_t *range, uint64_t seed, const char *failure) {
    range->failures++;
    printf("seed %" PRIu64 " FAILED: %s\n", seed, failure);
    fflush(stdout);
}

static void take(range_t *range, worker_t *worker, const report_t *report) {
    const outcome_t *outcome = &report->outcome;
    worker->since = seconds();
    worker->next = report->seed;
    if (report->begins) return;
    worker->next += (uint64_t)range->processes;
    range->runs++;
    range->steps += (uint64_t)outcome->steps;
    range->calls += (uint64_t)outcome->calls;
    range->lost += (uint64_t)outcome->lost;
    range->joined += (uint64_t)outcome->joined;
    range->torn += (uint64_t)outcome->torn;
    range->returned += (uint64_t)outcome->returned;
    if (*outcome->failure) tell_failure(range, report->seed, outcome->failure);
}

static void end(worker_t *worker, int *status) {
    while (waitpid(worker->process, status, 0) < 0 && errno == EINTR) {
    }
    close(worker->pipe);
    worker->done = true;
}

/* The process has ended, in the middle of a seed or behind its last one. */
static void reap(range_t *range, worker_t *worker) {
    char text[80];
    int status;
    end(worker, &status);
    if (worker->next > range->last) return;
    if (WIFSIGNALED(status)) snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    else snprintf(text, sizeof text, "the process ended with status %d", WEXITSTATUS(status));
    tell_failure(range, worker->next, text);
    start(range, worker, worker->next + (uint64_t)range->processes);
}

static void stop(range_t *range, worker_t *worker, const char *failure) {
    int status;
    if (failure) tell_failure(range, worker->next, failure);
    kill(worker->process, SIGKILL);
    end(worker, &status);
}

/* true: some process is still at work. */
static bool look(range_t *range) {
    struct pollfd ready[MOST_PROCESSES];
    bool works = false;
    for (int i = 0; i < range->processes; i++) {
        ready[i] = (struct pollfd){.fd = range->workers[i].done ? -1 : range->workers[i].pipe,
                                   .events = POLLIN};
        works |= !range->workers[i].done;
    }
    if (!works) return false;
    if (poll(ready, (nfds_t)range->processes, 1000) < 0) return errno == EINTR;
    for (int i = 0; i < range->processes; i++) {
        worker_t *worker = &range->workers[i];
        report_t report;
        if (worker->done) continue;
        if (!ready[i].revents) {
            if (seconds() - worker->since < HANGS_AFTER_S) continue;
            stop(range, worker, "the run does not come to an end");
            start(range, worker, worker->next + (uint64_t)range->processes);
        } else if (read(worker->pipe, &report, sizeof report) == sizeof report) {
            take(range, worker, &report);
        } else reap(range, worker);
    }
    return true;
}

int seed_range_run(uint64_t first, uint64_t last, int processes, int most,
                   void (*run)(uint64_t seed, void *context, outcome_t *outcome), void *context) {
    static range_t range;
    double begin = seconds();
    if (processes > MOST_PROCESSES) processes = MOST_PROCESSES;
    range = (range_t){.first = first,
                      .last = last,
                      .processes = processes,
                      .most = most,
                      .run = run,
                      .context = context};
    for (int i = 0; i < processes; i++) start(&range, &range.workers[i], first + (uint64_t)i);
    while (look(&range) && range.failures < most) {
    }
    for (int i = 0; i < processes; i++)
        if (!range.workers[i].done) stop(&range, &range.workers[i], NULL);
    printf("%" PRIu64 " runs in %.1f s: %" PRIu64 " steps, %" PRIu64 " calls, %" PRIu64
           " nodes lost, %" PRIu64 " joined, %" PRIu64 " messages torn, %" PRIu64
           " returned; %d failed\n",
           range.runs, seconds() - begin, range.steps, range.calls, range.lost, range.joined,
           range.torn, range.returned, range.failures);
    return range.failures;
}
