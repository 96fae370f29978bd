/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection. What it carries is in link_io.c. */
#include "transport/tcp/link.h"

#include "base/constants.h"
#include "base/logging.h"
#include "transport/tcp/losses.h"
#include "net/socket.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Calls in a row that a peer refuses before it is lost: it may be one that has left, of which the news is on its way.
 * The timer makes them, every 50 ms at most. */
#define MOST_REFUSALS 15

/* Nanoseconds for a caller to say who it is. */
#define STRANGER_LIMIT ((uint64_t)60 * SGP_SECOND)

/* ---- beginning and end ---- */

static void unlist(sgp_link_t *link) {
    sgp_link_t **at = &link->links->all;
    while (*at != link) at = &(*at)->next;
    *at = link->next;
}

/* libuv has let go of it. */
static void on_closed(uv_handle_t *handle) {
    sgp_link_t *link = handle->data;
    unlist(link);
    free(link->frames);
    free(link);
}

void sgp_link_close(sgp_link_t *link) {
    if (link->state == SGP_LINK_CLOSED) return;
    sgp_links_t *links = link->links;
    if (link->state != SGP_LINK_OPEN && !link->caller) links->strangers--;
    link->state = SGP_LINK_CLOSED;
    link->starved = false;
    links->turns_due = true; /* of what it had under way nothing comes any more */
    uv_poll_stop(&link->poll);
    uv_close((uv_handle_t *)&link->poll, on_closed);
    close(link->socket);
    sgp_handshake_fini(&link->handshake);
    if (link->arriving) sgp_links_give_place(links, link->arriving);
    link->arriving = NULL;
    if (link->peer < 0) return;
    sgp_peer_t *peer = &links->peers[link->peer];
    if (peer->out == link) peer->out = NULL;
    if (peer->in == link) peer->in = NULL;
}

void sgp_link_break_off(sgp_link_t *link) {
    if (!link->sending) return;
    link->sending = NULL;
    link->mute = true;
}

/* Both edges of a peer that is lost. */
static void close_both(sgp_links_t *links, int rank) {
    sgp_link_t *out = links->peers[rank].out, *in = links->peers[rank].in;
    if (out) sgp_link_close(out);
    if (in) sgp_link_close(in);
}

void sgp_link_fail(sgp_link_t *link, sgp_cause_t cause, const char *why, ...) {
    sgp_links_t *links = link->links;
    int peer = link->peer;
    char text[SGP_VERDICT_BYTES + 64];
    if (link->state == SGP_LINK_CLOSED) return;
    va_list arguments;
    va_start(arguments, why);
    vsnprintf(text, sizeof text, why, arguments);
    va_end(arguments);
    sgp_link_close(link);
    if (peer < 0) return;
    sgp_links_lose(links, peer, cause, "%s", text);
    if (links->peers[peer].lost) close_both(links, peer);
}

static int poll_events(const sgp_link_t *link) {
    size_t pending = 0;
    switch (link->state) {
    case SGP_LINK_CONNECTING:
        return UV_WRITABLE;
    case SGP_LINK_SHAKING:
        sgp_handshake_pending(&link->handshake, &pending);
        return UV_READABLE | (pending ? UV_WRITABLE : 0);
    case SGP_LINK_OPEN:
        break;
    case SGP_LINK_CLOSED:
        return 0;
    }
    const sgp_peer_t *peer = &link->links->peers[link->peer];
    bool held = sgp_link_held(link);
    bool more = link->frames_at < link->frames_end || link->sending ||
                (link->caller && peer->queue.first && !link->said_leave && !held);
    bool reads = !link->starved && (link->caller || !held);
    return (reads ? UV_READABLE : 0) | (more && !link->mute ? UV_WRITABLE : 0);
}

static void on_poll(uv_poll_t *handle, int status, int events);

void sgp_link_watch(sgp_link_t *link) {
    int events = poll_events(link);
    if (link->state == SGP_LINK_CLOSED || events == link->events) return;
    link->events = events;
    if (events) uv_poll_start(&link->poll, events, on_poll);
    else uv_poll_stop(&link->poll);
}

/* Takes the socket in every case. */
static sgp_link_t *make(sgp_links_t *links, int socket, const sgp_address_t *other) {
    sgp_link_t *link = calloc(1, sizeof *link);
    if (!link || uv_poll_init(&links->loop, &link->poll, socket) != 0) {
        free(link);
        close(socket);
        return NULL;
    }
    link->links = links;
    link->poll.data = link;
    link->socket = socket;
    link->other = *other;
    link->peer = -1;
    link->since = link->heard = link->spoke = sgp_links_now();
    link->next = links->all;
    links->all = link;
    sgp_socket_tune(socket, other, links->peer_timeout);
    return link;
}

/* ---- handshake ---- */

static void begin_handshake(sgp_link_t *link) {
    sgp_links_t *links = link->links;
    sgp_hello_t mine = {.purpose = SGP_PURPOSE_LINK,
                        .rank = links->rank,
                        .size = links->size,
                        .run = links->run,
                        .fingerprint = links->chunk_bytes,
                        .version = SGP_VERSION};
    sgp_handshake_init(&link->handshake, link->caller, &mine, links->keyed ? &links->key : NULL);
    link->state = SGP_LINK_SHAKING;
}

