/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/edges.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/fork.h"
#include "base/logging.h"
#include "net/socket.h"
#include "transport/tcp/edges_judge.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_AGAIN     (50 * SGP_MILLISECOND)
#define STRANGER_GRACE SGP_SECOND        /* for which a stranger may delay leaving */
#define STRANGER_LIMIT (60 * SGP_SECOND) /* for the handshake of a caller */
#define MOST_STRANGERS 64

/* A peer that refuses so many calls in a row is lost. One that has left refuses them as well, until
 * another peer tells of its leaving. The timer calls again, every 50 ms at most. */
#define MOST_REFUSALS 15

/* After which an idle connection carries a pulse: with a tick of 50 ms, one each 100 ms. */
#define PULSE (75 * SGP_MILLISECOND)

/* The longest time for which a connection that takes no bytes keeps a loss from the owner. */
#define SAY_GRACE (250 * SGP_MILLISECOND)

static bool is_gone(const sgp_edges_t *edges, int rank) {
    return sgp_losses_state(&edges->losses, rank) != SGP_FATE_PRESENT;
}

static bool has_left(const sgp_edges_t *edges, int rank) {
    return sgp_losses_state(&edges->losses, rank) == SGP_FATE_LEFT;
}

/* A connection to that rank that ends is made again. */
static bool mends(const sgp_edges_t *edges, int rank) {
    return edges->transport->elastic && rank >= 0 && !is_gone(edges, rank);
}

/* ---- ending ---- */

void sgp_edges_close(sgp_edges_t *edges, sgp_connection_t *connection) {
    if (connection->state == SGP_CONNECTION_CLOSED) return;
    if (connection->peer >= 0)
        sgp_contact_closed(&edges->of[connection->peer].contact,
                           sgp_connection_heard(connection, sgp_clock_now()));
    if (connection->state != SGP_CONNECTION_OPEN && !connection->caller) edges->strangers--;
    sgp_connection_close(connection);
    edges->closed++;
    if (connection->peer < 0) return;
    sgp_edge_t *edge = &edges->of[connection->peer];
    if (edge->out == connection) edge->out = NULL;
    if (edge->in == connection) edge->in = NULL;
}

/* The owner may have made the transport elastic since the last loss. */
static sgp_losses_t *losses_of(sgp_edges_t *edges) {
    edges->losses.elastic = edges->transport->elastic;
    return &edges->losses;
}

/* A rank that cannot be called, or whose connection ended. */
__attribute__((format(printf, 4, 5))) static void lose(sgp_edges_t *edges, int rank,
                                                       sgp_cause_t cause, const char *why, ...) {
    char text[SGP_VERDICT_BYTES + 128];
    va_list arguments;
    va_start(arguments, why);
    vsnprintf(text, sizeof text, why, arguments);
    va_end(arguments);
    sgp_losses_lose(losses_of(edges), rank, sgp_fate_lost(cause), text);
}

void sgp_edges_fail(sgp_edges_t *edges, sgp_connection_t *connection, sgp_cause_t cause,
                    const char *why, ...) {
    int peer = connection->peer;
    char text[SGP_VERDICT_BYTES + 64];
    if (connection->state == SGP_CONNECTION_CLOSED) return;
    va_list arguments;
    va_start(arguments, why);
    vsnprintf(text, sizeof text, why, arguments);
    va_end(arguments);
    sgp_edges_close(edges, connection);
    if (peer < 0) return;
    lose(edges, peer, cause, "%s", text);
    if (has_left(edges, peer)) return;
    if (edges->of[peer].out) sgp_edges_close(edges, edges->of[peer].out);
    if (edges->of[peer].in) sgp_edges_close(edges, edges->of[peer].in);
}

/* What was on its way is sent again over the next connection. One that did not last is not called again at once. */
static void lose_contact(sgp_edges_t *edges, sgp_connection_t *connection) {
    sgp_edge_t *edge = &edges->of[connection->peer];
    uint64_t now = sgp_clock_now();
    int peer = connection->peer;
    if (now - connection->since > SGP_SECOND) edge->call_again = 0;
    sgp_socket_set_reset(connection->socket);
    sgp_edges_close(edges, connection);
    edge->refusals = 0;
    if (edge->out || edge->in) return; /* the tick calls again, if this one called */
    sgp_contact_lost(&edge->contact, now);
    sgp_edges_call(edges, peer);
}

