/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of connections between processes: close-on-exec, non-blocking, and closed in forked
 * children (base/fork.h), so that a connection ends with its process. Close them by
 * sgp_fork_close. */
#ifndef SGP_NET_SOCKET_H
#define SGP_NET_SOCKET_H

#include "net/address.h"

#include <stdint.h>

/* A socket to call `to`, from the address that the listener is bound to unless that is a wildcard.
 * -1: see errno. */
int sgp_socket_make(const sgp_address_t *to, int listener);

/* The socket of the next caller of a non-blocking listener. from->length: set. -1: see errno. */
int sgp_socket_accept(int listener, sgp_address_t *from);

/* Sets the options of a connection; those that the system refuses stay as they are. peer_timeout:
 * nanoseconds after which bytes that are not acknowledged end the connection. */
void sgp_socket_tune(int socket, const sgp_address_t *other, uint64_t peer_timeout);

/* Nanoseconds since the other end's kernel last acknowledged anything, while bytes wait for that; 0: none do, or the system
 * cannot tell. A process that is stopped has a kernel that acknowledges. */
uint64_t sgp_socket_unanswered(int socket);

/* Closing it drops what is unsent, and resets the connection. */
void sgp_socket_set_reset(int socket);

#endif
