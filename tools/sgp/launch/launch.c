/* SPDX-License-Identifier: Apache-2.0 */
/* The only wait is sigtimedwait, for the end of a node, a signal to the launcher, or a deadline. */
#include "launch/launch.h"

#include "cli/exit_status.h"
#include "cli/message.h"
#include "launch/lost_nodes.h"
#include "launch/patience.h"
#include "launch/rendezvous_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Seconds. The other nodes notice a failure within one; the run must end within ten, or a little
 * more where nodes that end together write a report. */
enum { REPORT_GRACE = 4, SPEAKING_GRACE = 10, FAILED_GRACE = 3, INTERRUPT_GRACE = 5 };

/* Added to the time that nodes ask for: the checkpoint and the report. */
enum { SAVING_GRACE = 14 };

typedef enum phase {
    RUNNING,
    REPORTING, /* a node failed; the others have time to notice */
    ENDING,    /* SIGTERM sent */
    KILLING    /* SIGKILL sent */
} phase_t;

typedef struct launcher {
    const launch_options_t *options;
    rendezvous_t rendezvous;
    sigset_t signals; /* blocked; sigtimedwait waits for them */
    sigset_t before;  /* the signal mask of the nodes */
    pid_t *pids;      /* (nodes) 0: not running */
    int running;
    phase_t phase;
    struct timespec deadline; /* of the phases REPORTING and ENDING */
    int waited;               /* seconds from the first failure or signal to the deadline */
    siginfo_t *failures;      /* (nodes) of those that are not named; else si_pid is 0 */
    int failed;               /* rank of the first node that failed, -1: none */
    siginfo_t how;            /* its end, as waitid reports it */
    int follows;              /* the lost rank because of which it ended, -1: none */
    int losses;               /* an unnamed file in which nodes report losses; or -1 */
    int patience;             /* launch/patience.h */
    int given_up;             /* launch/lost_nodes.h */
    int lost;                 /* nodes without which the others have gone on */
    int succeeded;            /* nodes; with goes_on some may have left long before the end */
    int alike;                /* nodes that failed in the same way */
    int interrupted;          /* the signal that asked the launcher to end, or 0 */
} launcher_t;

/* Signals that were ignored when the program started stay ignored (nohup, background jobs). */
static void catch_signals(launcher_t *launcher) {
    static const int asking[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1};
    sigemptyset(&launcher->signals);
    sigaddset(&launcher->signals, SIGCHLD);
    for (size_t i = 0; i < sizeof asking / sizeof asking[0]; i++) {
        struct sigaction action;
        sigaction(asking[i], NULL, &action);
        if (action.sa_handler != SIG_IGN) sigaddset(&launcher->signals, asking[i]);
    }
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &launcher->signals, &launcher->before);
}

/* In the new process; returns only if the program cannot be started. */
static void become_node(const launcher_t *launcher, int rank, pid_t parent) {
    char text[48];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_FAILED); /* the parent died before prctl */
    /* Ctrl-C reaches the whole foreground; the launcher passes it on once, as SIGTERM. */
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &launcher->before, NULL);
    snprintf(text, sizeof text, "%d", rank);
    setenv("SGP_RANK", text, 1);
    snprintf(text, sizeof text, "%d", launcher->options->nodes);
    setenv("SGP_SIZE", text, 1);
    setenv("SGP_RENDEZVOUS", launcher->rendezvous.path, 1);
    if (launcher->options->once) setenv("SGP_RENDEZVOUS_ONCE", "1", 1);
    else unsetenv("SGP_RENDEZVOUS_ONCE");
    snprintf(text, sizeof text, "/proc/%d/fd/%d", (int)parent, launcher->losses);
    setenv("SGP_LOSSES", text, 1); /* group/group_internal.h, sgp_group_tell_losses */
    patience_export(launcher->patience, (int)parent);
    lost_nodes_export(launcher->given_up, (int)parent);
    setenv("OMP_NUM_THREADS", "1", 0);
    execvp(launcher->options->file, launcher->options->argv);
}

/* Starts one node. Returns 0 or an errno; a failing exec sends its errno through a pipe that a
 * successful one closes. */
static int start_node(launcher_t *launcher, int rank) {
    int ends[2], error = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become_node(launcher, rank, parent);
        error = errno;
        if (write(ends[1], &error, sizeof error) < 0) _exit(EXIT_FAILED);
        _exit(EXIT_MISTAKE);
    }
    if (pid < 0) error = errno;
    close(ends[1]);
    while (pid > 0 && read(ends[0], &error, sizeof error) < 0 && errno == EINTR) {
    }
    close(ends[0]);
    if (error && pid > 0) waitpid(pid, NULL, 0);
    if (error) return error;
    launcher->pids[rank] = pid;
    launcher->running++;
    return 0;
}