/* After LEAVE the peer sends nothing more; it answers by closing the connection. The kernel gives a
 * connection up, with ETIMEDOUT, when the other end's kernel has been silent for the time limit. */
void sgp_edges_ended(sgp_edges_t *edges, sgp_connection_t *connection, int error) {
    sgp_cause_t cause = error == ETIMEDOUT ? SGP_CAUSE_SILENT : SGP_CAUSE_CLOSED;
    if (connection->said_leave && (!error || !mends(edges, connection->peer)))
        sgp_edges_close(edges, connection);
    else if (mends(edges, connection->peer)) lose_contact(edges, connection);
    else sgp_edges_fail(edges, connection, cause, "%s", sgp_connection_error_text(error, cause));
}

void sgp_edges_note(sgp_edges_t *edges, int rank, sgp_fate_t fate, const char *why) {
    sgp_edge_t *edge = &edges->of[rank];
    sgp_losses_lose(losses_of(edges), rank, fate, why);
    if (fate.state != SGP_FATE_LOST) return;
    if (edge->out) sgp_edges_close(edges, edge->out); /* it may never answer a LEAVE */
    if (edge->in) sgp_edges_close(edges, edge->in);
}

/* All bytes of the peer are read, so it sees an end in order. */
static void heard_leave(sgp_edges_t *edges, sgp_connection_t *connection) {
    sgp_edges_close(edges, connection);
    sgp_losses_leave(&edges->losses, connection->peer);
}

static void heard_pulse(sgp_edges_t *edges, const sgp_connection_t *connection, uint32_t flags) {
    int peer = connection->peer;
    sgp_fates_note_pulse(edges->transport->fates, peer, connection->stream.pulse);
    if (sgp_contact_hear(&edges->of[peer].contact, flags)) edges->absent = true;
}

/* Whether a loss of which a peer tells is believed. That of a rank that ended is certain; where the peer only hears
 * nothing of it, this rank may hear it, or the owner decides. */
static bool believes(const sgp_edges_t *edges, uint32_t word) {
    int rank;
    sgp_cause_t cause;
    if (!edges->transport->elastic || !sgp_loss_unpack(word, edges->capacity, &rank, &cause))
        return true;
    if (cause != SGP_CAUSE_SILENT && cause != SGP_CAUSE_UNREACHED) return true;
    const sgp_edge_t *edge = &edges->of[rank];
    bool connected = edge->out || edge->in;
    return !edges->transport->confirms && (!connected || edge->contact.noted & SGP_SILENCE_UNHEARD);
}

void sgp_edges_heard(sgp_edges_t *edges, sgp_connection_t *connection, sgp_frame_kind_t kind,
                     uint32_t value) {
    sgp_rank_name_t name;
    int peer = connection->peer;
    if (kind == SGP_FRAME_PULSE) heard_pulse(edges, connection, value);
    if (kind == SGP_FRAME_LEAVE) heard_leave(edges, connection);
    bool founder = value < (uint32_t)edges->capacity && (int)value != edges->rank &&
                   edges->of[value].incarnation == 0; /* frames tell of those (losses.h) */
    if (kind == SGP_FRAME_LEFT && founder) sgp_losses_leave(&edges->losses, (int)value);
    if (kind == SGP_FRAME_LOST && edges->transport->elastic &&
        sgp_losses_names_self(&edges->losses, value))
        edges->struck_off = true;
    else if (kind == SGP_FRAME_LOST && believes(edges, value))
        sgp_losses_heard(losses_of(edges), peer, sgp_transport_name(edges->transport, peer, &name),
                         value);
}

void sgp_edges_say(sgp_edges_t *edges, sgp_connection_t *connection, sgp_frame_kind_t kind,
                   uint32_t value) {
    if (!sgp_connection_say(connection, kind, value))
        sgp_edges_fail(edges, connection, SGP_CAUSE_FAILED, "out of memory");
}

