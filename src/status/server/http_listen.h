/* SPDX-License-Identifier: Apache-2.0 */
/* Where the server listens: from the text of an option to a socket. */
#ifndef SGP_STATUS_SERVER_HTTP_LISTEN_H
#define SGP_STATUS_SERVER_HTTP_LISTEN_H

#include "net/address.h"
#include "status/server/http_request.h"

/* text: "PORT", which is 127.0.0.1:PORT, or "HOST:PORT". Sets *socket (for sgp_fork_close), *port and *names on success only.
 * open: whether an address may be one that other machines reach. SGP_ERR_INVALID: malformed, an unknown host, not an
 * address of this machine, or one that is not open; SGP_ERR_SYSTEM: the port is taken or not allowed; SGP_ERR_NO_MEMORY;
 * logged. */
sgp_status_t http_listen(const char *text, bool open, int *socket, int *port, http_names_t *names);

#endif
