/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks that a rank has received from one other, so that those which the other sends again over a new connection are
 * told from new ones. Called by traffic.c, in the progress thread; knows no connection but by number.
 *
 * The sender names a chunk by a ticket, and gives a ticket to another chunk only when it knows that the first one was
 * released. So one receipt per ticket is enough, and there are as many as the sender has ever had chunks under way. */
#ifndef SGP_TRANSPORT_TCP_RECEIPTS_H
#define SGP_TRANSPORT_TCP_RECEIPTS_H

#include "wire/header.h"

#include <stdbool.h>

/* Tickets of a rank that keeps its promises are below: with chunks of 256 KiB, 256 GiB under way. */
#define SGP_RECEIPTS_MOST ((uint32_t)1 << 20)

typedef struct sgp_receipt sgp_receipt_t;

/* Embedded; private. Zeros: nothing was received. */
typedef struct sgp_receipts {
    sgp_receipt_t *of; /* (room) by ticket */
    uint32_t room;
} sgp_receipts_t;

void sgp_receipts_fini(sgp_receipts_t *receipts);

/* Room for that ticket, which is below SGP_RECEIPTS_MOST. false: no memory. */
bool sgp_receipts_reserve(sgp_receipts_t *receipts, uint32_t ticket);

/* Whether that chunk was received as a whole over an earlier connection than that of this number (from 1 on). The ticket
 * has room, here and below. */
bool sgp_receipts_has(const sgp_receipts_t *receipts, uint32_t ticket, const sgp_header_t *header,
                      uint32_t connection);

/* It is received over that connection. */
void sgp_receipts_note(sgp_receipts_t *receipts, uint32_t ticket, const sgp_header_t *header,
                       uint32_t connection);

/* It is released. Whether the sender is to be told now, over the connection of that number; 0: there is none. */
bool sgp_receipts_release(sgp_receipts_t *receipts, uint32_t ticket, uint32_t connection);

/* It has come again. Whether the sender is to be told, over that connection, that it is released: if it is, and that was
 * not said over the same connection before. */
bool sgp_receipts_repeat(sgp_receipts_t *receipts, uint32_t ticket, uint32_t connection);

#endif