/* ---- telling of losses ---- */

int sgp_edges_settle(sgp_edges_t *edges) {
    sgp_frame_kind_t kind;
    uint32_t value;
    int rank = sgp_losses_next(&edges->losses);
    if (rank < 0 || !sgp_losses_frame(&edges->losses, rank, &kind, &value)) return rank;
    if (edges->leaves && kind == SGP_FRAME_LOST) return rank;
    for (sgp_connection_t *each = edges->connections.first; each; each = each->next)
        if (each->state == SGP_CONNECTION_OPEN && each->peer != rank)
            sgp_edges_say(edges, each, kind, value);
    return rank;
}

/* A new connection is told of all earlier losses; first of its own, if this rank has struck it off and it lives. */
static void tell_losses(sgp_edges_t *edges, sgp_connection_t *connection) {
    sgp_frame_kind_t kind;
    uint32_t value;
    int peer = connection->peer;
    if (edges->transport->elastic && sgp_losses_state(&edges->losses, peer) == SGP_FATE_LOST)
        sgp_edges_say(edges, connection, SGP_FRAME_LOST,
                      sgp_loss_pack(peer, edges->losses.of[peer].fate.cause));
    for (int r = 0; r < edges->capacity; r++)
        if (r != peer && sgp_losses_frame(&edges->losses, r, &kind, &value))
            sgp_edges_say(edges, connection, kind, value);
}

static bool all_is_said(const sgp_edges_t *edges) {
    for (const sgp_connection_t *each = edges->connections.first; each; each = each->next)
        if (each->state == SGP_CONNECTION_OPEN && !each->mute && sgp_connection_has_frames(each))
            return false;
    return true;
}

bool sgp_edges_publish(sgp_edges_t *edges,
                       void (*note)(void *owner, int rank, sgp_fate_t fate, const char *why),
                       void *owner) {
    uint64_t since = sgp_losses_unpublished(&edges->losses);
    if (since && !all_is_said(edges) && sgp_clock_now() - since < SAY_GRACE) return false;
    sgp_losses_publish(&edges->losses, note, owner);
    return since != 0;
}

/* ---- who is there ---- */

/* -1: all others are local. */
static int next_remote(const sgp_edges_t *edges) {
    for (int i = 1; i < edges->capacity; i++) {
        int rank = (edges->rank + i) % edges->capacity;
        bool absent = sgp_losses_state(&edges->losses, rank) == SGP_FATE_ABSENT;
        if (!edges->of[rank].local && !absent) return rank;
    }
    return -1;
}

/* The connection is open, or was: the rank may have left already. */
static bool has_come(const sgp_edges_t *edges, int rank, const sgp_connection_t *connection) {
    bool open = connection && connection->state == SGP_CONNECTION_OPEN;
    return open || has_left(edges, rank);
}

bool sgp_edges_have_met(const sgp_edges_t *edges) {
    int size = edges->transport->size, next = next_remote(edges);
    int before = (edges->rank + size - 1) % size; /* of the founders, who meet at the start */
    if (next < 0) return true;
    if (!has_come(edges, next, edges->of[next].out)) return false;
    return edges->of[before].local || has_come(edges, before, edges->of[before].in);
}

/* ---- calling ---- */

/* A call that failed is made again as long as the peer may be starting or leaving. A peer whose
 * address refuses has ended. A peer that hangs up may have too many callers, or has ended as well
 * and refuses the next call. */
static void call_failed(sgp_edges_t *edges, int rank, int error) {
    sgp_edge_t *edge = &edges->of[rank];
    char address[SGP_ADDRESS_TEXT];
    bool refused = error == ECONNREFUSED;
    if (edge->contact.broken && mends(edges, rank)) { /* contacts.c sets an end */
        if (refused)
            lose(edges, rank, SGP_CAUSE_ENDED, "its connection ended, and %s refuses another",
                 sgp_address_text(&edge->address, address));
        return;
    }
    edge->refusals = refused ? edge->refusals + 1 : 0;
    if (edge->refusals < MOST_REFUSALS &&
        sgp_clock_now() - edge->called_since < edges->open_timeout)
        return;
    lose(edges, rank, refused ? SGP_CAUSE_REFUSED : SGP_CAUSE_UNREACHED, "%s: %s",
         sgp_address_text(&edge->address, address), strerror(error));
}

