/* SPDX-License-Identifier: Apache-2.0 */
/* A process that has called a rank in order to join its group (transport.h, take_visitor). For the transports that can be
 * called, and for group/join. */
#ifndef SGP_TRANSPORT_VISITOR_H
#define SGP_TRANSPORT_VISITOR_H

#include "net/address.h"
#include "wire/seal.h"

/* It has shaken hands (SGP_PURPOSE_ENTER): it has the key, and the same version of sgp. */
typedef struct sgp_visitor {
    int socket; /* does not block; close it by sgp_fork_close */
    sgp_address_t from;
    sgp_seals_t seals; /* owned */
} sgp_visitor_t;

#endif
