/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/join_client.h"

#include "base/bytes.h"
#include "base/logging.h"
#include "transport/tcp/sealed.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TICK_MS = 1000, COMPLETION_MS = 40000 };

typedef struct call {
    sgp_join_client_t *client;
    int socket;
    sgp_sealed_t sealed;
    sgp_deadline_t until;     /* of the present wait */
    bool admitted;            /* and redirecting callers of our own */
    sgp_join_server_t server; /* while admitted */
    struct pollfd *sockets;
    int sockets_room;
} call_t;

__attribute__((format(printf, 3, 4))) static sgp_status_t fails(call_t *call, sgp_status_t status,
                                                                const char *cause, ...) {
    va_list arguments;
    va_start(arguments, cause);
    vsnprintf(call->client->cause, sizeof call->client->cause, cause, arguments);
    va_end(arguments);
    return status;
}

/* ---- waiting ---- */

static bool grow_sockets(call_t *call, int count) {
    if (count <= call->sockets_room) return true;
    struct pollfd *grown = realloc(call->sockets, (size_t)count * sizeof *grown);
    if (!grown) return false;
    call->sockets = grown;
    call->sockets_room = count;
    return true;
}

static sgp_status_t out_of_time(call_t *call) {
    char deadline[32];
    if (sgp_deadline_left_ms(call->client->exchange->deadline) > 0)
        return fails(call, SGP_ERR_AGAIN, "it accepts connections and sends nothing");
    return fails(call, SGP_ERR_TIMEOUT,
                 call->admitted ? "the group was not complete within %s" : "no answer within %s",
                 sgp_deadline_text(call->client->exchange->deadline, deadline));
}

/* Sleeps until the socket is ready; serves our own callers meanwhile. */
static sgp_status_t await(call_t *call, short events) {
    for (;;) {
        int left = sgp_deadline_left_ms(&call->until);
        if (left == 0) return out_of_time(call);
        if (!grow_sockets(call, 1 + (call->admitted ? sgp_join_server_sockets(&call->server) : 0)))
            return sgp_fail(SGP_ERR_NO_MEMORY, "no memory to wait for an answer");
        nfds_t count = 1;
        call->sockets[0] = (struct pollfd){.fd = call->socket, .events = events};
        if (call->admitted) {
            sgp_join_server_watch(&call->server, call->sockets + 1);
            count += (nfds_t)sgp_join_server_sockets(&call->server);
        }
        int ready = poll(call->sockets, count, left < TICK_MS ? left : TICK_MS);
        if (ready < 0) continue;
        bool ours = call->sockets[0].revents != 0;
        sgp_status_t status =
            call->admitted ? sgp_join_server_serve(&call->server, call->sockets + 1) : SGP_OK;
        if (status != SGP_OK || ours) return status;
    }
}

/* ---- bytes ---- */

static sgp_status_t ended(call_t *call, int error) {
    if (error == EBADMSG) return fails(call, SGP_ERR_FORMAT, "its answer was altered on the way");
    return fails(call, SGP_ERR_AGAIN, "%s", error ? strerror(error) : "the connection ended");
}

