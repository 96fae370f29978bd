/* SPDX-License-Identifier: Apache-2.0 */
#include "net/socket.h"

#include "base/constants.h"
#include "base/fork.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

/* Bytes that the kernel may hold unsent: enough to keep the wire busy while the thread is not
 * running, and few enough that a chunk is copied while it is in the cache, and that a frame that
 * says this rank lives does not wait behind megabytes. */
#define UNSENT (1024 << 10)

int sgp_socket_accept(int listener, sgp_address_t *from) {
    sgp_fork_hold();
    int made = sgp_fork_mark(accept4(listener, (struct sockaddr *)&from->at, &from->length,
                                     SOCK_CLOEXEC | SOCK_NONBLOCK));
    sgp_fork_release();
    return made;
}

static bool is_wildcard(const sgp_address_t *address) {
    if (address->at.ss_family == AF_INET)
        return ((const struct sockaddr_in *)&address->at)->sin_addr.s_addr == htonl(INADDR_ANY);
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->at;
    return IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr);
}

int sgp_socket_make(const sgp_address_t *to, int listener) {
    sgp_fork_hold();
    int made =
        sgp_fork_mark(socket(to->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sgp_fork_release();
    if (made < 0) return -1;
    sgp_address_t from = {.length = sizeof from.at};
    if (getsockname(listener, (struct sockaddr *)&from.at, &from.length) != 0) return made;
    if (from.at.ss_family != to->at.ss_family || is_wildcard(&from)) return made;
    sgp_address_set_port(&from, 0);
    if (bind(made, (struct sockaddr *)&from.at, from.length) == 0) return made;
    int error = errno;
    sgp_fork_close(made);
    errno = error;
    return -1;
}

static void set(int socket, int level, int name, int value) {
    (void)!setsockopt(socket, level, name, &value, sizeof value);
}

void sgp_socket_tune(int socket, const sgp_address_t *other, uint64_t peer_timeout) {
    int seconds = (int)(peer_timeout / 1000 / SGP_MILLISECOND);
    set(socket, IPPROTO_TCP, TCP_NODELAY, 1); /* small frames are not held back */
    set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)(peer_timeout / SGP_MILLISECOND));
    set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(socket, IPPROTO_TCP, TCP_KEEPIDLE, seconds / 4 + 1);
    set(socket, IPPROTO_TCP, TCP_KEEPINTVL, seconds / 4 + 1);
    set(socket, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT);
    /* BBR paces by a measured rate, and halves the throughput of loopback; cubic loses nothing
     * where bytes do not leave the machine. Elsewhere the user, who knows the network, chooses. */
    const char *wanted = sgp_address_is_here(other) ? "cubic" : getenv("SGP_TCP_CONGESTION");
    if (wanted && *wanted)
        (void)!setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, wanted, (socklen_t)strlen(wanted));
}

uint64_t sgp_socket_unanswered(int socket) {
    struct tcp_info info = {.tcpi_unacked = 0};
    socklen_t length = sizeof info;
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return 0;
    return info.tcpi_unacked ? info.tcpi_last_ack_recv * SGP_MILLISECOND : 0;
}

void sgp_socket_set_reset(int socket) {
    struct linger at_once = {.l_onoff = 1};
    (void)!setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}
