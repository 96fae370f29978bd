/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/rejoin.h"

#include "base/logging.h"
#include "group/entering.h"
#include "group/membership.h"
#include "net/address.h"

#include <stdlib.h>
#include <string.h>

bool sgp_rejoin_can_be(sgp_group_t *group) {
    const sgp_transport_t *transport = sgp_group_transport(group);
    return sgp_group_membership(group) && transport->capacity > transport->size;
}

bool sgp_rejoin_is_due(sgp_group_t *group) {
    sgp_membership_t *membership = sgp_group_membership(group);
    return membership && sgp_membership_is_struck_off(membership);
}

/* Members that are there, if heard, or those that are there or lost, if not. */
static void list(sgp_transport_t *transport, bool heard, char *text) {
    for (int seat = 0; seat < transport->capacity; seat++) {
        char address[SGP_ADDRESS_TEXT];
        sgp_address_t at;
        sgp_fate_state_t state = sgp_fates_of(transport->fates, seat).state;
        bool here = state == SGP_FATE_PRESENT && !sgp_fates_silence(transport->fates, seat);
        if (seat == transport->rank || state == SGP_FATE_ABSENT || state == SGP_FATE_LEFT) continue;
        if (here != heard || !sgp_transport_address_of(transport, seat, &at)) continue;
        if (*text) strcat(text, ",");
        strcat(text, sgp_address_text(&at, address));
    }
}

sgp_status_t sgp_rejoin_note(sgp_group_t *group, sgp_rejoin_t *rejoin) {
    sgp_transport_t *transport = sgp_group_transport(group);
    char *contacts = calloc((size_t)transport->capacity, SGP_ADDRESS_TEXT + 1);
    if (!contacts) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the addresses of the others");
    list(transport, true, contacts);
    list(transport, false, contacts);
    if (!*contacts) {
        free(contacts);
        return sgp_fail(SGP_ERR_UNSUPPORTED, "no other node can be called to join again");
    }
    free(rejoin->contacts);
    rejoin->contacts = contacts;
    if (sgp_newcomer_is_entering(group)) return SGP_OK;
    rejoin->was_member = true;
    rejoin->seat = transport->rank;
    rejoin->incarnation = transport->incarnation;
    return SGP_OK;
}

void sgp_rejoin_fini(sgp_rejoin_t *rejoin) {
    free(rejoin->contacts);
    *rejoin = (sgp_rejoin_t){.contacts = NULL};
}

void sgp_rejoin_options(const sgp_rejoin_t *rejoin, bool own_seat, sgp_group_options_t *options) {
    options->contacts = rejoin->contacts;
    options->join = options->rendezvous = NULL;
    options->rank = options->size = 0;
    options->claim_rank = false;
    options->rejoin = rejoin->was_member;
    options->rejoin_rank = own_seat ? rejoin->seat : -1;
    options->rejoin_incarnation = rejoin->incarnation;
}
