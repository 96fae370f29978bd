/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include "base/logging.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- text ---- */

#define HOST_TEXT 256

typedef struct host_port {
    char host[HOST_TEXT];
    char port[8];
} host_port_t;

/* The last colon is the port's; behind the bracket, if there is one. */
static bool split(const char *text, host_port_t *parts) {
    const char *colon = strrchr(text, ':');
    const char *host = text, *end = colon;
    if (!colon || colon == text) return false;
    if (*text == '[') {
        host = text + 1;
        end = colon - 1;
        if (end < host || *end != ']') return false;
    } else if (memchr(text, ':', (size_t)(colon - text))) return false;
    if (end == host || (size_t)(end - host) >= sizeof parts->host) return false;
    snprintf(parts->host, sizeof parts->host, "%.*s", (int)(end - host), host);
    char *rest;
    unsigned long port = strtoul(colon + 1, &rest, 10);
    if (colon[1] < '0' || colon[1] > '9' || *rest || port > 65535) return false;
    snprintf(parts->port, sizeof parts->port, "%lu", port);
    return true;
}

static sgp_status_t look_up(const char *text, int flags, int most, sgp_address_t *addresses,
                            int *count) {
    host_port_t parts;
    if (!split(text, &parts))
        return sgp_fail(SGP_ERR_INVALID,
                        "address %s: must be HOST:PORT, with an IPv6 address in brackets", text);
    struct addrinfo hints = {.ai_flags = AI_NUMERICSERV | flags, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(parts.host, parts.port, &hints, &found);
    if (error == EAI_MEMORY)
        return sgp_fail(SGP_ERR_NO_MEMORY, "host %s: %s", parts.host, gai_strerror(error));
    if (error)
        return sgp_fail(flags ? SGP_ERR_INVALID : SGP_ERR_NOT_FOUND, "host %s: %s", parts.host,
                        error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
    *count = 0;
    for (const struct addrinfo *at = found; at && *count < most; at = at->ai_next) {
        sgp_address_t *address = &addresses[(*count)++];
        memset(address, 0, sizeof *address);
        memcpy(&address->at, at->ai_addr, at->ai_addrlen);
        address->length = at->ai_addrlen;
    }
    freeaddrinfo(found);
    return SGP_OK;
}

sgp_status_t sgp_address_parse(const char *text, sgp_address_t *address) {
    int one;
    return look_up(text, AI_NUMERICHOST, 1, address, &one);
}

sgp_status_t sgp_address_resolve(const char *text, int most, sgp_address_t *addresses, int *count) {
    return look_up(text, 0, most, addresses, count);
}

const char *sgp_address_text(const sgp_address_t *address, char text[SGP_ADDRESS_TEXT]) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->at.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&address->at;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        snprintf(text, SGP_ADDRESS_TEXT, "%s:%u", host, ntohs(four->sin_port));
        return text;
    }
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->at;
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, host, sizeof host);
        snprintf(text, SGP_ADDRESS_TEXT, "%s:%u", host, ntohs(six->sin6_port));
        return text;
    }
    inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
    snprintf(text, SGP_ADDRESS_TEXT, "[%s]:%u", host, ntohs(six->sin6_port));
    return text;
}

/* ---- interfaces ---- */

/* The host's bytes without the port, IPv4 mapped to IPv6, for comparisons. false: neither. */
static bool host_of(const struct sockaddr *at, struct in6_addr *host) {
    if (at->sa_family == AF_INET6) {
        *host = ((const struct sockaddr_in6 *)at)->sin6_addr;
        return true;
    }
    if (at->sa_family != AF_INET) return false;
    memset(host, 0, sizeof *host);
    host->s6_addr[10] = host->s6_addr[11] = 0xff;
    memcpy(host->s6_addr + 12, &((const struct sockaddr_in *)at)->sin_addr, 4);
    return true;
}

static bool is_loopback(const struct in6_addr *host) {
    if (IN6_IS_ADDR_V4MAPPED(host)) return host->s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(host);
}

bool sgp_address_is_loopback(const sgp_address_t *address) {
    struct in6_addr host;
    return host_of((const struct sockaddr *)&address->at, &host) && is_loopback(&host);
}