/* NULL: the call failed at once, and the failure is dealt with. */
static sgp_connection_t *call(sgp_edges_t *edges, int rank) {
    const sgp_address_t *to = &edges->of[rank].address;
    int error = 0, socket = sgp_socket_make(to, edges->listener);
    if (socket < 0) {
        lose(edges, rank, SGP_CAUSE_FAILED, "no socket to call it: %s", strerror(errno));
        return NULL;
    }
    sgp_connection_t *made = sgp_connection_call(&edges->connections, rank, to, socket, &error);
    if (!made && error) call_failed(edges, rank, error);
    else if (!made) lose(edges, rank, SGP_CAUSE_FAILED, "no memory to call it");
    return made;
}

void sgp_edges_call(sgp_edges_t *edges, int rank) {
    sgp_edge_t *edge = &edges->of[rank];
    bool first = edges->waits;
    edges->waits = false;
    if (first) sgp_edges_call_next(edges);
    uint64_t now = sgp_clock_now();
    if (edge->out || edge->local || is_gone(edges, rank) || now < edge->call_again) return;
    if (!edge->called_since) edge->called_since = now;
    edge->call_again = now + CALL_AGAIN;
    edge->out = call(edges, rank);
}

void sgp_edges_call_next(sgp_edges_t *edges) {
    int next = edges->waits ? -1 : next_remote(edges);
    if (next >= 0) sgp_edges_call(edges, next);
}

void sgp_edges_take_callers(sgp_edges_t *edges) {
    for (;;) {
        sgp_address_t from = {.length = sizeof from.at};
        int made = sgp_socket_accept(edges->listener, &from);
        if (made < 0 && errno == EINTR) continue;
        if (made < 0) return;
        if (edges->strangers >= MOST_STRANGERS) sgp_fork_close(made); /* it will call again */
        else if (sgp_connection_answer(&edges->connections, made, &from)) edges->strangers++;
    }
}

/* ---- opening ---- */

/* A caller comes a second time if its connection has ended for it, and nothing of that got through. */
static bool is_stale(const sgp_edges_t *edges, const sgp_connection_t *in) {
    return mends(edges, in->peer) && sgp_clock_now() - in->heard > edges->limits.suspect / 2;
}

/* A peer that has not seen the end of an earlier connection takes no other for a moment. */
static bool is_called_again(sgp_edges_t *edges, int rank) {
    sgp_edge_t *edge = &edges->of[rank];
    return edge->contact.last && mends(edges, rank) && ++edge->refusals < MOST_REFUSALS;
}

/* A caller that is refused may claim any rank, so none is lost by that. */
static void refused(sgp_edges_t *edges, sgp_connection_t *connection) {
    const char *reason = connection->handshake.reason;
    bool by_them = connection->handshake.refused_by_them;
    char address[SGP_ADDRESS_TEXT];
    sgp_address_text(&connection->other, address);
    atomic_fetch_add(&edges->transport->counters.refused, 1);
    if (connection->caller && by_them && is_called_again(edges, connection->peer)) {
        sgp_edges_close(edges, connection);
        return;
    }
    if (connection->caller) {
        sgp_edges_fail(edges, connection, SGP_CAUSE_REFUSED,
                       by_them ? "%s refuses us: \"%s\"" : "%s is refused: %s", address, reason);
        return;
    }
    sgp_log(SGP_LOG_WARNING,
            by_them ? "tcp: %s called and refuses us: \"%s\"" : "tcp: refused %s: %s", address,
            reason);
    sgp_edges_close(edges, connection);
}

/* The connection ended before the handshake did: the peer ends, or leaves. */
static void hung_up(sgp_edges_t *edges, sgp_connection_t *connection, int error) {
    sgp_edges_close(edges, connection);
    if (connection->caller) call_failed(edges, connection->peer, error ? error : ECONNRESET);
}

