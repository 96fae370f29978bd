/* SPDX-License-Identifier: Apache-2.0 */
/* How a connection's socket is tuned. */
#ifndef SGP_NET_SOCKET_H
#define SGP_NET_SOCKET_H

#include "net/address.h"

#include <stdint.h>

/* A socket for calling `to`, non-blocking, from the address that the listener is bound to, if that is
 * one. -1: errno says why. */
int sgp_socket_make(const sgp_address_t *to, int listener);

/* Sets what is wanted of a connection; what the system refuses is left as it is. peer_timeout:
 * nanoseconds until bytes that nobody acknowledges end it. */
void sgp_socket_tune(int socket, const sgp_address_t *other, uint64_t peer_timeout);

#endif
