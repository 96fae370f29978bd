/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of kind PUSH of an elastic transport that a destination has not released: which of them come back to the
 * sender when the destination is lost or leaves (docs/membership.md, "The lock step"). Called by the transports, about
 * their own rank's messages; it never frees a slot or a buffer, and knows no way to a rank.
 *
 * A message has one record for each destination, from send_begin until the destination has released all chunks or
 * take_back has returned the record. A record counts chunks: those that were not committed, and those that were not
 * released. Without `elastic` no record exists, and the calls return at once.
 *
 * Memory: room for as many records as chunks are promised, by prepare; begin adds some if there have never been as many
 * at a time (messages to several destinations). No other call allocates.
 *
 * No lock: the transport makes one call at a time. */
#ifndef SGP_TRANSPORT_OUTSTANDING_H
#define SGP_TRANSPORT_OUTSTANDING_H

#include "transport/transport.h"

/* Records are named by numbers from 1; 0 is no record, and fine in every call. */

/* For prepare: room for as many records as chunks are promised then. SGP_ERR_NO_MEMORY, logged: nothing changed. */
sgp_status_t sgp_outstanding_prepare(sgp_transport_t *transport, uint64_t promised);

/* For send_begin, after sgp_send_init: makes the records of a message; send->records is that of the first destination.
 * SGP_ERR_NO_MEMORY, logged: there are none. */
sgp_status_t sgp_outstanding_begin(sgp_transport_t *transport, sgp_send_t *send);

/* The record of the next destination of the same message. */
uint32_t sgp_outstanding_next(const sgp_transport_t *transport, uint32_t record);

/* For send_commit: one chunk leaves for all destinations, whose weights are set by now. Before any of these has released
 * it. */
void sgp_outstanding_committed(sgp_transport_t *transport, const sgp_send_t *send);

/* For send_abandon, before sgp_send_abandoned. The records end with the chunks that were committed. */
void sgp_outstanding_abandoned(sgp_transport_t *transport, const sgp_send_t *send);

/* dst has released one chunk of that record. No effect after sgp_outstanding_gone(dst). */
void sgp_outstanding_released(sgp_transport_t *transport, uint32_t record, int dst);

/* The rank is lost or has left: its records come back, and those of later messages to it. Call after the releases that it
 * had made. */
void sgp_outstanding_gone(sgp_transport_t *transport, int rank);

/* The seat has a new member, to which messages go under way from now on. Those to the earlier one still come back. */
void sgp_outstanding_opened(sgp_transport_t *transport, int rank);

/* A message to the rank has chunks that were not committed. */
bool sgp_outstanding_is_unfinished(const sgp_transport_t *transport, int rank);

/* take_back of transport.h. */
bool sgp_outstanding_take_back(sgp_transport_t *transport, uint32_t channel,
                               sgp_returned_t *returned);

/* Records in use, for tests. Any thread of the rank. */
uint32_t sgp_outstanding_count(const sgp_transport_t *transport);

/* For destroy. */
void sgp_outstanding_fini(sgp_transport_t *transport);

#endif