static void opened(sgp_edges_t *edges, sgp_connection_t *connection) {
    if (connection->caller) edges->of[connection->peer].refusals = 0;
    else edges->strangers--;
    connection->number = ++edges->opened;
    sgp_edge_t *edge = &edges->of[connection->peer];
    if (edge->called_since) edge->called_since = sgp_clock_now();
    sgp_contact_opened(&edge->contact);
    tell_losses(edges, connection);
}

/* Two members may give the same seat away at once. Their newcomers call until the view says whose it is: one that was refused
 * would take this rank for broken, and tell the others so. */
static bool is_disputed(const sgp_edges_t *edges, int rank) {
    return rank >= edges->transport->size || edges->of[rank].incarnation > 0;
}

/* false: the connection is to be closed. */
static bool judged(sgp_edges_t *edges, sgp_connection_t *connection) {
    sgp_judgement_t judgement = sgp_edges_judge(edges, connection);
    int rank = connection->handshake.theirs.rank;
    if (judgement == SGP_JUDGED_SECOND && is_stale(edges, edges->of[rank].in)) {
        sgp_edges_close(edges, edges->of[rank].in);
        judgement = sgp_edges_judge(edges, connection);
    }
    if (judgement == SGP_JUDGED_SECOND && is_disputed(edges, rank)) return false;
    if (judgement == SGP_JUDGED_SECOND)
        sgp_handshake_refuse(&connection->handshake, "a second node claims rank %d", rank);
    return judgement != SGP_JUDGED_LATER;
}

/* A process that asks to join: the connection becomes the owner's. */
static void hand_over(sgp_edges_t *edges, sgp_connection_t *connection) {
    sgp_visitor_t visitor = {.from = connection->other};
    edges->strangers--;
    visitor.socket = sgp_connection_detach(connection, &visitor.seals);
    edges->closed++;
    edges->has_visitor |= sgp_visitors_put(edges->visitors, &visitor);
}

bool sgp_edges_open(sgp_edges_t *edges, sgp_connection_t *connection) {
    for (;;) {
        switch (sgp_connection_open(connection)) {
        case SGP_OPENING_WAITS:
            return false;
        case SGP_OPENING_JUDGE:
            if (judged(edges, connection)) break;
            sgp_edges_close(edges, connection);
            return false;
        case SGP_OPENING_DONE:
            if (connection->peer < 0) {
                hand_over(edges, connection);
                return false;
            }
            opened(edges, connection);
            return true;
        case SGP_OPENING_REFUSED:
            refused(edges, connection);
            return false;
        case SGP_OPENING_ENDED:
            hung_up(edges, connection, connection->error);
            return false;
        }
    }
}

/* ---- time ---- */

/* Opening has a time limit of its own: many processes on few cores may need it. */
static void tick_opening(sgp_edges_t *edges, sgp_connection_t *connection, uint64_t now) {
    uint64_t passed = now - connection->since;
    bool again = connection->caller && edges->of[connection->peer].contact.broken &&
                 mends(edges, connection->peer);
    /* The kernel would call at intervals that double. One that has answered may be stopped. */
    bool unanswered = again && connection->state == SGP_CONNECTION_CONNECTING &&
                      passed > edges->limits.suspect / 2;
    if (unanswered || (connection->caller && passed > edges->open_timeout))
        hung_up(edges, connection, ETIMEDOUT);
    if (!connection->caller && passed > STRANGER_LIMIT) sgp_edges_close(edges, connection);
}

static void speak(sgp_edges_t *edges, sgp_connection_t *connection, uint64_t now) {
    sgp_transport_t *transport = edges->transport;
    bool hangs = sgp_pace_hangs(&transport->pace, now, edges->limits.stall);
    sgp_pulse_t pulse = {atomic_load(&transport->pace.step), atomic_load(&transport->digest)};
    uint32_t flags = sgp_contact_speak(&edges->of[connection->peer].contact, hangs);
    bool idle = now - connection->spoke > PULSE && !connection->sending;
    bool news = flags != connection->flags || flags & SGP_PULSE_WERE_SILENT ||
                pulse.digest != connection->digest;
    if (!idle && !news) return;
    if (!sgp_connection_say_pulse(connection, flags, pulse))
        sgp_edges_fail(edges, connection, SGP_CAUSE_FAILED, "out of memory");
}

