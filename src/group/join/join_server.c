/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/join_server.h"

#include "base/clock.h"
#include "base/bytes.h"
#include "base/logging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_PENDING = 64 };

/* ---- sessions ---- */

static void remove_closed(sgp_join_server_t *server) {
    int kept = 0;
    for (int i = 0; i < server->count; i++) {
        sgp_join_session_t *session = server->sessions[i];
        if (session->state == SGP_SESSION_CLOSED) sgp_session_destroy(session);
        else server->sessions[kept++] = session;
    }
    server->count = kept;
}

static bool is_open(const sgp_join_session_t *session) {
    return session->state != SGP_SESSION_CLOSING && session->state != SGP_SESSION_CLOSED;
}

int sgp_join_server_admitted(const sgp_join_server_t *server) {
    int count = 0;
    for (int i = 0; i < server->count; i++) count += sgp_session_is_admitted(server->sessions[i]);
    return count;
}

/* Processes that are admitted or will be, this one included. */
static int reserved(const sgp_join_server_t *server) {
    int count = 1;
    for (int i = 0; i < server->count; i++)
        count += server->sessions[i]->reserved && is_open(server->sessions[i]);
    return count;
}

/* The process, other than `session`, that has that rank; NULL: none. */
static const char *holder(const sgp_join_server_t *server, const sgp_join_session_t *session,
                          int rank, char text[SGP_ADDRESS_TEXT]) {
    if (rank == server->mine->rank) return "the join server";
    for (int i = 0; i < server->count; i++) {
        const sgp_join_session_t *other = server->sessions[i];
        if (other != session && other->rank == rank && is_open(other))
            return sgp_address_text(&other->from, text);
    }
    return NULL;
}

/* ---- judging a client's hello ---- */

static void judge_as_member(const sgp_join_server_t *server, sgp_join_session_t *session) {
    const sgp_endpoint_t *mine = server->mine;
    const sgp_hello_t *theirs = &session->handshake.theirs;
    char text[SGP_ADDRESS_TEXT];
    const char *other;
    if (theirs->size != mine->size)
        sgp_handshake_refuse(&session->handshake,
                             "it expects a group of %d processes, and this one is of %d",
                             theirs->size, mine->size);
    else if (theirs->rank < -1 || theirs->rank >= mine->size)
        sgp_handshake_refuse(&session->handshake, "there is no rank %d in a group of %d",
                             theirs->rank, mine->size);
    else if (reserved(server) >= mine->size)
        sgp_handshake_refuse(&session->handshake, "the group is full: all %d processes have come",
                             mine->size);
    else if (theirs->rank >= 0 && (other = holder(server, session, theirs->rank, text)))
        sgp_handshake_refuse(&session->handshake, "rank %d is taken by %s", theirs->rank, other);
    else sgp_handshake_accept(&session->handshake);
}

static void judge(const sgp_join_server_t *server, sgp_join_session_t *session) {
    const sgp_exchange_t *exchange = server->exchange;
    const sgp_hello_t *theirs = &session->handshake.theirs;
    char address[SGP_ADDRESS_TEXT];
    if (!exchange->key && !exchange->insecure && !sgp_address_is_here(&session->from))
        sgp_handshake_refuse(&session->handshake,
                             "%s is another machine, and there is no key: give all nodes the same "
                             "--key-file, or --insecure",
                             sgp_address_text(&session->from, address));
    else if (theirs->purpose != SGP_PURPOSE_JOIN)
        sgp_handshake_refuse(&session->handshake, "the group is not complete yet");
    else if (theirs->fingerprint != server->mine->fingerprint)
        sgp_handshake_refuse(&session->handshake, "it belongs to another job");
    else if (strcmp(theirs->version, server->mine->version) != 0)
        sgp_handshake_refuse(&session->handshake, "it has sgp %s, and here is %s", theirs->version,
                             server->mine->version);
    else if (server->redirects) sgp_handshake_accept(&session->handshake);
    else judge_as_member(server, session);
    session->reserved = sgp_handshake_state(&session->handshake) != SGP_HANDSHAKE_REFUSED;
    if (session->reserved && !server->redirects) session->rank = theirs->rank;
}

/* ---- admitting a client ---- */

