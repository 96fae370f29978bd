/* SPDX-License-Identifier: Apache-2.0 */
/* Where the library's log lines go, and the text of the last error. Silent until a callback is set; the library itself
 * never prints.
 *
 * The function that decides an error logs it once, with the cause and the value that was wrong. */
#ifndef SGP_LOG_H
#define SGP_LOG_H

#include <sgp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sgp_log_level {
    SGP_LOG_ERROR = 1, /* the call fails because of it */
    SGP_LOG_WARNING,   /* something was refused or repaired; the call goes on */
    SGP_LOG_INFO,
    SGP_LOG_DEBUG
} sgp_log_level_t;

/* line: one line without its newline, borrowed for the call. rank: the calling thread's node, -1 if it has none. Called
 * on the thread that logs, on that thread's ordinary stack. It must be thread-safe, must not block for long and must
 * not call the library. */
typedef void (*sgp_log_fn)(sgp_log_level_t level, int rank, const char *line, void *user);

/* Sets the callback for the whole process; NULL silences it. Lines above `level` are not formatted. Set it before other
 * calls: a change while another thread logs is not synchronised with that line. A group can have a callback of its own
 * (sgp/group.h), which then gets the lines of its calls, its mixers and its threads. */
SGP_API void sgp_log_set(sgp_log_fn fn, void *user, sgp_log_level_t level);

/* Longest line, with its end. */
#define SGP_LOG_LINE 1024

/* Why the calling thread's last call failed, in words: the line that was logged about it, also where another thread of
 * the library met the error, or an earlier call has logged it. "" if that call succeeded, or where nothing has failed:
 * SGP_ERR_AGAIN, SGP_ERR_INTERRUPTED, SGP_ERR_NOT_FOUND of a parser. Never NULL; valid until the thread's next call. */
SGP_API const char *sgp_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
