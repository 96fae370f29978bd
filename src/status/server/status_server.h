/* SPDX-License-Identifier: Apache-2.0 */
/* src/status/server is the module libsgp-status.so, loaded on demand (transport/module.h): an HTTP server in one thread of
 * its own, which shows the snapshots that it is given as a page, as JSON and as metrics, and changes nothing. It knows
 * no group, and never touches a lock of the step path.
 *
 * Strangers may reach it: connections, memory, the rate of requests and the thread's processor time are limited, a
 * snapshot is taken at most twice a second, and every text in it is escaped. This header: the module's two functions, whose
 * types and meaning are in status/snapshot.h. */
#ifndef SGP_STATUS_SERVER_STATUS_SERVER_H
#define SGP_STATUS_SERVER_STATUS_SERVER_H

#include "status/snapshot.h"

SGP_API sgp_status_server_start_t sgp_status_server_start;
SGP_API sgp_status_server_stop_t sgp_status_server_stop;

#endif