bool sgp_address_is_here(const sgp_address_t *address) {
    struct in6_addr wanted, found;
    struct ifaddrs *all = NULL;
    bool here = false;
    if (!host_of((const struct sockaddr *)&address->at, &wanted)) return false;
    if (is_loopback(&wanted)) return true;
    if (getifaddrs(&all) != 0) return false;
    for (const struct ifaddrs *at = all; at && !here; at = at->ifa_next)
        here = at->ifa_addr && host_of(at->ifa_addr, &found) &&
               memcmp(&found, &wanted, sizeof wanted) == 0;
    freeifaddrs(all);
    return here;
}

bool sgp_address_same_host(const sgp_address_t *a, const sgp_address_t *b) {
    struct in6_addr one, other;
    return host_of((const struct sockaddr *)&a->at, &one) &&
           host_of((const struct sockaddr *)&b->at, &other) &&
           memcmp(&one, &other, sizeof one) == 0;
}

static void take(const struct sockaddr *at, sgp_address_t *address) {
    memset(address, 0, sizeof *address);
    address->length =
        at->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    memcpy(&address->at, at, address->length);
}

/* Preference of an interface's address as the one that others call: IPv4 before IPv6, as every
 * network has it; loopback last; never link-local. 0: unusable. */
static int preference(const struct ifaddrs *at) {
    struct in6_addr host;
    if (!at->ifa_addr || !(at->ifa_flags & IFF_UP) || !host_of(at->ifa_addr, &host)) return 0;
    if (IN6_IS_ADDR_LINKLOCAL(&host)) return 0;
    if (is_loopback(&host)) return at->ifa_addr->sa_family == AF_INET ? 2 : 1;
    return at->ifa_addr->sa_family == AF_INET ? 4 : 3;
}

/* The preferred address of the interface of that name; NULL: of all. SGP_ERR_NOT_FOUND: there is
 * none. */
static sgp_status_t best_address(const char *interface, sgp_address_t *address) {
    struct ifaddrs *all = NULL;
    int best = 0;
    if (getifaddrs(&all) != 0)
        return sgp_fail(errno == ENOMEM ? SGP_ERR_NO_MEMORY : SGP_ERR_SYSTEM,
                        "cannot list the network's interfaces: %s", strerror(errno));
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        if (interface && strcmp(at->ifa_name, interface) != 0) continue;
        if (preference(at) <= best) continue;
        best = preference(at);
        take(at->ifa_addr, address);
    }
    freeifaddrs(all);
    return best > 0 ? SGP_OK : SGP_ERR_NOT_FOUND;
}

static void list_interfaces(char *text, size_t room) {
    struct if_nameindex *names = if_nameindex();
    size_t length = 0;
    *text = '\0';
    for (const struct if_nameindex *at = names; at && at->if_index && length < room; at++)
        length +=
            (size_t)snprintf(text + length, room - length, "%s%s", length ? ", " : "", at->if_name);
    if (names) if_freenameindex(names);
}

sgp_status_t sgp_address_of_interface(const char *interface, sgp_address_t *address) {
    char names[256];
    struct in6_addr six;
    struct in_addr four;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, interface, &four) == 1) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = four};
        take((const struct sockaddr *)&at, address);
    } else if (inet_pton(AF_INET6, interface, &six) == 1) {
        struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = six};
        take((const struct sockaddr *)&at, address);
    } else {
        sgp_status_t status = best_address(interface, address);
        if (status != SGP_ERR_NOT_FOUND) return status;
        list_interfaces(names, sizeof names);
        return sgp_fail(SGP_ERR_INVALID,
                        "interface %s: none of that name has an address; there are %s", interface,
                        names);
    }
    return SGP_OK;
}

/* ---- listening ---- */

void sgp_address_set_port(sgp_address_t *address, int port) {
    in_port_t at = htons((uint16_t)port);
    if (address->at.ss_family == AF_INET) ((struct sockaddr_in *)&address->at)->sin_port = at;
    else ((struct sockaddr_in6 *)&address->at)->sin6_port = at;
}

int sgp_address_port(const sgp_address_t *address) {
    if (address->at.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&address->at)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)&address->at)->sin6_port);
}

