/* SPDX-License-Identifier: Apache-2.0 */
/* src/net is sockets and their addresses, for the transport tcp and for joining. It knows no
 * message, no rank and no group, and sends nothing itself.
 *
 * This header: IPv4 and IPv6 addresses with a port, and sockets that listen. */
#ifndef SGP_NET_ADDRESS_H
#define SGP_NET_ADDRESS_H

#include <sgp/status.h>
#include <stdbool.h>
#include <sys/socket.h>

typedef struct sgp_address {
    struct sockaddr_storage at;
    socklen_t length;
} sgp_address_t;

#define SGP_ADDRESS_TEXT 64

/* From numeric text, "10.0.0.1:7070" or "[2001:db8::1]:7070"; never blocks. Sets *address only on
 * success. SGP_ERR_INVALID, SGP_ERR_NO_MEMORY (logged). */
sgp_status_t sgp_address_parse(const char *text, sgp_address_t *address);

/* From such text or a host name, "node17:7070": all addresses of the host, at most `most`, the
 * system's preference first. Asks the system's resolver, and blocks as long as that takes.
 * SGP_ERR_INVALID (not HOST:PORT), SGP_ERR_NOT_FOUND (no such host), SGP_ERR_NO_MEMORY; logged. */
sgp_status_t sgp_address_resolve(const char *text, int most, sgp_address_t *addresses, int *count);

/* The numeric text; returns it. */
const char *sgp_address_text(const sgp_address_t *address, char text[SGP_ADDRESS_TEXT]);

/* Whether it belongs to this machine: loopback, or an address of one of its interfaces. */
bool sgp_address_is_here(const sgp_address_t *address);

/* Whether only processes of this machine can use it. */
bool sgp_address_is_loopback(const sgp_address_t *address);

int sgp_address_port(const sgp_address_t *address);
void sgp_address_set_port(sgp_address_t *address, int port);

/* Makes a listening socket, non-blocking and close-on-exec. interface: an interface's name or a
 * numeric address of this machine; NULL: all (IPv6 and IPv4). ports: "7070" or "7070-7090", of
 * which the first free one is taken; NULL: any. *bound: the address it listens on. *advertised: the
 * address that others use: the interface's, or the first one of an interface that is up, or
 * loopback if there is no other. All are set on success only. SGP_ERR_INVALID: no such interface,
 * or not a range of ports; SGP_ERR_SYSTEM: no port is free (the log has the range and the cause);
 * SGP_ERR_NO_MEMORY; logged. */
sgp_status_t sgp_address_listen(const char *interface, const char *ports, int *socket,
                                sgp_address_t *bound, sgp_address_t *advertised);

/* The address of an interface, given by name or by the address itself; its port is 0.
 * SGP_ERR_INVALID (logged, with the interfaces that exist). */
sgp_status_t sgp_address_of_interface(const char *interface, sgp_address_t *address);

/* Whether they are equal but for the port. */
bool sgp_address_same_host(const sgp_address_t *a, const sgp_address_t *b);

/* A socket as that of sgp_address_listen, at one address and port; at: NULL for all interfaces. -1:
 * errno is the cause, and nothing is logged. */
int sgp_address_listen_at(const sgp_address_t *at, int port);

/* The advertised address of a listener, as above. SGP_ERR_SYSTEM, SGP_ERR_NO_MEMORY (logged): the
 * interfaces cannot be listed, and *advertised is unchanged. */
sgp_status_t sgp_address_advertised(int listener, sgp_address_t *advertised);

#endif
