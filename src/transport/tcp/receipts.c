/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/receipts.h"

#include <stdlib.h>
#include <string.h>

#define LEAST 256 /* tickets for which there is room at first */

struct sgp_receipt {
    uint64_t id, offset; /* of the chunk */
    uint32_t came;       /* the connection over which it was received; 0: none was */
    uint32_t told;       /* the connection over which the sender was told of its release */
    bool released;
};

void sgp_receipts_fini(sgp_receipts_t *receipts) {
    free(receipts->of);
}

bool sgp_receipts_reserve(sgp_receipts_t *receipts, uint32_t ticket) {
    uint32_t room = receipts->room ? receipts->room : LEAST;
    if (ticket < receipts->room) return true;
    while (room <= ticket) room *= 2;
    sgp_receipt_t *grown = realloc(receipts->of, room * sizeof *grown);
    if (!grown) return false;
    memset(grown + receipts->room, 0, (room - receipts->room) * sizeof *grown);
    receipts->of = grown;
    receipts->room = room;
    return true;
}

bool sgp_receipts_has(const sgp_receipts_t *receipts, uint32_t ticket, const sgp_header_t *header,
                      uint32_t connection) {
    const sgp_receipt_t *receipt = &receipts->of[ticket];
    return receipt->came && receipt->came != connection && receipt->id == header->id &&
           receipt->offset == header->offset;
}

void sgp_receipts_note(sgp_receipts_t *receipts, uint32_t ticket, const sgp_header_t *header,
                       uint32_t connection) {
    receipts->of[ticket] =
        (sgp_receipt_t){.id = header->id, .offset = header->offset, .came = connection};
}

bool sgp_receipts_release(sgp_receipts_t *receipts, uint32_t ticket, uint32_t connection) {
    receipts->of[ticket].released = true;
    receipts->of[ticket].told = connection;
    return connection != 0;
}

bool sgp_receipts_repeat(sgp_receipts_t *receipts, uint32_t ticket, uint32_t connection) {
    sgp_receipt_t *receipt = &receipts->of[ticket];
    if (!receipt->released || !connection || receipt->told == connection) return false;
    receipt->told = connection;
    return true;
}
