/* SPDX-License-Identifier: Apache-2.0 */
#include "base/logging.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
    sgp_log_fn fn;
    void *user;
    sgp_log_level_t level;
} sink;

static _Thread_local int thread_rank = -1;

void sgp_log_set(sgp_log_fn fn, void *user, sgp_log_level_t level) {
    sink.fn = fn;
    sink.user = user;
    sink.level = level;
}

void sgp_log_set_rank(int rank) {
    thread_rank = rank;
}

__attribute__((format(printf, 2, 0))) static void log_line(sgp_log_level_t level,
                                                           const char *format, va_list arguments) {
    if (!sink.fn || level > sink.level) return;
    char line[1024];
    vsnprintf(line, sizeof line, format, arguments);
    sink.fn(level, thread_rank, line, sink.user);
}

void sgp_log(sgp_log_level_t level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    log_line(level, format, arguments);
    va_end(arguments);
}

sgp_status_t sgp_fail(sgp_status_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    log_line(SGP_LOG_ERROR, format, arguments);
    va_end(arguments);
    return status;
}
