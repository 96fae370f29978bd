/* SPDX-License-Identifier: Apache-2.0 */
/* A transport in a forked child of its process (a data loader's worker, say). The child has a copy
 * of the parent's memory, shares its mapped memory, and has none of its threads; so nothing that it
 * does with the transport may take effect.
 *
 * There `now` is past every deadline, so each wait times out; sending, prepare and agent_start fail
 * with SGP_ERR_UNSUPPORTED, logged once; all other calls, destroy included, do nothing. Memory
 * stays as it is until the child ends. Called by the transports that have connections or shared
 * memory. */
#ifndef SGP_TRANSPORT_FORKED_H
#define SGP_TRANSPORT_FORKED_H

#include "transport/transport.h"

/* From now on children get that transport. Its fates exist. */
void sgp_forked_guard(sgp_transport_t *transport);

/* SGP_ERR_UNSUPPORTED, logged once, in a forked child. For a caller in the middle of a message, as send_chunk has no
 * place there. */
sgp_status_t sgp_forked_check(sgp_transport_t *transport);

/* Before it is freed. Fine if it was not guarded. */
void sgp_forked_unguard(sgp_transport_t *transport);

#endif