static void accepted(const sgp_join_server_t *server, sgp_join_session_t *session) {
    if (server->redirects)
        sgp_session_send_last(session, SGP_JOIN_REDIRECT, server->address, sizeof server->address);
    else session->state = SGP_SESSION_ENDPOINT;
}

/* A client states the port it listens on; its host is the one it calls from, as others reach it
 * there. From this machine it may call from an address that only this machine reaches: then the
 * host is the server's. */
static bool complete_address(const sgp_join_server_t *server, sgp_join_session_t *session) {
    sgp_endpoint_t *endpoint = &session->endpoint;
    char text[SGP_ADDRESS_TEXT], ours[SGP_ADDRESS_TEXT];
    sgp_address_t address;
    if (!endpoint->port) return sgp_address_parse(endpoint->address, &address) == SGP_OK;
    const char *from = sgp_address_text(&session->from, text);
    bool loopback = strncmp(from, "127.", 4) == 0 || strncmp(from, "[::1]", 5) == 0;
    if (loopback && server->mine->address[0]) {
        snprintf(ours, sizeof ours, "%s", server->mine->address);
        from = ours;
    }
    int length = (int)(strrchr(from, ':') - from);
    snprintf(endpoint->address, sizeof endpoint->address, "%.*s:%d", length, from, endpoint->port);
    endpoint->port = 0;
    return true;
}

static void admit(sgp_join_server_t *server, sgp_join_session_t *session) {
    const sgp_endpoint_t *mine = server->mine;
    sgp_endpoint_t *theirs = &session->endpoint;
    char why[SGP_VERDICT_BYTES];
    if (sgp_endpoint_decode(session->in, theirs) != SGP_OK || theirs->size != mine->size ||
        theirs->rank != session->rank || !complete_address(server, session)) {
        sgp_session_refuse(session, "it sent no endpoint of this version of sgp");
        return;
    }
    if (theirs->transport != mine->transport) {
        snprintf(why, sizeof why, "it has --transport %s, and here is %s",
                 sgp_transport_choice_name(theirs->transport),
                 sgp_transport_choice_name(mine->transport));
        sgp_session_refuse(session, why);
        return;
    }
    session->state = SGP_SESSION_ADMITTED;
    session->arrival = ++server->arrivals;
    if (!sgp_session_send(session, SGP_JOIN_ADMITTED, server->address, sizeof server->address))
        sgp_session_close(session);
}

static void serve(sgp_join_server_t *server, sgp_join_session_t *session, short events) {
    sgp_session_event_t event;
    while ((event = sgp_session_serve(session, events)) == SGP_SESSION_JUDGE)
        judge(server, session);
    if (event == SGP_SESSION_ACCEPTED) accepted(server, session);
    if (event == SGP_SESSION_ARRIVED) admit(server, session);
}

/* ---- new clients ---- */

/* Too many pending sessions: the oldest makes room. */
static void limit_pending(sgp_join_server_t *server) {
    sgp_join_session_t *oldest = NULL;
    int pending = 0;
    for (int i = 0; i < server->count; i++) {
        sgp_join_session_t *session = server->sessions[i];
        if (!sgp_session_is_pending(session)) continue;
        pending++;
        if (!oldest || session->until < oldest->until) oldest = session;
    }
    if (pending >= MOST_PENDING) sgp_session_close(oldest);
    remove_closed(server);
}

static bool grow(sgp_join_server_t *server) {
    if (server->count < server->room) return true;
    int room = server->room ? 2 * server->room : 16;
    sgp_join_session_t **grown =
        realloc(server->sessions, (size_t)room * sizeof(sgp_join_session_t *));
    if (!grown) return false;
    server->sessions = grown;
    server->room = room;
    return true;
}

static sgp_status_t add_session(sgp_join_server_t *server, int socket, const sgp_address_t *from) {
    const sgp_endpoint_t *mine = server->mine;
    sgp_hello_t hello = {.rank = mine->rank,
                         .size = mine->size,
                         .fingerprint = mine->fingerprint,
                         .encryption = server->exchange->encryption,
                         .machine = mine->machine};
    memcpy(hello.version, mine->version, sizeof hello.version);
    limit_pending(server);
    sgp_join_session_t *session =
        grow(server) ? sgp_session_create(socket, from, &hello, server->exchange->key) : NULL;
    if (!session) {
        close(socket);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a client");
    }
    server->sessions[server->count++] = session;
    return SGP_OK;
}