/* One whose bytes get nowhere is made again: TCP would try at intervals that double, and still wait when the network is
 * there again. A process that is stopped has a kernel that answers. */
static void tick_elastic(sgp_edges_t *edges, sgp_connection_t *connection, uint64_t now) {
    bool quiet = now - connection->heard > edges->limits.suspect && !connection->stalled;
    if (quiet && sgp_connection_is_cut(connection, edges->limits.suspect))
        sgp_edges_ended(edges, connection, ETIMEDOUT);
    else if (!sgp_connection_has_frames(connection)) speak(edges, connection, now);
}

static void tick(sgp_edges_t *edges, sgp_connection_t *connection, uint64_t now) {
    if (connection->state == SGP_CONNECTION_CLOSED) return;
    if (connection->state != SGP_CONNECTION_OPEN) tick_opening(edges, connection, now);
    else if (edges->transport->elastic) tick_elastic(edges, connection, now);
    else if (now - connection->heard > edges->peer_timeout && !connection->stalled)
        sgp_edges_fail(edges, connection, SGP_CAUSE_SILENT, "it has been silent for %.1f s",
                       (double)(now - connection->heard) / 1e9);
    else if (now - connection->spoke > edges->peer_timeout / 6 && !connection->sending)
        sgp_edges_say(edges, connection, SGP_FRAME_ALIVE, 0);
}

/* A late tick counts as one: a process that did not run itself (in a debugger, on a suspended or
 * overloaded machine) has not listened, so it calls no other silent. If it was long enough to be called silent itself,
 * it begins anew. */
static void forgive(sgp_edges_t *edges, uint64_t now, uint64_t late) {
    bool absent = edges->transport->elastic && late > edges->limits.suspect;
    uint64_t forgiven = absent ? now : late;
    for (sgp_connection_t *each = edges->connections.first; each; each = each->next)
        sgp_connection_forgive(each, forgiven, now);
    for (int r = 0; r < edges->capacity; r++)
        sgp_contact_forgive(&edges->of[r].contact, forgiven, now);
    sgp_pace_forgive(&edges->transport->pace, late);
    if (absent) edges->absent = true;
}

void sgp_edges_tick(sgp_edges_t *edges, uint64_t now, uint64_t elapsed, uint64_t tick_length,
                    bool (*wanted)(void *context, int rank), void *context) {
    if (elapsed > 2 * tick_length) forgive(edges, now, elapsed - tick_length);
    for (sgp_connection_t *each = edges->connections.first; each; each = each->next)
        tick(edges, each, now);
    for (int r = 0; r < edges->capacity; r++)
        if (edges->of[r].called_since && (!edges->leaves || wanted(context, r)))
            sgp_edges_call(edges, r);
}

void sgp_edges_leave(sgp_edges_t *edges) {
    edges->leaves = true;
}

/* A peer that has begun to receive a chunk sees the end of the connection. */
void sgp_edges_abort(sgp_edges_t *edges) {
    uint32_t loss = sgp_loss_pack(edges->rank, SGP_CAUSE_ABORTED);
    for (sgp_connection_t *each = edges->connections.first; each; each = each->next) {
        size_t bytes;
        if (each->state != SGP_CONNECTION_OPEN || each->sending) continue;
        if (!sgp_connection_say(each, SGP_FRAME_LOST, loss)) continue;
        while (sgp_connection_has_frames(each) &&
               sgp_connection_send(each, &bytes) == SGP_SENT_SOME) {
        }
    }
}

void sgp_edges_close_all(sgp_edges_t *edges) {
    for (sgp_connection_t *each = edges->connections.first; each; each = each->next)
        sgp_edges_close(edges, each);
}

void sgp_edges_attach(sgp_edges_t *edges, uv_loop_t *loop, sgp_chunk_pool_t *pool,
                      uv_poll_cb on_poll, void *owner) {
    edges->connections.loop = loop;
    edges->connections.pool = pool;
    edges->connections.on_poll = on_poll;
    edges->connections.owner = owner;
}

