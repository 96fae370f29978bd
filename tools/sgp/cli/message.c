/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/message.h"

#include <sgp/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

bool message_is_terminal(void) {
    static int terminal = -1;
    if (terminal < 0) terminal = isatty(STDERR_FILENO);
    return terminal == 1;
}

static int columns_of(int file) {
    struct winsize size;
    return ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

int message_width(void) {
    return columns_of(STDERR_FILENO);
}

int message_output_width(void) {
    return columns_of(STDOUT_FILENO);
}

/* Errors are ignored: there is nowhere to report them. */
static void write_all(const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, text, length);
        if (written <= 0) return;
        text += written;
        length -= (size_t)written;
    }
}

__attribute__((format(printf, 2, 0))) static void line(const char *prefix, const char *format,
                                                       va_list arguments) {
    char text[1280];
    int head = snprintf(text, sizeof text, "%s%s", message_is_terminal() ? CLEAR_LINE : "", prefix);
    size_t room = sizeof text - (size_t)head - 1; /* one kept for the newline */
    int body = vsnprintf(text + head, room, format, arguments);
    size_t length = body < 0 ? 0 : (size_t)body < room ? (size_t)body : room - 1;
    text[(size_t)head + length] = '\n';
    write_all(text, (size_t)head + length + 1);
}

static const char *subject; /* of errors; NULL: none */

void message_about(const char *about) {
    subject = about;
}

void message_error(const char *format, ...) {
    char prefix[320];
    va_list arguments;
    snprintf(prefix, sizeof prefix, "sgp: %.300s%s", subject ? subject : "", subject ? ": " : "");
    va_start(arguments, format);
    line(prefix, format, arguments);
    va_end(arguments);
}

void message_line(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    line("", format, arguments);
    va_end(arguments);
}

void message_progress(const char *text) {
    char full[1024];
    int length = snprintf(full, sizeof full, CLEAR_LINE "%s", text ? text : "");
    write_all(full, length < (int)sizeof full ? (size_t)length : sizeof full - 1);
}

static int workers_per_node = 1;

void message_workers(int workers) {
    workers_per_node = workers > 1 ? workers : 1;
}

void message_node(int rank, char name[MESSAGE_NODE]) {
    if (workers_per_node == 1) snprintf(name, MESSAGE_NODE, "node %d", rank);
    else
        snprintf(name, MESSAGE_NODE, "worker %d of node %d", rank % workers_per_node,
                 rank / workers_per_node);
}

static void print_log(sgp_log_level_t level, int rank, const char *text, void *user) {
    (void)level;
    const volatile int *quiet = user;
    if (quiet && *quiet) return;
    char name[MESSAGE_NODE];
    message_node(rank, name);
    if (rank >= 0) message_error("%s: %s", name, text);
    else message_error("%s", text);
}

void message_log_library(const volatile int *quiet) {
    sgp_log_set(print_log, (void *)quiet, SGP_LOG_WARNING);
}