/* A few at a time: a flood of calls does not keep the others waiting. */
static sgp_status_t accept_clients(sgp_join_server_t *server) {
    sgp_status_t status = SGP_OK;
    for (int i = 0; i < MOST_PENDING / 4 && status == SGP_OK; i++) {
        sgp_address_t from = {.length = sizeof from.at};
        int made = accept4(server->listener, (struct sockaddr *)&from.at, &from.length,
                           SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (made < 0 && (errno == EMFILE || errno == ENFILE))
            return sgp_fail(SGP_ERR_SYSTEM, "no more connections: %s", strerror(errno));
        if (made < 0) return SGP_OK;
        status = add_session(server, made, &from);
    }
    return status;
}

/* ---- serving ---- */

void sgp_join_server_init(sgp_join_server_t *server, int listener, const sgp_exchange_t *exchange,
                          const sgp_endpoint_t *mine, const char *address, bool redirects) {
    *server = (sgp_join_server_t){
        .listener = listener, .exchange = exchange, .mine = mine, .redirects = redirects};
    snprintf(server->address, sizeof server->address, "%.*s", SGP_ADDRESS_TEXT - 1, address);
}

void sgp_join_server_fini(sgp_join_server_t *server) {
    for (int i = 0; i < server->count; i++) sgp_session_destroy(server->sessions[i]);
    free(server->sessions);
    *server = (sgp_join_server_t){.listener = -1};
}

int sgp_join_server_sockets(const sgp_join_server_t *server) {
    return server->count + 1;
}

void sgp_join_server_watch(const sgp_join_server_t *server, struct pollfd *sockets) {
    sockets[0] = (struct pollfd){.fd = server->listener, .events = POLLIN};
    for (int i = 0; i < server->count; i++)
        sockets[i + 1] = (struct pollfd){.fd = server->sessions[i]->socket,
                                         .events = sgp_session_events(server->sessions[i])};
}

sgp_status_t sgp_join_server_serve(sgp_join_server_t *server, const struct pollfd *sockets) {
    uint64_t now = sgp_clock_now();
    int count = server->count; /* of the entries in sockets */
    for (int i = 0; i < count; i++) {
        sgp_join_session_t *session = server->sessions[i];
        if (sockets[i + 1].revents) serve(server, session, sockets[i + 1].revents);
        if (sgp_session_is_pending(session) && now > session->until) sgp_session_close(session);
    }
    sgp_status_t status = SGP_OK;
    if (server->listener >= 0 && sockets[0].revents) status = accept_clients(server);
    remove_closed(server);
    return status;
}

/* ---- completing the group ---- */

/* Requested ranks first; the others in order of arrival, this process before all clients. */
static void assign_ranks(sgp_join_server_t *server, bool *taken, int *rank) {
    int size = server->mine->size;
    if (*rank >= 0) taken[*rank] = true;
    for (int i = 0; i < server->count; i++)
        if (server->sessions[i]->rank >= 0) taken[server->sessions[i]->rank] = true;
    int next = 0;
    for (int arrival = 0; arrival <= server->arrivals; arrival++) {
        int *place = arrival == 0 ? rank : NULL;
        for (int i = 0; i < server->count && !place; i++)
            if (server->sessions[i]->arrival == arrival) place = &server->sessions[i]->rank;
        if (!place || *place >= 0) continue;
        while (next < size && taken[next]) next++;
        *place = next++;
    }
}

static sgp_status_t send_endpoints(sgp_join_server_t *server, const sgp_endpoint_t *all) {
    size_t bytes = 4 + (size_t)server->mine->size * SGP_ENDPOINT_BYTES;
    unsigned char *text = malloc(bytes);
    bool sent = text != NULL;
    for (int r = 0; r < server->mine->size && sent; r++)
        sgp_endpoint_encode(&all[r], text + 4 + (size_t)r * SGP_ENDPOINT_BYTES);
    for (int i = 0; i < server->count && sent; i++) {
        sgp_bytes_put(text, (uint32_t)server->sessions[i]->rank, 4);
        sent = sgp_session_send(server->sessions[i], SGP_JOIN_ENDPOINTS, text, bytes);
    }
    free(text);
    return sent ? SGP_OK : sgp_fail(SGP_ERR_NO_MEMORY, "no memory to send all endpoints");
}

static bool all_ready(const sgp_join_server_t *server) {
    for (int i = 0; i < server->count; i++)
        if (server->sessions[i]->state != SGP_SESSION_READY) return false;
    return true;
}

/* Serves the clients once. sockets: (size). */
static sgp_status_t serve_once(sgp_join_server_t *server, const sgp_deadline_t *deadline,
                               struct pollfd *sockets) {
    int left = sgp_deadline_left_ms(deadline);
    if (left == 0)
        return sgp_fail(SGP_ERR_TIMEOUT, "a process fell silent while the group was completed");
    sgp_join_server_watch(server, sockets);
    if (poll(sockets, (nfds_t)sgp_join_server_sockets(server), left) < 0) return SGP_OK;
    return sgp_join_server_serve(server, sockets);
}

static void close_pending(sgp_join_server_t *server) {
    for (int i = 0; i < server->count; i++)
        if (sgp_session_is_pending(server->sessions[i])) sgp_session_close(server->sessions[i]);
    remove_closed(server);
}

static sgp_status_t wait_until_ready(sgp_join_server_t *server, const sgp_deadline_t *deadline,
                                     struct pollfd *sockets) {
    while (!all_ready(server)) {
        sgp_status_t status = serve_once(server, deadline, sockets);
        if (status != SGP_OK) return status;
        if (server->count + 1 < server->mine->size)
            return sgp_fail(SGP_ERR_PEER_LOST, "a process ended while the group was completed");
    }
    return SGP_OK;
}

/* No process begins before all have said that they accept no more callers: so no member's first
 * call reaches another member that takes it for a client. */
static sgp_status_t begin_all(sgp_join_server_t *server, const sgp_endpoint_t *all) {
    enum { COMPLETION_MS = 30000 };
    sgp_deadline_t deadline = sgp_deadline_in(COMPLETION_MS);
    struct pollfd *sockets = calloc((size_t)server->mine->size, sizeof *sockets);
    sgp_status_t status =
        sockets ? send_endpoints(server, all)
                : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d processes", server->mine->size);
    if (status == SGP_OK) status = wait_until_ready(server, &deadline, sockets);
    for (int i = 0; i < server->count && status == SGP_OK; i++) {
        sgp_session_send_last(server->sessions[i], SGP_JOIN_BEGIN, NULL, 0);
        if (server->sessions[i]->state == SGP_SESSION_CLOSED)
            status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to tell all that the group begins");
    }
    while (status == SGP_OK && server->count > 0) status = serve_once(server, &deadline, sockets);
    free(sockets);
    return status;
}

static void fill_endpoints(const sgp_join_server_t *server, int own, sgp_endpoint_t *all) {
    all[own] = *server->mine;
    all[own].rank = own;
    for (int i = 0; i < server->count; i++) {
        int r = server->sessions[i]->rank;
        all[r] = server->sessions[i]->endpoint;
        all[r].rank = r;
    }
}

sgp_status_t sgp_join_server_complete(sgp_join_server_t *server, int *rank, sgp_endpoint_t **all) {
    int size = server->mine->size, own = server->mine->rank;
    sgp_endpoint_t *endpoints = calloc((size_t)size, sizeof *endpoints);
    bool *taken = calloc((size_t)size, sizeof *taken);
    sgp_status_t status = endpoints && taken
                              ? SGP_OK
                              : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d endpoints", size);
    server->listener = -1;
    close_pending(server);
    if (status == SGP_OK) {
        assign_ranks(server, taken, &own);
        fill_endpoints(server, own, endpoints);
        status = begin_all(server, endpoints);
    }
    free(taken);
    if (status != SGP_OK) {
        free(endpoints);
        return status;
    }
    *rank = own;
    *all = endpoints;
    return SGP_OK;
}

void sgp_join_server_refuse_all(sgp_join_server_t *server, const char *why) {
    char reason[SGP_VERDICT_BYTES] = "";
    snprintf(reason, sizeof reason, "%s", why);
    for (int i = 0; i < server->count; i++) {
        sgp_join_session_t *session = server->sessions[i];
        if (!sgp_session_is_admitted(session)) continue;
        sgp_session_send_last(session, SGP_JOIN_REFUSED, reason, sizeof reason);
        if (session->state == SGP_SESSION_CLOSING) sgp_session_flush(session);
    }
}
