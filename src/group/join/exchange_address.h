/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange at an address, over TCP: one process serves the join protocol at HOST:PORT, the
 * others call it. For launchers without a channel of their own. */
#ifndef SGP_GROUP_JOIN_EXCHANGE_ADDRESS_H
#define SGP_GROUP_JOIN_EXCHANGE_ADDRESS_H

#include "group/join/launcher.h"

/* An sgp_launcher_t's exchange. The rank of `mine` is a request, or -1. A process that calls
 * another member than the server is redirected. SGP_ERR_REFUSED: by the server, and the log says
 * why; SGP_ERR_NOT_FOUND: no such host; SGP_ERR_INVALID: the server is on another machine, and
 * there is no key. */
sgp_status_t sgp_exchange_address(const sgp_exchange_t *exchange, sgp_endpoint_t *mine,
                                  int *listener, sgp_endpoint_t **all);

#endif
