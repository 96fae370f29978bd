/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/join_server.h"

#include "base/constants.h"
#include "base/clock.h"
#include "base/logging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_STRANGERS = 64, PATIENCE_S = 10 };

typedef enum guest_state {
    SHAKING,
    SHOWING, /* its endpoint is coming */
    SEATED,  /* waits */
    READY,   /* has all endpoints and accepts no callers any more */
    GOING,   /* what is left to be said to it is being sent, then it is closed */
    GONE,
} guest_state_t;

struct sgp_join_session {
    guest_state_t state;
    int socket;
    int order;      /* of arrival */
    uint64_t until; /* to be seated, or gone */
    sgp_address_t from;
    sgp_handshake_t handshake;
    unsigned char in[SGP_ENDPOINT_BYTES];
    size_t have;
    unsigned char *out; /* owned */
    size_t out_at, out_end;
    bool expected;           /* it was accepted, and has a seat */
    int rank;                /* claimed, and in the end given; -1: none yet */
    sgp_endpoint_t endpoint; /* from SEATED on */
};

/* ---- notes ---- */

static void put_4(unsigned char *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get_4(const unsigned char *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void sgp_join_message_encode(sgp_join_message_t note, size_t bytes,
                             unsigned char header[SGP_JOIN_MESSAGE_HEADER]) {
    put_4(header, note);
    put_4(header + 4, (uint32_t)bytes);
}

bool sgp_join_message_decode(const unsigned char header[SGP_JOIN_MESSAGE_HEADER], size_t most,
                             sgp_join_message_t *note, size_t *bytes) {
    uint32_t kind = get_4(header), count = get_4(header + 4);
    if (kind < SGP_JOIN_ADMITTED || kind > SGP_JOIN_MESSAGE_LAST || count > most) return false;
    *note = (sgp_join_message_t)kind;
    *bytes = count;
    return true;
}

/* ---- sessions ---- */

static void see_off(sgp_join_server_t *server, sgp_join_session_t *session) {
    if (session->state == GONE) return;
    if (session->state == SEATED || session->state == READY) server->seated--;
    session->state = GONE;
    close(session->socket);
    sgp_handshake_fini(&session->handshake);
    free(session->out);
    session->out = NULL;
    session->out_at = session->out_end = 0;
}

static bool stranger(const sgp_join_session_t *session) {
    return session->state == SHAKING || session->state == SHOWING || session->state == GOING;
}

static void sweep(sgp_join_server_t *server) {
    int kept = 0;
    for (int i = 0; i < server->count; i++) {
        if (server->sessions[i]->state == GONE) free(server->sessions[i]);
        else server->sessions[kept++] = server->sessions[i];
    }
    server->count = kept;
}

/* Nothing is said while something still is to be: notes are few, and far between. */
static bool say(sgp_join_session_t *session, sgp_join_message_t note, const void *text,
                size_t bytes) {
    size_t left = session->out_end - session->out_at;
    unsigned char *out = malloc(left + SGP_JOIN_MESSAGE_HEADER + bytes);
    if (!out) return false;
    if (left) memcpy(out, session->out + session->out_at, left);
    sgp_join_message_encode(note, bytes, out + left);
    if (bytes) memcpy(out + left + SGP_JOIN_MESSAGE_HEADER, text, bytes);
    free(session->out);
    session->out = out;
    session->out_at = 0;
    session->out_end = left + SGP_JOIN_MESSAGE_HEADER + bytes;
    return true;
}

static void say_last(sgp_join_server_t *server, sgp_join_session_t *session,
                     sgp_join_message_t note, const void *text, size_t bytes) {
    if (!say(session, note, text, bytes)) {
        see_off(server, session);
        return;
    }
    if (session->state == SEATED || session->state == READY) server->seated--;
    session->state = GOING;
    session->until = sgp_clock_now() + (uint64_t)PATIENCE_S * SGP_SECOND;
}

static void refuse(sgp_join_server_t *server, sgp_join_session_t *session, const char *why) {
    char reason[SGP_VERDICT_BYTES] = "", address[SGP_ADDRESS_TEXT];
    snprintf(reason, sizeof reason, "%s", why);
    sgp_log(SGP_LOG_WARNING, "refused %s: %s", sgp_address_text(&session->from, address), reason);
    say_last(server, session, SGP_JOIN_REFUSED, reason, sizeof reason);
}

/* ---- judging ---- */

/* Who else has that rank: its address, or NULL. */
static const char *holder(const sgp_join_server_t *server, const sgp_join_session_t *but, int rank,
                          char text[SGP_ADDRESS_TEXT]) {
    if (rank == server->mine->rank) return "the process that founded the group";
    for (int i = 0; i < server->count; i++) {
        const sgp_join_session_t *session = server->sessions[i];
        if (session != but && session->rank == rank && session->state != GOING &&
            session->state != GONE)
            return sgp_address_text(&session->from, text);
    }
    return NULL;
}

static int expected(const sgp_join_server_t *server) {
    int count = 1; /* ourselves */
    for (int i = 0; i < server->count; i++) {
        const sgp_join_session_t *session = server->sessions[i];
        count += session->expected && session->state != GOING && session->state != GONE;
    }
    return count;
}

static void judge_for_seat(sgp_join_server_t *server, sgp_join_session_t *session) {
    const sgp_endpoint_t *mine = server->mine;
    const sgp_hello_t *theirs = &session->handshake.theirs;
    char text[SGP_ADDRESS_TEXT];
    const char *other;
    if (theirs->size != mine->size)
        sgp_handshake_refuse(&session->handshake,
                             "it wants a group of %d processes, and this one is of %d",
                             theirs->size, mine->size);
    else if (theirs->rank < -1 || theirs->rank >= mine->size)
        sgp_handshake_refuse(&session->handshake, "there is no rank %d in a group of %d",
                             theirs->rank, mine->size);
    else if (expected(server) >= mine->size)
        sgp_handshake_refuse(&session->handshake, "the group is full: all %d processes have come",
                             mine->size);
    else if (theirs->rank >= 0 && (other = holder(server, session, theirs->rank, text)))
        sgp_handshake_refuse(&session->handshake, "rank %d is taken by %s", theirs->rank, other);
    else sgp_handshake_accept(&session->handshake);
}

static void judge(sgp_join_server_t *server, sgp_join_session_t *session) {
    const sgp_join_options_t *options = server->options;
    const sgp_hello_t *theirs = &session->handshake.theirs;
    char address[SGP_ADDRESS_TEXT];
    if (!options->key && !options->insecure && !sgp_address_is_here(&session->from))
        sgp_handshake_refuse(&session->handshake,
                             "%s is another machine, and there is no key: give all nodes the same "
                             "--key-file, or --insecure",
                             sgp_address_text(&session->from, address));
    else if (theirs->purpose != SGP_PURPOSE_JOIN)
        sgp_handshake_refuse(&session->handshake, "the group has not begun");
    else if (theirs->fingerprint != server->mine->fingerprint)
        sgp_handshake_refuse(&session->handshake, "it belongs to another job");
    else if (strcmp(theirs->version, server->mine->version) != 0)
        sgp_handshake_refuse(&session->handshake, "it has sgp %s, and here is %s", theirs->version,
                             server->mine->version);
    else if (server->seats) judge_for_seat(server, session);
    else sgp_handshake_accept(&session->handshake);
}

/* The port a member listens on is its own to say; the host is the one that it calls from, for that is
 * how it is reached. On this machine that may be one that only we can reach. */
static bool complete_address(const sgp_join_server_t *server, sgp_join_session_t *session) {
    char text[SGP_ADDRESS_TEXT], ours[SGP_ADDRESS_TEXT];
    sgp_address_t address;
    if (!session->endpoint.port)
        return sgp_address_parse(session->endpoint.address, &address) == SGP_OK;
    const char *from = sgp_address_text(&session->from, text);
    bool loopback = strncmp(from, "127.", 4) == 0 || strncmp(from, "[::1]", 5) == 0;
    if (loopback && server->mine->address[0]) {
        snprintf(ours, sizeof ours, "%s", server->mine->address);
        from = ours;
    }
    int length = (int)(strrchr(from, ':') - from);
    snprintf(session->endpoint.address, sizeof session->endpoint.address, "%.*s:%d", length, from,
             session->endpoint.port);
    session->endpoint.port = 0;
    return true;
}

static void seat(sgp_join_server_t *server, sgp_join_session_t *session) {
    const sgp_endpoint_t *mine = server->mine;
    char why[SGP_VERDICT_BYTES];
    if (sgp_endpoint_decode(session->in, &session->endpoint) != SGP_OK ||
        session->endpoint.size != mine->size || session->endpoint.rank != session->rank ||
        !complete_address(server, session)) {
        refuse(server, session, "it has shown no endpoint of this version of sgp");
        return;
    }
    if (session->endpoint.transport != mine->transport) {
        snprintf(why, sizeof why, "it has --transport %s, and here is %s",
                 sgp_transport_choice_name(session->endpoint.transport),
                 sgp_transport_choice_name(mine->transport));
        refuse(server, session, why);
        return;
    }
    session->state = SEATED;
    session->order = ++server->order;
    session->have = 0;
    server->seated++;
    char address[SGP_ADDRESS_TEXT];
    memcpy(address, server->founder, sizeof address);
    if (!say(session, SGP_JOIN_ADMITTED, address, sizeof address)) see_off(server, session);
}

/* ---- bytes ---- */

static void leaves(sgp_join_server_t *server, sgp_join_session_t *session) {
    char address[SGP_ADDRESS_TEXT];
    if (session->state == SEATED || session->state == READY)
        sgp_log(SGP_LOG_WARNING, "%s (%s) is gone again", sgp_address_text(&session->from, address),
                session->endpoint.host);
    see_off(server, session);
}

static void flush(sgp_join_server_t *server, sgp_join_session_t *session) {
    while (session->out_at < session->out_end) {
        ssize_t sent = send(session->socket, session->out + session->out_at,
                            session->out_end - session->out_at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) leaves(server, session);
        if (sent < 0) return;
        session->out_at += (size_t)sent;
    }
    if (session->state == GOING) see_off(server, session);
}

/* Bytes into place; false: none came, or the session has left. */
static bool receive(sgp_join_server_t *server, sgp_join_session_t *session, void *place,
                    size_t wanted, size_t *got) {
    ssize_t count = recv(session->socket, place, wanted, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count <= 0) {
        leaves(server, session);
        return false;
    }
    *got = (size_t)count;
    return true;
}

static void shaken(sgp_join_server_t *server, sgp_join_session_t *session) {
    if (server->seats) {
        session->state = SHOWING;
        session->have = 0;
        return;
    }
    char address[SGP_ADDRESS_TEXT];
    memcpy(address, server->founder, sizeof address);
    say_last(server, session, SGP_JOIN_REDIRECT, address, sizeof address);
}

static void refused(sgp_join_server_t *server, sgp_join_session_t *session) {
    char address[SGP_ADDRESS_TEXT];
    sgp_address_text(&session->from, address);
    sgp_log(SGP_LOG_WARNING,
            session->handshake.refused_by_them ? "%s called and refuses us: %s" : "refused %s: %s",
            address, session->handshake.reason);
    see_off(server, session);
}

static bool send_handshake(sgp_join_server_t *server, sgp_join_session_t *session) {
    size_t bytes;
    for (const void *out; (out = sgp_handshake_pending(&session->handshake, &bytes)), bytes;) {
        ssize_t sent = send(session->socket, out, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) leaves(server, session);
        if (sent < 0) return false;
        sgp_handshake_sent(&session->handshake, (size_t)sent);
    }
    return true;
}

static void shake(sgp_join_server_t *server, sgp_join_session_t *session) {
    for (;;) {
        size_t wanted, got;
        if (sgp_handshake_state(&session->handshake) == SGP_HANDSHAKE_JUDGE) {
            judge(server, session);
            session->expected = sgp_handshake_state(&session->handshake) != SGP_HANDSHAKE_REFUSED;
            if (session->expected && server->seats) session->rank = session->handshake.theirs.rank;
        }
        if (!send_handshake(server, session)) return;
        sgp_handshake_state_t state = sgp_handshake_state(&session->handshake);
        if (state == SGP_HANDSHAKE_DONE) shaken(server, session);
        if (state == SGP_HANDSHAKE_REFUSED) refused(server, session);
        if (state == SGP_HANDSHAKE_DONE || state == SGP_HANDSHAKE_REFUSED) return;
        void *place = sgp_handshake_place(&session->handshake, &wanted);
        if (!wanted || !receive(server, session, place, wanted, &got)) return;
        sgp_handshake_received(&session->handshake, got);
    }
}

static void receive_endpoint(sgp_join_server_t *server, sgp_join_session_t *session) {
    size_t got;
    if (!receive(server, session, session->in + session->have, sizeof session->in - session->have,
                 &got))
        return;
    session->have += got;
    if (session->have == sizeof session->in) seat(server, session);
}

/* One who sits has nothing to say but that it is ready. */
static void listen_to(sgp_join_server_t *server, sgp_join_session_t *session) {
    size_t got, bytes;
    sgp_join_message_t note;
    if (!receive(server, session, session->in + session->have,
                 SGP_JOIN_MESSAGE_HEADER - session->have, &got))
        return;
    session->have += got;
    if (session->have < SGP_JOIN_MESSAGE_HEADER) return;
    session->have = 0;
    if (session->state == SEATED && sgp_join_message_decode(session->in, 0, &note, &bytes) &&
        note == SGP_JOIN_READY)
        session->state = READY;
    else leaves(server, session);
}

static void serve(sgp_join_server_t *server, sgp_join_session_t *session, short events) {
    unsigned char rest[256];
    if (session->out_at < session->out_end && (events & POLLOUT)) flush(server, session);
    if (!(events & ~POLLOUT) && session->state != SHAKING) return;
    switch (session->state) {
    case SHAKING:
        shake(server, session);
        break;
    case SHOWING:
        receive_endpoint(server, session);
        break;
    case SEATED:
    case READY:
        listen_to(server, session);
        break;
    case GOING: /* a endpoint that nobody wants any more */
        receive(server, session, rest, sizeof rest, &(size_t){0});
        break;
    case GONE:
        break;
    }
}

/* ---- callers ---- */

/* Whoever has been a stranger for longest makes room. */
static void make_room(sgp_join_server_t *server) {
    sgp_join_session_t *oldest = NULL;
    int strangers = 0;
    for (int i = 0; i < server->count; i++) {
        if (!stranger(server->sessions[i])) continue;
        strangers++;
        if (!oldest || server->sessions[i]->until < oldest->until) oldest = server->sessions[i];
    }
    if (strangers >= MOST_STRANGERS) see_off(server, oldest);
    sweep(server);
}

static sgp_join_session_t *add_guest(sgp_join_server_t *server) {
    make_room(server);
    if (server->count == server->room) {
        int room = server->room ? 2 * server->room : 16;
        sgp_join_session_t **grown =
            realloc(server->sessions, (size_t)room * sizeof(sgp_join_session_t *));
        if (!grown) return NULL;
        server->sessions = grown;
        server->room = room;
    }
    sgp_join_session_t *session = calloc(1, sizeof *session);
    if (session) server->sessions[server->count++] = session;
    return session;
}

static sgp_status_t welcome(sgp_join_server_t *server, int socket, const sgp_address_t *from) {
    const sgp_endpoint_t *mine = server->mine;
    sgp_join_session_t *session = add_guest(server);
    if (!session) {
        close(socket);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a caller");
    }
    sgp_hello_t hello = {.rank = mine->rank, .size = mine->size, .fingerprint = mine->fingerprint};
    memcpy(hello.version, mine->version, sizeof hello.version);
    session->socket = socket;
    session->from = *from;
    session->rank = -1;
    session->until = sgp_clock_now() + (uint64_t)PATIENCE_S * SGP_SECOND;
    sgp_handshake_init(&session->handshake, false, &hello, server->options->key);
    return SGP_OK;
}

/* Some at a time: they keep coming as long as someone calls. */
static sgp_status_t accept_callers(sgp_join_server_t *server) {
    sgp_status_t status = SGP_OK;
    for (int i = 0; i < MOST_STRANGERS / 4 && status == SGP_OK; i++) {
        sgp_address_t from = {.length = sizeof from.at};
        int made = accept4(server->listener, (struct sockaddr *)&from.at, &from.length,
                           SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (made < 0 && (errno == EMFILE || errno == ENFILE))
            return sgp_fail(SGP_ERR_SYSTEM, "no more connections: %s", strerror(errno));
        if (made < 0) return SGP_OK;
        status = welcome(server, made, &from);
    }
    return status;
}

/* ---- the server ---- */

void sgp_join_server_init(sgp_join_server_t *server, int listener,
                          const sgp_join_options_t *options, const sgp_endpoint_t *mine,
                          bool seats) {
    *server =
        (sgp_join_server_t){.listener = listener, .options = options, .mine = mine, .seats = seats};
}

void sgp_join_server_fini(sgp_join_server_t *server) {
    for (int i = 0; i < server->count; i++) {
        see_off(server, server->sessions[i]);
        free(server->sessions[i]);
    }
    free(server->sessions);
    *server = (sgp_join_server_t){.listener = -1};
}

int sgp_join_server_sockets(const sgp_join_server_t *server) {
    return server->count + 1;
}

static short events_of(const sgp_join_session_t *session) {
    size_t pending = session->out_end - session->out_at;
    if (session->state == SHAKING) sgp_handshake_pending(&session->handshake, &pending);
    return (short)(POLLIN | (pending ? POLLOUT : 0));
}

void sgp_join_server_watch(const sgp_join_server_t *server, struct pollfd *places) {
    places[0] = (struct pollfd){.fd = server->listener, .events = POLLIN};
    for (int i = 0; i < server->count; i++)
        places[i + 1] = (struct pollfd){.fd = server->sessions[i]->socket,
                                        .events = events_of(server->sessions[i])};
}

sgp_status_t sgp_join_server_serve(sgp_join_server_t *server, const struct pollfd *places) {
    uint64_t now = sgp_clock_now();
    int count = server->count; /* those that places has */
    for (int i = 0; i < count; i++) {
        sgp_join_session_t *session = server->sessions[i];
        if (places[i + 1].revents) serve(server, session, places[i + 1].revents);
        if (stranger(session) && now > session->until) see_off(server, session);
    }
    sgp_status_t status = SGP_OK;
    if (server->listener >= 0 && places[0].revents) status = accept_callers(server);
    sweep(server);
    return status;
}

/* ---- the beginning ---- */

/* Ranks that were claimed, and the others in order of arrival: the founder came first. */
static void give_ranks(sgp_join_server_t *server, bool *taken, int *rank) {
    int size = server->mine->size;
    if (*rank >= 0) taken[*rank] = true;
    for (int i = 0; i < server->count; i++)
        if (server->sessions[i]->rank >= 0) taken[server->sessions[i]->rank] = true;
    int next = 0;
    for (int order = 0; order <= server->order; order++) {
        int *place = order == 0 ? rank : NULL;
        for (int i = 0; i < server->count && !place; i++)
            if (server->sessions[i]->order == order) place = &server->sessions[i]->rank;
        if (!place || *place >= 0) continue;
        while (next < size && taken[next]) next++;
        *place = next++;
    }
}

static sgp_status_t send_endpoints(sgp_join_server_t *server, const sgp_endpoint_t *all) {
    size_t bytes = 4 + (size_t)server->mine->size * SGP_ENDPOINT_BYTES;
    unsigned char *text = malloc(bytes);
    bool told = text != NULL;
    for (int r = 0; r < server->mine->size && told; r++)
        sgp_endpoint_encode(&all[r], text + 4 + (size_t)r * SGP_ENDPOINT_BYTES);
    for (int i = 0; i < server->count && told; i++) {
        put_4(text, (uint32_t)server->sessions[i]->rank);
        told = say(server->sessions[i], SGP_JOIN_ENDPOINTS, text, bytes);
    }
    free(text);
    return told ? SGP_OK : sgp_fail(SGP_ERR_NO_MEMORY, "no memory to tell all who takes part");
}

static bool all_ready(const sgp_join_server_t *server) {
    for (int i = 0; i < server->count; i++)
        if (server->sessions[i]->state != READY) return false;
    return true;
}

/* Serves the sessions once. places: (size). */
static sgp_status_t attend(sgp_join_server_t *server, const sgp_deadline_t *deadline,
                           struct pollfd *places) {
    int left = sgp_deadline_left_ms(deadline);
    if (left == 0)
        return sgp_fail(SGP_ERR_TIMEOUT, "a process fell silent while the group was meeting");
    sgp_join_server_watch(server, places);
    if (poll(places, (nfds_t)sgp_join_server_sockets(server), left) < 0) return SGP_OK;
    return sgp_join_server_serve(server, places);
}

static void send_strangers_away(sgp_join_server_t *server) {
    for (int i = 0; i < server->count; i++)
        if (stranger(server->sessions[i])) see_off(server, server->sessions[i]);
    sweep(server);
}

/* All say that they accept nobody any more before anybody begins: then no caller of the group meets a
 * member that takes it for a newcomer. */
static sgp_status_t begin_all(sgp_join_server_t *server, const sgp_endpoint_t *all) {
    enum { MEETING_MS = 30000 };
    sgp_deadline_t deadline = sgp_deadline_in(MEETING_MS);
    struct pollfd *places = calloc((size_t)server->mine->size, sizeof *places);
    sgp_status_t status =
        places ? send_endpoints(server, all)
               : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d processes", server->mine->size);
    while (status == SGP_OK && !all_ready(server)) {
        status = attend(server, &deadline, places);
        if (status == SGP_OK && server->count + 1 < server->mine->size)
            status = sgp_fail(SGP_ERR_PEER_LOST, "a process ended while the group was meeting");
    }
    for (int i = 0; i < server->count && status == SGP_OK; i++) {
        say_last(server, server->sessions[i], SGP_JOIN_BEGIN, NULL, 0);
        if (server->sessions[i]->state == GONE)
            status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to tell all that the group begins");
    }
    while (status == SGP_OK && server->count > 0) status = attend(server, &deadline, places);
    free(places);
    return status;
}

sgp_status_t sgp_join_server_complete(sgp_join_server_t *server, int *rank, sgp_endpoint_t **all) {
    int size = server->mine->size, own = server->mine->rank;
    sgp_endpoint_t *endpoints = calloc((size_t)size, sizeof *endpoints);
    bool *taken = calloc((size_t)size, sizeof *taken);
    sgp_status_t status = endpoints && taken
                              ? SGP_OK
                              : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d endpoints", size);
    server->listener = -1;
    send_strangers_away(server);
    if (status == SGP_OK) {
        give_ranks(server, taken, &own);
        endpoints[own] = *server->mine;
        endpoints[own].rank = own;
        for (int i = 0; i < server->count; i++) {
            int r = server->sessions[i]->rank;
            endpoints[r] = server->sessions[i]->endpoint;
            endpoints[r].rank = r;
        }
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
        if (session->state != SEATED && session->state != READY) continue;
        say_last(server, session, SGP_JOIN_REFUSED, reason, sizeof reason);
        if (session->state == GOING) flush(server, session);
    }
}