/* What both sides have to agree on. */
static bool judge_group(sgp_link_t *link) {
    const sgp_links_t *links = link->links;
    const sgp_hello_t *theirs = &link->handshake.theirs;
    if (theirs->run != links->run)
        sgp_handshake_refuse(&link->handshake, "it belongs to another run");
    else if (theirs->size != links->size)
        sgp_handshake_refuse(&link->handshake, "it counts %d processes, and here are %d",
                             theirs->size, links->size);
    else if (theirs->fingerprint != links->chunk_bytes)
        sgp_handshake_refuse(&link->handshake, "its chunks have %llu bytes, and here %zu",
                             (unsigned long long)theirs->fingerprint, links->chunk_bytes);
    else return true;
    return false;
}

static void judge_caller(sgp_link_t *link) {
    sgp_links_t *links = link->links;
    const sgp_hello_t *theirs = &link->handshake.theirs;
    char address[SGP_ADDRESS_TEXT];
    if (!links->keyed && !links->insecure && !sgp_address_is_here(&link->other)) {
        sgp_handshake_refuse(&link->handshake,
                             "%s is another machine, and there is no key: give all nodes the same "
                             "--key-file, or --insecure",
                             sgp_address_text(&link->other, address));
        return;
    }
    if (theirs->purpose == SGP_PURPOSE_JOIN) {
        sgp_handshake_refuse(&link->handshake, "the group is full: all %d processes have come",
                             links->size);
        return;
    }
    if (!judge_group(link)) return;
    int rank = theirs->rank;
    if (rank < 0 || rank >= links->size || rank == links->rank || links->peers[rank].local)
        sgp_handshake_refuse(&link->handshake, "rank %d has no business here", rank);
    else if (links->peers[rank].in)
        sgp_handshake_refuse(&link->handshake, "a second node claims rank %d", rank);
    else {
        link->peer = rank;
        links->peers[rank].in = link;
        sgp_handshake_accept(&link->handshake);
    }
}

static void judge_answerer(sgp_link_t *link) {
    const sgp_hello_t *theirs = &link->handshake.theirs;
    if (!judge_group(link)) return;
    if (theirs->rank == link->peer) sgp_handshake_accept(&link->handshake);
    else
        sgp_handshake_refuse(&link->handshake, "it has rank %d, and %d was called", theirs->rank,
                             link->peer);
}

static void open_link(sgp_link_t *link) {
    if (link->caller) link->links->peers[link->peer].refusals = 0;
    else link->links->strangers--;
    link->state = SGP_LINK_OPEN;
    link->heard = link->spoke = sgp_links_now();
    sgp_stream_init(&link->stream, link->caller);
    sgp_links_note_open(link->links, link);
    if (link->links->leaves) sgp_link_leave(link);
    sgp_link_pump(link);
}

static void refused(sgp_link_t *link) {
    sgp_links_t *links = link->links;
    const char *reason = link->handshake.reason;
    char address[SGP_ADDRESS_TEXT];
    sgp_address_text(&link->other, address);
    atomic_fetch_add(&links->owner.transport->counters.refused, 1);
    bool by_them = link->handshake.refused_by_them;
    if (link->caller) {
        sgp_link_fail(link, SGP_CAUSE_REFUSED,
                      by_them ? "%s refuses us: \"%s\"" : "%s is refused: %s", address, reason);
        return;
    }
    sgp_log(SGP_LOG_WARNING,
            by_them ? "tcp: %s called and refuses us: \"%s\"" : "tcp: refused %s: %s", address,
            reason);
    int peer = link->peer;
    link->peer = -1; /* a refused caller may call itself whatever it likes */
    if (peer >= 0 && links->peers[peer].in == link) links->peers[peer].in = NULL;
    sgp_link_close(link);
}

static void call_failed(sgp_link_t *link, int error);

/* The connection ended before the handshake did: a peer that ends, or one that leaves. */
static void hung_up(sgp_link_t *link, int error) {
    if (link->caller) call_failed(link, error ? error : ECONNRESET);
    else sgp_link_close(link);
}

