/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/join_session.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE                                                                                   \
    (10 * SGP_SECOND) /* nanoseconds for a client to be admitted, or to take its last message */

sgp_join_session_t *sgp_session_create(int socket, const sgp_address_t *from,
                                       const sgp_hello_t *hello, const sgp_key_t *key) {
    sgp_join_session_t *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->socket = socket;
    made->from = *from;
    made->rank = -1;
    made->until = sgp_clock_now() + PATIENCE;
    sgp_handshake_init(&made->handshake, false, hello, key);
    return made;
}

void sgp_session_close(sgp_join_session_t *session) {
    if (session->state == SGP_SESSION_CLOSED) return;
    session->state = SGP_SESSION_CLOSED;
    close(session->socket);
    sgp_handshake_fini(&session->handshake);
    sgp_sealed_fini(&session->sealed);
    free(session->out);
    session->out = NULL;
    session->out_at = session->out_end = 0;
}

void sgp_session_destroy(sgp_join_session_t *session) {
    if (!session) return;
    sgp_session_close(session);
    free(session);
}

bool sgp_session_is_pending(const sgp_join_session_t *session) {
    return session->state == SGP_SESSION_HANDSHAKE || session->state == SGP_SESSION_ENDPOINT ||
           session->state == SGP_SESSION_CLOSING;
}

bool sgp_session_is_admitted(const sgp_join_session_t *session) {
    return session->state == SGP_SESSION_ADMITTED || session->state == SGP_SESSION_READY;
}

/* ---- sending ---- */

/* Behind what is still queued, which is copied: messages are few and rare. false: no memory. */
static bool queue(sgp_join_session_t *session, const unsigned char *bytes, size_t count) {
    size_t left = session->out_end - session->out_at;
    unsigned char *out = malloc(left + count);
    if (!out) return false;
    if (left) memcpy(out, session->out + session->out_at, left);
    memcpy(out + left, bytes, count);
    free(session->out);
    session->out = out;
    session->out_at = 0;
    session->out_end = left + count;
    return true;
}

bool sgp_session_send(sgp_join_session_t *session, sgp_join_message_t message, const void *text,
                      size_t bytes) {
    size_t count = 0;
    unsigned char *plain = malloc(SGP_JOIN_MESSAGE_HEADER + bytes), *sealed = NULL;
    if (plain) {
        sgp_join_message_encode(message, bytes, plain);
        if (bytes) memcpy(plain + SGP_JOIN_MESSAGE_HEADER, text, bytes);
        sealed = sgp_sealed_wrap(&session->sealed, plain, SGP_JOIN_MESSAGE_HEADER + bytes, &count);
    }
    bool queued = sealed && queue(session, sealed, count);
    free(plain);
    free(sealed);
    return queued;
}

void sgp_session_send_last(sgp_join_session_t *session, sgp_join_message_t message,
                           const void *text, size_t bytes) {
    if (!sgp_session_send(session, message, text, bytes)) {
        sgp_session_close(session);
        return;
    }
    session->state = SGP_SESSION_CLOSING;
    session->until = sgp_clock_now() + PATIENCE;
}

void sgp_session_refuse(sgp_join_session_t *session, const char *why) {
    char reason[SGP_VERDICT_BYTES] = "", address[SGP_ADDRESS_TEXT];
    snprintf(reason, sizeof reason, "%s", why);
    sgp_log(SGP_LOG_WARNING, "refused %s: %s", sgp_address_text(&session->from, address), reason);
    sgp_session_send_last(session, SGP_JOIN_REFUSED, reason, sizeof reason);
}

/* The client has closed the connection, or broken the protocol. */
static void end(sgp_join_session_t *session) {
    char address[SGP_ADDRESS_TEXT];
    if (sgp_session_is_admitted(session))
        sgp_log(SGP_LOG_WARNING, "%s (%s) is gone before the group is complete",
                sgp_address_text(&session->from, address), session->endpoint.host);
    sgp_session_close(session);
}

void sgp_session_flush(sgp_join_session_t *session) {
    while (session->out_at < session->out_end) {
        ssize_t sent = send(session->socket, session->out + session->out_at,
                            session->out_end - session->out_at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) end(session);
        if (sent < 0) return;
        session->out_at += (size_t)sent;
    }
    if (session->state == SGP_SESSION_CLOSING) sgp_session_close(session);
}

