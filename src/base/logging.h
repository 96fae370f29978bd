/* SPDX-License-Identifier: Apache-2.0 */
/* Writing log lines. Each function returns after the callback has; none allocates. */
#ifndef SGP_BASE_LOGGING_H
#define SGP_BASE_LOGGING_H

#include <sgp/log.h>

/* Names the calling thread's node in its log lines; -1 for none. */
void sgp_log_set_rank(int rank);

__attribute__((format(printf, 2, 3))) void sgp_log(sgp_log_level_t level, const char *format, ...);

/* Logs at error level and returns status: `return sgp_fail(SGP_ERR_INVALID, "count is %zu, ...",
 * n);` */
__attribute__((format(printf, 2, 3))) sgp_status_t sgp_fail(sgp_status_t status, const char *format,
                                                            ...);

#endif