static void signal_nodes(const launcher_t *launcher, int number) {
    for (int rank = 0; rank < launcher->options->nodes; rank++)
        if (launcher->pids[rank]) kill(launcher->pids[rank], number);
}

static void enter(launcher_t *launcher, phase_t phase, int seconds) {
    launcher->phase = phase;
    clock_gettime(CLOCK_MONOTONIC, &launcher->deadline);
    launcher->deadline.tv_sec += seconds;
    launcher->waited += seconds;
    if (phase == ENDING) signal_nodes(launcher, SIGTERM);
    if (phase == KILLING) signal_nodes(launcher, SIGKILL);
}

static void describe_failure(const launcher_t *launcher, char text[LAUNCH_REASON]) {
    int number = launcher->how.si_status;
    char name[MESSAGE_NODE];
    message_node(launcher->follows < 0 ? launcher->failed : launcher->follows, name);
    if (launcher->follows >= 0)
        snprintf(text, LAUNCH_REASON, "%s was lost, and the others ended because of it", name);
    else if (launcher->how.si_code == CLD_EXITED)
        snprintf(text, LAUNCH_REASON, "%s ended with exit status %d", name, number);
    else
        snprintf(text, LAUNCH_REASON, "%s was killed by signal %d (%s)", name, number,
                 strsignal(number));
}

static bool have_spoken(const launcher_t *launcher) {
    int gone = launcher->lost + (launcher->options->goes_on ? launcher->succeeded : 0);
    return launcher->options->speaks && launcher->how.si_code == CLD_EXITED &&
           launcher->alike == launcher->options->nodes - gone;
}

/* Prints one line, and copies it to the caller. */
static void report_end(const launcher_t *launcher) {
    char text[LAUNCH_REASON] = "";
    if (launcher->interrupted)
        snprintf(text, sizeof text, "stopped (%s)", strsignal(launcher->interrupted));
    else if (launcher->failed >= 0) describe_failure(launcher, text);
    if (launcher->options->reason) memcpy(launcher->options->reason, text, sizeof text);
    if (text[0] && (launcher->interrupted || !have_spoken(launcher))) message_error("%s", text);
}

/* The rank whose loss a node has reported; -1: none. */
static int known_loss(const launcher_t *launcher, int rank) {
    uint32_t word;
    off_t at = (off_t)rank * (off_t)sizeof word;
    bool there = pread(launcher->losses, &word, sizeof word, at) == (ssize_t)sizeof word;
    return there && word > 0 && word <= (uint32_t)launcher->options->nodes ? (int)word - 1 : -1;
}

/* Whether this node's end explains the failure better than the one recorded so far. Nodes that see
 * a loss end too, and may be reaped before the lost one: they report the loss, or they exit whereas
 * the lost one was killed. */
static bool is_the_cause(const launcher_t *launcher, const siginfo_t *how, int follows) {
    bool killed = how->si_code != CLD_EXITED;
    if (launcher->failed < 0) return true;
    if (launcher->follows >= 0 && follows < 0) return true;
    return launcher->how.si_code == CLD_EXITED && killed;
}

/* ---- nodes without which the others go on ---- */

/* The nodes remove the rendezvous directory once all have found each other; before that none can go on without another. */
static bool is_complete(const launcher_t *launcher) {
    return launcher->options->apart || access(launcher->rendezvous.path, F_OK) != 0;
}

static void lose(launcher_t *launcher, int rank, const siginfo_t *how) {
    char name[MESSAGE_NODE];
    message_node(rank, name);
    launcher->lost++;
    message_error("%s was lost (%s %d): the others go on", name,
                  how->si_code == CLD_EXITED ? "exit status" : "killed by signal", how->si_status);
}

/* Whether the others go on without a node that failed: at once if it was killed or they have given it up before, else they
 * may be about to end for the same reason. */
static bool is_lost(const launcher_t *launcher, int rank, const siginfo_t *how) {
    bool alone = how->si_code != CLD_EXITED || lost_nodes_has(launcher->given_up, rank);
    return launcher->options->goes_on && launcher->phase <= REPORTING && !launcher->interrupted &&
           launcher->running > 0 && alone && is_complete(launcher);
}

/* Some node has given that process up. A program of one's own tells the first that it has lost. */
static bool is_given_up(const launcher_t *launcher, int rank) {
    if (lost_nodes_has(launcher->given_up, rank)) return true;
    for (int other = 0; other < launcher->options->nodes && launcher->options->apart; other++)
        if (!launcher->pids[other] && known_loss(launcher, other) == rank) return true;
    return false;
}