/* A caller that has just come may be a member, and must hear that this rank leaves; a stranger
 * that says nothing delays it for a moment only. */
bool sgp_edges_delays_leaving(const sgp_connection_t *connection) {
    if (connection->state == SGP_CONNECTION_CLOSED) return false;
    return connection->peer >= 0 || sgp_clock_now() - connection->since < STRANGER_GRACE;
}

/* ---- making ---- */

static void set_addresses(sgp_edges_t *edges, const sgp_tcp_options_t *options) {
    int known = options->seats ? edges->capacity : options->size;
    for (int r = 0; r < known; r++) {
        edges->of[r].address = options->addresses[r];
        edges->of[r].local = options->local && options->local[r];
    }
}

/* Of a newcomer. */
static void set_seats(sgp_edges_t *edges, const sgp_tcp_options_t *options) {
    for (int r = 0; r < edges->capacity; r++) {
        sgp_seat_t seat = options->seats[r];
        if (r == edges->rank) seat = (sgp_seat_t){SGP_FATE_PRESENT, options->incarnation};
        edges->of[r].incarnation = seat.incarnation;
        sgp_losses_seat(&edges->losses, r, seat.incarnation, seat.state == SGP_FATE_PRESENT);
    }
}

void sgp_edges_seat(sgp_edges_t *edges, int seat, uint32_t incarnation,
                    const sgp_address_t *address) {
    sgp_edge_t *edge = &edges->of[seat];
    if (edge->out) sgp_edges_close(edges, edge->out);
    if (edge->in) sgp_edges_close(edges, edge->in);
    *edge = (sgp_edge_t){.address = *address, .incarnation = incarnation};
    sgp_losses_seat(&edges->losses, seat, incarnation, true);
    sgp_edges_call_next(edges); /* which may be the newcomer */
}

sgp_status_t sgp_edges_init(sgp_edges_t *edges, const sgp_tcp_options_t *options,
                            sgp_transport_t *transport, sgp_visitors_t *visitors) {
    sgp_limits_t limits = sgp_limits_of(&options->patience, options->peer_timeout_ms);
    *edges = (sgp_edges_t){.transport = transport,
                           .rank = options->rank,
                           .capacity = transport->capacity,
                           .visitors = visitors,
                           .insecure = options->insecure,
                           .listener = options->listener,
                           .open_timeout = (uint64_t)options->timeout_ms * SGP_MILLISECOND,
                           .peer_timeout = limits.peer,
                           .limits = limits};
    int seats = transport->capacity > options->size ? transport->capacity : 0;
    sgp_fork_hold();
    sgp_fork_mark(edges->listener);
    sgp_fork_release();
    edges->key = options->key ? sgp_key_keep(options->key) : NULL;
    edges->connections = (sgp_connections_t){.key = edges->key,
                                             .peer_timeout = edges->peer_timeout,
                                             .hello = {.purpose = SGP_PURPOSE_LINK,
                                                       .rank = options->rank,
                                                       .size = options->size,
                                                       .run = options->run,
                                                       .fingerprint = transport->chunk_bytes,
                                                       .incarnation = options->incarnation,
                                                       .capacity = seats,
                                                       .version = SGP_VERSION,
                                                       .encryption = options->encryption,
                                                       .machine = options->machine}};
    edges->of = calloc((size_t)edges->capacity, sizeof *edges->of);
    edges->waits = options->waits;
    if (!edges->of || (options->key && !edges->key))
        return sgp_fail(SGP_ERR_NO_MEMORY, "tcp: no memory to connect %d nodes", edges->capacity);
    set_addresses(edges, options);
    sgp_status_t status =
        sgp_losses_init(&edges->losses, edges->rank, edges->capacity, options->size);
    if (status == SGP_OK && options->seats) set_seats(edges, options);
    return status;
}

void sgp_edges_fini(sgp_edges_t *edges) {
    sgp_fork_close(edges->listener);
    sgp_guarded_free(edges->key);
    sgp_losses_fini(&edges->losses);
    free(edges->of);
}
