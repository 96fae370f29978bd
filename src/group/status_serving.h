/* SPDX-License-Identifier: Apache-2.0 */
/* Which node of a machine serves the page of a run, and where: a thread that loads the module libsgp-status.so
 * (status/snapshot.h) and starts its server. Called by group_status.c.
 *
 * Of the processes of a run that have SGP_STATUS, in one network namespace, the one of the lowest rank serves; when it ends,
 * the next one does within two seconds. They see each other by abstract Unix sockets, which the kernel removes with their
 * process: each has one of its rank, and the one that serves has another one. Which port is a stranger's is clear by that: a
 * node that serves and finds its port taken says so. */
#ifndef SGP_GROUP_STATUS_SERVING_H
#define SGP_GROUP_STATUS_SERVING_H

#include "group/status_internal.h"

/* address: of SGP_STATUS. With SGP_STATUS_TOKEN_FILE and SGP_STATUS_INSECURE of the environment. What is wrong with them, or with the
 * module, is logged by the node that serves, and the run goes on without a page. SGP_ERR_NO_MEMORY: no thread. */
sgp_status_t sgp_status_serving_start(sgp_group_status_t *status, const char *address);

#endif