/* The run is over, and the nodes that are still there were given up: they hang. */
static bool is_left_with_lost(const launcher_t *launcher) {
    for (int rank = 0; rank < launcher->options->nodes; rank++)
        if (launcher->pids[rank] && !is_given_up(launcher, rank)) return false;
    return launcher->options->goes_on && launcher->running > 0 && launcher->succeeded > 0;
}

static void lose_all(launcher_t *launcher) {
    for (int rank = 0; rank < launcher->options->nodes; rank++)
        if (launcher->failures[rank].si_pid) {
            lose(launcher, rank, &launcher->failures[rank]);
            launcher->failures[rank].si_pid = 0;
        }
}

/* A node that failed some time ago has not ended the others. */
static bool go_on(launcher_t *launcher) {
    if (!launcher->options->goes_on || launcher->how.si_code != CLD_EXITED ||
        !is_complete(launcher) || (launcher->alike > 1 && !launcher->options->apart))
        return false;
    if (launcher->options->apart) lose_all(launcher);
    else lose(launcher, launcher->failed, &launcher->how);
    launcher->failed = launcher->follows = -1;
    launcher->phase = RUNNING;
    return true;
}

static void note_end(launcher_t *launcher, int rank, const siginfo_t *how) {
    launcher->pids[rank] = 0;
    launcher->running--;
    bool failed = how->si_code != CLD_EXITED || how->si_status != 0;
    if (!failed) launcher->succeeded++;
    if (failed && is_lost(launcher, rank, how)) {
        lose(launcher, rank, how);
        return;
    }
    if (failed && launcher->phase <= REPORTING) launcher->failures[rank] = *how;
    if (launcher->failed < 0) launcher->alike = failed;
    else
        launcher->alike +=
            how->si_code == launcher->how.si_code && how->si_status == launcher->how.si_status;
    if (!failed || launcher->phase > REPORTING) return;
    /* Nodes that go on without a lost one end for another reason. */
    bool may_follow = how->si_code == CLD_EXITED && !launcher->options->goes_on;
    int follows = may_follow ? known_loss(launcher, rank) : -1;
    if (!is_the_cause(launcher, how, follows)) return;
    launcher->failed = rank;
    launcher->how = *how;
    launcher->follows = follows;
}

/* Reaps all children that have ended, among them the orphans of nodes, which need nothing more. */
static void reap(launcher_t *launcher) {
    siginfo_t how = {0};
    while (waitid(P_ALL, 0, &how, WEXITED | WNOHANG) == 0 && how.si_pid) {
        for (int rank = 0; rank < launcher->options->nodes; rank++)
            if (launcher->pids[rank] == how.si_pid) note_end(launcher, rank, &how);
        how.si_pid = 0;
    }
    if (launcher->phase == RUNNING && is_left_with_lost(launcher))
        enter(launcher, ENDING, FAILED_GRACE);
    if (launcher->phase == RUNNING && launcher->failed >= 0)
        enter(launcher, REPORTING,
              launcher->options->speaks && launcher->how.si_code == CLD_EXITED ? SPEAKING_GRACE
                                                                               : REPORT_GRACE);
}

/* Nodes whose steps take long say so. */
static int grace(const launcher_t *launcher) {
    int usual = launcher->options->grace ? launcher->options->grace : INTERRUPT_GRACE;
    int told = patience_longest(launcher->patience, launcher->options->nodes);
    return told > 0 && told + SAVING_GRACE > usual ? told + SAVING_GRACE : usual;
}

static void interrupt(launcher_t *launcher, int number) {
    bool again = launcher->interrupted != 0;
    if (!again) launcher->interrupted = number;
    if (again) enter(launcher, KILLING, 0);
    else if (launcher->phase < ENDING) enter(launcher, ENDING, grace(launcher));
}

/* Ctrl-\ has reached the nodes, too. */
static void record(const launcher_t *launcher, const siginfo_t *from) {
    if (from->si_code != SI_KERNEL) signal_nodes(launcher, SIGQUIT);
    message_error("the nodes write what they wait for; to read it: sgp flight %s",
                  launcher->options->records);
}

/* Names each node that is killed, and the reason. */
static void report_killed(const launcher_t *launcher) {
    char name[MESSAGE_NODE], since[MESSAGE_NODE + 16];
    bool asked = launcher->failed < 0;
    if (!asked) message_node(launcher->failed, name);
    if (asked) snprintf(since, sizeof since, "SIGTERM");
    else snprintf(since, sizeof since, "%s's failure", name);
    for (int rank = 0; rank < launcher->options->nodes; rank++) {
        if (!launcher->pids[rank]) continue;
        message_node(rank, name);
        message_error("%s (pid %d) did not end within %d s of %s and is killed", name,
                      (int)launcher->pids[rank], launcher->waited, since);
    }
}

