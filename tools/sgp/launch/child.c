/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/child.h"

#include "cli/exit_status.h"
#include "cli/message.h"
#include "launch/self.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const int asking[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

enum { ASKING = sizeof asking / sizeof asking[0] };

/* Blocks the signals for sigwaitinfo. Those that were ignored when the program started stay
 * ignored. */
static void block_signals(sigset_t *signals, sigset_t *before) {
    sigemptyset(signals);
    sigaddset(signals, SIGCHLD);
    for (int i = 0; i < ASKING; i++) {
        struct sigaction action;
        sigaction(asking[i], NULL, &action);
        if (action.sa_handler != SIG_IGN) sigaddset(signals, asking[i]);
    }
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, signals, before);
}

/* In the new process. A terminal signals the child and its parent: the child ignores these signals
 * and takes one SIGTERM from its parent. */
static void become_child(char *const *argv, const sigset_t *before, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(EXIT_FAILED); /* the parent died before prctl */
    for (int i = 0; i < ASKING; i++)
        if (asking[i] != SIGTERM) signal(asking[i], SIG_IGN);
    sigprocmask(SIG_SETMASK, before, NULL);
    execv(SELF_FILE, argv);
    message_error("%s: %s", SELF_FILE, strerror(errno));
    _exit(EXIT_FAILED);
}

/* Sleeps until the child has ended. Returns its status, as waitpid gives it. */
static int supervise(pid_t pid, const sigset_t *signals, int *stopped) {
    int ended = 0;
    while (waitpid(pid, &ended, WNOHANG) == 0) {
        int number = sigwaitinfo(signals, NULL);
        if (number <= 0 || number == SIGCHLD) continue;
        if (!*stopped) *stopped = number;
        kill(pid, SIGTERM);
    }
    return ended;
}

int child_run(char *const *argv, int *stopped) {
    sigset_t signals, before;
    int status = EXIT_FAILED;
    *stopped = 0;
    block_signals(&signals, &before);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) become_child(argv, &before, parent);
    if (pid < 0) message_error("fork: %s", strerror(errno));
    else {
        int ended = supervise(pid, &signals, stopped);
        status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}
