/* SPDX-License-Identifier: Apache-2.0 */
/* A row in a process of its own: SimGrid simulates one cluster in the life of a process, ends it where it does not
 * like what it reads, and its memory goes with it. */
#include "cli/exit_status.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "simulate/simulation.h"

#include "base/clock.h"
#include "transport/simulated/simulated.h"

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

/* What the child tells: at most PIPE_BUF bytes, so in one piece. */
typedef struct news {
    int step;   /* of the first node, while it runs */
    bool ended; /* status and row are set */
    sgp_status_t status;
    simulate_row_t row;
} news_t;

typedef struct teller {
    int pipe;
    uint64_t last; /* nanoseconds */
} teller_t;

static void tell(int pipe, const news_t *news) {
    if (write(pipe, news, sizeof *news) != sizeof *news) _exit(EXIT_FAILED);
}

/* A few times a second. */
static void tell_step(int step, void *user) {
    teller_t *teller = user;
    uint64_t now = sgp_clock_now();
    if (now - teller->last < 200000000u) return;
    teller->last = now;
    tell(teller->pipe, &(news_t){.step = step});
}

/* Whether a platform can carry what is asked for. */
static sgp_status_t probe(const char *platform, int nodes) {
    sgp_simulated_t *cluster;
    sgp_status_t status = sgp_simulated_create(
        &(sgp_simulated_options_t){.platform = platform, .size = nodes}, &cluster);
    for (int r = 1; r < nodes && status == SGP_OK; r++) {
        double latency, bandwidth;
        sgp_simulated_route(cluster, r - 1, r, &latency, &bandwidth);
        if (bandwidth > 0 && latency >= 0) continue;
        message_error(
            "from host %d to host %d: %g bytes a second, %g s; rates must be above 0, and "
            "latencies not below",
            r - 1, r, bandwidth, latency);
        status = SGP_ERR_INVALID;
    }
    return status;
}

/* Its lines, and SimGrid's, go to `lines`. What a terminal sends stays blocked here: the parent ends it. */
static void be_child(const simulate_settings_t *settings, const simulate_algorithm_t *algorithm,
                     int nodes, const char *platform, int pipe, int lines, pid_t parent) {
    teller_t teller = {.pipe = pipe};
    news_t news = {.ended = true};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_FAILED); /* it died before prctl */
    dup2(lines, STDERR_FILENO);
    dup2(lines, STDOUT_FILENO);
    news.status = algorithm
                      ? simulate_nodes(settings, algorithm, nodes, platform,
                                       !settings->quiet ? tell_step : NULL, &teller, &news.row)
                      : probe(platform, nodes);
    tell(pipe, &news);
    _exit(0);
}

/* ---- what went wrong ---- */

/* SimGrid's lines begin with where they come from: "[0.000000] ./src/a.cpp:99: [root/CRITICAL] ". */
static const char *without_origin(const char *line) {
    static const char *const ends[] = {"/ERROR] ", "/CRITICAL] ", "/WARNING] "};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *end = strstr(line, ends[i]);
        if (end) return end + strlen(ends[i]);
    }
    return line;
}

/* The first line that says something: the library's (without "sgp: "), or else SimGrid's. */
static void first_line(int lines, char *text, size_t size) {
    char all[8192];
    ssize_t length = pread(lines, all, sizeof all - 1, 0);
    all[length > 0 ? length : 0] = '\0';
    text[0] = '\0';
    for (char *rest = all, *line; (line = strsep(&rest, "\n"));) {
        const char *ours = strstr(line, "sgp: "); /* behind what clears a terminal's line */
        const char *said = ours ? ours + 5 : without_origin(line);
        if (*said && (ours || !*text)) snprintf(text, size, "%s", said);
        if (ours) return;
    }
}

static void explain(const simulate_settings_t *settings, const char *label, int lines, int ended) {
    char said[512];
    first_line(lines, said, sizeof said);
    if (settings->network.platform)
        message_error("--network %s: %s", settings->network.platform,
                      *said ? said : "SimGrid ended");
    else if (*said) message_error("%s: %s", label, said);
    else if (WIFSIGNALED(ended))
        message_error("%s: the simulation was ended by signal %d (%s)", label, WTERMSIG(ended),
                      strsignal(WTERMSIG(ended)));
    else message_error("%s: the simulation ended without a result", label);
}

/* ---- the parent ---- */

/* false: the pipe ended, or somebody wants an end. before: the signals that end this sleep are blocked outside it. */
static bool hear(int pipe, const sigset_t *before, news_t *news) {
    struct pollfd ready = {.fd = pipe, .events = POLLIN};
    while (ppoll(&ready, 1, NULL, before) < 0)
        if (errno != EINTR || interrupt_signal) return false;
    return read(pipe, news, sizeof *news) == sizeof *news;
}

/* Elsewhere than on a terminal: a line after 10 s of a row, after twice that, and so on, but at least each minute. */
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

/* Until the child's last word; false: there was none. */
static bool follow(const simulate_settings_t *settings, const char *label, int pipe,
                   const sigset_t *before, news_t *news) {
    progress_t progress = {
        .label = label, .steps = settings->steps, .start = sgp_clock_now(), .due = FIRST_LINE};
    bool terminal = message_is_terminal() && !settings->quiet;
    if (terminal) message_progress(label);
    bool heard;
    while ((heard = hear(pipe, before, news)) && !news->ended) show(&progress, news->step);
    if (terminal) message_progress(NULL);
    return heard;
}

static int watch(const simulate_settings_t *settings, const char *label, pid_t child, int pipe,
                 int lines, const sigset_t *before, simulate_row_t *row) {
    news_t news;
    int ended = 0;
    bool heard = follow(settings, label, pipe, before, &news);
    if (!heard && interrupt_signal) kill(child, SIGKILL);
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR) {
    }
    if (heard && news.status == SGP_OK) {
        *row = news.row;
        return 0;
    }
    if (!heard && interrupt_signal) return 128 + interrupt_signal;
    explain(settings, label, lines, ended);
    if (heard) return exit_status_of(news.status);
    return settings->network.platform ? EXIT_MISTAKE : EXIT_FAILED;
}

int simulate_probe(const simulate_settings_t *settings, int nodes) {
    simulate_row_t ignored;
    return simulate_row(settings, NULL, nodes, settings->network.platform, "the platform",
                        &ignored);
}

int simulate_row(const simulate_settings_t *settings, const simulate_algorithm_t *algorithm,
                 int nodes, const char *platform, const char *label, simulate_row_t *row) {
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
