/* SPDX-License-Identifier: Apache-2.0 */
/* Opens files for reading. A pipe, a device or a socket in a file's place must neither block nor look
 * like an endless file. */
#ifndef SGP_BASE_REGULAR_H
#define SGP_BASE_REGULAR_H

#include <sgp/status.h>

enum { SGP_REGULAR_PROBLEM = 128 };

/* *descriptor: for the caller to close. On failure problem reads "is not a regular file" and the
 * like, to stand behind the path; nothing is logged. SGP_ERR_NOT_FOUND: there is none. SGP_ERR_IO:
 * it cannot be opened. SGP_ERR_FORMAT: it is something else than a file. */
sgp_status_t sgp_regular_open(const char *path, int *descriptor, char problem[SGP_REGULAR_PROBLEM]);

#endif