static bool send_handshake(sgp_join_session_t *session) {
    size_t bytes;
    for (const void *out; (out = sgp_handshake_pending(&session->handshake, &bytes)), bytes;) {
        ssize_t sent = send(session->socket, out, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) end(session);
        if (sent < 0) return false;
        sgp_handshake_sent(&session->handshake, (size_t)sent);
    }
    return true;
}

/* ---- receiving ---- */

/* false: nothing arrived, or the session has ended. */
static bool receive(sgp_join_session_t *session, void *place, size_t wanted, size_t *got) {
    ssize_t count = sgp_sealed_receive(&session->sealed, session->socket, place, wanted);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count <= 0) {
        end(session);
        return false;
    }
    *got = (size_t)count;
    return true;
}

static void log_refusal(const sgp_join_session_t *session) {
    char address[SGP_ADDRESS_TEXT];
    sgp_log(SGP_LOG_WARNING,
            session->handshake.refused_by_them ? "%s called and refuses us: %s" : "refused %s: %s",
            sgp_address_text(&session->from, address), session->handshake.reason);
}

static sgp_session_event_t accepted(sgp_join_session_t *session) {
    if (sgp_sealed_begin(&session->sealed, &session->handshake)) return SGP_SESSION_ACCEPTED;
    end(session);
    return SGP_SESSION_IDLE;
}

static sgp_session_event_t serve_handshake(sgp_join_session_t *session) {
    sgp_handshake_t *handshake = &session->handshake;
    for (;;) {
        size_t wanted, got;
        if (sgp_handshake_state(handshake) == SGP_HANDSHAKE_JUDGE) return SGP_SESSION_JUDGE;
        if (!send_handshake(session)) return SGP_SESSION_IDLE;
        if (sgp_handshake_state(handshake) == SGP_HANDSHAKE_DONE) return accepted(session);
        if (sgp_handshake_state(handshake) == SGP_HANDSHAKE_REFUSED) {
            log_refusal(session);
            sgp_session_close(session);
            return SGP_SESSION_IDLE;
        }
        void *place = sgp_handshake_place(handshake, &wanted);
        if (!wanted || !receive(session, place, wanted, &got)) return SGP_SESSION_IDLE;
        sgp_handshake_received(handshake, got);
    }
}

static sgp_session_event_t serve_endpoint(sgp_join_session_t *session) {
    size_t got;
    if (!receive(session, session->in + session->in_have, sizeof session->in - session->in_have,
                 &got))
        return SGP_SESSION_IDLE;
    session->in_have += got;
    if (session->in_have < sizeof session->in) return SGP_SESSION_IDLE;
    session->in_have = 0;
    return SGP_SESSION_ARRIVED;
}

/* An admitted client sends READY and nothing else. */
static void serve_admitted(sgp_join_session_t *session) {
    size_t got, bytes;
    sgp_join_message_t message;
    if (!receive(session, session->in + session->in_have,
                 SGP_JOIN_MESSAGE_HEADER - session->in_have, &got))
        return;
    session->in_have += got;
    if (session->in_have < SGP_JOIN_MESSAGE_HEADER) return;
    session->in_have = 0;
    if (session->state == SGP_SESSION_ADMITTED &&
        sgp_join_message_decode(session->in, 0, &message, &bytes) && message == SGP_JOIN_READY)
        session->state = SGP_SESSION_READY;
    else end(session);
}

/* ---- the calls ---- */

short sgp_session_events(const sgp_join_session_t *session) {
    size_t pending = session->out_end - session->out_at;
    if (session->state == SGP_SESSION_HANDSHAKE)
        sgp_handshake_pending(&session->handshake, &pending);
    return (short)(POLLIN | (pending ? POLLOUT : 0));
}

sgp_session_event_t sgp_session_serve(sgp_join_session_t *session, short events) {
    unsigned char rest[256];
    if (session->out_at < session->out_end && (events & POLLOUT)) sgp_session_flush(session);
    if (!(events & ~POLLOUT) && session->state != SGP_SESSION_HANDSHAKE) return SGP_SESSION_IDLE;
    switch (session->state) {
    case SGP_SESSION_HANDSHAKE:
        return serve_handshake(session);
    case SGP_SESSION_ENDPOINT:
        return serve_endpoint(session);
    case SGP_SESSION_ADMITTED:
    case SGP_SESSION_READY:
        serve_admitted(session);
        break;
    case SGP_SESSION_CLOSING: /* an endpoint that is not needed any more */
        receive(session, rest, sizeof rest, &(size_t){0});
        break;
    case SGP_SESSION_CLOSED:
        break;
    }
    return SGP_SESSION_IDLE;
}
