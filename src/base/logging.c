/* SPDX-License-Identifier: Apache-2.0 */
#include "base/logging.h"

#include "base/call.h"
#include "base/log_ring.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static sgp_log_sink_t process_sink;

static _Thread_local const sgp_log_sink_t *thread_sink;
static _Thread_local int thread_rank = -1;
static _Thread_local int depth; /* of public calls */
static _Thread_local char last_error[SGP_LOG_LINE];

void sgp_log_set(sgp_log_fn fn, void *user, sgp_log_level_t level) {
    process_sink = (sgp_log_sink_t){fn, user, level};
}

const sgp_log_sink_t *sgp_log_use(const sgp_log_sink_t *sink) {
    const sgp_log_sink_t *before = thread_sink;
    thread_sink = sink;
    return before;
}

const sgp_log_sink_t *sgp_log_used(void) {
    return thread_sink;
}

void sgp_log_set_rank(int rank) {
    thread_rank = rank;
}

const char *sgp_last_error(void) {
    return last_error;
}

void sgp_set_last_error(const char *text) {
    size_t length = strnlen(text, sizeof last_error - 1);
    memmove(last_error, text, length);
    last_error[length] = '\0';
}

const sgp_log_sink_t *sgp_api_begin(const sgp_log_sink_t *sink) {
    if (depth++ == 0) last_error[0] = '\0';
    return sgp_log_use(sink ? sink : thread_sink);
}

/* A parser that does not find a name says nothing (sgp/log.h). */
static bool says_nothing(sgp_status_t status) {
    bool quiet = status == SGP_ERR_NOT_FOUND && !last_error[0];
    return quiet || status == SGP_OK || status == SGP_ERR_AGAIN || status == SGP_ERR_INTERRUPTED;
}

sgp_status_t sgp_api_end(const sgp_log_sink_t *before, sgp_status_t status) {
    if (--depth == 0) {
        if (says_nothing(status)) last_error[0] = '\0';
        else if (!last_error[0]) sgp_set_last_error(sgp_status_message(status));
    }
    sgp_log_use(before);
    return status;
}

typedef struct line {
    const sgp_log_sink_t *sink;
    sgp_log_level_t level;
    const char *text;
} line_t;

static void deliver(void *argument) {
    const line_t *line = argument;
    line->sink->fn(line->level, thread_rank, line->text, line->sink->user);
}

/* NULL: no callback takes this level. */
static const sgp_log_sink_t *sink_for(sgp_log_level_t level) {
    const sgp_log_sink_t *sink = thread_sink ? thread_sink : &process_sink;
    return sink->fn && level <= sink->level ? sink : NULL;
}

static void write_line(sgp_log_level_t level, const char *text) {
    line_t line = {sink_for(level), level, text};
    sgp_log_ring_add(level, text);
    if (line.sink) sgp_call_outside(deliver, &line);
}

void sgp_log(sgp_log_level_t level, const char *format, ...) {
    if (!sink_for(level) && !sgp_log_ring_takes(level)) return;
    char text[SGP_LOG_LINE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    write_line(level, text);
}

__attribute__((format(printf, 2, 0))) static void
keep_and_write(sgp_log_level_t level, const char *format, va_list arguments) {
    char text[SGP_LOG_LINE]; /* an argument may be the last error */
    vsnprintf(text, sizeof text, format, arguments);
    sgp_set_last_error(text);
    write_line(level, text);
}

sgp_status_t sgp_fail(sgp_status_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    keep_and_write(SGP_LOG_ERROR, format, arguments);
    va_end(arguments);
    return status;
}

sgp_status_t sgp_fail_at(sgp_log_level_t level, sgp_status_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    keep_and_write(level, format, arguments);
    va_end(arguments);
    return status;
}
