/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/watch_terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* The other screen, without a cursor, lines cut at its edge; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[H\033[J"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static struct {
    bool open;
    int signals; /* a signalfd */
    sigset_t mask;
    struct termios before;
    int ended_by;
} terminal = {.signals = -1};

static bool write_all(const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, text, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        text += written;
        length -= (size_t)written;
    }
    return true;
}

/* TCSADRAIN: another process may have left output on its way. */
static bool enter(void) {
    struct termios now = terminal.before;
    now.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSADRAIN, &now) == 0 && write_all(ENTER, sizeof ENTER - 1);
}

static void leave(void) {
    write_all(LEAVE, sizeof LEAVE - 1);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.before);
}

bool terminal_open(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
    sigset_t mask;
    if (tcgetattr(STDIN_FILENO, &terminal.before) != 0) return false;
    sigemptyset(&mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaddset(&mask, numbers[i]);
    terminal.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (terminal.signals < 0) return false;
    sigprocmask(SIG_BLOCK, &mask, &terminal.mask);
    terminal.open = enter();
    if (terminal.open) return true;
    int error = errno;
    terminal.open = true;
    terminal_close();
    errno = error;
    return false;
}

void terminal_close(void) {
    if (!terminal.open) return;
    leave();
    close(terminal.signals);
    terminal.signals = -1;
    sigprocmask(SIG_SETMASK, &terminal.mask, NULL);
    terminal.open = false;
}

int terminal_descriptors(int descriptors[2]) {
    descriptors[0] = STDIN_FILENO;
    descriptors[1] = terminal.signals;
    return 2;
}

int terminal_signal(void) {
    return terminal.ended_by;
}

/* Gives the terminal back while the process is stopped. */
static void pause_here(void) {
    leave();
    kill(getpid(), SIGSTOP);
    tcgetattr(STDIN_FILENO, &terminal.before);
    enter();
}

static terminal_event_t take_signal(void) {
    struct signalfd_siginfo info;
    if (read(terminal.signals, &info, sizeof info) != (ssize_t)sizeof info) return TERMINAL_NOTHING;
    if (info.ssi_signo == SIGWINCH) return TERMINAL_DRAW;
    if (info.ssi_signo == SIGTSTP) {
        pause_here();
        return TERMINAL_DRAW;
    }
    terminal.ended_by = (int)info.ssi_signo;
    return TERMINAL_END;
}

static terminal_event_t take_keys(void) {
    char keys[64];
    ssize_t count = read(STDIN_FILENO, keys, sizeof keys);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return TERMINAL_NOTHING;
    bool quits = count <= 0;
    for (ssize_t i = 0; i < count; i++) quits |= keys[i] == 'q' || keys[i] == 'Q';
    return quits ? TERMINAL_END : TERMINAL_DRAW;
}

terminal_event_t terminal_wait(int milliseconds) {
    struct pollfd descriptors[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                    {.fd = terminal.signals, .events = POLLIN}};
    if (poll(descriptors, 2, milliseconds) <= 0) return TERMINAL_NOTHING;
    if (descriptors[1].revents) return take_signal();
    return descriptors[0].revents ? take_keys() : TERMINAL_NOTHING;
}

void terminal_size(int *width, int *height) {
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    *width = known ? size.ws_col : 80;
    *height = known ? size.ws_row : 24;
}

bool terminal_show(const char *text, size_t length) {
    static const char home[] = "\033[H", rest[] = "\033[J";
    return write_all(home, sizeof home - 1) && write_all(text, length) &&
           write_all(rest, sizeof rest - 1);
}
