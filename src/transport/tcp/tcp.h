/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of several machines over TCP, and those of one machine over shared memory where that is
 * wanted. Called by src/group/join. No call of the step path waits for the network.
 *
 * One connection per directed edge, opened when it is first used: chunks go one way,
 * acknowledgements of released chunks come back. A chunk stays in its sender's slot (slots/slots.h)
 * until it is acknowledged. So a sender's room bounds the chunks that can pile up at a receiver, as
 * over shared memory; a receiver enforces that (transport.h), and reads each chunk straight to the
 * place where it is absorbed. A thread of the transport moves the bytes (tcp_engine.h). */
#ifndef SGP_TRANSPORT_TCP_TCP_H
#define SGP_TRANSPORT_TCP_TCP_H

#include "transport/tcp/tcp_options.h"
#include "transport/transport.h"

/* Sets *transport only on success; destroy frees it. Blocks until the local ranks have come, and
 * the neighbours: the next rank, which this one watches, and the one before, which watches this
 * one. Edges to the others are opened later. SGP_ERR_INVALID, SGP_ERR_TIMEOUT, SGP_ERR_MISMATCH,
 * SGP_ERR_SYSTEM, SGP_ERR_NO_MEMORY; all logged. */
sgp_status_t sgp_tcp_connect(const sgp_tcp_options_t *options, sgp_transport_t **transport);

#endif
