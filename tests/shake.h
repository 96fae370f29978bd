/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that speak to a process of a group over a socket of their own. */
#ifndef SGP_TESTS_SHAKE_H
#define SGP_TESTS_SHAKE_H

#include "cmocka_all.h"

#include "wire/handshake.h"

#include <sys/socket.h>

/* Answers, or calls, until the handshake is over. */
static inline sgp_handshake_state_t shake(int connection, sgp_handshake_t *handshake) {
    for (;;) {
        size_t bytes;
        if (sgp_handshake_state(handshake) == SGP_HANDSHAKE_JUDGE) sgp_handshake_accept(handshake);
        const void *out = sgp_handshake_pending(handshake, &bytes);
        if (bytes) {
            assert_int_equal(send(connection, out, bytes, MSG_NOSIGNAL), bytes);
            sgp_handshake_sent(handshake, bytes);
            continue;
        }
        if (sgp_handshake_state(handshake) != SGP_HANDSHAKE_RUNNING) break;
        void *place = sgp_handshake_place(handshake, &bytes);
        ssize_t got = recv(connection, place, bytes, 0);
        if (got <= 0) break;
        sgp_handshake_received(handshake, (size_t)got);
    }
    return sgp_handshake_state(handshake);
}

#endif