/* false: it goes no further now, or the link is closed. */
static bool shake_send(sgp_link_t *link) {
    for (;;) {
        size_t bytes;
        const void *out = sgp_handshake_pending(&link->handshake, &bytes);
        if (!bytes) return true;
        ssize_t sent = send(link->socket, out, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        /* All is said then, heard or not. */
        if (sent < 0 && sgp_handshake_state(&link->handshake) == SGP_HANDSHAKE_REFUSED) return true;
        if (sent < 0 && errno != EAGAIN) hung_up(link, errno);
        if (sent < 0) return false;
        sgp_handshake_sent(&link->handshake, (size_t)sent);
    }
}

static bool shake_receive(sgp_link_t *link) {
    size_t wanted;
    void *place = sgp_handshake_place(&link->handshake, &wanted);
    if (!wanted) return false;
    ssize_t got = recv(link->socket, place, wanted, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got > 0) {
        sgp_handshake_received(&link->handshake, (size_t)got);
        return true;
    }
    hung_up(link, got < 0 ? errno : 0);
    return false;
}

static void shake(sgp_link_t *link) {
    do {
        if (sgp_handshake_state(&link->handshake) == SGP_HANDSHAKE_JUDGE) {
            if (link->caller) judge_answerer(link);
            else judge_caller(link);
        }
        if (!shake_send(link)) break;
        if (sgp_handshake_state(&link->handshake) == SGP_HANDSHAKE_DONE) {
            open_link(link);
            return;
        }
        if (sgp_handshake_state(&link->handshake) == SGP_HANDSHAKE_REFUSED) {
            refused(link);
            return;
        }
    } while (sgp_handshake_state(&link->handshake) == SGP_HANDSHAKE_JUDGE || shake_receive(link));
    sgp_link_watch(link);
}

/* ---- opening ---- */

void sgp_link_accept(sgp_links_t *links, int socket, const sgp_address_t *from) {
    sgp_link_t *link = make(links, socket, from);
    if (!link) return;
    links->strangers++;
    begin_handshake(link);
    sgp_link_watch(link);
}

/* A call that failed is tried again as long as the peer may be on its way, here or away. One whose address refuses
 * has ended; one that hangs up may have too many callers, or has ended as well, and refuses the next call. */
static void call_failed(sgp_link_t *link, int error) {
    sgp_links_t *links = link->links;
    int rank = link->peer;
    sgp_peer_t *peer = &links->peers[rank];
    char address[SGP_ADDRESS_TEXT];
    sgp_address_text(&link->other, address);
    sgp_link_close(link);
    bool refused = error == ECONNREFUSED;
    peer->refusals = refused ? peer->refusals + 1 : 0;
    if (peer->refusals >= MOST_REFUSALS ||
        sgp_links_now() - peer->called_since >= links->open_timeout)
        sgp_links_lose(links, rank, refused ? SGP_CAUSE_REFUSED : SGP_CAUSE_UNREACHED, "%s: %s",
                       address, strerror(error));
}

static void on_connected(sgp_link_t *link) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(link->socket, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
    if (error) {
        call_failed(link, error);
        return;
    }
    begin_handshake(link);
    shake(link);
}

sgp_link_t *sgp_link_call(sgp_links_t *links, int rank) {
    const sgp_address_t *to = &links->peers[rank].address;
    int made = sgp_socket_make(to, links->listener);
    if (made < 0) {
        sgp_links_lose(links, rank, SGP_CAUSE_FAILED, "no socket to call it: %s", strerror(errno));
        return NULL;
    }
    sgp_link_t *link = make(links, made, to);
    if (!link) {
        sgp_links_lose(links, rank, SGP_CAUSE_FAILED, "no memory to call it");
        return NULL;
    }
    link->caller = true;
    link->peer = rank;
    link->state = SGP_LINK_CONNECTING;
    int result = connect(made, (const struct sockaddr *)&to->at, to->length);
    if (result != 0 && errno != EINPROGRESS) {
        call_failed(link, errno);
        return NULL;
    }
    sgp_link_watch(link);
    return link;
}

static void on_poll(uv_poll_t *handle, int status, int events) {
    sgp_link_t *link = handle->data;
    sgp_links_t *links = link->links;
    if (status < 0) {
        events = UV_READABLE | UV_WRITABLE; /* the call that fails says why */
        link->events = 0; /* libuv has stopped polling, and there may be bytes before the error */
    }
    if (link->state == SGP_LINK_CONNECTING) on_connected(link);
    else if (link->state == SGP_LINK_SHAKING) shake(link);
    else {
        if (events & UV_READABLE) sgp_link_read(link);
        if (events & UV_WRITABLE) sgp_link_pump(link);
    }
    sgp_links_take_turns(links);
}

/* ---- time ---- */

/* One that is being opened has the time for that: a crowd of processes on few cores may need it. */
static void tick_opening(sgp_link_t *link, uint64_t now) {
    uint64_t passed = now - link->since;
    if (link->caller && passed > link->links->open_timeout) call_failed(link, ETIMEDOUT);
    if (!link->caller && passed > STRANGER_LIMIT) sgp_link_close(link);
}

void sgp_link_tick(sgp_link_t *link, uint64_t now) {
    sgp_links_t *links = link->links;
    if (link->state == SGP_LINK_CLOSED) return;
    if (link->state != SGP_LINK_OPEN) {
        tick_opening(link, now);
        return;
    }
    if (now - link->heard > links->peer_timeout && !link->starved) {
        sgp_link_fail(link, SGP_CAUSE_SILENT, "it has been silent for %.1f s",
                      (double)(now - link->heard) / 1e9);
        return;
    }
    if (now - link->spoke > links->peer_timeout / 4 && !link->sending) {
        sgp_link_say(link, SGP_FRAME_ALIVE, 0);
        sgp_link_pump(link);
    }
}
