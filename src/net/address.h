/* SPDX-License-Identifier: Apache-2.0 */
/* Where a process can be reached: IPv4 and IPv6 addresses with a port, and sockets that listen. */
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

/* "10.0.0.1:7070", "[2001:db8::1]:7070": numeric, never blocks. Sets *address only on success.
 * SGP_ERR_INVALID, SGP_ERR_NO_MEMORY (logged). */
sgp_status_t sgp_address_parse(const char *text, sgp_address_t *address);

/* As above or a host's name, "node17:7070"; asks the system's resolver, and blocks as long as that
 * takes. SGP_ERR_INVALID (not HOST:PORT), SGP_ERR_NOT_FOUND (no such host), SGP_ERR_NO_MEMORY; logged. */
sgp_status_t sgp_address_resolve(const char *text, sgp_address_t *address);

/* All addresses of that host, at most `most`, the best first. Errors as above. */
sgp_status_t sgp_address_resolve_all(const char *text, int most, sgp_address_t *addresses,
                                     int *count);

/* The numeric form; returns text. */
const char *sgp_address_text(const sgp_address_t *address, char text[SGP_ADDRESS_TEXT]);

/* Whether it belongs to this machine: loopback, or an address of one of its interfaces. */
bool sgp_address_is_here(const sgp_address_t *address);

/* Whether only processes of this machine can use it. */
bool sgp_address_is_loopback(const sgp_address_t *address);

int sgp_address_port(const sgp_address_t *address);
void sgp_address_set_port(sgp_address_t *address, int port);

/* A listening, non-blocking, close-on-exec socket.
 * interface: an interface's name or a numeric address of this machine; NULL: all (IPv6 and IPv4).
 * ports: "7070" or "7070-7090", the first that is free; NULL: any.
 * *bound: what it listens on. *published: the address that others are to use: the interface's, or the
 * first one of an interface that is up, loopback if there is no other. Set on success only.
 * SGP_ERR_INVALID: no such interface, not a range of ports; SGP_ERR_SYSTEM: no port is free, with the
 * range and the cause; SGP_ERR_NO_MEMORY; logged. */
sgp_status_t sgp_address_listen(const char *interface, const char *ports, int *socket,
                                sgp_address_t *bound, sgp_address_t *published);

/* The address of an interface, by its name or by the address itself, without a port. SGP_ERR_INVALID
 * (logged, with those that there are). */
sgp_status_t sgp_address_of_interface(const char *interface, sgp_address_t *address);

/* Whether they are the same, but for the port. */
bool sgp_address_same_host(const sgp_address_t *a, const sgp_address_t *b);

/* Like listen, at one address and port; at: NULL for all interfaces. Not logged: -1, and errno says why. */
int sgp_address_listen_at(const sgp_address_t *at, int port);

/* The address that others are to use for a listener, as above. SGP_ERR_SYSTEM, SGP_ERR_NO_MEMORY (logged):
 * the interfaces cannot be listed, and *published is as before. */
sgp_status_t sgp_address_advertised(int listener, sgp_address_t *published);

#endif
