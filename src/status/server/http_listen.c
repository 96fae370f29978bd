/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/http_listen.h"

#include "base/fork.h"
#include "base/logging.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ADDRESSES = 8, BACKLOG = 64, ADDRESS = HTTP_NAME + 16 };

static bool is_port(const char *text) {
    return *text && strspn(text, "0123456789") == strlen(text) && strlen(text) <= 5;
}

/* The addresses of the text, without the resolver's own log lines. */
static sgp_status_t resolve(const char *text, sgp_address_t *addresses /* (ADDRESSES) */,
                            int *count) {
    static const sgp_log_sink_t nowhere;
    char whole[ADDRESS];
    int length = snprintf(whole, sizeof whole, is_port(text) ? "127.0.0.1:%s" : "%s", text);
    if (length >= ADDRESS) return SGP_ERR_INVALID;
    const sgp_log_sink_t *before = sgp_log_use(&nowhere);
    sgp_status_t status = sgp_address_resolve(whole, ADDRESSES, addresses, count);
    sgp_log_use(before);
    return status;
}

static sgp_status_t find(const char *text, sgp_address_t *addresses, int *count) {
    sgp_status_t status = resolve(text, addresses, count);
    if (status == SGP_ERR_NOT_FOUND)
        return sgp_fail(SGP_ERR_INVALID, "status %s: there is no such host", text);
    if (status == SGP_ERR_NO_MEMORY) return sgp_fail(status, "status %s: out of memory", text);
    if (status != SGP_OK || *count == 0)
        return sgp_fail(SGP_ERR_INVALID,
                        "status %s: must be PORT or HOST:PORT, with an IPv6 address in brackets",
                        text);
    return SGP_OK;
}

static sgp_status_t cannot_listen(const char *text, int error) {
    if (error == EADDRINUSE)
        return sgp_fail(SGP_ERR_SYSTEM,
                        "status %s: the port is taken; name another one, or 0 for any that is free",
                        text);
    if (error == EADDRNOTAVAIL)
        return sgp_fail(SGP_ERR_INVALID,
                        "status %s: this machine has no such address; a port alone is that of "
                        "127.0.0.1, 0.0.0.0:PORT that of all its addresses",
                        text);
    if (error == EACCES)
        return sgp_fail(SGP_ERR_SYSTEM, "status %s: ports below 1024 are root's; name another one",
                        text);
    return sgp_fail(SGP_ERR_SYSTEM, "status %s: %s", text, strerror(error));
}

/* Children of a fork do not keep the port. */
static int listen_at(const sgp_address_t *address) {
    sgp_fork_hold();
    int made = sgp_fork_mark(sgp_address_listen_at(address, sgp_address_port(address)));
    sgp_fork_release();
    if (made >= 0) listen(made, BACKLOG); /* a flood waits in vain, others not for long */
    return made;
}

/* The host of "HOST:PORT", as http_host reads it; a port alone has none. */
static void name(const char *text, http_names_t *names) {
    *names = (http_names_t){0};
    if (is_port(text) || !http_host(text, names->given)) *names->given = '\0';
    if (gethostname(names->machine, sizeof names->machine - 1) != 0) *names->machine = '\0';
}

static int port_of(int socket) {
    sgp_address_t bound = {.length = sizeof bound.at};
    getsockname(socket, (struct sockaddr *)&bound.at, &bound.length);
    return sgp_address_port(&bound);
}

sgp_status_t http_listen(const char *text, bool open, int *socket, int *port, http_names_t *names) {
    sgp_address_t addresses[ADDRESSES];
    int count, made = -1, error = EADDRNOTAVAIL;
    sgp_status_t status = find(text, addresses, &count);
    if (status != SGP_OK) return status;
    for (int i = 0; i < count && made < 0; i++) {
        if (!open && !sgp_address_is_loopback(&addresses[i]))
            return sgp_fail(SGP_ERR_INVALID,
                            "status %s: other machines reach this address, so it wants a token: "
                            "--status-token-file FILE, or --status-insecure for none",
                            text);
        made = listen_at(&addresses[i]);
        if (made < 0) error = errno;
    }
    if (made < 0) return cannot_listen(text, error);
    name(text, names);
    *socket = made;
    *port = port_of(made);
    return SGP_OK;
}