static sgp_status_t parse_ports(const char *ports, int *first, int *last) {
    char *end;
    *first = *last = 0;
    if (!ports) return SGP_OK;
    long low = strtol(ports, &end, 10), high = low;
    bool good = end != ports;
    if (good && *end == '-') {
        const char *second = end + 1;
        high = strtol(second, &end, 10);
        good = end != second;
    }
    if (!good || *end || low < 1 || high < low || high > 65535)
        return sgp_fail(SGP_ERR_INVALID, "ports %s: must be a port or a range such as 7070-7090",
                        ports);
    *first = (int)low;
    *last = (int)high;
    return SGP_OK;
}

/* -1: errno is the cause. */
static int try_listen(sgp_address_t *address, int port) {
    enum { BACKLOG = 1024 }; /* the system cuts it to its own limit */
    int family = address->at.ss_family, on = 1, off = 0;
    int made = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made < 0) return -1;
    setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on,
               sizeof on); /* a run before may have left connections */
    if (family == AF_INET6) setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    sgp_address_set_port(address, port);
    if (bind(made, (struct sockaddr *)&address->at, address->length) == 0 &&
        listen(made, BACKLOG) == 0)
        return made;
    int error = errno;
    close(made);
    errno = error;
    return -1;
}

static int listen_in_range(sgp_address_t *address, int first, int last) {
    int made = -1;
    for (int port = first; made < 0 && port <= last; port++) {
        made = try_listen(address, port);
        if (made < 0 && errno != EADDRINUSE && errno != EACCES) break;
    }
    return made;
}

/* On all addresses of the machine, IPv6 and IPv4; on IPv4 alone where the system has no IPv6. */
static int listen_everywhere(sgp_address_t *address, int first, int last) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET};
    take((const struct sockaddr *)&six, address);
    int made = listen_in_range(address, first, last);
    if (made >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)) return made;
    take((const struct sockaddr *)&four, address);
    return listen_in_range(address, first, last);
}

int sgp_address_listen_at(const sgp_address_t *at, int port) {
    sgp_address_t address;
    if (!at) return listen_everywhere(&address, port, port);
    address = *at;
    return try_listen(&address, port);
}

static bool is_everywhere(const sgp_address_t *address) {
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    if (address->at.ss_family == AF_INET)
        return ((const struct sockaddr_in *)&address->at)->sin_addr.s_addr == htonl(INADDR_ANY);
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->at;
    return memcmp(&six->sin6_addr, &any, sizeof any) == 0;
}

sgp_status_t sgp_address_advertised(int listener, sgp_address_t *advertised) {
    sgp_address_t bound = {.length = sizeof bound.at}, best;
    getsockname(listener, (struct sockaddr *)&bound.at, &bound.length);
    sgp_status_t status = is_everywhere(&bound) ? best_address(NULL, &best) : SGP_ERR_NOT_FOUND;
    if (status != SGP_OK && status != SGP_ERR_NOT_FOUND) return status;
    *advertised = status == SGP_OK ? best : bound;
    sgp_address_set_port(advertised, sgp_address_port(&bound));
    return SGP_OK;
}

sgp_status_t sgp_address_listen(const char *interface, const char *ports, int *listener,
                                sgp_address_t *bound, sgp_address_t *advertised) {
    int first, last;
    sgp_address_t at;
    sgp_status_t status = parse_ports(ports, &first, &last);
    if (status == SGP_OK && interface) status = sgp_address_of_interface(interface, &at);
    if (status != SGP_OK) return status;
    int made = interface ? listen_in_range(&at, first, last) : listen_everywhere(&at, first, last);
    if (made < 0)
        return sgp_fail(SGP_ERR_SYSTEM, "cannot listen on %s, port %s: %s",
                        interface ? interface : "any interface", ports ? ports : "any",
                        strerror(errno));
    at.length = sizeof at.at;
    getsockname(made, (struct sockaddr *)&at.at, &at.length);
    status = sgp_address_advertised(made, advertised);
    if (status != SGP_OK) {
        close(made);
        return status;
    }
    *listener = made;
    *bound = at;
    return SGP_OK;
}