static void escalate(launcher_t *launcher) {
    if (launcher->phase == REPORTING && go_on(launcher)) return;
    if (launcher->phase == REPORTING) {
        enter(launcher, ENDING, FAILED_GRACE);
        return;
    }
    report_killed(launcher);
    enter(launcher, KILLING, 0);
}

/* Sleeps until the next event. Returns the signal; 0: the deadline has passed. */
static int next_event(const launcher_t *launcher, siginfo_t *from) {
    if (launcher->phase == RUNNING || launcher->phase == KILLING)
        return sigwaitinfo(&launcher->signals, from);
    struct timespec now, left;
    clock_gettime(CLOCK_MONOTONIC, &now);
    left.tv_sec = launcher->deadline.tv_sec - now.tv_sec;
    left.tv_nsec = launcher->deadline.tv_nsec - now.tv_nsec;
    if (left.tv_nsec < 0) {
        left.tv_sec--;
        left.tv_nsec += 1000000000;
    }
    if (left.tv_sec < 0) return 0;
    int number = sigtimedwait(&launcher->signals, from, &left);
    return number < 0 && errno == EAGAIN ? 0 : number;
}

static void supervise(launcher_t *launcher) {
    while (launcher->running > 0) {
        siginfo_t from = {0};
        int number = next_event(launcher, &from);
        if (number == 0) escalate(launcher);
        else if (number == SIGCHLD) reap(launcher);
        else if (number == SIGQUIT && launcher->options->records) record(launcher, &from);
        else if (number > 0) interrupt(launcher, number);
    }
    if (!launcher->options->apart || launcher->interrupted || !launcher->succeeded) return;
    lose_all(launcher);
    launcher->failed = launcher->follows = -1;
}

/* Kills processes that nodes started and left behind; the launcher is their parent now, as
 * subreaper. */
static void end_orphans(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    for (;;) {
        FILE *file = fopen(path, "re");
        int pid, found = 0;
        while (file && fscanf(file, "%d", &pid) == 1) {
            found++;
            kill(pid, SIGKILL);
        }
        if (file) fclose(file);
        if (!found) return;
        while (waitpid(-1, NULL, 0) > 0) {
        }
    }
}

static int exit_status(const launcher_t *launcher) {
    if (launcher->interrupted) return 128 + launcher->interrupted;
    if (launcher->failed < 0) return 0;
    return launcher->how.si_code == CLD_EXITED ? launcher->how.si_status : EXIT_FAILED;
}

static int run_nodes(launcher_t *launcher) {
    const launch_options_t *options = launcher->options;
    int error = 0;
    for (int rank = 0; rank < options->nodes && !error; rank++) error = start_node(launcher, rank);
    if (error) {
        message_error("%s: cannot be started: %s", options->file, strerror(error));
        enter(launcher, KILLING, 0);
    }
    supervise(launcher);
    end_orphans();
    report_end(launcher);
    if (!error) return exit_status(launcher);
    return error == ENOENT || error == EACCES || error == ENOEXEC ? EXIT_MISTAKE : EXIT_FAILED;
}

int launch(const launch_options_t *options) {
    launcher_t launcher = {.options = options,
                           .failed = -1,
                           .follows = -1,
                           .losses = memfd_create("sgp-losses", MFD_CLOEXEC),
                           .patience = patience_open(),
                           .given_up = lost_nodes_open()};
    int status = EXIT_FAILED;
    message_workers(options->workers);
    launcher.pids = calloc((size_t)options->nodes, sizeof *launcher.pids);
    launcher.failures = calloc((size_t)options->nodes, sizeof *launcher.failures);
    if (!launcher.pids || !launcher.failures) {
        message_error("out of memory for %d nodes", options->nodes);
        free(launcher.pids);
        free(launcher.failures);
        return status;
    }
    catch_signals(&launcher);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (rendezvous_create(&launcher.rendezvous)) {
        status = run_nodes(&launcher);
        rendezvous_destroy(&launcher.rendezvous);
    }
    sigprocmask(SIG_SETMASK, &launcher.before, NULL);
    if (launcher.losses >= 0) close(launcher.losses);
    if (launcher.patience >= 0) close(launcher.patience);
    if (launcher.given_up >= 0) close(launcher.given_up);
    free(launcher.pids);
    free(launcher.failures);
    return status;
}