static sgp_status_t send_all(call_t *call, const void *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t sent = send(call->socket, (const char *)bytes + done, count - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return ended(call, errno);
        if (sent > 0) done += (size_t)sent;
        sgp_status_t status = sent < 0 ? await(call, POLLOUT) : SGP_OK;
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

static sgp_status_t receive(call_t *call, void *bytes, size_t count, size_t *got) {
    for (;;) {
        ssize_t read = sgp_sealed_receive(&call->sealed, call->socket, bytes, count);
        if (read > 0) {
            *got = (size_t)read;
            return SGP_OK;
        }
        if (read == 0) return ended(call, 0);
        if (errno != EAGAIN && errno != EINTR) return ended(call, errno);
        sgp_status_t status = await(call, POLLIN);
        if (status != SGP_OK) return status;
    }
}

static sgp_status_t receive_all(call_t *call, void *bytes, size_t count) {
    sgp_status_t status = SGP_OK;
    for (size_t done = 0, got; done < count && status == SGP_OK; done += got) {
        got = 0;
        status = receive(call, (char *)bytes + done, count - done, &got);
    }
    return status;
}

/* ---- handshake ---- */

static void judge(call_t *call, sgp_handshake_t *handshake) {
    const sgp_endpoint_t *mine = call->client->mine;
    const sgp_hello_t *theirs = &handshake->theirs;
    if (strcmp(theirs->version, mine->version) != 0)
        sgp_handshake_refuse(handshake, "it has sgp %s, and here is %s", theirs->version,
                             mine->version);
    /* A group with a run is complete: unless it is of another job, it refuses us itself and says
     * so. */
    else if (theirs->run != 0 && mine->fingerprint == 0) sgp_handshake_accept(handshake);
    else if (theirs->run != 0 || theirs->fingerprint != mine->fingerprint)
        sgp_handshake_refuse(handshake, "it belongs to another job");
    else sgp_handshake_accept(handshake);
}

static sgp_status_t refused(call_t *call, const sgp_handshake_t *handshake) {
    if (handshake->refused_by_them)
        return fails(call, SGP_ERR_REFUSED, "it refuses us: %s", handshake->reason);
    return fails(call, SGP_ERR_FORMAT, "%s", handshake->reason);
}

static sgp_status_t talk(call_t *call, sgp_handshake_t *handshake) {
    for (;;) {
        size_t bytes, got = 0;
        if (sgp_handshake_state(handshake) == SGP_HANDSHAKE_JUDGE) judge(call, handshake);
        const void *out = sgp_handshake_pending(handshake, &bytes);
        sgp_status_t status = bytes ? send_all(call, out, bytes) : SGP_OK;
        if (status != SGP_OK) return status;
        if (bytes) {
            sgp_handshake_sent(handshake, bytes);
            continue;
        }
        if (sgp_handshake_state(handshake) == SGP_HANDSHAKE_DONE) return SGP_OK;
        if (sgp_handshake_state(handshake) == SGP_HANDSHAKE_REFUSED)
            return refused(call, handshake);
        void *place = sgp_handshake_place(handshake, &bytes);
        status = receive(call, place, bytes, &got);
        if (status != SGP_OK) return status;
        sgp_handshake_received(handshake, got);
    }
}

static sgp_status_t shake(call_t *call) {
    const sgp_endpoint_t *mine = call->client->mine;
    sgp_hello_t hello = {.purpose = SGP_PURPOSE_JOIN,
                         .rank = mine->rank,
                         .size = mine->size,
                         .fingerprint = mine->fingerprint,
                         .encryption = call->client->exchange->encryption,
                         .machine = mine->machine};
    memcpy(hello.version, mine->version, sizeof hello.version);
    sgp_handshake_t handshake;
    sgp_handshake_init(&handshake, true, &hello, call->client->exchange->key);
    sgp_status_t status = talk(call, &handshake);
    if (status == SGP_OK && !sgp_sealed_begin(&call->sealed, &handshake))
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to seal a connection");
    sgp_handshake_fini(&handshake);
    return status;
}

/* ---- messages ---- */

static sgp_status_t broke_protocol(call_t *call) {
    return fails(call, SGP_ERR_FORMAT, "it broke the join protocol");
}

static sgp_status_t say(call_t *call, const void *bytes, size_t count) {
    size_t wrapped = 0;
    unsigned char *out = sgp_sealed_wrap(&call->sealed, bytes, count, &wrapped);
    if (!out) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a message");
    sgp_status_t status = send_all(call, out, wrapped);
    free(out);
    return status;
}

static sgp_status_t send_endpoint(call_t *call) {
    unsigned char endpoint[SGP_ENDPOINT_BYTES];
    sgp_endpoint_encode(call->client->mine, endpoint);
    return say(call, endpoint, sizeof endpoint);
}

static sgp_status_t follow_redirect(call_t *call, const char *where) {
    if (sgp_address_parse(where, &call->client->redirect) != SGP_OK) return broke_protocol(call);
    return fails(call, SGP_ERR_NOT_FOUND, "it redirects us to %s", where);
}

/* From now on callers of our own are redirected. */
static void serve_callers(call_t *call, const char *server) {
    const sgp_join_client_t *client = call->client;
    if (call->admitted) return;
    sgp_join_server_init(&call->server, client->listener, client->exchange, client->mine, server,
                         true);
    call->admitted = true;
    call->until = *client->exchange->deadline;
}

static sgp_status_t read_endpoints(call_t *call, size_t bytes, sgp_endpoint_t *endpoints) {
    sgp_endpoint_t *mine = call->client->mine;
    unsigned char text[SGP_ENDPOINT_BYTES];
    if (bytes != 4 + (size_t)mine->size * SGP_ENDPOINT_BYTES) return broke_protocol(call);
    sgp_status_t status = receive_all(call, text, 4);
    if (status != SGP_OK) return status;
    int rank = (int)(int32_t)sgp_bytes_get(text, 4);
    if (rank < 0 || rank >= mine->size) return broke_protocol(call);
    for (int r = 0; r < mine->size && status == SGP_OK; r++) {
        status = receive_all(call, text, sizeof text);
        if (status == SGP_OK &&
            (sgp_endpoint_decode(text, &endpoints[r]) != SGP_OK || endpoints[r].rank != r))
            status = broke_protocol(call);
    }
    if (status == SGP_OK) mine->rank = rank;
    return status;
}

static sgp_status_t send_ready(call_t *call) {
    unsigned char header[SGP_JOIN_MESSAGE_HEADER];
    sgp_join_server_fini(&call->server); /* the transport answers callers from now on */
    call->admitted = false;
    call->until = sgp_deadline_in(COMPLETION_MS);
    sgp_join_message_encode(SGP_JOIN_READY, 0, header);
    return say(call, header, sizeof header);
}

/* The next message, and its text, printable and ending with 0; not that of ENDPOINTS. */
static sgp_status_t read_message(call_t *call, sgp_join_message_t *message, size_t *bytes,
                                 char *text, size_t room) {
    unsigned char header[SGP_JOIN_MESSAGE_HEADER];
    size_t most = 4 + (size_t)call->client->mine->size * SGP_ENDPOINT_BYTES;
    sgp_status_t status = receive_all(call, header, sizeof header);
    if (status != SGP_OK) return status;
    if (!sgp_join_message_decode(header, most > room ? most : room, message, bytes))
        return broke_protocol(call);
    if (*message == SGP_JOIN_ENDPOINTS) return SGP_OK;
    if (*bytes >= room) return broke_protocol(call);
    memset(text, 0, room);
    status = receive_all(call, text, *bytes);
    for (char *at = text; *at; at++)
        if (*at < ' ' || *at > '~') *at = '?';
    return status;
}

static sgp_status_t follow_protocol(call_t *call, sgp_endpoint_t *endpoints) {
    for (bool ready = false;;) {
        char text[SGP_VERDICT_BYTES + 1];
        sgp_join_message_t message;
        size_t bytes;
        sgp_status_t status = read_message(call, &message, &bytes, text, sizeof text);
        if (status != SGP_OK) return status;
        if (message == SGP_JOIN_REFUSED)
            return fails(call, SGP_ERR_REFUSED, "it refuses us: %s", text);
        if (message == SGP_JOIN_BEGIN && ready) return SGP_OK;
        if (message == SGP_JOIN_REDIRECT && !ready) return follow_redirect(call, text);
        if (message == SGP_JOIN_ADMITTED && !ready) serve_callers(call, text);
        else if (message == SGP_JOIN_ENDPOINTS && !ready) {
            status = read_endpoints(call, bytes, endpoints);
            if (status == SGP_OK) status = send_ready(call);
            if (status != SGP_OK) return status;
            ready = true;
        } else return broke_protocol(call);
    }
}

static sgp_status_t connect_to_server(call_t *call) {
    const sgp_address_t *to = &call->client->to;
    int error = 0;
    socklen_t length = sizeof error;
    call->socket = socket(to->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (call->socket < 0) return ended(call, errno);
    if (connect(call->socket, (const struct sockaddr *)&to->at, to->length) == 0) return SGP_OK;
    if (errno != EINPROGRESS) return ended(call, errno);
    sgp_status_t status = await(call, POLLOUT);
    if (status == SGP_ERR_AGAIN || status == SGP_ERR_TIMEOUT) return ended(call, ETIMEDOUT);
    if (status != SGP_OK) return status;
    getsockopt(call->socket, SOL_SOCKET, SO_ERROR, &error, &length);
    return error ? ended(call, error) : SGP_OK;
}

sgp_status_t sgp_join_client_run(sgp_join_client_t *client, sgp_endpoint_t **all) {
    call_t call = {.client = client, .socket = -1};
    int left = sgp_deadline_left_ms(client->exchange->deadline);
    sgp_endpoint_t *endpoints = calloc((size_t)client->mine->size, sizeof *endpoints);
    call.until = sgp_deadline_in(left < client->answer_ms ? left : client->answer_ms);
    client->cause[0] = '\0';
    sgp_status_t status =
        endpoints ? connect_to_server(&call)
                  : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d endpoints", client->mine->size);
    if (status == SGP_OK) status = shake(&call);
    if (status == SGP_OK) status = send_endpoint(&call);
    if (status == SGP_OK) status = follow_protocol(&call, endpoints);
    sgp_join_server_fini(&call.server);
    if (call.socket >= 0) close(call.socket);
    sgp_sealed_fini(&call.sealed);
    free(call.sockets);
    if (status == SGP_OK) *all = endpoints;
    else free(endpoints);
    return status;
}
