/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulate_child.h"

#include "cli/exit_status.h"
#include "cli/interrupt.h"
#include "cli/message.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A report of the child: at most PIPE_BUF bytes, so that a write is atomic. */
typedef struct child_report {
    int step;   /* of the first node, while the simulation runs */
    bool ended; /* status and row are set */
    sgp_status_t status;
    simulation_row_t row;
} child_report_t;

typedef struct reporter {
    int pipe;
    uint64_t last; /* nanoseconds */
} reporter_t;

static void send_report(int pipe, const child_report_t *report) {
    if (write(pipe, report, sizeof *report) != sizeof *report) _exit(EXIT_FAILED);
}

/* At most five times a second. */
static void report_step(int step, void *user) {
    reporter_t *reporter = user;
    uint64_t now = sgp_clock_now();
    if (now - reporter->last < 200000000u) return;
    reporter->last = now;
    send_report(reporter->pipe, &(child_report_t){.step = step});
}

/* The child writes its messages, and SimGrid's, to `lines`. A terminal's signals stay blocked in it: the parent ends it. */
static void be_child(const simulate_settings_t *settings, const simulation_algorithm_t *algorithm,
                     int nodes, const char *platform, int pipe, int lines, pid_t parent) {
    reporter_t reporter = {.pipe = pipe};
    child_report_t report = {.ended = true};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_FAILED); /* the parent died before prctl */
    dup2(lines, STDERR_FILENO);
    dup2(lines, STDOUT_FILENO);
    report.status =
        algorithm ? simulation_run(&settings->simulation, algorithm, nodes, platform,
                                   !settings->quiet ? report_step : NULL, &reporter, &report.row)
                  : simulation_probe(platform, nodes);
    send_report(pipe, &report);
    _exit(0);
}

/* ---- errors ---- */

/* SimGrid's lines begin with their origin: "[0.000000] ./src/a.cpp:99: [root/CRITICAL] ". */
static const char *without_origin(const char *line) {
    static const char *const ends[] = {"/ERROR] ", "/CRITICAL] ", "/WARNING] "};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *end = strstr(line, ends[i]);
        if (end) return end + strlen(ends[i]);
    }
    return line;
}

/* The first message of the library's, without "sgp: ", or else SimGrid's first line. */
static void first_line(int lines, char *text, size_t size) {
    char all[8192];
    ssize_t length = pread(lines, all, sizeof all - 1, 0);
    all[length > 0 ? length : 0] = '\0';
    text[0] = '\0';
    for (char *rest = all, *line; (line = strsep(&rest, "\n"));) {
        const char *ours =
            strstr(line, "sgp: "); /* after the escape that clears a terminal's line */
        const char *cause = ours ? ours + 5 : without_origin(line);
        if (*cause && (ours || !*text)) snprintf(text, size, "%s", cause);
        if (ours) return;
    }
}

static void explain(const simulate_settings_t *settings, const char *label, int lines, int ended) {
    char cause[512];
    first_line(lines, cause, sizeof cause);
    if (settings->simulation.network.platform)
        message_error("--network %s: %s", settings->simulation.network.platform,
                      *cause ? cause : "SimGrid ended");
    else if (*cause) message_error("%s: %s", label, cause);
    else if (WIFSIGNALED(ended))
        message_error("%s: the simulation was ended by signal %d (%s)", label, WTERMSIG(ended),
                      strsignal(WTERMSIG(ended)));
    else message_error("%s: the simulation ended without a result", label);
}

/* ---- the parent ---- */

/* false: the pipe has ended, or a signal asks for the end. before: the signal mask during the sleep. */
static bool read_report(int pipe, const sigset_t *before, child_report_t *report) {
    struct pollfd ready = {.fd = pipe, .events = POLLIN};
    while (ppoll(&ready, 1, NULL, before) < 0)
        if (errno != EINTR || interrupt_signal) return false;
    return read(pipe, report, sizeof *report) == sizeof *report;
}

/* Without a terminal: a line after 10 s of a row, then after twice that, and so on, at least once a minute. */
#define FIRST_LINE 10000000000u /* nanoseconds */
#define MOST_QUIET 60000000000u

typedef struct progress {
    const char *label;
    int steps;
    uint64_t start, due;
} progress_t;

static void show(progress_t *progress, int step) {
    char text[256];
    uint64_t passed = sgp_clock_now() - progress->start;
    snprintf(text, sizeof text, "%s  step %d/%d", progress->label, step, progress->steps);
    if (message_is_terminal()) {
        message_progress(text);
    } else if (passed >= progress->due) {
        message_line("%s", text);
        progress->due = passed + (passed < MOST_QUIET ? passed : MOST_QUIET);
    }
}

/* Reads the child's reports to the last; false: there was none. */
static bool follow(const simulate_settings_t *settings, const char *label, int pipe,
                   const sigset_t *before, child_report_t *report) {
    progress_t progress = {.label = label,
                           .steps = settings->simulation.steps,
                           .start = sgp_clock_now(),
                           .due = FIRST_LINE};
    bool terminal = message_is_terminal() && !settings->quiet;
    if (terminal) message_progress(label);
    bool heard;
    while ((heard = read_report(pipe, before, report)) && !report->ended)
        show(&progress, report->step);
    if (terminal) message_progress(NULL);
    return heard;
}

static int watch(const simulate_settings_t *settings, const char *label, pid_t child, int pipe,
                 int lines, const sigset_t *before, simulation_row_t *row) {
    child_report_t report;
    int ended = 0;
    bool heard = follow(settings, label, pipe, before, &report);
    if (!heard && interrupt_signal) kill(child, SIGKILL);
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR) {
    }
    if (heard && report.status == SGP_OK) {
        *row = report.row;
        return 0;
    }
    if (!heard && interrupt_signal) return 128 + interrupt_signal;
    explain(settings, label, lines, ended);
    if (heard) return exit_status_of(report.status);
    return settings->simulation.network.platform ? EXIT_MISTAKE : EXIT_FAILED;
}

int simulate_probe(const simulate_settings_t *settings, int nodes) {
    simulation_row_t ignored;
    return simulate_row(settings, NULL, nodes, settings->simulation.network.platform,
                        "the platform", &ignored);
}

int simulate_row(const simulate_settings_t *settings, const simulation_algorithm_t *algorithm,
                 int nodes, const char *platform, const char *label, simulation_row_t *row) {
    int ends[2], status = EXIT_FAILED;
    int lines = memfd_create("sgp-simulate", MFD_CLOEXEC);
    if (lines < 0 || pipe(ends) != 0) {
        message_error("%s: %s", label, strerror(errno));
        if (lines >= 0) close(lines);
        return status;
    }
    sigset_t before;
    interrupt_block(&before);
    fflush(NULL);
    pid_t parent = getpid(), child = fork();
    if (child == 0) be_child(settings, algorithm, nodes, platform, ends[1], lines, parent);
    close(ends[1]);
    if (child < 0) message_error("%s: fork: %s", label, strerror(errno));
    else status = watch(settings, label, child, ends[0], lines, &before, row);
    interrupt_unblock(&before);
    close(ends[0]);
    close(lines);
    return status;
}
