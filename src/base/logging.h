/* SPDX-License-Identifier: Apache-2.0 */
/* Writing log lines, and the text of the last error. Each function returns after the callback has; none allocates. */
#ifndef SGP_BASE_LOGGING_H
#define SGP_BASE_LOGGING_H

#include <sgp/log.h>

/* Where lines go. All zero: nowhere. */
typedef struct sgp_log_sink {
    sgp_log_fn fn;
    void *user;
    sgp_log_level_t level;
} sgp_log_sink_t;

/* The calling thread's lines go to `sink` (borrowed) from now on; NULL: to the process's (sgp_log_set). Returns the
 * sink before. The threads that a group starts take over the sink of the thread that starts them. */
const sgp_log_sink_t *sgp_log_use(const sgp_log_sink_t *sink);

/* The sink in use by the calling thread; NULL: the process's. */
const sgp_log_sink_t *sgp_log_used(void);

/* Names the calling thread's node in its log lines; -1 for none. */
void sgp_log_set_rank(int rank);

__attribute__((format(printf, 2, 3))) void sgp_log(sgp_log_level_t level, const char *format, ...);

/* Logs at error level, keeps the line for sgp_last_error, and returns status:
 * `return sgp_fail(SGP_ERR_INVALID, "count is %zu, ...", n);` */
__attribute__((format(printf, 2, 3))) sgp_status_t sgp_fail(sgp_status_t status, const char *format,
                                                            ...);

/* The same for an error that many nodes meet at once, or that has been logged before: at another level. */
__attribute__((format(printf, 3, 4))) sgp_status_t
sgp_fail_at(sgp_log_level_t level, sgp_status_t status, const char *format, ...);

/* Sets the calling thread's last error: to what another thread has met on its behalf. */
void sgp_set_last_error(const char *text);

/* Around the body of a public function, on the caller's stack: the outermost one clears the last error; lines go to
 * `sink` meanwhile (NULL: as before). end: takes what begin returned, and returns status. After the outermost one the
 * last error is about this status: "" for SGP_OK and where nothing has failed (SGP_ERR_AGAIN, SGP_ERR_INTERRUPTED), and
 * never "" for another one. */
const sgp_log_sink_t *sgp_api_begin(const sgp_log_sink_t *sink);
sgp_status_t sgp_api_end(const sgp_log_sink_t *before, sgp_status_t status);

#endif
